//! The command line, each flag also as an environment variable.
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};

use crate::digest::Digest;
use crate::guard::AllowedHosts;

/// Where Kubernetes looks for the termination message unless the container says otherwise.
pub const TERMINATION_MESSAGE: &str = "/dev/termination-log";

/// Serves one ONNX model with the Open Inference Protocol v2.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "mlops-model-server",
    version,
    after_help = "`mlops-model-server fetch --help` shows the other mode: fetch an artefact into a folder.\n\
                  Azure Storage is read with AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN, \
                  AZURE_STORAGE_ENDPOINT, AZURE_CLIENT_ID, AZURE_TENANT_ID, AZURE_FEDERATED_TOKEN_FILE, AZURE_CLIENT_SECRET, \
                  AZURE_AUTHORITY_HOST, IDENTITY_ENDPOINT, AZURE_USE_MANAGED_IDENTITY of the environment.\n\
                  Exit codes: 0 drained after SIGTERM, 2 arguments, 10 fetch, 11 digest, 12 load, 13 warm-up."
)]
pub struct ServeArguments {
    /// The artefact.
    #[command(flatten)]
    pub model: ModelArguments,
    /// The model's name in the paths of the protocol.
    #[arg(long, env = "MLOPS_MODEL_NAME", value_parser = path_segment)]
    pub model_name: String,
    /// The model's version in the paths and answers of the protocol; without it the model has no version.
    #[arg(long, env = "MLOPS_MODEL_VERSION", value_parser = path_segment)]
    pub model_version: Option<String>,
    /// The address to listen on.
    #[arg(long, env = "MLOPS_HTTP", default_value = "0.0.0.0:8080", value_name = "ADDR:PORT")]
    pub http: SocketAddr,
    /// ONNX Runtime's shared library; by default libonnxruntime.so* beside this program, or in /usr/lib.
    #[arg(long, env = "ORT_DYLIB_PATH", value_name = "PATH")]
    pub onnxruntime: Option<PathBuf>,
    /// An inference request in JSON to warm up with; by default zeros, with every open dimension 1.
    #[arg(long, env = "MLOPS_WARM_UP", value_name = "FILE")]
    pub warm_up: Option<PathBuf>,
    /// The folder for a downloaded model; by default a temporary folder.
    #[arg(long, env = "MLOPS_CACHE_DIR", value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
    /// How long to go on accepting connections after SIGTERM, so that everyone learns that this pod is leaving.
    #[arg(long, env = "MLOPS_DRAIN_SECONDS", default_value_t = 5)]
    pub drain_seconds: u64,
    /// The largest request body.
    #[arg(long, env = "MLOPS_MAX_BODY_BYTES", default_value_t = 4 * 1024 * 1024)]
    pub max_body_bytes: usize,
    /// The largest sum of the bodies of requests in progress; a request beyond it waits up to 5 s, then gets 503.
    #[arg(long, env = "MLOPS_MAX_BODIES_BYTES", default_value_t = 64 * 1024 * 1024)]
    pub max_bodies_bytes: usize,
    /// Threads that serve and infer; 0 is one for each processor.
    #[arg(long, env = "MLOPS_THREADS", default_value_t = 0)]
    pub threads: usize,
}

/// Fetches a model's artefact into a folder and verifies it, for a server that can't do so itself.
#[derive(Clone, Debug, Parser)]
#[command(name = "mlops-model-server fetch", version)]
pub struct FetchArguments {
    /// The artefact.
    #[command(flatten)]
    pub model: ModelArguments,
    /// The folder to put the artefact in.
    #[arg(long, env = "MLOPS_TO", value_name = "DIR")]
    pub to: PathBuf,
    /// The artefact's file name in that folder; by default the last segment of the URI's path.
    #[arg(long, env = "MLOPS_FILE_NAME", value_parser = file_name, value_name = "NAME")]
    pub file_name: Option<String>,
}

/// What both modes need.
#[derive(Args, Clone, Debug)]
pub struct ModelArguments {
    /// A path, file://, https://, http://, az://CONTAINER/PATH or abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH;
    /// a folder stands for the one .onnx file in it.
    #[arg(long, env = "MLOPS_MODEL_URI", value_name = "URI", hide_env_values = true)]
    pub model_uri: String,
    /// The digest that the artefact must have; an empty one is none, for templates that always name the flag.
    // The full path keeps clap from taking the type for an argument without a default.
    #[arg(long, env = "MLOPS_MODEL_DIGEST", default_value = "", hide_default_value = true,
          value_parser = optional_digest, value_name = "sha256:HEX")]
    pub model_digest: std::option::Option<Digest>,
    /// The largest artefact.
    #[arg(long, env = "MLOPS_MAX_MODEL_BYTES", default_value_t = 2 * 1024 * 1024 * 1024)]
    pub max_model_bytes: u64,
    /// Certificates to trust besides the system's, in PEM.
    #[arg(long, env = "MLOPS_CA_FILE", value_name = "PATH")]
    pub ca_file: Option<PathBuf>,
    /// Hosts that models may come from although they are not public, separated by commas: names, *.ENDING, addresses
    /// and ranges. Link-local and metadata addresses are opened by an address or a range alone.
    #[arg(
        long,
        env = "MODEL_ALLOWED_HOSTS",
        default_value = "",
        hide_default_value = true,
        value_name = "HOSTS"
    )]
    pub allow_hosts: AllowedHosts,
    /// A folder that the pods of a node share, with fetched artefacts by their digests; used when the digest is given.
    #[arg(long, env = "MODEL_CACHE", value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// The size of that folder; artefacts that were used least recently go first.
    #[arg(long, env = "MODEL_CACHE_BYTES", default_value_t = 20 * 1024 * 1024 * 1024)]
    pub cache_bytes: u64,
    /// The file that gets the cause of a failed start as one JSON line, if it exists.
    #[arg(long, env = "MLOPS_TERMINATION_MESSAGE", default_value = TERMINATION_MESSAGE, value_name = "PATH")]
    pub termination_message: PathBuf,
    /// What to log: error, warn, info, debug, or a tracing filter.
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

fn optional_digest(text: &str) -> Result<Option<Digest>, String> {
    if text.is_empty() { Ok(None) } else { text.parse().map(Some) }
}

fn file_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 200 || text.starts_with('.') || text.contains('/') {
        return Err("use 1 to 200 characters without /, not beginning with a dot".to_owned());
    }
    Ok(text.to_owned())
}

fn path_segment(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 253 || text.contains(['/', '?', '#', '%']) {
        return Err("use 1 to 253 characters without / ? # %".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(flag: &str) -> Result<Option<Digest>, clap::Error> {
        let parsed = FetchArguments::try_parse_from(["fetch", "--to=/m", "--model-uri=/m/a.onnx", flag]);
        parsed.map(|arguments| arguments.model.model_digest)
    }

    #[test]
    fn empty_digest_is_none_and_a_wrong_one_is_refused() {
        assert_eq!(digest("--model-digest=").unwrap(), None);
        assert_eq!(digest("--log-level=warn").unwrap(), None);
        let whole = format!("sha256:{}", "a".repeat(64));
        assert_eq!(digest(&format!("--model-digest={whole}")).unwrap().unwrap().to_string(), whole);
        assert!(digest("--model-digest=sha256:12").unwrap_err().to_string().contains("64 hexadecimal"));
    }
}
