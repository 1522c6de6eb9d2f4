//! The process: arguments, logs, the listeners, the source of the table, and the way out.
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::arguments::{Arguments, LogFormat};
use crate::capture::{Captures, Writer};
use crate::drain::{self, Signals};
use crate::metrics::Metrics;
use crate::source::{Source, WATCH_SILENCE};
use crate::state::{Bounds, State};
use crate::tls::{self, Certificate, Files};
use crate::token::Issuers;
use crate::traces::Traces;
use crate::{admin, connections};

/// Runs the program with its arguments.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    log(&arguments);
    let threads = match arguments.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    // One thread needs nothing of what makes several share their work.
    let runtime = match threads {
        1 => tokio::runtime::Builder::new_current_thread().enable_all().build(),
        threads => tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build(),
    };
    let result = runtime
        .map_err(|error| format!("failed to start threads: {error}; lower --threads"))
        .and_then(|runtime| runtime.block_on(serve(arguments)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn log(arguments: &Arguments) {
    let filter =
        format!("{},hyper=info,hyper_util=info,h2=info,reqwest=info,rustls=info", arguments.log_level);
    let filter = tracing_subscriber::EnvFilter::builder().parse_lossy(filter);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second subscriber in one process is a test's; the first one stays.
    let _ = match arguments.log_format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_ansi(false).try_init(),
    };
}

/// The client for issuers' keys and for Azure Storage, which follows no redirect.
pub fn client() -> Result<reqwest::Client, String> {
    // A second provider in one process is a test's; the first one stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(30))
        .build()
        .map_err(|error| format!("failed to make an HTTP client: {error}"))
}

/// A state, and what writes its captures.
pub fn state(arguments: &Arguments) -> Result<(Arc<State>, Writer), String> {
    let metrics = Metrics::new().map_err(|error| format!("failed to register metrics: {error}"))?;
    let client = client()?;
    let (captures, receiver) = Captures::new(arguments.captured);
    let writer = Writer {
        receiver,
        linger: Duration::from_millis(arguments.capture_milliseconds),
        instance: arguments.instance.clone(),
        client: client.clone(),
    };
    let bounds = Bounds {
        kept_bytes: arguments.kept_bytes,
        mirrored: arguments.mirrored,
        head: Duration::from_secs(arguments.head_seconds),
    };
    let mut state = State::new(metrics, captures, Issuers::new(client), bounds);
    let endpoint = arguments.otlp_endpoint.as_deref().filter(|endpoint| !endpoint.is_empty());
    state.traces = endpoint.map(|endpoint| Traces::new(endpoint, arguments.trace_ratio)).transpose()?;
    Ok((Arc::new(state), writer))
}

async fn source(arguments: &Arguments) -> Result<Source, String> {
    if let Some(folder) = &arguments.routes {
        return Ok(Source::Folder(folder.clone()));
    }
    let hint = "run in a pod, or name a folder with --routes";
    let mut config = kube::Config::infer()
        .await
        .map_err(|error| format!("failed to find the API server: {error}; {hint}"))?;
    // A watch that goes on without a word is taken for dead: the server ends it before.
    config.read_timeout = Some(WATCH_SILENCE);
    let namespace = arguments.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let client =
        kube::Client::try_from(config).map_err(|error| format!("failed to make a client: {error}"))?;
    Ok(Source::Cluster(client, namespace))
}

async fn listen(address: std::net::SocketAddr, what: &str) -> Result<TcpListener, String> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| format!("failed to listen on {address}: {error}"))?;
    tracing::info!(address = %listener.local_addr().unwrap_or(address), what, "listening");
    Ok(listener)
}

async fn serve(arguments: Arguments) -> Result<(), String> {
    let mut signals = Signals::new().map_err(|error| format!("failed to take signals: {error}"))?;
    let (state, writer) = state(&arguments)?;
    let (stop, stopped) = watch::channel(false);
    let (stop_captures, captures_stopped) = watch::channel(false);
    let writer = tokio::spawn(writer.run(Arc::clone(&state), captures_stopped));
    tokio::spawn(admin::serve(listen(arguments.admin, "admin").await?, Arc::clone(&state)));

    let mut listeners = vec![tokio::spawn(connections::serve(
        listen(arguments.http, "http").await?,
        None,
        Arc::clone(&state),
        stopped.clone(),
    ))];
    if let (Some(address), Some(certificate), Some(key)) =
        (arguments.https, &arguments.certificate, &arguments.key)
    {
        let files = Files { certificate: certificate.clone(), key: key.clone() };
        let certificate = Certificate::read(files)?;
        let config = certificate.config()?;
        tokio::spawn(certificate.watch(Arc::clone(&state), tls::LOOK));
        let listener = listen(address, "https").await?;
        listeners.push(tokio::spawn(connections::serve(listener, Some(config), Arc::clone(&state), stopped)));
    }
    let source = source(&arguments).await?;
    tokio::spawn(source.clone().run(Arc::clone(&state)));

    let sweeping = tokio::spawn(Arc::clone(&state).sweep());
    signals.next().await;
    sweeping.abort();
    let period = Duration::from_secs(arguments.drain_seconds);
    drain::drain(&state, &stop, &mut signals, period, &source).await;
    for listener in listeners {
        if !listener.await.unwrap_or(false) {
            tracing::warn!("some requests did not end in time");
        }
    }
    stop_captures.send_replace(true);
    if tokio::time::timeout(Duration::from_secs(4), writer).await.is_err() {
        tracing::warn!("some captures were not written in time");
    }
    // It blocks, and may not do so on a thread of the runtime.
    let _ = tokio::task::spawn_blocking(move || state.traces.as_ref().map(Traces::finish)).await;
    tracing::info!("drained");
    Ok(())
}
