//! An API server that is killed and comes back.
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::ensure;
use e2e::context::spec;
use e2e::{Context, in_time};
use serde_json::json;

/// Away for one second and for ten: converged within 60 s, by the same process, without a storm of lists.
pub(crate) async fn an_api_server_that_was_killed_is_met_again(context: &mut Context) -> anyhow::Result<()> {
    let mut operator = context.operator()?;
    operator.ready().await?;
    for (round, away) in [Duration::from_secs(1), Duration::from_secs(10)].into_iter().enumerate() {
        let name = format!("churn-{round}");
        context.create(&name, &spec(1)).await?;
        context.says(&name, "Ready=True/Ready").await?;
        // In the middle of work: these are not done when it goes.
        for index in 0..10 {
            context.create(&format!("{name}-{index}"), &spec(1)).await?;
        }
        let plane = context.plane.clone();
        let up = tokio::task::spawn_blocking(move || -> anyhow::Result<Instant> {
            plane.kill_api_server()?;
            std::thread::sleep(away);
            plane.start_api_server()?;
            Ok(Instant::now())
        })
        .await??;
        let position = context.requests()?.len();
        context.merge(&context.endpoint(&name), &json!({"spec": {"model": spec(2)["model"]}})).await?;
        context.says(&name, "Ready=True/Ready").await?;
        for index in 0..10 {
            context.says(&format!("{name}-{index}"), "Ready=True/Ready").await?;
        }
        in_time("what was missed", up.elapsed(), Duration::from_mins(1))?;
        operator.check_alive()?;
        let mut lists: BTreeMap<String, usize> = BTreeMap::new();
        for request in
            context.requests()?.iter().skip(position).filter(|it| it.verb == "list" && it.code == 200)
        {
            *lists.entry(format!("{} of {}", request.resource, request.namespace)).or_default() += 1;
        }
        ensure!(lists.values().all(|count| *count <= 2), "a storm of lists after {away:?}: {lists:?}");
        eprintln!("away for {away:?}: converged {:.1} s after it was up", up.elapsed().as_secs_f64());
    }
    Ok(())
}
