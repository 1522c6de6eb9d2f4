//! A watch that lags behind the operator's own writes.
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use e2e::context::spec;
use e2e::{Context, Fault, Proxy};
use serde_json::json;

fn writes(proxy: &Proxy) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for seen in proxy.seen().into_iter().filter(|seen| seen.is_write() && seen.resource != "events") {
        *counts.entry(format!("{} {}", seen.verb, seen.resource)).or_insert(0) += 1;
    }
    counts
}

/// Later by 0.1, 1 and 5 seconds: each object is written once, and nothing flaps.
pub(crate) async fn a_late_watch_causes_no_further_writes(context: &mut Context) -> anyhow::Result<()> {
    for (name, milliseconds) in [("a", 100), ("b", 1000), ("c", 5000)] {
        let place = context.place(name).await?;
        let proxy = context.proxy_named(&place.namespace).await?;
        let operator = e2e::Operator::start(context.options_for(&place.namespace, proxy.kubeconfig())?)?;
        operator.ready().await?;
        proxy.delay_watches(Duration::from_millis(milliseconds));
        proxy.set_rule(|_| Fault::Pass);
        let mut wanted = spec(1);
        wanted["scaling"] = json!({"minReplicas": 1, "maxReplicas": 3});
        place.create("churn", &wanted).await?;
        place.says("churn", "Ready=True/Ready").await?;
        let created = writes(&proxy);
        proxy.set_rule(|_| Fault::Pass);
        place.merge(&place.endpoint("churn"), &json!({"spec": {"model": spec(2)["model"]}})).await?;
        place.says("churn", "Ready=True/Ready").await?;
        let changed = writes(&proxy);
        for (counts, what) in [(&created, "creation"), (&changed, "change")] {
            for (request, count) in counts {
                // A Deployment that an autoscaler is to scale is made, handed over, and then applied without its
                // replicas.
                let most = match request.as_str() {
                    "apply endpoints/status" => 5,
                    "apply deployments" if what == "creation" => 3,
                    _ => 1,
                };
                ensure!(*count <= most, "{milliseconds} ms, {what}: {count} times {request}: {counts:?}");
            }
        }
        ensure!(created.len() == 7, "{milliseconds} ms: {created:?}");
        place.truth.verify()?;
    }
    Ok(())
}
