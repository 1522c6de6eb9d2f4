//! The command line of `arm-emulator`.
use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use serde_json::json;

use crate::data_plane::{Local, Options, Service, Storage};
use crate::{Builder, Client, Emulator, Rate, Rates, Settings};

/// Answers as Azure Resource Manager does, with the token endpoints beside it. Prints one line of JSON when ready.
#[derive(Parser)]
#[command(name = "arm-emulator")]
struct Arguments {
    /// Where to listen; port 0 takes any that is free.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// A certificate in PEM, instead of one by the emulator's own authority.
    #[arg(long, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its key in PEM.
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// A further name for the certificate; may be repeated.
    #[arg(long)]
    host: Vec<String>,
    /// Plain HTTP instead of HTTPS.
    #[arg(long)]
    http: bool,
    /// Keep the state in this file, and go on from it.
    #[arg(long)]
    state: Option<PathBuf>,
    /// Where the authority's certificate is written; by default beside the state, else in the folder for
    /// temporary files.
    #[arg(long)]
    ca_out: Option<PathBuf>,
    /// How long operations take, `2s` or `500ms`; `TYPE=2s` for one type, `onlineEndpoints=5s` say.
    #[arg(long, value_name = "[TYPE=]DURATION")]
    operation_duration: Vec<String>,
    /// What Retry-After says while an operation runs, in seconds.
    #[arg(long, default_value_t = 1)]
    retry_after: u64,
    /// How many times as fast as the clock buckets are filled and operations run.
    #[arg(long, default_value_t = 1.0)]
    time_scale: f64,
    /// The bucket of reads: size and refill per second.
    #[arg(long, default_value = "250/25")]
    reads: String,
    /// The bucket of writes.
    #[arg(long, default_value = "200/10")]
    writes: String,
    /// The bucket of deletes.
    #[arg(long, default_value = "200/10")]
    deletes: String,
    /// Never answer 429.
    #[arg(long)]
    no_throttling: bool,
    /// The one interval of metrics, `1m` or `1s`.
    #[arg(long, default_value = "1m", value_name = "DURATION")]
    metric_grain: String,
    /// How far metrics lag behind what they measure.
    #[arg(long, default_value = "1m", value_name = "DURATION")]
    metric_lag: String,
    /// How many resources a page of a list holds.
    #[arg(long, default_value_t = 100)]
    page_size: usize,
    /// The tenant that exists.
    #[arg(long, default_value = crate::TENANT)]
    tenant: String,
    /// A client that may ask for tokens, by its id and secret; may be repeated.
    #[arg(long, value_name = "ID=SECRET")]
    client: Vec<String>,
    /// How long tokens are good for, in seconds.
    #[arg(long, default_value_t = 3600)]
    token_lifetime: u64,
    /// Accept every bearer token.
    #[arg(long)]
    accept_any_token: bool,
    /// The domain of storage accounts, or the host and port of a local blob service.
    #[arg(long, default_value = "core.windows.net")]
    storage_endpoint: String,
    /// The scheme of links to blobs.
    #[arg(long, default_value = "https")]
    storage_protocol: String,
    /// The key of every storage account, in base64.
    #[arg(long)]
    storage_key: Option<String>,
    /// What runs deployments and jobs.
    #[command(flatten)]
    data_plane: DataPlaneArguments,
}

/// Deployments and jobs run when a place for blobs or a model server is named.
#[derive(clap::Args)]
struct DataPlaneArguments {
    /// Run deployments and jobs, with blobs in this folder as ACCOUNT/CONTAINER/BLOB.
    #[arg(long, value_name = "DIR", conflicts_with = "blob_endpoint")]
    data: Option<PathBuf>,
    /// Run deployments and jobs, with blobs in a service such as Azurite: `http://127.0.0.1:10000/ACCOUNT`.
    #[arg(long, value_name = "URL", requires_all = ["blob_account", "blob_key"])]
    blob_endpoint: Option<String>,
    /// The account of that service.
    #[arg(long, value_name = "NAME")]
    blob_account: Option<String>,
    /// Its key in base64.
    #[arg(long, env = "BLOB_KEY", hide_env_values = true, value_name = "KEY")]
    blob_key: Option<String>,
    /// The program that serves models; by default mlops-model-server beside this program.
    #[arg(long, env = "MODEL_SERVER", value_name = "PATH")]
    model_server: Option<PathBuf>,
    /// ONNX Runtime's shared library, for the model server.
    #[arg(long, env = "ORT_DYLIB_PATH", value_name = "PATH")]
    onnxruntime: Option<PathBuf>,
    /// The longest that a job may run.
    #[arg(long, default_value = "1h", value_name = "DURATION")]
    job_timeout: String,
    /// How many jobs' commands run at the same time.
    #[arg(long, default_value_t = 4)]
    parallel_jobs: usize,
    /// The seed of the choice between deployments.
    #[arg(long, default_value_t = 42)]
    seed: u64,
}

impl DataPlaneArguments {
    /// Where blobs lie, if anything is to run.
    fn storage(&self) -> Option<Storage> {
        if let (Some(endpoint), Some(account), Some(key)) =
            (&self.blob_endpoint, &self.blob_account, &self.blob_key)
        {
            let (endpoint, account, key) = (endpoint.clone(), account.clone(), key.clone());
            return Some(Storage::Service(Service { endpoint, account, key }));
        }
        let unnamed = || std::env::temp_dir().join(format!("arm-emulator-{}.data", std::process::id()));
        let folder = self.data.clone().or_else(|| self.model_server.is_some().then(unnamed));
        folder.map(Storage::Folder)
    }

