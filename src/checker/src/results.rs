//! Job and Retrain: what a container of the user's own left.
//!
//! The program runs beside that container, and reads when it is told that the container has ended.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use api::model_promotion::{CheckTask, Expectation};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::signal::unix::{SignalKind, signal};

use crate::junit;
use crate::report::{Found, Measured};

/// The largest file that is read.
const LARGEST: u64 = 16 * 1024 * 1024;

/// Reads reports in JUnit's XML.
pub(crate) async fn tests(task: &CheckTask) -> anyhow::Result<Found> {
    let folder = ended(task).await?;
    let mut reports = Vec::new();
    find(&folder, 1, &mut reports)?;
    ensure!(!reports.is_empty(), "the container left no JUnit XML under {}", folder.display());
    let (mut counts, mut digests) = (junit::Counts::default(), BTreeMap::new());
    for path in reports {
        let text = bytes(&path)?;
        digests.insert(path.display().to_string(), format!("sha256:{:x}", Sha256::digest(&text)));
        counts.add(junit::read(&text).with_context(|| format!("{} is no JUnit XML", path.display()))?);
    }
    let failed = counts.failed.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    let measured = [
        ("tests", counts.tests, String::new()),
        ("failures", counts.failures, failed),
        ("skipped", counts.skipped, String::new()),
    ]
    .map(|(metric, value, detail)| {
        let measured = Measured { value: Some(value as f64), samples: counts.tests, detail, interval: None };
        (metric.to_owned(), measured)
    });
    let bound = |metric: &str, max, min| Expectation { metric: metric.to_owned(), max, min };
    Ok(Found {
        measured: measured.into(),
        expected: vec![bound("failures", Some(0.0), None), bound("tests", None, Some(1.0))],
        facts: json!({"reports": digests, "failed": counts.failed}),
        ..Found::default()
    })
}

/// Reads the numbers of `metrics.json`.
pub(crate) async fn metrics(task: &CheckTask) -> anyhow::Result<Found> {
    let path = ended(task).await?.join("metrics.json");
    let text = bytes(&path).with_context(|| format!("the container left no {}", path.display()))?;
    let numbers: BTreeMap<String, f64> = serde_json::from_slice(&text).with_context(|| {
        format!("{} must be an object of numbers, such as {{\"auc\": 0.9}}", path.display())
    })?;
    let known = numbers.keys().cloned().collect::<Vec<_>>().join(", ");
    let measured = task.check.expect.iter().map(|expected| {
        let value = numbers.get(&expected.metric).copied();
        let detail = if value.is_none() { format!("metrics.json has {known}") } else { String::new() };
        (expected.metric.clone(), Measured { value, samples: 1, detail, interval: None })
    });
    let digest = format!("sha256:{:x}", Sha256::digest(&text));
    let facts = json!({"metrics": numbers, "metricsDigest": digest});
    Ok(Found { measured: measured.collect(), facts, ..Found::default() })
}

/// Waits until the other container has ended.
async fn ended(task: &CheckTask) -> anyhow::Result<PathBuf> {
    let folder = task.results.as_deref().context("the check names no folder of results")?;
    let mut terminate = signal(SignalKind::terminate())?;
    println!("waits for the container to end");
    terminate.recv().await;
    Ok(PathBuf::from(folder))
}

/// The reports of a folder, and of those in it.
fn find(folder: &Path, depth: u32, reports: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|it| Some(it.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        // A link could lead anywhere.
        let Ok(metadata) = path.symlink_metadata() else { continue };
        if metadata.is_dir() && depth > 0 {
            find(&path, depth - 1, reports)?;
        } else if metadata.is_file() && path.extension().is_some_and(|it| it == "xml") {
            reports.push(path);
        }
    }
    Ok(())
}

fn bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    let metadata = path.symlink_metadata()?;
    ensure!(metadata.is_file(), "{} is no file", path.display());
    ensure!(metadata.len() <= LARGEST, "{} is larger than {LARGEST} bytes", path.display());
    Ok(std::fs::read(path)?)
}
