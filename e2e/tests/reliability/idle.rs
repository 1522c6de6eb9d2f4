//! Quiet when there is nothing to do.
use std::time::Duration;

use anyhow::ensure;
use e2e::context::{CONVERGES, conditions, spec};
use e2e::{Context, Operator, audit, until};
use serde_json::json;

/// Fifty ready Endpoints, twenty seconds, and a restart: no write but the lease.
pub(crate) async fn nothing_is_written_while_nothing_changes(context: &mut Context) -> anyhow::Result<()> {
    let mut options = context.options()?;
    options.arguments.retain(|it| !it.contains("election") && !it.starts_with("--operator-namespace"));
    options.arguments.push(format!("--operator-namespace={}", context.namespace));
    for runtime in testkit::runtimes() {
        let spec = serde_json::to_value(&runtime.spec)?;
        let body = e2e::context::manifest("ServingRuntime", &runtime.name, &spec);
        context.must("POST", &context.runtime(""), e2e::context::JSON, &body).await?;
    }
    let mut operator = Operator::start(options)?;
    for index in 0..50 {
        let mut wanted = spec(1);
        if index % 2 == 0 {
            wanted["scaling"] = json!({"minReplicas": 1, "maxReplicas": 3});
        }
        wanted["resources"] = json!({"requests": {"cpu": "1000m", "memory": "1024Mi"}});
        context.create(&format!("churn-{index}"), &wanted).await?;
    }
    all_ready(context, 50).await?;
    for restart in [false, true] {
        if restart {
            operator.crash()?;
            operator.ready().await?;
        } else {
            quiet(context).await?;
        }
        let position = audit::position(context.plane.audit_log());
        tokio::time::sleep(Duration::from_secs(20)).await;
        let requests = audit::since(context.plane.audit_log(), position, &context.user())?;
        let writes: Vec<_> = requests.iter().filter(|it| it.is_write() && !it.is_lease()).collect();
        ensure!(writes.is_empty(), "{} writes (restarted: {restart}), such as {:?}", writes.len(), writes[0]);
        let renewals = requests.iter().filter(|it| it.is_write() && it.is_lease()).count();
        ensure!(renewals > 0, "not even the lease was renewed: is this the operator's user?");
    }
    Ok(())
}

async fn all_ready(context: &Context, count: usize) -> anyhow::Result<()> {
    until("readiness of all", CONVERGES, async || {
        let list = context.get(&context.endpoint("")).await?.unwrap_or_default();
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let ready = items.iter().filter(|it| conditions(it).contains(&"Ready=True/Ready".to_owned())).count();
        Ok(if ready == count { Ok(()) } else { Err(format!("{ready} are ready")) })
    })
    .await
}

/// Waits until the last events of the way to readiness are written.
async fn quiet(context: &Context) -> anyhow::Result<()> {
    let writes = || -> anyhow::Result<usize> {
        Ok(context.requests()?.iter().filter(|it| it.is_write() && !it.is_lease()).count())
    };
    let mut before = usize::MAX;
    let mut same = 0;
    until("the last write", CONVERGES, async || {
        let now = writes()?;
        same = if now == before { same + 1 } else { 0 };
        before = now;
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok(if same >= 5 { Ok(()) } else { Err(format!("{now} writes")) })
    })
    .await
}
