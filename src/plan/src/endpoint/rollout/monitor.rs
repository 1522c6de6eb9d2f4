//! What Azure Monitor measured of the deployments of an online endpoint, as evidence for a rollout's step.
//!
//! Microsoft documents, for the resource type `Microsoft.MachineLearningServices/workspaces/onlineEndpoints`, the metrics
//! `RequestsPerMinute` with the dimensions `deployment` and `statusCodeClass`, and `RequestLatency_P95` in milliseconds
//! with the dimension `deployment`. Both come by the minute, and `Average` is the one aggregation of either: that of a
//! minute of requests is their number. So evidence is of whole minutes. Metrics come late, so it ends some minutes ago.
//!
//! A model's own failure is no 5xx there: with managed endpoints, what a container answers beside 200 reaches callers as
//! 424, a time-out as 408 and a full queue as 429. The rule about 4xx beyond the stable revision's share counts these.
use std::collections::BTreeMap;

use api::Endpoint;
use api::azure::ManagementMode;
use api::endpoint::TargetType;
use arm::{MetricQuery, MetricSeries};
use jiff::{SignedDuration, Timestamp};

use super::evidence::Sample;

/// A long step is read again only when what is known of it has grown by this share.
const GROWTH: i32 = 60;
/// But at the latest after so many intervals.
const LONGEST: i32 = 5;

/// How Azure Monitor measures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pace {
    /// The interval of its numbers: a minute.
    pub interval: SignedDuration,
    /// How long after an interval its numbers are taken to be complete.
    pub lag: SignedDuration,
}

/// A span of whole intervals.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Window {
    /// Its beginning.
    pub from: Timestamp,
    /// Its end, which is no part of it.
    pub to: Timestamp,
}

/// What is asked of Azure Monitor for the step that a rollout is in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Wanted {
    /// Since when the step's shares have been in force.
    pub since: Timestamp,
    /// Whether latencies are compared.
    pub latency: bool,
}

/// What to ask Azure Monitor; none unless a step is in force in Azure whose checks need it.
pub fn wanted(endpoint: &Endpoint) -> Option<Wanted> {
    let spec = &endpoint.spec;
    let measures = matches!(spec.target.type_, TargetType::ManagedOnline | TargetType::ArcKubernetes)
        && spec.management.mode == ManagementMode::Manage
        && endpoint.metadata.deletion_timestamp.is_none();
    let analysis = spec.rollout.analysis.as_ref().filter(|_| measures)?;
    let rollout = endpoint.status.as_ref()?.rollout.as_ref()?;
    rollout.candidate.as_ref()?;
    let since = rollout.step_since.as_ref().filter(|_| rollout.pause.is_none())?.0;
    let (traffic, mirror) = (rollout.traffic.unwrap_or(0), rollout.mirror.unwrap_or(0));
    let latency = analysis.max_p95_latency_ratio.is_some() && mirror == 0 && traffic > 0;
    let errors = analysis.max_error_rate.is_some() && (mirror > 0 || traffic > 0);
    (latency || errors).then_some(Wanted { since, latency })
}

impl Pace {
    /// The whole intervals since a time that are complete by now; none before the first.
    pub fn window(self, since: Timestamp, now: Timestamp) -> Option<Window> {
        let interval = self.interval.as_millis();
        let round = |at: Timestamp, up: bool| {
            let at = i128::from(at.as_millisecond());
            let below = at - at.checked_rem_euclid(interval)?;
            let whole = if up && below < at { below + interval } else { below };
            Timestamp::from_millisecond(i64::try_from(whole).ok()?).ok()
        };
        let (from, to) = (round(since, true)?, round(now.checked_sub(self.lag).ok()?, false)?);
        (from < to).then_some(Window { from, to })
    }

    /// Whether a window tells enough more than an earlier one of the same step to ask for it: a call for each interval at
    /// most, and fewer the longer a step takes.
    pub fn is_due(self, window: Window, before: Window) -> bool {
        let grown = window.from.duration_until(window.to) / GROWTH;
        let enough = grown.min(self.interval * LONGEST).max(self.interval);
        before.to.duration_until(window.to) >= enough
    }

    /// Asks for the number of requests by deployment and class of status.
    pub fn requests(self, window: Window) -> MetricQuery {
        self.query("RequestsPerMinute", &["deployment", "statusCodeClass"], window)
    }

    /// Asks for the 95th percentile of latencies by deployment.
    pub fn latencies(self, window: Window) -> MetricQuery {
        self.query("RequestLatency_P95", &["deployment"], window)
    }

    fn query(self, name: &'static str, dimensions: &'static [&'static str], window: Window) -> MetricQuery {
        MetricQuery { name, dimensions, from: window.from, to: window.to, interval: self.interval }
    }
}

/// What each deployment did, from the answers for requests and for latencies.
pub fn samples(requests: &[MetricSeries], latencies: &[MetricSeries]) -> BTreeMap<String, Sample> {
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for series in requests {
        let Some(deployment) = deployment(series) else { continue };
        let tally = tallies.entry(deployment).or_default();
        let class = series.labels.get("statuscodeclass").map_or("", String::as_str);
        let sum = match class.as_bytes().first() {
            Some(b'4') => &mut tally.refused,
            Some(b'5') => &mut tally.failed,
            _ => &mut tally.good,
        };
        for (at, count) in series.points.iter().filter(|(_, count)| count.is_finite() && *count > 0.0) {
            *sum += count;
            *tally.by_interval.entry(*at).or_default() += count;
        }
    }
    for series in latencies {
        let Some(tally) = deployment(series).and_then(|it| tallies.get_mut(&it)) else { continue };
        for (at, milliseconds) in series.points.iter().filter(|(_, it)| it.is_finite() && *it > 0.0) {
            let count = tally.by_interval.get(at).copied().unwrap_or(0.0).round() as u64;
            if count > 0 {
                tally.percentiles.push((milliseconds / 1000.0, count));
            }
        }
    }
    tallies.into_iter().map(|(deployment, tally)| (deployment, tally.sample())).collect()
}

fn deployment(series: &MetricSeries) -> Option<String> {
    series.labels.get("deployment").map(|name| name.to_ascii_lowercase())
}

/// What was counted of a deployment.
#[derive(Default)]
struct Tally {
    good: f64,
    refused: f64,
    failed: f64,
    by_interval: BTreeMap<Timestamp, f64>,
    percentiles: Vec<(f64, u64)>,
}

impl Tally {
    fn sample(self) -> Sample {
        Sample {
            good: self.good.round() as u64,
            refused: self.refused.round() as u64,
            failed: self.failed.round() as u64,
            percentiles: self.percentiles,
            ..Sample::default()
        }
    }
}

#[cfg(test)]
mod tests;
