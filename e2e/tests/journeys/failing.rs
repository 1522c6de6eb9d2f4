//! Journeys of a change that can't work: it is named with its cause and remedy, the revision before keeps answering,
//! and the good spec heals the endpoint.
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use xtask::demo::store;

use crate::journey::{Journey, condition, says, without_failure};
use crate::stage::{CORRUPT, Stage};

/// What a bad change must be called.
struct Diagnosis {
    reason: &'static str,
    /// Words of the message that name the cause and what to do.
    words: &'static [&'static str],
    /// Whether only a person can mend it; a node with room may come by itself.
    stalls: bool,
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
    if diagnosis.stalls {
        journey.until("Stalled", |it| says(it, "Stalled", "True", reason)).await?;
    }
    load.wait_for(50, Duration::from_secs(30))?;
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
    let words = &["404", "nowhere.onnx", "Check model.uri"];
    diagnose(journey, &bad, &Diagnosis { reason: "ModelFetchFailed", words, stalls: true }).await
}

pub(crate) async fn model_of_another_digest_keeps_the_revision_before_serving(
    journey: &Journey<'_>,
) -> anyhow::Result<()> {
    let mut bad = journey.spec("model-v1.onnx")?;
    bad["model"]["uri"] = json!(Stage::uri("model-v2.onnx"));
    let words = &["sha256:a121c980", "sha256:ffb5bcf5", "correct model.digest"];
    diagnose(journey, &bad, &Diagnosis { reason: "DigestMismatch", words, stalls: true }).await
}

pub(crate) async fn model_that_can_not_be_loaded_keeps_the_revision_before_serving(
    journey: &Journey<'_>,
) -> anyhow::Result<()> {
    let bad = journey.spec(CORRUPT)?;
    let words = &["corrupt.onnx", "parsing failed", "export the model again"];
    diagnose(journey, &bad, &Diagnosis { reason: "ModelLoadFailed", words, stalls: true }).await
}

pub(crate) async fn image_that_can_not_be_pulled_keeps_the_revision_before_serving(
    journey: &Journey<'_>,
) -> anyhow::Result<()> {
    let mut bad = journey.spec("model-v1.onnx")?;
    bad["model"]["format"] = json!("Custom");
    bad["container"] = json!({"image": "localhost:1/nowhere/server:1"});
    let words = &["localhost:1/nowhere/server:1", "refused", "Check the image's name"];
    diagnose(journey, &bad, &Diagnosis { reason: "ImagePullFailed", words, stalls: true }).await
}

pub(crate) async fn pod_that_fits_no_node_keeps_the_revision_before_serving(
    journey: &Journey<'_>,
) -> anyhow::Result<()> {
    let mut bad = journey.spec("model-v1.onnx")?;
    bad["resources"]["requests"]["cpu"] = json!("1000");
    let words = &["Insufficient cpu", "Lower resources.requests"];
    diagnose(journey, &bad, &Diagnosis { reason: "Unschedulable", words, stalls: false }).await
}

pub(crate) async fn too_little_memory_keeps_the_revision_before_serving(
    journey: &Journey<'_>,
) -> anyhow::Result<()> {
    let mut bad = journey.spec("model-v1.onnx")?;
    bad["model"]["format"] = json!("Custom");
    // It takes all memory that it can get; the model server itself is content with very little.
    bad["container"] = json!({"image": store::IMAGE, "command": ["/bin/busybox", "tail", "/dev/zero"]});
    let words = &["more memory than its limit", "Raise resources.limits.memory"];
    diagnose(journey, &bad, &Diagnosis { reason: "OutOfMemory", words, stalls: true }).await
}
