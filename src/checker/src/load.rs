//! EndpointPerformance: how a test deployment answers under a steady load.
//!
//! Requests are due at fixed times, whether earlier ones are answered or not, and a latency counts from when its request
//! was due: a server that stalls is not flattered by requests that wait for it.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use api::model_promotion::CheckTask;
use jiff::SignedDuration;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::model::Model;
use crate::report::{Found, Measured};
use crate::rows::{features, read};

/// How long the load runs before anything counts.
const WARM_UP: Duration = Duration::from_secs(1);
/// The most requests under way; one that is due beyond them counts as failed.
const IN_FLIGHT: usize = 1024;
/// The most different requests that are made of the rows.
const BODIES: usize = 1000;
/// The metric of the server's memory.
const MEMORY: &str = "mlops_model_server_peak_memory_bytes";

/// Loads the version's test deployment.
pub(crate) async fn measure(task: &CheckTask) -> anyhow::Result<Found> {
    let check = &task.check;
    let rows = read(task.data.as_deref())?;
    let features = features(check, &rows.table, rows.is_ordered)?;
    let model = Model::at(task.candidate.as_ref()).await?;
    let bodies = (0..rows.table.rows().min(BODIES))
        .map(|row| Ok(model.request(&rows.table, &features, &[row])?.to_string()))
        .collect::<anyhow::Result<Vec<String>>>()?;
    // One that it refuses would only measure refusals.
    let first = serde_json::from_str(&bodies[0])?;
    model.ask(&first).await.context("a first request was not answered")?;
    let rate = check.requests_per_second.context("the check names no requestsPerSecond")?;
    let duration = check.duration.as_deref().context("the check names no duration")?;
    let duration: SignedDuration = duration.parse().context("duration must be such as 2m")?;
    let duration = Duration::try_from(duration).context("duration must be more than nothing")?;
    ensure!(!duration.is_zero(), "duration must be more than nothing");
    let Answers { mut latencies, failed, took } = run(&model, bodies, f64::from(rate), duration).await;
    latencies.sort_unstable();
    let sent = latencies.len() as u64 + failed;
    ensure!(sent > 0, "no request was due within duration");
    let mut found = Found {
        facts: json!({"dataDigest": rows.digest, "sent": sent, "failed": failed}),
        ..Found::default()
    };
    let mut put = |metric: &str, value: Option<f64>, detail: String| {
        let measured = Measured { value, samples: sent, detail, interval: None };
        found.measured.insert(metric.to_owned(), measured);
    };
    for (metric, part) in
        [("p50LatencySeconds", 0.5), ("p95LatencySeconds", 0.95), ("p99LatencySeconds", 0.99)]
    {
        let detail =
            if failed > 0 { format!("{failed} requests failed and have no latency") } else { String::new() };
        put(metric, percentile(&latencies, part).map(|it| it.as_secs_f64()), detail);
    }
    put("errorRate", Some(failed as f64 / sent as f64), format!("{failed} failed"));
    put(
        "requestsPerSecond",
        Some(latencies.len() as f64 / took.max(duration).as_secs_f64()),
        format!("{rate} were asked for"),
    );
    let root = task.candidate.as_ref().map(|it| it.url.as_str()).unwrap_or_default();
    let memory = model.page(root, "/metrics").await.and_then(|page| metric(&page, MEMORY));
    let why = if memory.is_none() { format!("the server's /metrics has no {MEMORY}") } else { String::new() };
    put("memoryBytes", memory, why);
    Ok(found)
}

/// What became of the requests that count.
struct Answers {
    /// Of those that were answered well.
    latencies: Vec<Duration>,
    /// How many were not.
    failed: u64,
    /// From when the first was due to when the last was answered.
    took: Duration,
}

/// Sends requests at a rate.
async fn run(model: &Model, bodies: Vec<String>, rate: f64, duration: Duration) -> Answers {
    let (slots, lost) = (Arc::new(Semaphore::new(IN_FLIGHT)), Arc::new(AtomicU64::new(0)));
    let begun = Instant::now();
    let mut requests: JoinSet<Option<Duration>> = JoinSet::new();
    let (mut latencies, mut failed) = (Vec::new(), 0_u64);
    let mut take = |answer: Option<Duration>| match answer {
        Some(latency) => latencies.push(latency),
        None => failed += 1,
    };
    for number in 0_u64.. {
        let offset = Duration::from_secs_f64(number as f64 / rate);
        if offset >= WARM_UP + duration {
            break;
        }
        let due = begun + offset;
        tokio::time::sleep_until(due).await;
        let counts = offset >= WARM_UP;
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            lost.fetch_add(u64::from(counts), Ordering::Relaxed);
            continue;
        };
        let body = bodies[number as usize % bodies.len()].clone();
        let model = model.clone();
        let request = async move {
            let answer = model.send(body).await;
            let is_well = match answer {
                Ok(answer) => answer.status().is_success() && answer.bytes().await.is_ok(),
                Err(_) => false,
            };
            drop(slot);
            is_well.then(|| due.elapsed())
        };
        if counts {
            requests.spawn(request);
        } else {
            tokio::spawn(request);
        }
        while let Some(answer) = requests.try_join_next() {
            take(answer.ok().flatten());
        }
    }
    while let Some(answer) = requests.join_next().await {
        take(answer.ok().flatten());
    }
    let took = begun.elapsed().saturating_sub(WARM_UP);
    Answers { latencies, failed: failed + lost.load(Ordering::Relaxed), took }
}

/// The latency that a part of the requests did not exceed, by nearest rank.
fn percentile(sorted: &[Duration], part: f64) -> Option<Duration> {
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

/// The value of a metric without labels in the text format of Prometheus.
fn metric(page: &str, name: &str) -> Option<f64> {
    let line = page.lines().find(|line| line.split_whitespace().next() == Some(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let latencies: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        for (part, milliseconds) in [(0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100)] {
            assert_eq!(percentile(&latencies, part), Some(Duration::from_millis(milliseconds)));
        }
        assert_eq!(percentile(&latencies[..1], 0.5), Some(Duration::from_millis(1)));
        assert_eq!(percentile(&[], 0.5), None);
    }

    #[test]
    fn a_metric_is_found_by_its_whole_name() {
        let page = "# TYPE a gauge\na_more 1\na 2.5e3\n";
        assert_eq!(metric(page, "a"), Some(2500.0));
        assert_eq!(metric(page, "b"), None);
    }
}
