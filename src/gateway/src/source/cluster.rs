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

pub(super) async fn run(client: Client, namespace: &str, mut registry: Registry) {
    let api: Api<ConfigMap> = Api::namespaced(client, namespace);
    let config = watcher::Config::default().labels(LABEL).timeout(WATCH_SECONDS).page_size(500);
    let mut events = pin!(watcher(api, config).default_backoff());
    let mut listed = Vec::new();
    while let Some(event) = events.next().await {
        let changes = match event {
            Ok(Event::Init) => {
                listed.clear();
                continue;
            }
            Ok(Event::InitApply(map)) => {
                listed.extend(documents(map).1);
                continue;
            }
            Ok(Event::InitDone) => vec![Change::All(std::mem::take(&mut listed))],
            Ok(Event::Apply(map)) => changed(map, &registry),
            Ok(Event::Delete(map)) => vec![Change::Gone(documents(map).0)],
            Err(error) => {
                tracing::warn!(%error, "the routing documents can't be watched; the last ones stay");
                continue;
            }
        };
        registry.apply(changes);
    }
}

/// The documents of a ConfigMap that are gone, and those that it holds.
fn changed(map: ConfigMap, registry: &Registry) -> Vec<Change> {
    let (prefix, documents) = documents(map);
    let gone = registry.names(&prefix).filter(|name| documents.iter().all(|(one, _)| one != name));
    let mut changes: Vec<Change> = gone.map(Change::Gone).collect();
    changes.extend(documents.into_iter().map(|(name, text)| Change::Put(name, text)));
    changes
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
