//! Deleting at every state: nothing is left, and nobody complains for ever.
use std::time::Duration;

use anyhow::ensure;
use e2e::context::{CONVERGES, JSON, spec};
use e2e::{Context, Mode, PATIENCE, holds_for, until};
use serde_json::{Value, json};

/// Just created, before any pod, mid-rollout, stalled, refused, ready.
pub(crate) async fn an_endpoint_deleted_in_any_state_leaves_nothing(
    context: &mut Context,
) -> anyhow::Result<()> {
    let operator = context.operator()?;
    operator.ready().await?;
    let mut absent = spec(1);
    absent["runtimeRef"] = json!({"name": "absent"});
    let states: [(&str, Mode, Value, Option<&str>); 6] = [
        ("just-created", Mode::Ready, spec(1), None),
        ("creating", Mode::Away, spec(1), Some("Reconciling=True/Creating")),
        ("ready", Mode::Ready, spec(1), Some("Ready=True/Ready")),
        ("rolling", Mode::Stuck, spec(1), Some("Reconciling=True")),
        ("late", Mode::Late, spec(1), Some("Stalled=True/DeadlineExceeded")),
        ("invalid", Mode::Ready, absent, Some("Stalled=True/RuntimeNotFound")),
    ];
    for (name, mode, spec, state) in states {
        context.stand_in.set(mode);
        context.create(name, &spec).await?;
        if let Some(state) = state {
            context.says(name, state).await?;
        }
        context.delete(&context.endpoint(name)).await?;
        context.is_empty().await?;
    }
    silent(context, &operator).await
}

/// Deleted while the operator is away, and while it comes back; a successor of the same name is a fresh one.
pub(crate) async fn an_endpoint_deleted_during_a_restart_leaves_nothing(
    context: &mut Context,
) -> anyhow::Result<()> {
    let mut operator = context.operator()?;
    for round in 0..3 {
        let first = context.create("churn", &spec(1)).await?;
        context.says("churn", "Ready=True/Ready").await?;
        operator.kill()?;
        context.delete(&context.endpoint("churn")).await?;
        if round == 1 {
            context.is_empty().await?;
        }
        operator.crash()?;
        let second = context.create("churn", &spec(2)).await?;
        ensure!(first["metadata"]["uid"] != second["metadata"]["uid"], "not a new object");
        context.says("churn", "Ready=True/Ready").await?;
        for (kind, child) in context.children("churn").await? {
            let owner = &child["metadata"]["ownerReferences"][0]["uid"];
            ensure!(*owner == second["metadata"]["uid"], "{kind} belongs to {owner}");
        }
        context.delete(&context.endpoint("churn")).await?;
        context.is_empty().await?;
    }
    Ok(())
}

/// The namespace goes, and with it everything; the operator does not try for ever.
pub(crate) async fn a_deleted_namespace_ends_without_errors(context: &mut Context) -> anyhow::Result<()> {
    let operator = context.operator()?;
    for index in 0..5 {
        context.create(&format!("churn-{index}"), &spec(1)).await?;
    }
    context.says("churn-0", "Ready=True/Ready").await?;
    let path = format!("/api/v1/namespaces/{}", context.namespace);
    context.must("DELETE", &path, JSON, &Value::Null).await?;
    until("the end of the namespace", CONVERGES, async || {
        let left = context.get(&path).await?;
        Ok(left.map_or(Ok(()), |left| Err(left["status"].to_string())))
    })
    .await?;
    silent(context, &operator).await
}

/// No reconcile fails any more.
async fn silent(context: &Context, operator: &e2e::Operator) -> anyhow::Result<()> {
    let failures = |log: &str| log.matches("a reconcile failed").count();
    // A retry that was under way when the object went may still fail once.
    until("an end of the failures", PATIENCE, async || {
        let before = failures(&operator.log());
        let quiet = holds_for(Duration::from_secs(3), async || {
            let now = failures(&operator.log());
            Ok(if now == before { Ok(()) } else { Err(format!("{now} failures")) })
        })
        .await;
        Ok(quiet.map_err(|error| error.to_string()))
    })
    .await?;
    ensure!(context.labelled().await.is_ok_and(|left| left.is_empty()), "objects are left");
    Ok(())
}
