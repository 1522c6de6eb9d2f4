//! How many replicas the load asks for, by what the inference gateway measures.
//!
//! The rules are those of a HorizontalPodAutoscaler: nothing changes within a tenth of the target; up goes at once, at
//! most to twice as many, or four more; down goes only once fewer have sufficed for a while. Invariant: while nothing is
//! measured, nothing changes.
use std::time::Duration;

use api::EndpointSpec;
use api::endpoint::{ScalingStatus, ScalingTarget};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::World;

/// How often the load is looked at.
pub(super) const PERIOD: Duration = Duration::from_secs(5);
/// How far from its target the load may be without a change.
const TOLERANCE: f64 = 0.1;
/// Seconds for which fewer replicas must suffice, without another word.
const STABILIZATION_SECONDS: i32 = 300;
/// Seconds without a request after which the last pod goes, without another word.
const IDLE_SECONDS: i32 = 300;

/// What callers do.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Requests in progress, on average since the last look.
    pub concurrency: f64,
    /// Requests that wait for a pod.
    pub queued: u64,
    /// Requests that have come since the last look.
    pub requests: u64,
    /// The 95th percentile of the latency since the last look, in seconds.
    pub p95_latency: Option<f64>,
}

impl Load {
    fn is_idle(&self) -> bool {
        self.requests == 0 && self.queued == 0 && self.concurrency <= 0.0
    }
}

/// Whether an Endpoint scales by what the gateway measures.
pub fn is_measured(spec: &EndpointSpec) -> bool {
    !spec.target.type_.is_azure() && spec.scaling.target.as_ref().is_some_and(ScalingTarget::is_of_requests)
}

/// How many replicas are wanted, when the gateway's measurements decide.
pub(super) fn scale(world: &World) -> Option<ScalingStatus> {
    let spec = &world.endpoint.spec;
    let target = spec.scaling.target.as_ref().filter(|_| is_measured(spec))?;
    let (min, max) = (spec.scaling.min_replicas.unwrap_or(1), spec.scaling.max_replicas.unwrap_or(1));
    let old = world.endpoint.status.as_ref().and_then(|status| status.scaling.clone());
    let old = old.unwrap_or_else(|| ScalingStatus { replicas: min.max(1), ..ScalingStatus::default() });
    let least = min.max(1);
    let replicas = if min == 0 && old.replicas == 0 { 0 } else { old.replicas.clamp(least, max.max(least)) };
    let bounded = ScalingStatus { replicas, ..old };
    let Some(load) = world.load else { return Some(bounded) };
    Some(Scaler { now: world.now, target, min, max, load }.next(bounded))
}

struct Scaler<'a> {
    now: Timestamp,
    target: &'a ScalingTarget,
    min: i32,
    max: i32,
    load: Load,
}

impl Scaler<'_> {
    fn next(&self, old: ScalingStatus) -> ScalingStatus {
        if old.replicas == 0 {
            return if self.load.is_idle() { old } else { set(self.min.max(1), "a request came") };
        }
        let old = match self.idle(&old) {
            Ok(zero) => return zero,
            Err(old) => old,
        };
        let needed = self.needed(old.replicas);
        if needed > old.replicas {
            return set(needed, &self.measured());
        }
        if needed == old.replicas {
            return ScalingStatus { fewer_since: None, most_since: None, ..old };
        }
        let since = old.fewer_since.clone().unwrap_or_else(|| self.time());
        let most = old.most_since.unwrap_or(needed).max(needed);
        let wait = self.target.stabilization_seconds.unwrap_or(STABILIZATION_SECONDS);
        if self.passed(&since, wait) {
            return set(most, &self.measured());
        }
        ScalingStatus { fewer_since: Some(since), most_since: Some(most), ..old }
    }

    /// No replicas once there has been no request for long enough; else how long there has been none.
    fn idle(&self, old: &ScalingStatus) -> Result<ScalingStatus, ScalingStatus> {
        if self.min > 0 || !self.load.is_idle() {
            return Err(ScalingStatus { idle_since: None, ..old.clone() });
        }
        let since = old.idle_since.clone().unwrap_or_else(|| self.time());
        if self.passed(&since, self.target.idle_seconds.unwrap_or(IDLE_SECONDS)) {
            return Ok(set(0, "there were no requests"));
        }
        Err(ScalingStatus { idle_since: Some(since), ..old.clone() })
    }

    /// How many replicas bring the load to its target.
    fn needed(&self, replicas: i32) -> i32 {
        let now = f64::from(replicas);
        let requests = self.load.concurrency + self.load.queued as f64;
        let by_concurrency = self.target.concurrency.map(|target| requests / (now * f64::from(target)));
        let by_latency = self.target.latency_milliseconds.zip(self.load.p95_latency);
        let by_latency = by_latency.map(|(target, p95)| p95 * 1000.0 / f64::from(target));
        let ratio = match (by_concurrency, by_latency) {
            (Some(one), Some(other)) => one.max(other),
            (one, other) => one.or(other).unwrap_or(0.0),
        };
        let ratio = if ratio.is_finite() { ratio } else { 1.0 };
        let least = self.min.max(1);
        if (ratio - 1.0).abs() <= TOLERANCE {
            return replicas.clamp(least, self.max);
        }
        // Twice as many, or four more, is the most at once.
        let limit = replicas.saturating_mul(2).max(replicas.saturating_add(4));
        let wanted = (now * ratio).ceil().min(f64::from(limit)) as i32;
        wanted.clamp(least, self.max)
    }

    fn measured(&self) -> String {
        let latency = self.load.p95_latency.map(|p95| format!(", p95 {:.0} ms", p95 * 1000.0));
        format!(
            "{:.1} requests in progress, {} waiting{}",
            self.load.concurrency,
            self.load.queued,
            latency.unwrap_or_default()
        )
    }

    fn time(&self) -> Time {
        Time(Timestamp::from_second(self.now.as_second()).unwrap_or(self.now))
    }

    fn passed(&self, since: &Time, seconds: i32) -> bool {
        self.now.duration_since(since.0).as_secs() >= i64::from(seconds)
    }
}

fn set(replicas: i32, message: &str) -> ScalingStatus {
    ScalingStatus { replicas, message: message.to_owned(), ..ScalingStatus::default() }
}

#[cfg(test)]
mod tests;
