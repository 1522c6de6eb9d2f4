//! The command line and environment of the operator.
use std::net::SocketAddr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use plan::{Gateway, GatewayApi, Settings};

/// Serves machine-learning models on Kubernetes, as declared by custom resources.
#[derive(Debug, Parser)]
#[command(name = "mlops-operator", version)]
pub struct Arguments {
    /// Something else than running the controllers.
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// How to run the controllers.
    #[command(flatten)]
    pub options: Options,
}

/// Something else than running the controllers.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Ask a health address, and fail unless it answers 200.
    Check {
        /// The address, such as <http://mlops-operator.mlops-system.svc:8080/readyz>.
        #[arg(long)]
        url: String,
    },
    /// Print the table of metrics, in Markdown.
    #[command(hide = true)]
    MetricsTable,
}

/// How to run the controllers.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The namespace of the operator, with its lease and the default ServingRuntimes.
    #[arg(long, env = "MLOPS_OPERATOR_NAMESPACE", default_value = "mlops-system")]
    pub operator_namespace: String,
    /// The image of the model server, which also fetches models for other containers.
    #[arg(long, env = "MLOPS_MODEL_SERVER_IMAGE", default_value = "mlops-model-server:latest")]
    pub model_server_image: String,
    /// Hosts that models may come from although they are not public, separated by commas: names, *.ENDING, addresses and
    /// ranges.
    #[arg(long, env = "MLOPS_MODEL_ALLOWED_HOSTS", value_delimiter = ',')]
    pub model_allowed_hosts: Vec<String>,
    /// A namespace to watch; repeat for several. Without it, all namespaces.
    #[arg(long = "watch-namespace", env = "MLOPS_WATCH_NAMESPACES", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,
    /// The address of /healthz, /readyz, /metrics and, from this host only, PUT /log-level.
    #[arg(long, env = "MLOPS_HTTP", default_value = "0.0.0.0:8080")]
    pub http: SocketAddr,
    /// The log filter: a level, or targets with levels, such as info,operator=debug.
    #[arg(long, env = "MLOPS_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
    /// The log format.
    #[arg(long, env = "MLOPS_LOG_FORMAT", default_value = "json")]
    pub log_format: LogFormat,
    /// Whether to work only while holding the lease, so that several replicas can run.
    #[arg(long, env = "MLOPS_LEADER_ELECTION", default_value_t = true, action = clap::ArgAction::Set)]
    pub leader_election: bool,
    /// The name under which the lease is held; the pod's name without it.
    #[arg(long, env = "MLOPS_IDENTITY")]
    pub identity: Option<String>,
    /// How many objects are worked on at once.
    #[arg(long, env = "MLOPS_WORKERS", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: u16,
    /// How many objects with resources in Azure are worked on at once: their calls may wait long for their turn.
    #[arg(long, env = "MLOPS_AZURE_WORKERS", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=512))]
    pub azure_workers: u16,
    /// After how many seconds resources in Azure are read again, to see what was changed there.
    #[arg(long, env = "MLOPS_AZURE_SYNC_SECONDS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub azure_sync_seconds: u64,
    /// How many seconds after a minute its metrics in Azure Monitor are taken to be complete, when rollouts in Azure are
    /// judged by them.
    #[arg(long, env = "MLOPS_AZURE_METRICS_LAG_SECONDS", default_value_t = 180, value_parser = clap::value_parser!(u32).range(0..=3600))]
    pub azure_metrics_lag_seconds: u32,
    /// The interval of these metrics. Azure's is a minute; an emulator may have a shorter one.
    #[arg(long, env = "MLOPS_AZURE_METRICS_INTERVAL_SECONDS", hide = true, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub azure_metrics_interval_seconds: u32,
    /// A file of certificates (PEM) that are trusted for Azure, beside those of the system.
    #[arg(long, env = "MLOPS_AZURE_CA_FILE")]
    pub azure_ca_file: Option<std::path::PathBuf>,
    /// The share of Azure's limits on calls that this operator may use, in percent, when others use the same identity.
    #[arg(long, env = "MLOPS_AZURE_LIMITS_PERCENT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub azure_limits_percent: Option<u32>,
    /// The identity of this cluster in the owner tags of resources in Azure; the uid of the namespace kube-system
    /// without it. Two clusters must not share one.
    #[arg(long, env = "MLOPS_CLUSTER_ID")]
    pub cluster_id: Option<String>,
    /// The inference gateway's address for callers, such as <http://mlops-gateway.mlops-system.svc>. Without it, there is
    /// no gateway, and Endpoints that need one are refused.
    #[arg(long, env = "MLOPS_GATEWAY_URL")]
    pub gateway_url: Option<String>,
    /// Where the gateway's replicas tell what they measure, as HOST:PORT; every address of the host is asked. Repeat for
    /// several.
    #[arg(long, env = "MLOPS_GATEWAY_ADMIN", value_delimiter = ',', requires = "gateway_url")]
    pub gateway_admin: Vec<String>,
    /// The namespace of the gateway; the operator's own without it.
    #[arg(long, env = "MLOPS_GATEWAY_NAMESPACE", requires = "gateway_url")]
    pub gateway_namespace: Option<String>,
    /// A domain for host names of Endpoints: those of a namespace end in .NAMESPACE.DOMAIN.
    #[arg(long, env = "MLOPS_GATEWAY_DOMAIN", requires = "gateway_url")]
    pub gateway_domain: Option<String>,
    /// The beginning of addresses to which the gateway may write captures, such as
    /// <https://account.blob.core.windows.net/captures>. Repeat for several.
    #[arg(long, env = "MLOPS_GATEWAY_CAPTURE_STORES", value_delimiter = ',', requires = "gateway_url")]
    pub gateway_capture_store: Vec<String>,
    /// Whether Endpoints may name a gateway of their own: the operator then writes HTTPRoutes of the Gateway API, and
    /// needs the rights to.
    #[arg(long, env = "MLOPS_GATEWAY_API", default_value_t = false, action = clap::ArgAction::Set)]
    pub gateway_api: bool,
    /// A domain for host names in HTTPRoutes: those of a namespace end in .NAMESPACE.DOMAIN. Without it, the listeners of
    /// the Gateways alone decide.
    #[arg(long, env = "MLOPS_GATEWAY_API_DOMAIN")]
    pub gateway_api_domain: Option<String>,
    /// The Prometheus that answers the queries of rollouts, such as <http://prometheus.monitoring.svc:9090>. Whoever
    /// writes an Endpoint can ask it anything.
    #[arg(long, env = "MLOPS_PROMETHEUS_URL")]
    pub prometheus_url: Option<String>,
    /// Where to send traces by OTLP over HTTP, such as <http://collector:4318>. Without it, nowhere.
    #[arg(long, env = "MLOPS_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
}

impl Options {
    /// What plans depend on.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            operator_namespace: self.operator_namespace.clone(),
            model_server_image: self.model_server_image.clone(),
            model_allowed_hosts: self.model_allowed_hosts.clone(),
            gateway: self.gateway(),
            gateway_api: self.gateway_api.then(|| GatewayApi { domain: self.gateway_api_domain.clone() }),
        }
    }

    /// What plans know of the inference gateway.
    pub(crate) fn gateway(&self) -> Option<Gateway> {
        let url = self.gateway_url.as_ref()?;
        let namespace = self.gateway_namespace.as_ref().unwrap_or(&self.operator_namespace);
        Some(Gateway {
            url: url.trim_end_matches('/').to_owned(),
            namespace: namespace.clone(),
            domain: self.gateway_domain.clone(),
            capture_stores: self.gateway_capture_store.clone(),
        })
    }
}

/// The log format.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Plain text.
    Text,
}
