//! Row Z3: Azure is away, and comes back.
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use arm_emulator::{Action, Entry, Fault, Rates};
use e2e::azure::{Fleet, WORKSPACE, sized, workspace_spec};
use e2e::context::spec;
use e2e::{Azure, Context, holds_for};
use serde_json::{Value, json};

/// How long Azure is away, in seconds: long enough for the longest back-off at full size.
fn outage() -> Duration {
    Duration::from_secs(sized(20, 600))
}

pub(crate) async fn while_azure_is_away_the_cluster_is_served_and_its_return_makes_no_stampede(
    context: &mut Context,
) -> anyhow::Result<()> {
    let (objects, sync) = sized((60, 8), (500, 60));
    let azure = Azure::start_limited(context).await?.sync(sync);
    let mut operator = azure.operator(context).await?;
    let names: Vec<String> = (0..objects).map(|number| format!("ws-{number}")).collect();
    let fleet = Fleet::make(context, WORKSPACE, &names, |_| workspace_spec()).await?;
    fleet.all_say("Ready=True/Ready", Duration::from_mins(3)).await?;
    let began = Instant::now();
    let (since, before) = (azure.emulator.log().last(), seconds_now()?);
    let away = azure.fault(Fault::every("", Action::Reset))?;
    let told =
        fleet.all_say("AzureReachable=False/AzureUnreachable", Duration::from_secs(sync * 2 + 30)).await?;
    let latest = before + i64::try_from(began.elapsed().as_secs())? + 1;
    for object in &told {
        let at = since_when(object).with_context(|| format!("no time in {}", object["status"]))?;
        ensure!(
            (before..=latest).contains(&at),
            "it is told to be away since {at}, not {before} to {latest}"
        );
        ensure!(e2e::azure::says(object, "Ready=True/Ready"), "{}", object["status"]);
    }
    // What runs on the cluster is made and changed all the same.
    context.create("churn", &spec(1)).await?;
    context.says("churn", "Ready=True/Ready").await?;
    holds_for(outage().saturating_sub(began.elapsed()), async || {
        Ok(operator.check_alive().map_err(|error| error.to_string()))
    })
    .await?;
    context.merge(&context.endpoint("churn"), &json!({"spec": spec(2)})).await?;
    context.says("churn", "Ready=True/Ready").await?;
    let tried = azure.calls(since).len();
    let (since, returned) = (azure.emulator.log().last(), Instant::now());
    let returned_at = seconds_now()?;
    azure.emulator.faults().remove(away);
    fleet.all_say("AzureReachable=True/AzureReachable", Duration::from_mins(10)).await?;
    let recovery = returned.elapsed();
    let calls = azure.calls(since);
    let away = format!(
        "{objects} objects, away for {:.0} s with {tried} calls tried",
        began.elapsed().as_secs_f64()
    );
    judge(context, &away, &calls, (returned_at, recovery), objects)?;
    fleet.all_say("Ready=True/Ready", Duration::from_mins(1)).await?;
    operator.check_alive()
}

/// What the calls after the return must be like.
fn judge(
    context: &Context,
    away: &str,
    calls: &[Entry],
    (returned, recovery): (i64, Duration),
    objects: u32,
) -> anyhow::Result<()> {
    let rates = Rates::default();
    let mut seconds: BTreeMap<i64, u32> = BTreeMap::new();
    for call in calls {
        *seconds.entry(call.time / 1000 - returned).or_default() += 1;
    }
    let spike = seconds.values().max().copied().unwrap_or_default();
    let minimum = (f64::from(objects) - rates.reads.size) / rates.reads.refill;
    let recovery = recovery.as_secs_f64();
    context.tell(format!(
        "{away}; all reconciled {recovery:.1} s after the return (the buckets alone: {:.1} s) by {} calls, at most {spike} in a second",
        minimum.max(0.0), calls.len()
    ));
    let throttled = calls.iter().filter(|call| call.status == Some(429)).count();
    ensure!(throttled == 0, "{throttled} calls were throttled");
    let writes: Vec<&Entry> = calls.iter().filter(|call| call.method != "GET").collect();
    ensure!(writes.is_empty(), "written after the return: {writes:?}");
    ensure!(f64::from(spike) <= 2.0 * rates.reads.refill, "a stampede: {seconds:?}");
    let slow = minimum > 0.0 && recovery > 1.5 * minimum;
    ensure!(!slow, "it took {recovery:.1} s, more than 1.5 times {minimum:.1} s");
    Ok(())
}

/// Since when the condition says that Azure is away, in seconds since 1970.
fn since_when(object: &Value) -> Option<i64> {
    let mut conditions = object["status"]["conditions"].as_array()?.iter();
    let condition = conditions.find(|condition| condition["type"] == "AzureReachable")?;
    let at: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time =
        serde_json::from_value(condition["lastTransitionTime"].clone()).ok()?;
    Some(at.0.as_second())
}

fn seconds_now() -> anyhow::Result<i64> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(i64::try_from(since.as_secs())?)
}
