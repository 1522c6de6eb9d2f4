//! The process: arguments, logs, the listener that is up first, the model's way to ready, and the way out.
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser as _;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::arguments::{FetchArguments, LogFormat, ModelArguments, ServeArguments, TERMINATION_MESSAGE};
use crate::cache::Cache;
use crate::drain::{self, Phase, Signals};
use crate::failure::{self, Failure, Reason};
use crate::fetch::{Artefact, Fetch};
use crate::guard::Guard;
use crate::metrics::Metrics;
use crate::pool::Pool;
use crate::protocol::{self, Model};
use crate::session::{self, Layout};
use crate::source::Source;
use crate::state::{Serving, State};
use crate::tensor::Tensor;
use crate::{azure, connections, server};

/// Runs the program with its arguments.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if arguments.get(1).is_some_and(|mode| mode == "fetch") {
        let rest = arguments.into_iter().skip(1);
        return with_arguments(FetchArguments::try_parse_from(rest), |arguments| {
            (arguments.model.clone(), fetch(&arguments))
        });
    }
    with_arguments(ServeArguments::try_parse_from(arguments), |arguments| {
        let threads = match arguments.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        (arguments.model.clone(), serve(arguments, threads))
    })
}

/// Runs a mode and reports its failure in all places where people look.
fn with_arguments<A>(
    parsed: Result<A, clap::Error>,
    mode: impl FnOnce(A) -> (ModelArguments, Result<(), Failure>),
) -> ExitCode
where
    A: AsRef<ModelArguments>,
{
    let arguments = match parsed {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            if !error.use_stderr() {
                return ExitCode::SUCCESS;
            }
            let path = std::env::var_os("MLOPS_TERMINATION_MESSAGE").unwrap_or(TERMINATION_MESSAGE.into());
            let message = error.render().to_string();
            let failure = Failure::new(Reason::InvalidArguments, message.trim());
            failure.write(Path::new(&path));
            return ExitCode::from(failure.reason.exit_code());
        }
    };
    log(arguments.as_ref());
    let (model, result) = mode(arguments);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!(reason = ?failure.reason, "{}", failure.message);
            failure.write(&model.termination_message);
            ExitCode::from(failure.reason.exit_code())
        }
    }
}

impl AsRef<ModelArguments> for ServeArguments {
    fn as_ref(&self) -> &ModelArguments {
        &self.model
    }
}

impl AsRef<ModelArguments> for FetchArguments {
    fn as_ref(&self) -> &ModelArguments {
        &self.model
    }
}

fn log(arguments: &ModelArguments) {
    // The HTTP client's own log shows whole addresses, signatures included.
    let filter = format!(
        "{},hyper=info,hyper_util=info,reqwest=info,rustls=info,object_store=info",
        arguments.log_level
    );
    let filter = tracing_subscriber::EnvFilter::builder().parse_lossy(filter);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second subscriber in one process is a test's; the first one stays.
    let _ = match arguments.log_format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_ansi(false).try_init(),
    };
}

fn runtime(threads: usize) -> Result<tokio::runtime::Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(threads).enable_all().build().map_err(|error| {
        Failure::new(Reason::InvalidArguments, format!("threads can't be started: {error}; lower --threads"))
    })
}

fn plan(arguments: &ModelArguments) -> Result<(Source, Fetch), Failure> {
    let invalid = |message| Failure::new(Reason::InvalidArguments, message);
    let azure = azure::Settings::of_environment().map_err(invalid)?;
    let source = Source::parse(&arguments.model_uri, azure.endpoint.as_ref()).map_err(invalid)?;
    // An empty variable is none, for templates that always name it.
    let cache = arguments.cache.clone().filter(|folder| !folder.as_os_str().is_empty());
    let fetch = Fetch {
        digest: arguments.model_digest,
        max_bytes: arguments.max_model_bytes,
        ca_file: arguments.ca_file.clone(),
        guard: Guard::new(arguments.allow_hosts.clone()),
        azure,
        cache: cache.map(|folder| Cache { folder, max_bytes: arguments.cache_bytes }),
    };
    Ok((source, fetch))
}

