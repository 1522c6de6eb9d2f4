//! What the operator reads to judge a rollout, to scale, and to wake what sleeps: numbers since the process started.
//!
//! Answers and latencies are those that callers got; copies count under `mirror` alone.
use std::sync::atomic::Ordering;

use serde_json::{Map, Value, json};

use crate::metrics::Mirrored;
use crate::state::State;
use crate::table::Target;

/// The numbers of an endpoint's revisions; none of an endpoint that is not known.
pub fn of_endpoint(state: &State, key: &str) -> Value {
    let table = state.table();
    let targets = table.endpoints.get(key).map(|endpoint| endpoint.targets.as_slice()).unwrap_or_default();
    let revisions: Map<String, Value> =
        targets.iter().map(|target| (target.revision.clone(), of_revision(target))).collect();
    json!({
        "instance": state.instance,
        "uptimeMilliseconds": state.started.elapsed().as_millis() as u64,
        "revisions": revisions,
    })
}

fn of_revision(target: &Target) -> Value {
    let series = target.known_series();
    let [good, redirected, bad, failed] = series.map(|series| series.answers()).unwrap_or_default();
    let (sum, buckets) = series.map(|series| series.latency()).unwrap_or_default();
    // The number is that of the buckets, so that the two always fit together.
    let count: u64 = buckets.iter().map(|(_, count)| count).sum();
    let seconds = |microseconds: u64| microseconds as f64 / 1e6;
    let buckets: Vec<(f64, u64)> =
        buckets.into_iter().map(|(bound, count)| (seconds(bound), count)).collect();
    let shadow = target.known_shadow();
    let copies = |result| shadow.map_or(0, |shadow| shadow.of(result));
    json!({
        "answers": {"2xx": good, "3xx": redirected, "4xx": bad, "5xx": failed},
        "latency": {"count": count, "sumSeconds": seconds(sum), "buckets": buckets},
        "inFlight": series.map_or(0, |series| series.in_flight.get()),
        "queued": series.map_or(0, |series| series.queued.get()),
        "mirror": {
            "agreed": copies(Mirrored::Agreed),
            "disagreed": copies(Mirrored::Disagreed),
            "failed": copies(Mirrored::Failed),
            "incomparable": copies(Mirrored::Incomparable),
            "dropped": copies(Mirrored::Dropped),
            "samePredictions": shadow.map_or(0, |shadow| shadow.same.get()),
            "differentPredictions": shadow.map_or(0, |shadow| shadow.different.get()),
        },
    })
}

/// The endpoints that have requests waiting for a revision that can't answer.
pub fn waiting(state: &State) -> Value {
    let table = state.table();
    let waiting = table.endpoints.values().filter_map(|endpoint| {
        let waiting = endpoint.waiting.load(Ordering::Relaxed);
        (waiting > 0).then(|| (endpoint.key.to_string(), waiting.into()))
    });
    let waiting: Map<String, Value> = waiting.collect();
    json!({"instance": state.instance, "waiting": waiting})
}
