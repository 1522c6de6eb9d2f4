//! What an Endpoint says while its Deployment rolls out, stalls, loses pods, and recovers.

use anyhow::ensure;
use e2e::context::{conditions, message, spec};
use e2e::{Context, Mode, PATIENCE, until};
use plan::ChildKind;
use serde_json::json;

/// From the first sight to ready, a new model, and lost pods; every status in between is checked by the record of truth.
pub(crate) async fn conditions_follow_the_deployment(context: &mut Context) -> anyhow::Result<()> {
    let _operator = context.operator()?;
    context.stand_in.set(Mode::Away);
    context.create("churn", &spec(1)).await?;
    let early = context.says("churn", "Reconciling=True/Creating").await?;
    let said = conditions(&early);
    ensure!(said.contains(&"Ready=False/Creating".to_owned()), "{said:?}");
    ensure!(said.contains(&"Serving=False/NoReadyPods".to_owned()), "{said:?}");
    let url = format!("http://churn.{}.svc/v2/models/churn/infer", context.namespace);
    ensure!(early["status"]["url"] == url.as_str(), "url: {}", early["status"]["url"]);
    context.stand_in.set(Mode::Ready);
    let ready = context.says("churn", "Ready=True/Ready").await?;
    let said = conditions(&ready);
    ensure!(said == ["Ready=True/Ready", "Serving=True/Answering"], "{said:?}");
    context.stand_in.set(Mode::Stuck);
    context.merge(&context.endpoint("churn"), &json!({"spec": spec(2)})).await?;
    let rolling = context.says("churn", "Reconciling=True/RollingOut").await?;
    ensure!(conditions(&rolling).contains(&"Serving=True/Answering".to_owned()), "{}", rolling["status"]);
    context.stand_in.set(Mode::Ready);
    context.says("churn", "Ready=True/Ready").await?;
    context.stand_in.set(Mode::Lost);
    let lost = context.says("churn", "Ready=False/Degraded").await?;
    ensure!(conditions(&lost).contains(&"Serving=False/NoReadyPods".to_owned()), "{}", lost["status"]);
    context.stand_in.set(Mode::Ready);
    context.says("churn", "Ready=True/Ready").await?;
    ensure!(context.truth.is_recording() && context.truth.count() >= 6, "the record of truth is not whole");
    Ok(())
}

/// A deadline that passed, refused pods, and a format that the runtime does not serve.
pub(crate) async fn what_a_person_must_mend_is_stalled_and_heals(
    context: &mut Context,
) -> anyhow::Result<()> {
    let _operator = context.operator()?;
    context.create("churn", &spec(1)).await?;
    context.says("churn", "Ready=True/Ready").await?;
    context.stand_in.set(Mode::Late);
    context.merge(&context.endpoint("churn"), &json!({"spec": spec(2)})).await?;
    let late = context.says("churn", "Stalled=True/DeadlineExceeded").await?;
    ensure!(message(&late, "Stalled").contains("within 600 s"), "{}", late["status"]);
    ensure!(conditions(&late).contains(&"Serving=True/Answering".to_owned()), "{}", late["status"]);
    context.stand_in.set(Mode::Ready);
    context.says("churn", "Ready=True/Ready").await?;
    context.stand_in.set(Mode::Refused);
    context.merge(&context.endpoint("churn"), &json!({"spec": spec(3)})).await?;
    let refused = context.says("churn", "Stalled=True/PodsRefused").await?;
    ensure!(message(&refused, "Stalled").contains("exceeded quota"), "{}", refused["status"]);
    context.stand_in.set(Mode::Ready);
    context.says("churn", "Ready=True/Ready").await?;
    let wrong = json!({"spec": {"runtimeRef": {"name": "container"}}});
    context.merge(&context.endpoint("churn"), &wrong).await?;
    let unsuitable = context.says("churn", "Stalled=True/RuntimeUnsuitable").await?;
    ensure!(
        conditions(&unsuitable).contains(&"Serving=True/Answering".to_owned()),
        "what serves was touched"
    );
    context.merge(&context.endpoint("churn"), &json!({"spec": {"runtimeRef": null}})).await?;
    context.says("churn", "Ready=True/Ready").await?;
    // A Deployment that is deleted by hand is a loss, not a new beginning.
    context.stand_in.set(Mode::Away);
    context.delete(&context.child(ChildKind::Deployment, "churn")).await?;
    until("the loss in the status", PATIENCE, async || {
        let endpoint = context.get(&context.endpoint("churn")).await?.unwrap_or_default();
        let said = conditions(&endpoint);
        Ok(if said.iter().any(|it| it.starts_with("Ready=False")) {
            Ok(())
        } else {
            Err(format!("{said:?}"))
        })
    })
    .await?;
    context.stand_in.set(Mode::Ready);
    context.says("churn", "Ready=True/Ready").await.map(drop)
}