fn fetch(arguments: &FetchArguments) -> Result<(), Failure> {
    let (source, fetch) = plan(&arguments.model)?;
    let file_name = arguments.file_name.as_deref();
    let artefact = runtime(1)?.block_on(fetch.fetch_into(&source, &arguments.to, file_name))?;
    tracing::info!(path = %artefact.path.display(), digest = %artefact.digest, bytes = artefact.bytes, "fetched");
    Ok(())
}

fn serve(arguments: ServeArguments, threads: usize) -> Result<(), Failure> {
    let runtime = runtime(threads)?;
    let result = runtime.block_on(serve_until_drained(arguments, threads));
    // A load that is still in progress must not keep the process.
    runtime.shutdown_background();
    result
}

async fn serve_until_drained(arguments: ServeArguments, threads: usize) -> Result<(), Failure> {
    let unusable = |what: &str, error: &dyn std::fmt::Display| {
        Failure::new(Reason::InvalidArguments, format!("failed to {what}: {error}"))
    };
    let metrics = Metrics::new().map_err(|error| unusable("register metrics", &error))?;
    let mut signals = Signals::new().map_err(|error| unusable("take signals", &error))?;
    let http = arguments.http;
    let listener =
        TcpListener::bind(http).await.map_err(|error| unusable(&format!("listen on {http}"), &error))?;
    let address = listener.local_addr().map_err(|error| unusable("read the address", &error))?;
    tracing::info!(%address, model = arguments.model_name, threads, "listening");

    let name = (arguments.model_name.clone(), arguments.model_version.clone());
    let state = Arc::new(State::new(name, arguments.max_body_bytes, arguments.max_bodies_bytes, metrics));
    let (phase, phases) = watch::channel(Phase::Running);
    let router = server::router(Arc::clone(&state));
    let connections = tokio::spawn(connections::serve(listener, router, Arc::clone(&state), phases));

    let period = Duration::from_secs(arguments.drain_seconds);
    let termination_message = arguments.model.termination_message.clone();
    let loading = Arc::clone(&state);
    // Hashing and loading block: they get a thread of their own, so that probes are answered meanwhile.
    let handle = tokio::runtime::Handle::current();
    let load = tokio::task::spawn_blocking(move || handle.block_on(load(&arguments, threads, &loading)));
    tokio::select! {
        loaded = load => loaded.unwrap_or_else(|error| {
            Err(Failure::new(Reason::ModelLoadFailed, format!("loading the model ended abruptly: {error}")))
        })?,
        () = signals.next() => {
            failure::clear(&termination_message);
            return Ok(());
        }
    }
    signals.next().await;
    drain::drain(&state, &phase, &mut signals, period).await;
    if connections.await.unwrap_or(false) {
        tracing::info!("drained");
    } else {
        tracing::warn!("some requests did not end in time");
    }
    Ok(())
}

/// From the URI to a model that has answered its warm-up.
async fn load(arguments: &ServeArguments, threads: usize, state: &State) -> Result<(), Failure> {
    let started = Instant::now();
    let (source, fetch) = plan(&arguments.model)?;
    let temporary = match &arguments.cache_dir {
        Some(_) => None,
        None => Some(tempfile::tempdir().map_err(|error| {
            let hint = "set --cache-dir to a folder that can be written";
            Failure::new(
                Reason::ModelFetchFailed,
                format!("no temporary folder can be made: {error}; {hint}"),
            )
        })),
    };
    let temporary = match (&source, temporary) {
        (Source::Local(_), _) | (_, None) => None,
        (_, Some(folder)) => Some(folder?),
    };
    let folder = temporary.as_ref().map(tempfile::TempDir::path).or(arguments.cache_dir.as_deref());
    let artefact = fetch.fetch(&source, folder.unwrap_or(Path::new("."))).await?;
    tracing::info!(source = source.shown(), digest = %artefact.digest, bytes = artefact.bytes, "fetched");

    // ONNX Runtime is native code: should a file crash it, or the memory limit end it, this is what remains to read.
    let path = &arguments.model.termination_message;
    abrupt_end(&source).write(path);
    let serving = open(arguments, threads, &artefact, &source)?;
    failure::clear(path);

    let seconds = started.elapsed().as_secs_f64();
    state.metrics.load_seconds.set(seconds);
    state.metrics.set_info(&state.model_name, state.model_version.as_deref(), &artefact.digest.to_string());
    state.serve(serving);
    tracing::info!(seconds, "ready");
    Ok(())
}

