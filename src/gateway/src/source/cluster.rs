//! ConfigMaps with routing documents, watched in one namespace. The right to get, list and watch them there is all that
//! the gateway needs.
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};

use super::LABEL;
use crate::registry::{Change, Registry};

/// Seconds after which the server ends a watch, so that one that died without a word is noticed.
pub(super) const WATCH_SECONDS: u32 = 55;
/// The shortest and the longest wait between two tries to watch. A gateway that comes back long after the operator would
/// go on sending requests to revisions whose pods are on their way out.
const WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// The longest wait for an answer of the API server to somebody who is about to leave.
const ANSWER: Duration = Duration::from_secs(2);
/// The most events that make one table: each table takes a moment when there are ten thousand endpoints.
const AT_ONCE: usize = 1_024;

pub(super) async fn run(client: Client, namespace: &str, mut registry: Registry) {
    let api: Api<ConfigMap> = Api::namespaced(client, namespace);
    let config = watcher::Config::default().labels(LABEL).timeout(WATCH_SECONDS).page_size(500);
    let events = watcher(api, config).backoff(Waits::default()).ready_chunks(AT_ONCE);
    let mut events = pin!(events);
    let mut listed = Vec::new();
    while let Some(events) = events.next().await {
        let changes: Vec<Change> =
            events.into_iter().filter_map(|event| change(event, &mut listed)).collect();
        if !changes.is_empty() {
            registry.apply(changes);
        }
    }
}

/// Whether the API server answers now.
pub(super) async fn answers(client: &Client, namespace: &str) -> bool {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let least = ListParams::default().labels(LABEL).limit(1);
    let listed = tokio::time::timeout(ANSWER, api.list_metadata(&least)).await;
    listed.is_ok_and(|listed| listed.is_ok())
}

/// The waits between tries, by how many have failed.
#[derive(Default)]
struct Waits(u32);

impl Iterator for Waits {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = WAITS.0.saturating_mul(1 << self.0.min(10)).min(WAITS.1);
        self.0 = self.0.saturating_add(1);
        // Spread, so that not all replicas come back at once.
        Some(wait.mul_f64(1.0 + 0.5 * fastrand::f64()))
    }
}

impl Backoff for Waits {
    fn reset(&mut self) {
        self.0 = 0;
    }
}

/// What an event changes; those of a list do so together at its end.
fn change(event: watcher::Result<Event<ConfigMap>>, listed: &mut Vec<(String, String)>) -> Option<Change> {
    match event {
        Ok(Event::Init) => listed.clear(),
        Ok(Event::InitApply(map)) => listed.extend(documents(map).1),
        Ok(Event::InitDone) => return Some(Change::All(std::mem::take(listed))),
        Ok(Event::Apply(map)) => {
            let (prefix, documents) = documents(map);
            return Some(Change::Under(prefix, documents));
        }
        Ok(Event::Delete(map)) => return Some(Change::Under(documents(map).0, Vec::new())),
        Err(error) => {
            tracing::warn!(%error, "the routing documents can't be watched; the last ones stay");
        }
    }
    None
}

/// What the documents' names begin with, and the documents. Names of ConfigMaps hold no `/`.
fn documents(map: ConfigMap) -> (String, Vec<(String, String)>) {
    let prefix = format!("{}/", map.metadata.name.unwrap_or_default());
    let data = map
        .data
        .unwrap_or_default()
        .into_iter()
        .filter(|(key, _)| Path::new(key).extension().is_some_and(|ending| ending == "json"));
    let documents = data.map(|(key, text)| (format!("{prefix}{key}"), text)).collect();
    (prefix, documents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tried_again_within_three_seconds_however_often_it_failed() {
        let mut waits = Waits::default();
        let first = waits.next().unwrap();
        assert!(first >= WAITS.0 && first <= WAITS.0 * 2, "{first:?}");
        assert!(waits.by_ref().take(100).all(|wait| wait <= Duration::from_secs(3)));
        waits.reset();
        assert!(waits.next().unwrap() <= WAITS.0 * 2);
    }
}
