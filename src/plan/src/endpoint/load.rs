//! How many replicas the load asks for, by what the inference gateway measures and what Prometheus tells.
//!
//! The rules are those of a HorizontalPodAutoscaler: nothing changes within a tenth of the target, whichever source asks for
//! most decides, and `behavior` says how fast. Invariant: while a source is silent, nothing goes; while all are, nothing
//! changes.
use std::time::Duration;

use api::EndpointSpec;
use api::endpoint::{Asked, Scaling, ScalingChange, ScalingStatus, ScalingTarget};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use self::behavior::{Direction, directions, recent, second};
use super::World;

mod behavior;

/// How often the load is looked at.
pub(super) const PERIOD: Duration = Duration::from_secs(5);
/// How far from its target the load may be without a change.
const TOLERANCE: f64 = 0.1;
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

/// The query by which an Endpoint scales, if any.
pub fn query(spec: &EndpointSpec) -> Option<&str> {
    let target = spec.scaling.target.as_ref().filter(|_| !spec.target.type_.is_azure())?;
    target.query.as_ref().map(|it| it.query.as_str())
}

/// Whether the operator itself sets the number of replicas by load.
fn is_scaled(spec: &EndpointSpec) -> bool {
    is_measured(spec) || query(spec).is_some()
}

/// How many replicas are wanted, when the operator scales by load.
pub(super) fn scale(world: &World) -> Option<ScalingStatus> {
    let spec = &world.endpoint.spec;
    let target = spec.scaling.target.as_ref().filter(|_| is_scaled(spec))?;
    let (min, max) = (spec.scaling.min_replicas.unwrap_or(1), spec.scaling.max_replicas.unwrap_or(1));
    let old = world.endpoint.status.as_ref().and_then(|status| status.scaling.clone());
    let old = old.unwrap_or_else(|| ScalingStatus { replicas: min.max(1), ..ScalingStatus::default() });
    let least = min.max(1);
    let replicas = if min == 0 && old.replicas == 0 { 0 } else { old.replicas.clamp(least, max.max(least)) };
    let bounded = ScalingStatus { replicas, ..old };
    let metric = world.metric.as_ref().filter(|_| target.query.is_some());
    Some(Scaler::new(world.now, &spec.scaling, target, world.load, metric).next(bounded))
}

/// What keeps scaling from going by its query.
pub(super) fn unavailable(world: &World) -> Option<String> {
    query(&world.endpoint.spec)?;
    let why = world.metric.as_ref()?.as_ref().err()?;
    Some(format!("scaling.target.query can't be read, and no pod is taken away until it can: {why}"))
}

struct Scaler<'a> {
    now: Timestamp,
    target: &'a ScalingTarget,
    min: i32,
    max: i32,
    up: Direction,
    down: Direction,
    load: Option<Load>,
    metric: Option<f64>,
}

impl<'a> Scaler<'a> {
    fn new(
        now: Timestamp,
        scaling: &Scaling,
        target: &'a ScalingTarget,
        load: Option<Load>,
        metric: Option<&Result<f64, String>>,
    ) -> Self {
        let (up, down) = directions(scaling.behavior.as_ref());
        let (min, max) = (scaling.min_replicas.unwrap_or(1), scaling.max_replicas.unwrap_or(1));
        let metric = metric.and_then(|it| it.as_ref().ok()).copied();
        Self { now, target, min, max, up, down, load, metric }
    }

    fn next(&self, old: ScalingStatus) -> ScalingStatus {
        let Some(asked) = self.asked(old.replicas) else { return old };
        if old.replicas == 0 {
            let wakes =
                self.load.is_some_and(|load| !load.is_idle()) || self.metric.is_some_and(|it| it > 0.0);
            return if wakes { set(self.min.max(1), "there is work again") } else { old };
        }
        let idle_since = self.idle_since(&old);
        let least = self.up.remember(&old.least, self.now, asked);
        let most = self.down.remember(&old.most, self.now, asked);
        let changes = recent(&old.changes, self.now, (&self.up, &self.down));
        let wanted = self.wanted(old.replicas, asked, (&least, &most), &changes);
        if self.is_over(idle_since.as_ref(), old.replicas, &changes) {
            return set(0, "there were no requests");
        }
        if wanted == old.replicas {
            return ScalingStatus { idle_since, least, most, changes, ..old };
        }
        let mut changes = changes;
        changes.push(ScalingChange { at: Time(second(self.now)), by: wanted - old.replicas });
        ScalingStatus { replicas: wanted, message: self.measured(), idle_since, least, most, changes }
    }