fn abrupt_end(source: &Source) -> Failure {
    let message = format!(
        "the process ended abruptly while {} was loaded; raise the memory limit, or export the model again if it is damaged",
        source.shown()
    );
    Failure::new(Reason::ModelLoadFailed, message)
}

fn open(
    arguments: &ServeArguments,
    threads: usize,
    artefact: &Artefact,
    source: &Source,
) -> Result<Serving, Failure> {
    let load_failed = |message: String| Failure::new(Reason::ModelLoadFailed, message);
    let refused = |message: String| load_failed(format!("{} can't be served: {message}", source.shown()));
    let library = session::library(arguments.onnxruntime.as_deref()).map_err(load_failed)?;
    let environment = session::environment(&library).map_err(load_failed)?;
    let layout = Layout::new(artefact.bytes, threads);
    let sessions = (0..layout.sessions)
        .map(|_| session::load(&environment, &artefact.path, layout.threads))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| refused(format!("{}{}", error.message(), hint(&artefact.path))))?;
    let first = sessions.first().ok_or_else(|| load_failed("no session; raise --threads".to_owned()))?;
    let model = Model {
        name: arguments.model_name.clone(),
        version: arguments.model_version.clone(),
        inputs: session::signatures("input", first.inputs()).map_err(refused)?,
        outputs: session::signatures("output", first.outputs()).map_err(refused)?,
    };
    let pool = Pool::new(sessions);
    let (inputs, places) = warm_up(arguments, &model)?;
    let usual = pool.warm_up(&inputs, &places).map_err(|error| {
        let hint = "give a real request with --warm-up, or correct the model";
        Failure::new(Reason::WarmUpFailed, format!("the first inference failed: {}; {hint}", error.message()))
    })?;
    tracing::info!(sessions = layout.sessions, threads = layout.threads, micros = usual.as_micros(), "warm");
    Ok(Serving { model, pool: Arc::new(pool) })
}

/// The inputs of the first inference: those of a file, or zeros.
fn warm_up(arguments: &ServeArguments, model: &Model) -> Result<(Vec<Tensor>, Vec<usize>), Failure> {
    let failed = |message: String| Failure::new(Reason::WarmUpFailed, message);
    if let Some(path) = &arguments.warm_up {
        let request = std::fs::read(path).map_err(|error| {
            failed(format!("the warm-up request {} can't be read: {error}", path.display()))
        })?;
        let inference = protocol::parse(model, &request).map_err(|refusal| {
            failed(format!("the warm-up request {} does not fit: {}", path.display(), refusal.message))
        })?;
        return Ok((inference.inputs, inference.outputs));
    }
    let zeros = model.inputs.iter().map(|input| {
        input.zeros().ok_or_else(|| {
            failed(format!(
                "input {input} is too large for a warm-up with zeros; give a real request with --warm-up"
            ))
        })
    });
    Ok((zeros.collect::<Result<_, _>>()?, (0..model.outputs.len()).collect()))
}

/// What a file that is no model looks like.
fn hint(path: &Path) -> &'static str {
    use std::io::Read as _;
    let mut start = Vec::new();
    if let Ok(file) = std::fs::File::open(path) {
        let _ = file.take(64).read_to_end(&mut start);
    }
    if start.is_empty() {
        "; the file is empty"
    } else if start.starts_with(b"version https://git-lfs") {
        "; the file is a Git LFS pointer, publish the file it points to"
    } else if start.starts_with(b"<") {
        "; the file looks like a web page, check the address and its access rights"
    } else {
        "; export the model again if the file is damaged"
    }
}
