//! Others who write the same objects, and an API server that answers with conflicts.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::ensure;
use e2e::context::spec;
use e2e::{Context, Fault, Proxy};
use plan::ChildKind;
use serde_json::json;

const EDITS: usize = 200;

/// Three of ten writes conflict while somebody else edits two hundred times.
pub(crate) async fn a_storm_of_conflicts_loses_no_foreign_field(context: &mut Context) -> anyhow::Result<()> {
    let proxy = context.proxy().await?;
    let operator = context.operator_behind(&proxy).await?;
    let mut wanted = spec(1);
    wanted["scaling"] = json!({"minReplicas": 1, "maxReplicas": 9});
    context.create("churn", &wanted).await?;
    context.says("churn", "Ready=True/Ready").await?;
    let reconciles = async || {
        let mut sum = 0.0;
        for outcome in ["changed", "failed", "unchanged"] {
            let name = "mlops_operator_reconciliations_total{controller=\"endpoint\",outcome=\"";
            sum += operator.metric(&format!("{name}{outcome}\"}}")).await?;
        }
        Ok::<_, anyhow::Error>(sum)
    };
    let before = reconciles().await?;
    let conflicts = storm(&proxy);
    let scale = format!("{}/scale", context.child(ChildKind::Deployment, "churn"));
    let mut replicas = 1;
    for edit in 0..EDITS {
        let kind = ChildKind::ALL[edit % ChildKind::ALL.len()];
        let path = context.child(kind, "churn");
        let (label, note) = (format!("theirs-{edit}"), format!("note-{edit}"));
        let metadata = json!({"labels": {label: "yes"}, "annotations": {note: "yes"}});
        context.merge(&path, &json!({"metadata": metadata})).await?;
        if edit % 10 == 0 {
            replicas = 1 + i32::try_from(edit / 10 % 9)?;
            context.merge(&scale, &json!({"spec": {"replicas": replicas}})).await?;
            let version = u32::try_from(edit)? + 2;
            context
                .merge(&context.endpoint("churn"), &json!({"spec": {"model": spec(version)["model"]}}))
                .await?;
        }
    }
    context.says("churn", "Ready=True/Ready").await?;
    for (index, kind) in ChildKind::ALL.into_iter().enumerate() {
        let child = context.get(&context.child(kind, "churn")).await?.unwrap_or_default();
        for edit in (index..EDITS).step_by(ChildKind::ALL.len()) {
            let kept = child["metadata"]["labels"][format!("theirs-{edit}")] == "yes"
                && child["metadata"]["annotations"][format!("note-{edit}")] == "yes";
            ensure!(kept, "{kind} lost what edit {edit} set: {}", child["metadata"]);
        }
    }
    let deployment = context.get(&context.child(ChildKind::Deployment, "churn")).await?.unwrap_or_default();
    ensure!(deployment["spec"]["replicas"] == replicas, "replicas: {}", deployment["spec"]["replicas"]);
    ensure!(conflicts.load(Ordering::SeqCst) >= 5, "only {} conflicts", conflicts.load(Ordering::SeqCst));
    let writes = proxy.seen().iter().filter(|seen| seen.is_write() && seen.resource != "events").count();
    let per_reconcile = writes as f64 / (reconciles().await? - before);
    ensure!(per_reconcile <= 3.0, "{per_reconcile:.1} writes per reconcile");
    Ok(())
}

/// Lets three of ten writes conflict from now on; the number counts them.
fn storm(proxy: &Proxy) -> Arc<AtomicUsize> {
    let conflicts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&conflicts);
    let mut writes = 0_usize;
    proxy.set_rule(move |seen| {
        if !seen.is_write() || seen.verb != "apply" {
            return Fault::Pass;
        }
        writes += 1;
        if writes % 10 < 3 {
            counted.fetch_add(1, Ordering::SeqCst);
            return Fault::Answer(409, "the object has been modified", 0);
        }
        Fault::Pass
    });
    conflicts
}
