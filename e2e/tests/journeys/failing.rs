//! Journeys of a change that can't work: it is named with its cause and remedy, the revision before keeps answering,
//! and the good spec heals the endpoint.
use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::journey::{Journey, condition, says, without_failure};
use crate::stage::{CORRUPT, Stage};

/// What a bad change must be called.
struct Diagnosis {
    reason: &'static str,
    /// Words of the message that name the cause.
    words: &'static [&'static str],
}

/// Applies a good spec, the bad one, and the good one again, under load from the first to the last.
async fn diagnose(journey: &Journey<'_>, bad: &Value, diagnosis: &Diagnosis) -> anyhow::Result<()> {
    let good = journey.spec("model-v1.onnx")?;
    journey.apply(&good).await?;
    journey.until_ready().await?;
    let load = journey.load(&["1"])?;
    journey.apply(bad).await?;
    let reason = Some(diagnosis.reason);
    let what = format!("Ready=False with the reason {}", diagnosis.reason);
    let endpoint = journey.until(&what, |it| says(it, "Ready", "False", reason)).await?;
    ensure!(says(&endpoint, "Serving", "True", None), "the revision before does not serve");
    let message = &condition(&endpoint, "Ready").context("no condition Ready")?.message;
    println!("{}: {message}", diagnosis.reason);
    for word in diagnosis.words {
        ensure!(message.contains(word), "the message lacks {word:?}: {message}");
    }
    let stalled = journey.until("Stalled", |it| says(it, "Stalled", "True", None)).await;
    if diagnosis.reason != "Unschedulable" {
        stalled?;
    }
    load.wait_for(50, std::time::Duration::from_secs(30))?;
    journey.compare("1")?;
    journey.apply(&good).await?;
    let healed = journey.until_ready().await?;
    ensure!(condition(&healed, "Stalled").is_none(), "healed and still stalled");
    without_failure(&load.stop())
}

pub(crate) async fn model_that_is_not_there_keeps_the_revision_before_serving(
    journey: &Journey<'_>,
) -> anyhow::Result<()> {
    let mut bad = journey.spec("model-v1.onnx")?;
    bad["model"]["uri"] = json!(Stage::uri("nowhere.onnx"));
    let words = &["404", "nowhere.onnx", "check"];
    diagnose(journey, &bad, &Diagnosis { reason: "ModelFetchFailed", words }).await
}

pub(crate) async fn model_of_another_digest_keeps_the_revision_before_serving(
    journey: &Journey<'_>,
) -> anyhow::Result<()> {
    let mut bad = journey.spec("model-v1.onnx")?;
    bad["model"]["uri"] = json!(Stage::uri("model-v2.onnx"));
    let words = &["sha256:a121c980", "sha256:ffb5bcf5"];
    diagnose(journey, &bad, &Diagnosis { reason: "DigestMismatch", words }).await
}

pub(crate) async fn model_that_can_not_be_loaded_keeps_the_revision_before_serving(
    journey: &Journey<'_>,
) -> anyhow::Result<()> {
    let bad = journey.spec(CORRUPT)?;
    diagnose(journey, &bad, &Diagnosis { reason: "ModelLoadFailed", words: &["ONNX"] }).await
}

pub(crate) async fn image_that_can_not_be_pulled_keeps_the_revision_before_serving(
    journey: &Journey<'_>,
) -> anyhow::Result<()> {
    let mut bad = journey.spec("model-v1.onnx")?;
    bad["model"]["format"] = json!("Custom");
    bad["container"] = json!({"image": "localhost:1/nowhere/server:1"});
    let words = &["localhost:1/nowhere/server:1", "pull"];
    diagnose(journey, &bad, &Diagnosis { reason: "ImagePullFailed", words }).await
}

pub(crate) async fn pod_that_fits_no_node_keeps_the_revision_before_serving(
    journey: &Journey<'_>,
) -> anyhow::Result<()> {
    let mut bad = journey.spec("model-v1.onnx")?;
    bad["resources"]["requests"]["cpu"] = json!("1000");
    let words = &["cpu"];
    diagnose(journey, &bad, &Diagnosis { reason: "Unschedulable", words }).await
}

pub(crate) async fn too_little_memory_keeps_the_revision_before_serving(
    journey: &Journey<'_>,
) -> anyhow::Result<()> {
    let mut bad = journey.spec("model-v1.onnx")?;
    bad["resources"] = json!({"requests": {"cpu": "20m", "memory": "16Mi"}, "limits": {"memory": "16Mi"}});
    diagnose(journey, &bad, &Diagnosis { reason: "OutOfMemory", words: &["memory", "limit"] }).await
}