    /// What runs, if anything is to.
    fn data_plane(&self) -> anyhow::Result<Option<Arc<Local>>> {
        let Some(storage) = self.storage() else { return Ok(None) };
        let usual = Options::new(storage);
        let options = Options {
            model_server: self.model_server.clone().or_else(|| usual.model_server.clone()),
            onnxruntime: self.onnxruntime.clone(),
            job_timeout: std::time::Duration::from_millis(duration(&self.job_timeout)?.unsigned_abs()),
            parallel_jobs: self.parallel_jobs.max(1),
            seed: self.seed,
            ..usual
        };
        Local::new(options).map(Some)
    }
}

/// Runs until the process is told to end; what stdout says is one line of JSON.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = Arguments::parse_from(arguments);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("failed to start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(serve(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: Arguments) -> anyhow::Result<()> {
    let certificate = certificate_path(&arguments);
    let emulator = builder(arguments)?.start().await?;
    std::fs::write(&certificate, emulator.ca_pem())
        .with_context(|| format!("failed to write {}", certificate.display()))?;
    let ready = json!({
        "url": emulator.url(),
        "ca": certificate,
        "tenant": emulator.control().core.settings.tenant,
        "clientId": emulator.control().core.settings.clients.first().map(|client| client.id.clone()),
        "identityEndpoint": format!("{}/msi/token", emulator.url()),
        "identityHeader": emulator.identity_header(),
    });
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{ready}")?;
    stdout.flush()?;
    ended().await?;
    emulator.stop().await
}

async fn ended() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
    }
}

fn certificate_path(arguments: &Arguments) -> PathBuf {
    if let Some(path) = &arguments.ca_out {
        return path.clone();
    }
    match &arguments.state {
        Some(state) => state.with_extension("ca.pem"),
        None => std::env::temp_dir().join(format!("arm-emulator-{}.ca.pem", std::process::id())),
    }
}

fn builder(arguments: Arguments) -> anyhow::Result<Builder> {
    let data_plane = arguments.data_plane.data_plane()?;
    let storage = arguments.data_plane.storage();
    let mut settings = Settings {
        tenant: arguments.tenant,
        token_lifetime: arguments.token_lifetime,
        accept_any_token: arguments.accept_any_token,
        retry_after: arguments.retry_after,
        metric_grain: duration(&arguments.metric_grain)?,
        metric_lag: duration(&arguments.metric_lag)?,
        page_size: arguments.page_size,
        time_scale: arguments.time_scale,
        state: arguments.state,
        storage_endpoint: arguments.storage_endpoint,
        storage_protocol: arguments.storage_protocol,
        storage_key: arguments.storage_key,
        rates: None,
        ..Settings::default()
    };
    if let Some(Storage::Service(service)) = storage {
        let (protocol, rest) =
            service.endpoint.split_once("://").context("--blob-endpoint needs http:// or https://")?;
        protocol.clone_into(&mut settings.storage_protocol);
        rest.split('/').next().unwrap_or(rest).clone_into(&mut settings.storage_endpoint);
        settings.storage_account = Some(service.account);
        settings.storage_key = Some(service.key);
    }
    if !arguments.no_throttling {
        settings.rates = Some(Rates {
            reads: rate(&arguments.reads)?,
            writes: rate(&arguments.writes)?,
            deletes: rate(&arguments.deletes)?,
        });
    }
    if !arguments.client.is_empty() {
        settings.clients = arguments.client.iter().map(|text| client(text)).collect::<anyhow::Result<_>>()?;
    }
    for text in &arguments.operation_duration {
        match text.split_once('=') {
            Some((kind, text)) => {
                settings.operation_durations.insert(kind.to_ascii_lowercase(), duration(text)?);
            }
            None => settings.operation_duration = duration(text)?,
        }
    }
    let mut builder = Emulator::builder().settings(settings).listen(arguments.listen);
    if arguments.http {
        builder = builder.http();
    }
    if let Some(data_plane) = data_plane {
        builder = builder.data_plane(data_plane);
    }
    if let (Some(certificate), Some(key)) = (arguments.tls_cert, arguments.tls_key) {
        builder = builder.certificate(certificate, key);
    }
    Ok(arguments.host.iter().fold(builder, |builder, host| builder.host(host)))
}

fn rate(text: &str) -> anyhow::Result<Rate> {
    let parsed = text.split_once('/').and_then(|(size, refill)| {
        Some(Rate { size: size.trim().parse().ok()?, refill: refill.trim().parse().ok()? })
    });
    parsed.with_context(|| {
        format!("failed to read the bucket '{text}'; write its size and refill, as in 250/25")
    })
}

fn client(text: &str) -> anyhow::Result<Client> {
    let (id, secret) = text
        .split_once('=')
        .with_context(|| format!("failed to read the client '{text}'; write ID=SECRET"))?;
    Ok(Client::new(id, secret))
}

fn duration(text: &str) -> anyhow::Result<i64> {
    let span: jiff::SignedDuration =
        text.parse().with_context(|| format!("failed to read the duration '{text}'; write 2s or 500ms"))?;
    Ok(span.as_millis() as i64)
}
