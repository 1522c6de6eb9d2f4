//! Row Z9: what is settled is read once per sync and never written.
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use e2e::azure::{DATA, Fleet, WORKSPACE, data_spec, seconds, sized, workspace_spec};
use e2e::{Azure, Context, holds_for};

pub(crate) async fn a_settled_object_is_read_once_per_sync_and_never_written(
    context: &mut Context,
) -> anyhow::Result<()> {
    let (workspaces, data, sync) = sized((20, 20, 4), (50, 150, 20));
    let azure = Azure::start_limited(context).await?.sync(sync);
    let _operator = azure.operator(context).await?;
    let names: Vec<String> = (0..workspaces).map(|number| format!("ws-{number}")).collect();
    let assets: Vec<String> = (0..data).map(|number| format!("d-{number}")).collect();
    let all = [
        Fleet::make(context, WORKSPACE, &names, |_| workspace_spec()).await?,
        Fleet::make(context, DATA, &assets, |name| {
            let number: usize = name.trim_start_matches("d-").parse().unwrap_or_default();
            data_spec(&format!("ws-{}", number % workspaces), 1)
        })
        .await?,
    ];
    for fleet in &all {
        fleet.all_say("Ready=True/Ready", seconds(60, 180)).await?;
    }
    let since = azure.emulator.log().last();
    // Each comes up to a tenth earlier or later than the others.
    let span = Duration::from_secs(sync * 3);
    holds_for(span, async || {
        let writes = azure.writes(since);
        Ok(if writes.is_empty() { Ok(()) } else { Err(format!("{writes:?}")) })
    })
    .await?;
    let calls = azure.calls(since);
    let mut reads: BTreeMap<&str, u64> = BTreeMap::new();
    for call in &calls {
        ensure!(call.status == Some(200), "{call:?}");
        *reads.entry(&call.path).or_default() += 1;
    }
    let objects = workspaces + data;
    let per = calls.len() as f64 / objects as f64 / 3.0;
    context.tell(format!(
        "{objects} objects, 3 syncs of {sync} s: {} reads of {} paths, {per:.2} for each object and sync; 0 writes",
        calls.len(), reads.len()
    ));
    // Three syncs, the first and last of them cut off: at most four reads of anything.
    let often: Vec<_> = reads.iter().filter(|(_, count)| **count > 4).collect();
    ensure!(often.is_empty(), "read more than once per sync: {often:?}");
    ensure!(per <= 1.2, "{per:.2} reads for each object and sync");
    Ok(())
}
