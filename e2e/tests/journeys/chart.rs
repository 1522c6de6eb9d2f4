//! Journeys of whoever runs the platform: the chart, its upgrade and its end, and the kubectl plugin.
use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::until;
use serde_json::{Value, json};
use xtask::demo::install::{self, NAMESPACE, RELEASE};

use crate::journey::{Journey, NAME, PATIENCE, without_failure};

const OPERATOR: &str = "app.kubernetes.io/name=mlops-operator,app.kubernetes.io/component=operator";

fn operator_pods(journey: &Journey<'_>) -> anyhow::Result<String> {
    journey.stage.kubectl(NAMESPACE, &["get", "pods", "-l", OPERATOR, "-o", "name"])
}

/// The annotation by which the installation tells builds of one tag apart.
fn image_annotation(journey: &Journey<'_>) -> anyhow::Result<String> {
    let path = r"jsonpath={.spec.template.metadata.annotations.mlops-operator\.dev/image}";
    journey.stage.kubectl(NAMESPACE, &["get", "deployment", RELEASE, "-o", path])
}

pub(crate) async fn operator_runs_restricted_and_its_own_test_passes(
    journey: &Journey<'_>,
) -> anyhow::Result<()> {
    let path = r"jsonpath={.metadata.labels.pod-security\.kubernetes\.io/enforce}";
    let level = journey.stage.kubectl(NAMESPACE, &["get", "namespace", NAMESPACE, "-o", path])?;
    ensure!(level == "restricted", "the operator's namespace enforces {level:?}");
    journey
        .stage
        .kubectl(NAMESPACE, &["wait", "--for=condition=Ready", "pod", "-l", OPERATOR, "--timeout=60s"])?;
    let printed = journey.stage.helm(&["test", RELEASE, "--timeout", "2m"])?;
    ensure!(printed.contains("Succeeded"), "helm test printed: {printed}");
    Ok(())
}

pub(crate) async fn plugin_checks_shows_and_explains(journey: &Journey<'_>) -> anyhow::Result<()> {
    journey.apply(&journey.spec("model-v1.onnx")?).await?;
    journey.until_ready().await?;
    let check = journey.stage.plugin(&["check"])?;
    ensure!(check.lines().count() > 3, "check printed: {check}");
    let tree = journey.stage.plugin(&["status", "endpoint", NAME, "--namespace", &journey.namespace])?;
    ensure!(tree.contains(NAME) && tree.contains("Ready"), "status printed: {tree}");
    let pods = journey.pod_identities().await?;
    ensure!(pods.iter().all(|(pod, ..)| tree.contains(pod.as_str())), "a pod is not in: {tree}");
    let arguments = ["status", "--namespace", &journey.namespace, "--output", "json"];
    let json: Value = serde_json::from_str(&journey.stage.plugin(&arguments)?).context("not JSON")?;
    ensure!(json.to_string().contains(NAME), "status in JSON lacks the endpoint: {json}");
    let explained =
        journey.stage.plugin(&["explain", "endpoint", NAME, "--namespace", &journey.namespace])?;
    ensure!(explained.contains(NAME), "explain printed: {explained}");
    Ok(())
}

pub(crate) async fn upgrade_disturbs_no_endpoint(journey: &Journey<'_>) -> anyhow::Result<()> {
    journey.apply(&journey.spec("model-v1.onnx")?).await?;
    journey.until_ready().await?;
    let (pods, operators) = (journey.pod_identities().await?, operator_pods(journey)?);
    let load = journey.load(&["1"])?;
    let digest = image_annotation(journey)?;
    install::upgrade(&journey.stage.cluster, &digest, &["--set", "workers=4", "--set", "logLevel=debug"])?;
    ensure!(operator_pods(journey)? != operators, "the upgrade changed nothing");
    // The new operator has looked at every endpoint once it leads and has made a change of its own.
    let mut spec = journey.spec("model-v1.onnx")?;
    spec["scaling"] = json!({"replicas": 2});
    journey.apply(&spec).await?;
    journey.until("two replicas", |it| replicas(it) == Some(2)).await?;
    journey.until_ready().await?;
    load.wait_for(50, Duration::from_secs(30))?;
    let after = journey.pod_identities().await?;
    ensure!(pods.iter().all(|pod| after.contains(pod)), "pods were replaced: {pods:?}, then {after:?}");
    install::upgrade(&journey.stage.cluster, &digest, &[])?;
    let outcome = load.stop();
    println!("upgrade of the chart: {} requests, {} failed", outcome.requests(), outcome.failed);
    without_failure(&outcome)
}

pub(crate) async fn endpoints_outlive_the_chart_and_are_taken_over_again(
    journey: &Journey<'_>,
) -> anyhow::Result<()> {
    journey.apply(&journey.spec("model-v1.onnx")?).await?;
    journey.until_ready().await?;
    let pods = journey.pod_identities().await?;
    let digest = image_annotation(journey)?;
    let load = journey.load(&["1"])?;
    let uninstalled = journey.stage.helm(&["uninstall", RELEASE, "--wait", "--timeout", "2m"]);
    let outlived = match uninstalled {
        Ok(_) => outlived(journey, &load).await,
        Err(error) => Err(error),
    };
    // Whatever happened, the journeys after this one need the operator.
    install::upgrade(&journey.stage.cluster, &digest, &[])?;
    outlived?;
    let mut spec = journey.spec("model-v1.onnx")?;
    spec["scaling"] = json!({"replicas": 2});
    journey.apply(&spec).await?;
    journey.until("two replicas", |it| replicas(it) == Some(2)).await?;
    journey.until_ready().await?;
    let after = journey.pod_identities().await?;
    ensure!(pods.iter().all(|pod| after.contains(pod)), "pods were replaced: {pods:?}, then {after:?}");
    without_failure(&load.stop())
}

async fn outlived(journey: &Journey<'_>, load: &xtask::demo::load::Load) -> anyhow::Result<()> {
    until("the end of the operator", PATIENCE, async || {
        let left = operator_pods(journey)?;
        Ok(if left.is_empty() { Ok(()) } else { Err(left) })
    })
    .await?;
    let endpoint = journey.endpoints().get(NAME).await.context("the endpoint went with the chart")?;
    ensure!(endpoint.metadata.deletion_timestamp.is_none(), "the endpoint is being deleted");
    load.wait_for(200, Duration::from_secs(30))
}

fn replicas(endpoint: &api::Endpoint) -> Option<i32> {
    endpoint.status.as_ref()?.ready_replicas
}
