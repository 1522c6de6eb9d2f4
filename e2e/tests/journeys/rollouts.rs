//! Journeys of rollouts through the inference gateway: judged on real answers, steered by a person, disturbed.
use std::time::Duration;

use anyhow::{Context as _, ensure};
use api::Endpoint;
use api::endpoint::{CheckOutcome, RolloutPhase, RolloutStatus};
use e2e::until;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::{Value, json};
use xtask::demo::install;
use xtask::demo::load::Load;

use crate::journey::{Journey, NAME, PATIENCE, says, without_failure};

/// The gateway's Service, and the label of its pods.
const GATEWAY: &str = "mlops-operator-gateway";
pub(crate) const GATEWAY_PODS: &str = "app.kubernetes.io/name=mlops-gateway";

pub(crate) fn canary(journey: &Journey<'_>, file: &str) -> anyhow::Result<Value> {
    let mut spec = journey.spec(file)?;
    spec["scaling"] = json!({"replicas": 2});
    spec["rollout"] = json!({
        "strategy": "Canary",
        "steps": [{"mirror": 50, "hold": "2s"}, {"traffic": 20, "hold": "2s"}, {"traffic": 60, "hold": "2s"}],
        "analysis": {
            "minRequests": 30, "maxErrorRate": 0.01, "maxP95LatencyRatio": 20, "maxPredictionDisagreement": 0.5,
        },
        "scaleDownDelaySeconds": 5,
    });
    Ok(spec)
}

/// Where the gateway takes requests for the endpoint's model.
fn url(journey: &Journey<'_>) -> anyhow::Result<String> {
    let path = ["get", "service", GATEWAY, "-o", "jsonpath={.spec.clusterIP}"];
    let address = journey.stage.kubectl(install::NAMESPACE, &path)?;
    let url = format!("http://{address}/endpoints/{}/{NAME}/v2/models/{NAME}/infer", journey.namespace);
    journey.stage.rows.until_answered(&url, Duration::from_secs(30))?;
    Ok(url)
}

pub(crate) fn load(journey: &Journey<'_>, versions: &[&str]) -> anyhow::Result<Load> {
    let load = Load::start(&journey.stage.rows, &url(journey)?, versions)?;
    load.wait_for(50, Duration::from_secs(30))?;
    Ok(load)
}

pub(crate) fn rollout(endpoint: &Endpoint) -> anyhow::Result<RolloutStatus> {
    endpoint.status.as_ref().and_then(|it| it.rollout.clone()).context("the status tells of no rollout")
}

/// Waits until the rollout of the present spec is in a phase.
pub(crate) async fn reaches(journey: &Journey<'_>, phase: RolloutPhase) -> anyhow::Result<RolloutStatus> {
    let is_there = |it: &Endpoint| rollout(it).is_ok_and(|it| it.phase == phase);
    rollout(&journey.until(&format!("the phase {phase:?}"), is_there).await?)
}

/// Version 2 gets copies, then shares, then everything, while a pod of the gateway goes; nobody notices.
pub(crate) async fn a_better_model_takes_over_step_by_step_without_a_failed_request(
    journey: &Journey<'_>,
) -> anyhow::Result<()> {
    journey.apply(&canary(journey, "model-v1.onnx")?).await?;
    let first = rollout(&journey.until_ready().await?)?.stable;
    let load = load(journey, &["1", "2"])?;
    journey.apply(&canary(journey, "model-v2.onnx")?).await?;
    let begun = reaches(journey, RolloutPhase::Progressing).await?;
    let second = begun.candidate.context("a rollout has a candidate")?;
    let pods = Api::<Pod>::namespaced(journey.client.clone(), install::NAMESPACE);
    let gateways = pods.list(&ListParams::default().labels(GATEWAY_PODS)).await?;
    let leaving = gateways.items.first().context("the gateway has no pod")?.name_any();
    pods.delete(&leaving, &DeleteParams::default()).await?;
    let judged = journey
        .until("a judged step", |it| {
            let checks = rollout(it).map(|it| it.checks).unwrap_or_default();
            checks.iter().any(|check| check.samples.unwrap_or(0) > 0 && check.value.is_some())
        })
        .await?;
    let made = candidate_pods(journey, &second).await?;
    ensure!(!made.is_empty(), "the candidate is judged without pods");
    let ready = journey.until_ready().await?;
    ensure!(rollout(&ready)?.stable == second && first != second, "{:?}", rollout(&ready)?);
    let kept = candidate_pods(journey, &second).await?;
    ensure!(made.iter().all(|pod| kept.contains(pod)), "a promotion restarts no pod: {made:?} {kept:?}");
    load.wait_for(50, Duration::from_secs(30))?;
    let outcome = load.stop();
    println!(
        "a canary: {} requests, {} answered by version 1, {} by version 2, {} failed; judged by {:?}",
        outcome.requests(),
        outcome.answers("1"),
        outcome.answers("2"),
        outcome.failed,
        rollout(&judged)?.checks.iter().map(|it| &it.message).collect::<Vec<_>>()
    );
    without_failure(&outcome)?;
    ensure!(outcome.answers("2") > 0, "the load never saw version 2");
    let story = journey.stage.plugin(&["rollout", NAME, "-n", &journey.namespace])?;
    ensure!(story.contains(&second), "the plugin tells of another rollout: {story}");
    Ok(())
}

