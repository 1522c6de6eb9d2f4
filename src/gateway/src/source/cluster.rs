//! ConfigMaps with routing documents, watched in one namespace. The right to get, list and watch them there is all that
//! the gateway needs.
use std::path::Path;
use std::pin::pin;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};

use super::LABEL;
use crate::registry::{Change, Registry};

/// Seconds after which the server ends a watch, so that one that died without a word is noticed.
const WATCH_SECONDS: u32 = 55;
/// The most events that make one table: each table takes a moment when there are ten thousand endpoints.
const AT_ONCE: usize = 1_024;

pub(super) async fn run(client: Client, namespace: &str, mut registry: Registry) {
    let api: Api<ConfigMap> = Api::namespaced(client, namespace);
    let config = watcher::Config::default().labels(LABEL).timeout(WATCH_SECONDS).page_size(500);
    let events = watcher(api, config).default_backoff().ready_chunks(AT_ONCE);
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
