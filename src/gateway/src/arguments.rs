//! The command line, each flag also as an environment variable.
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Routes inference requests to the revisions of endpoints.
#[derive(Clone, Debug, Parser)]
#[command(name = "mlops-gateway", version)]
pub struct Arguments {
    /// The address to listen on for callers.
    #[arg(long, env = "MLOPS_GATEWAY_HTTP", default_value = "0.0.0.0:8080", value_name = "ADDR:PORT")]
    pub http: SocketAddr,
    /// The address to listen on for callers over TLS; needs a certificate and a key.
    #[arg(long, env = "MLOPS_GATEWAY_HTTPS", value_name = "ADDR:PORT", requires_all = ["certificate", "key"])]
    pub https: Option<SocketAddr>,
    /// The certificate's chain in PEM; reloaded when it changes.
    #[arg(long, env = "MLOPS_GATEWAY_CERTIFICATE", value_name = "PATH")]
    pub certificate: Option<PathBuf>,
    /// The certificate's key in PEM.
    #[arg(long, env = "MLOPS_GATEWAY_KEY", value_name = "PATH")]
    pub key: Option<PathBuf>,
    /// The address of /healthz, /readyz, /metrics and /stats.
    #[arg(long, env = "MLOPS_GATEWAY_ADMIN", default_value = "0.0.0.0:9090", value_name = "ADDR:PORT")]
    pub admin: SocketAddr,
    /// A folder of routing documents; without it they are ConfigMaps of the gateway's own namespace.
    #[arg(long, env = "MLOPS_GATEWAY_ROUTES", value_name = "DIR")]
    pub routes: Option<PathBuf>,
    /// The namespace of the ConfigMaps; by default that of the pod.
    #[arg(long, env = "POD_NAMESPACE")]
    pub namespace: Option<String>,
    /// The name of this replica, in the names of captures.
    #[arg(long, env = "HOSTNAME", default_value = "gateway", value_parser = instance)]
    pub instance: String,
    /// How long a connection may be idle, take for a request's head, or take nothing of its answer.
    #[arg(long, env = "MLOPS_GATEWAY_HEAD_SECONDS", default_value_t = 75, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub head_seconds: u64,
    /// How long to go on accepting connections after SIGTERM, so that everyone learns that this pod is leaving.
    #[arg(long, env = "MLOPS_GATEWAY_DRAIN_SECONDS", default_value_t = 5)]
    pub drain_seconds: u64,
    /// The most bytes of bodies that are kept aside for mirrors and captures.
    #[arg(long, env = "MLOPS_GATEWAY_KEPT_BYTES", default_value_t = 64 * 1024 * 1024)]
    pub kept_bytes: usize,
    /// The most copies of requests that are under way.
    #[arg(long, env = "MLOPS_GATEWAY_MIRRORED", default_value_t = 64)]
    pub mirrored: usize,
    /// The most exchanges that wait to be captured.
    #[arg(long, env = "MLOPS_GATEWAY_CAPTURED", default_value_t = 8_192, value_parser = positive)]
    pub captured: usize,
    /// How long a batch of captures waits for more.
    #[arg(long, env = "MLOPS_GATEWAY_CAPTURE_MILLISECONDS", default_value_t = 2_000)]
    pub capture_milliseconds: u64,
    /// Where spans go by OTLP over HTTP, such as `http://collector.observability:4318`; without it there are none.
    #[arg(long, env = "MLOPS_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// The part of requests that are traced when their callers do not say, from 0 to 1.
    #[arg(long, env = "MLOPS_GATEWAY_TRACE_RATIO", default_value_t = 0.01, value_parser = ratio)]
    pub trace_ratio: f64,
    /// Threads; 0 is one for each processor.
    #[arg(long, env = "MLOPS_GATEWAY_THREADS", default_value_t = 0)]
    pub threads: usize,
    /// What to log: error, warn, info, debug, or a tracing filter; the access log is `access=info`.
    #[arg(long, env = "MLOPS_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
    /// How to log.
    #[arg(long, env = "MLOPS_LOG_FORMAT", default_value = "json")]
    pub log_format: LogFormat,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "use a number of at least 1".to_owned())
}

fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| "use a number from 0 to 1".to_owned())
}

/// The name becomes a file's.
fn instance(text: &str) -> Result<String, String> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if (1..=200).contains(&text.len()) && text.chars().all(fits) && !text.starts_with('.') {
        return Ok(text.to_owned());
    }
    Err("use 1 to 200 letters, digits, hyphens, underscores and dots".to_owned())
}
