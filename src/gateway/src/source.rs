//! Where routing documents come from: a folder of JSON files, or ConfigMaps of the gateway's own namespace.
mod cluster;
mod folder;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::registry::Registry;
use crate::state::State;

/// The label of ConfigMaps with routing documents, each under a key that ends with `.json`.
pub const LABEL: &str = "mlops-operator.dev/gateway-route=true";

/// The longest that a watch may say nothing: a little more than the time after which the server ends it.
pub const WATCH_SILENCE: Duration = Duration::from_secs(cluster::WATCH_SECONDS as u64 + 15);

/// A source of routing documents.
#[derive(Clone)]
pub enum Source {
    /// Every `*.json` of a folder.
    Folder(PathBuf),
    /// The labelled ConfigMaps of one namespace.
    Cluster(kube::Client, String),
}

impl Source {
    /// Whether it can be read now; a folder always can.
    pub async fn answers(&self) -> bool {
        match self {
            Self::Folder(_) => true,
            Self::Cluster(client, namespace) => cluster::answers(client, namespace).await,
        }
    }

    /// Feeds the table for as long as the process lives. While the source is away the last table stays in force.
    pub async fn run(self, state: Arc<State>) {
        let registry = Registry::new(state);
        match self {
            Self::Folder(path) => folder::run(path, registry).await,
            Self::Cluster(client, namespace) => cluster::run(client, &namespace, registry).await,
        }
    }
}