    /// The number that the windows and the policies allow.
    fn wanted(
        &self,
        replicas: i32,
        asked: i32,
        (least, most): (&[Asked], &[Asked]),
        changes: &[ScalingChange],
    ) -> i32 {
        let (up, down) = (self.up.stabilized(least, asked), self.down.stabilized(most, asked));
        let stable = if replicas < up {
            up
        } else if replicas > down {
            down
        } else {
            return replicas;
        };
        let limited = if stable > replicas {
            stable.min(self.up.limit(replicas, changes, self.now))
        } else {
            stable.max(self.down.limit(replicas, changes, self.now))
        };
        limited.clamp(self.min.max(1), self.max.max(1))
    }

    /// Since when there has been no request, where that may take the last pod.
    fn idle_since(&self, old: &ScalingStatus) -> Option<Time> {
        let is_idle = self.load.is_some_and(|load| load.is_idle())
            && (self.target.query.is_none() || self.metric.is_some_and(|it| it <= 0.0));
        (self.min == 0 && is_idle).then(|| old.idle_since.clone().unwrap_or_else(|| Time(second(self.now))))
    }

    /// Whether there has been no request for so long that no pod is needed, which no window holds up.
    fn is_over(&self, idle_since: Option<&Time>, replicas: i32, changes: &[ScalingChange]) -> bool {
        let wait = i64::from(self.target.idle_seconds.unwrap_or(IDLE_SECONDS));
        idle_since.is_some_and(|since| self.now.duration_since(since.0).as_secs() >= wait)
            && !self.down.is_disabled()
            && self.down.limit(replicas, changes, self.now) <= 0
    }

    /// How many replicas the load asks for; nothing when every source is silent.
    fn asked(&self, replicas: i32) -> Option<i32> {
        let now = f64::from(replicas);
        let by_concurrency = self.target.concurrency.map(|target| {
            let load = self.load?;
            Some((load.concurrency + load.queued as f64) / f64::from(target))
        });
        let by_latency = self.target.latency_milliseconds.map(|target| {
            // Without an answer, there is no latency that could be too long.
            self.load.map(|load| now * load.p95_latency.unwrap_or(0.0) * 1000.0 / f64::from(target))
        });
        let by_query = self.target.query.as_ref().map(|query| Some(self.metric? / query.per_replica));
        let sources: Vec<Option<f64>> =
            [by_concurrency, by_latency, by_query].into_iter().flatten().collect();
        let asked = sources.iter().flatten().map(|wanted| self.rounded(*wanted, replicas)).max()?;
        // What is not known may be the one that asks for most.
        Some(if sources.contains(&None) { asked.max(replicas) } else { asked })
    }

    /// A whole number of replicas; the present one when that is near enough.
    fn rounded(&self, wanted: f64, replicas: i32) -> i32 {
        let near = (wanted - f64::from(replicas)).abs() <= TOLERANCE * f64::from(replicas);
        let number = if near || !wanted.is_finite() { replicas } else { wanted.ceil() as i32 };
        number.clamp(self.min.max(1), self.max.max(1))
    }

    fn measured(&self) -> String {
        let load = self.load.map(|load| {
            let latency = load.p95_latency.map(|p95| format!(", p95 {:.0} ms", p95 * 1000.0));
            format!(
                "{:.1} requests in progress, {} waiting{}",
                load.concurrency,
                load.queued,
                latency.unwrap_or_default()
            )
        });
        let metric = self.metric.map(|metric| format!("the query tells {metric}"));
        load.into_iter().chain(metric).collect::<Vec<_>>().join(", ")
    }
}

fn set(replicas: i32, message: &str) -> ScalingStatus {
    ScalingStatus { replicas, message: message.to_owned(), ..ScalingStatus::default() }
}

#[cfg(test)]
mod tests;
