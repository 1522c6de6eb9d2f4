//! Journeys of a model that works: served, replaced, deleted, and reported in time.
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use e2e::{in_time, until};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::DeleteParams;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::json;

use crate::journey::{Journey, NAME, PATIENCE, says, without_failure};

/// Everything that an endpoint may have.
const KINDS: &str = "deployments,replicasets,pods,services,endpointslices,serviceaccounts,networkpolicies,\
                     poddisruptionbudgets,horizontalpodautoscalers";

pub(crate) async fn model_answers_as_scikit_learn_does_and_leaves_nothing_behind(
    journey: &Journey<'_>,
) -> anyhow::Result<()> {
    journey.apply(&journey.spec("model-v1.onnx")?).await?;
    let ready = journey.until_ready().await?;
    let url = ready.status.and_then(|status| status.url).context("a ready endpoint has no URL")?;
    ensure!(url.contains(&journey.namespace), "the URL is another's: {url}");
    journey.compare("1")?;
    let label = format!("{}={NAME}", api::meta::ENDPOINT_LABEL);
    let left = || journey.stage.kubectl(&journey.namespace, &["get", KINDS, "-l", &label, "-o", "name"]);
    ensure!(left()?.lines().count() >= 6, "an endpoint has fewer objects than expected: {}", left()?);
    journey.endpoints().delete(NAME, &DeleteParams::default()).await?;
    until("an empty namespace", PATIENCE, async || {
        let left = left()?;
        Ok(if left.is_empty() { Ok(()) } else { Err(left) })
    })
    .await
}

pub(crate) async fn every_version_rolls_over_without_a_failed_request(
    journey: &Journey<'_>,
) -> anyhow::Result<()> {
    let mut spec = journey.spec("model-v1.onnx")?;
    spec["scaling"] = json!({"replicas": 2});
    journey.apply(&spec).await?;
    journey.until_ready().await?;
    let load = journey.load(&["1", "2"])?;
    for version in ["2", "1"] {
        spec["model"] = journey.model(&format!("model-v{version}.onnx"))?;
        journey.apply(&spec).await?;
        journey.until_ready().await?;
        load.wait_for(50, Duration::from_secs(30))?;
        journey.compare(version)?;
    }
    let outcome = load.stop();
    println!(
        "two rollouts: {} requests, {} answered by version 1, {} by version 2, {} failed",
        outcome.requests(),
        outcome.answers("1"),
        outcome.answers("2"),
        outcome.failed
    );
    without_failure(&outcome)?;
    ensure!(outcome.answers("2") > 0, "the load never saw version 2");
    Ok(())
}

/// The time from the watch event of the last pod's readiness to that of the endpoint's.
pub(crate) async fn endpoint_is_ready_soon_after_its_last_pod(journey: &Journey<'_>) -> anyhow::Result<()> {
    let mut spec = journey.spec("model-v1.onnx")?;
    spec["scaling"] = json!({"replicas": 2});
    journey.apply(&spec).await?;
    let pods = watcher(journey.pods(), watcher::Config::default()).applied_objects();
    let endpoints = watcher(journey.endpoints(), watcher::Config::default()).applied_objects();
    let last_pod = async {
        let mut ready = std::collections::BTreeSet::new();
        let mut pods = std::pin::pin!(pods);
        while let Some(pod) = pods.try_next().await? {
            if is_ready(&pod) {
                ready.insert(pod.name_any());
            }
            if ready.len() == 2 {
                return Ok(Instant::now());
            }
        }
        anyhow::bail!("the watch of pods ended")
    };
    let endpoint = async {
        let mut endpoints = std::pin::pin!(endpoints);
        while let Some(endpoint) = endpoints.next().await {
            if says(&endpoint?, "Ready", "True", None) {
                return Ok(Instant::now());
            }
        }
        anyhow::bail!("the watch of endpoints ended")
    };
    let both = futures::future::try_join(last_pod, endpoint);
    let (pod, endpoint) = tokio::time::timeout(PATIENCE, both).await.context("not ready in time")??;
    let delay = endpoint.saturating_duration_since(pod);
    println!("the endpoint is ready {:.3} s after its last pod", delay.as_secs_f64());
    in_time("the way from the last pod to readiness", delay, Duration::from_secs(3))?;
    Ok(())
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