/// The pods of a revision, with their restarts.
async fn candidate_pods(journey: &Journey<'_>, revision: &str) -> anyhow::Result<Vec<(String, i32)>> {
    let label = format!("{}={revision}", api::meta::REVISION_LABEL);
    let pods = journey.pods().list(&ListParams::default().labels(&label)).await?;
    let restarts = |pod: &Pod| {
        let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        statuses.map(|container| container.restart_count).sum()
    };
    Ok(pods.iter().map(|pod| (pod.name_any(), restarts(pod))).collect())
}

/// A file that is no model never gets a request; a model that answers otherwise is caught among copies. A person who
/// knows better has the last word, and goes back.
pub(crate) async fn a_worse_model_is_given_up_and_a_person_has_the_last_word(
    journey: &Journey<'_>,
) -> anyhow::Result<()> {
    journey.apply(&canary(journey, "model-v1.onnx")?).await?;
    let first = rollout(&journey.until_ready().await?)?.stable;
    let load = load(journey, &["1", "2"])?;
    journey.apply(&canary(journey, crate::stage::CORRUPT)?).await?;
    let given_up = reaches(journey, RolloutPhase::RolledBack).await?;
    ensure!(given_up.stable == first, "{given_up:?}");
    let reason = given_up.rejected.context("something was rejected")?.message;
    ensure!(reason.contains("model"), "the reason is not told: {reason}");
    let mut strict = canary(journey, crate::stage::SWAPPED)?;
    strict["rollout"]["onFailure"] = json!("Pause");
    journey.apply(&strict).await?;
    let paused = reaches(journey, RolloutPhase::Paused).await?;
    let failed: Vec<_> = paused.checks.iter().filter(|it| it.outcome == CheckOutcome::Failed).collect();
    println!("a worse model: {:?}", failed.iter().map(|it| &it.message).collect::<Vec<_>>());
    ensure!(failed.iter().any(|it| it.name == "predictionDisagreement"), "{paused:?}");
    ensure!(paused.mirror == Some(50) && paused.traffic == Some(0), "{paused:?}");
    let mut careful = canary(journey, "model-v2.onnx")?;
    careful["rollout"]["steps"] = json!([{"mirror": 50, "hold": "2s"}, {"pause": true}]);
    journey.apply(&careful).await?;
    let paused = reaches(journey, RolloutPhase::Paused).await?;
    ensure!(paused.checks.iter().all(|it| it.outcome == CheckOutcome::Passed), "{paused:?}");
    ensure!(load.answers()[1] == 0, "nobody was answered by what was only a shadow");
    let said = journey.stage.plugin(&["rollout", "promote", NAME, "-n", &journey.namespace])?;
    println!("promoted by a person: {}", said.lines().last().unwrap_or_default());
    let second = rollout(&journey.until_ready().await?)?.stable;
    ensure!(first != second, "the person's word was not obeyed");
    let said = journey.stage.plugin(&["rollback", NAME, "-n", &journey.namespace])?;
    println!("gone back: {}", said.lines().last().unwrap_or_default());
    until("the first revision again", PATIENCE, async || {
        let endpoint = journey.endpoints().get(NAME).await?;
        let back =
            rollout(&endpoint)?.stable == first && says(&endpoint, "Stalled", "True", Some("RolledBack"));
        Ok(if back { Ok(()) } else { Err(format!("{:?}", rollout(&endpoint)?)) })
    })
    .await?;
    load.wait_for(20, Duration::from_secs(30))?;
    without_failure(&load.stop())
}

/// Without requests there is no pod; the first request waits for one, and is answered.
pub(crate) async fn an_endpoint_without_requests_has_no_pod_and_the_first_request_brings_one(
    journey: &Journey<'_>,
) -> anyhow::Result<()> {
    let mut spec = journey.spec("model-v1.onnx")?;
    let target = json!({"concurrency": 4, "idleSeconds": 5});
    spec["scaling"] = json!({"minReplicas": 0, "maxReplicas": 2, "target": target});
    journey.apply(&spec).await?;
    journey
        .until("an Endpoint without pods", |it| {
            let scaling = it.status.as_ref().and_then(|status| status.scaling.as_ref());
            scaling.is_some_and(|scaling| scaling.replicas == 0) && says(it, "Ready", "True", None)
        })
        .await?;
    until("the end of the last pod", PATIENCE, async || {
        let left = journey.pods().list(&ListParams::default()).await?.items.len();
        Ok(if left == 0 { Ok(()) } else { Err(format!("{left} pods")) })
    })
    .await?;
    let endpoint = journey.endpoints().get(NAME).await?;
    ensure!(says(&endpoint, "Serving", "True", None), "whoever asks is answered");
    // It waits in the gateway while the pod starts.
    let load = load(journey, &["1"])?;
    load.wait_for(200, Duration::from_mins(1))?;
    without_failure(&load.stop())?;
    let pods = journey.pods().list(&ListParams::default()).await?.items.len();
    ensure!((1..=2).contains(&pods), "{pods} pods");
    Ok(())
}
