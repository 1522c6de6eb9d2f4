//! The way to the cluster: the context that kubectl would use, and errors that say what to do.
use std::error::Error as _;
use std::future::Future;
use std::time::Duration;

use kube::config::{InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use crate::arguments::Global;
use crate::failure::Failure;

/// How long a single question to the API server may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long the connection may take: a cluster that is up answers much sooner.
const CONNECT: Duration = Duration::from_secs(5);

/// The cluster and the namespace that the user means.
pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) server: String,
}

/// Why a question was not answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Problem {
    /// The user may not ask it.
    Forbidden(String),
    /// The API server does not know the thing that was asked for.
    NotFound(String),
    /// Anything else, most often that the API server can't be reached.
    Other(String),
}

impl Problem {
    pub(crate) fn message(&self) -> &str {
        match self {
            Self::Forbidden(message) | Self::NotFound(message) | Self::Other(message) => message,
        }
    }
}

/// Reads the kubeconfig; nothing is sent to the cluster yet.
pub(crate) async fn connect(global: &Global) -> Result<Cluster, Failure> {
    let mut config = config(global).await.map_err(Failure::Error)?;
    config.connect_timeout = Some(CONNECT);
    let server = config.cluster_url.to_string();
    let namespace = global.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config)
        .map_err(|error| Failure::Error(format!("failed to use the kubeconfig: {}", chain(&error))))?;
    Ok(Cluster { client, namespace, server })
}

async fn config(global: &Global) -> Result<Config, String> {
    if global.kubeconfig.is_none() && global.context.is_none() {
        return Config::infer().await.map_err(|error: InferConfigError| {
            let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            format!("{cause}: set KUBECONFIG or pass --kubeconfig")
        });
    }
    let options = KubeConfigOptions { context: global.context.clone(), ..KubeConfigOptions::default() };
    let kubeconfig = match &global.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let kubeconfig = kubeconfig.map_err(|error| error.to_string())?;
    let contexts: Vec<String> = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
    Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| match error {
        KubeconfigError::LoadContext(name) => {
            format!("context {name} does not exist: the kubeconfig has {}", contexts.join(", "))
        }
        error => error.to_string(),
    })
}

impl Cluster {
    /// Asks the API server, with a bound on the time.
    pub(crate) async fn ask<T>(&self, question: impl Future<Output = kube::Result<T>>) -> Result<T, Problem> {
        match tokio::time::timeout(PATIENCE, question).await {
            Ok(answer) => answer.map_err(|error| self.problem(&error)),
            Err(_) => Err(self.unreachable(&format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    }

    fn problem(&self, error: &kube::Error) -> Problem {
        match error {
            kube::Error::Api(status) if status.is_forbidden() => Problem::Forbidden(status.message.clone()),
            kube::Error::Api(status) if status.is_not_found() => Problem::NotFound(status.message.clone()),
            kube::Error::Api(status) if status.code == 401 => Problem::Other(format!(
                "{} does not accept the credentials: log in again, or choose another context",
                self.server
            )),
            kube::Error::Api(status) => Problem::Other(status.message.clone()),
            kube::Error::SerdeError(error) => Problem::Other(format!(
                "failed to read the answer of {}: {error}: this plugin may be older than the operator",
                self.server
            )),
            error => self.unreachable(&chain(error)),
        }
    }

    fn unreachable(&self, cause: &str) -> Problem {
        Problem::Other(format!(
            "failed to reach {}: {cause}: check that the cluster is up and that `kubectl config current-context` names it",
            self.server
        ))
    }
}

/// The innermost cause: the layers above it only repeat that something failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
