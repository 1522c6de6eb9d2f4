//! In place of the Deployment controller and of nodes: marks each Deployment available as soon as it is seen.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

/// The stand-in, while it works.
pub(crate) struct StandIn {
    task: tokio::task::JoinHandle<()>,
    available: Arc<Mutex<BTreeMap<String, Instant>>>,
}

impl StandIn {
    /// Ends it; returns when each Deployment was marked.
    pub(crate) fn stop(self) -> BTreeMap<String, Instant> {
        self.task.abort();
        std::mem::take(&mut self.available.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Starts it.
pub(crate) fn start(client: Client) -> StandIn {
    let available = Arc::new(Mutex::new(BTreeMap::new()));
    let seen = available.clone();
    let task = tokio::spawn(async move {
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), e2e::bench::NAMESPACE);
        let changes =
            watcher(deployments.clone(), watcher::Config::default()).default_backoff().applied_objects();
        let mark = |deployment: Deployment| {
            let (deployments, seen) = (deployments.clone(), seen.clone());
            async move {
                let generation = deployment.metadata.generation;
                let observed = deployment.status.as_ref().and_then(|status| status.observed_generation);
                if observed == generation {
                    return;
                }
                let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
                let status = json!({"status": {
                    "observedGeneration": generation, "replicas": replicas, "updatedReplicas": replicas,
                    "readyReplicas": replicas, "availableReplicas": replicas,
                }});
                let name = deployment.name_any();
                let patched =
                    deployments.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await;
                if patched.is_ok() {
                    seen.lock().unwrap_or_else(PoisonError::into_inner).insert(name, Instant::now());
                }
            }
        };
        let marks =
            changes.into_stream().filter_map(async |change| change.ok()).map(mark).buffer_unordered(8);
        marks.for_each(async |()| {}).await;
    });
    StandIn { task, available }
}
