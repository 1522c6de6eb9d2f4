//! A data plane of processes on this machine: model servers for deployments, sandboxed commands for jobs.
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::blobs::{Blobs, Place};
use super::deployments::Deployments;
use super::jobs::Jobs;
use super::ledger::Ledger;
use super::sandbox::Sandbox;
use super::{Change, Control, DataPlane, Event, Pending, Request, Served, Storage, process};
use super::{batch, deployments, history, jobs, schedules, score};
use crate::address::Address;
use crate::answer::{Answer, Failure};

/// The type of online deployments.
pub(crate) const DEPLOYMENT: &str =
    "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/deployments";
/// The type of jobs.
pub(crate) const JOB: &str = "Microsoft.MachineLearningServices/workspaces/jobs";
const DATASTORE: &str = "Microsoft.MachineLearningServices/workspaces/datastores";

/// What a [`Local`] is made of.
#[derive(Clone)]
pub struct Options {
    /// Where blobs lie.
    pub storage: Storage,
    /// The program that serves models; without it deployments succeed by the clock and answer nothing.
    pub model_server: Option<PathBuf>,
    /// ONNX Runtime's shared library for it; the model server's own search otherwise.
    pub onnxruntime: Option<PathBuf>,
    /// The seed of the choice between deployments and of what is mirrored.
    pub seed: u64,
    /// The longest that a job may run, whatever its own limit says.
    pub job_timeout: Duration,
    /// How many commands run at the same time; further jobs wait.
    pub parallel_jobs: usize,
}

impl Options {
    /// The usual limits: an hour a job, four at the same time, and the model server beside the own program.
    pub fn new(storage: Storage) -> Self {
        Self {
            storage,
            model_server: beside(),
            onnxruntime: None,
            seed: 42,
            job_timeout: Duration::from_hours(1),
            parallel_jobs: 4,
        }
    }
}

/// The model server in the folder of the own program, or in the one above, where tests have it.
fn beside() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    own.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("mlops-model-server"))
        .find(|file| file.is_file())
}

/// What all parts share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) blobs: Blobs,
    pub(crate) http: reqwest::Client,
    pub(crate) deployments: Deployments,
    pub(crate) ledger: Ledger,
    pub(crate) jobs: Jobs,
    pub(crate) sandbox: Sandbox,
    pub(crate) tasks: TaskTracker,
    pub(crate) stopped: CancellationToken,
    /// What links to logs carry, so that nobody guesses them.
    pub(crate) seal: String,
    random: Mutex<fastrand::Rng>,
}

impl Shared {
    /// A number below 1, the same sequence for the same seed.
    pub(crate) fn chance(&self) -> f64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).f64()
    }

    /// Runs something until the end of the emulator.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stopped = self.stopped.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = work => {}
                () = stopped.cancelled() => {}
            }
        });
    }
}

/// Runs deployments and jobs on this machine.
pub struct Local {
    shared: Arc<Shared>,
}

impl Local {
    /// Prepares to run; nothing is started yet.
    pub fn new(options: Options) -> anyhow::Result<Arc<Self>> {
        // The first provider of a process stays; it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("failed to make an HTTP client")?;
        let shared = Shared {
            blobs: Blobs::new(options.storage.clone(), http.clone()),
            http,
            deployments: Deployments::default(),
            ledger: Ledger::default(),
            jobs: Jobs::new(options.parallel_jobs),
            sandbox: Sandbox::find(),
            tasks: TaskTracker::new(),
            stopped: CancellationToken::new(),
            seal: uuid::Uuid::new_v4().simple().to_string(),
            random: Mutex::new(fastrand::Rng::with_seed(options.seed)),
            options,
        };
        Ok(Arc::new(Self { shared: Arc::new(shared) }))
    }

    /// The containers of a workspace that was made, or of a datastore.
    fn containers(&self, id: &str, control: &Control) {
        let prefix = id.to_ascii_lowercase();
        let below = |store: &Value| {
            let id = store["id"].as_str().unwrap_or_default().to_ascii_lowercase();
            id == prefix || id.strip_prefix(&prefix).is_some_and(|rest| rest.starts_with('/'))
        };
        let stores: Vec<Value> = control.resources(DATASTORE).into_iter().filter(below).collect();
        let shared = Arc::clone(&self.shared);
        self.shared.spawn(async move {
            for store in stores {
                let name = |field: &str| store["properties"][field].as_str().unwrap_or_default().to_owned();
                let (account, container) = (name("accountName"), name("containerName"));
                if !container.is_empty() {
                    made(&shared, account, container).await;
                }
            }
        });
    }
}

async fn made(shared: &Shared, account: String, container: String) {
    let place = Place { account, container, path: String::new() };
    if let Err(error) = shared.blobs.ensure_container(&place).await {
        // Whoever reads or writes it gets the cause too.
        eprintln!("{error:#}");
    }
}

fn is(kind: &str, wanted: &str) -> bool {
    kind.eq_ignore_ascii_case(wanted)
}

impl DataPlane for Local {
    fn holds(&self, event: &Event, body: &Value) -> bool {
        if event.change != Change::Started {
            return false;
        }
        // Cancelling a job lasts until its processes are gone.
        is(&event.kind, JOB) || (is(&event.kind, DEPLOYMENT) && deployments::is_run(&self.shared, body))
    }

    fn observe(&self, event: Event, control: Control) {
        // What ended tells the id alone.
        let kind = if event.change == Change::Deleted || event.kind.is_empty() {
            Address::parse(&event.id).map_or_else(String::new, |address| address.kind())
        } else {
            event.kind.clone()
        };
        match event.change {
            Change::Started if is(&kind, DEPLOYMENT) => {
                deployments::begin(&self.shared, event.id, event.operation, control);
            }
            Change::Started if is(&kind, JOB) => jobs::cancel(&self.shared, event, control),
            Change::Succeeded if is(&kind, JOB) => jobs::submitted(&self.shared, &event.id, &control),
            Change::Succeeded if is(&kind, crate::rules::workspace::KIND) || is(&kind, DATASTORE) => {
                self.containers(&event.id, &control);
            }
            Change::Deleted => {
                self.shared.deployments.remove(&event.id);
                self.shared.ledger.remove(&event.id);
                self.shared.jobs.remove(&event.id);
            }
            _ => {}
        }
    }

    fn resume(&self, control: Control) {
        deployments::resume(&self.shared, &control);
        jobs::resume(&self.shared, &control);
    }

    fn serve(&self, request: Request, control: Control) -> Pending {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let path = request.path.clone();
            let segments: Vec<String> =
                path.split('/').filter(|part| !part.is_empty()).map(crate::address::decode).collect();
            let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
            match segments.as_slice() {
                ["emulator", "inference", region, endpoint, rest @ ..] => {
                    Some(score::serve(&shared, &control, (region, endpoint, rest), &request).await)
                }
                ["emulator", "batch", region, endpoint, rest @ ..] => {
                    Some(batch::serve(&shared, &control, (region, endpoint, rest), &request))
                }
                ["emulator", "logs", seal, rest @ ..] => {
                    Some(history::log(&shared, &control, seal, rest).await)
                }
                ["emulator", "schedules", name, "fire"] if request.method == http::Method::POST => {
                    Some(schedules::fire(&shared, &control, name, &request))
                }
                ["emulator", "traffic"] => Some(Answer::json(200, shared.deployments.counts())),
                ["history", "v1.0", rest @ ..] => Some(history::serve(&shared, &control, rest, &request)),
                ["mferp", "managementfrontend", rest @ ..] => batch::list(&control, rest, &request),
                _ => None,
            }
        })
    }

    fn logs(&self, deployment: &str, container: &str, lines: usize) -> Option<String> {
        self.shared.deployments.log(deployment, container, lines)
    }

    fn served(&self, endpoint: &str, span: (i64, i64)) -> Vec<Served> {
        self.shared.ledger.served(endpoint, span)
    }

    fn settle(&self, account: String, container: String) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { made(&shared, account, container).await })
    }

    fn stop(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let shared = Arc::clone(&self.shared);
        shared.stopped.cancel();
        shared.tasks.close();
        Box::pin(async move { shared.tasks.wait().await })
    }
}

/// Whether a request carries a token of this emulator; the answer where it does not.
pub(crate) fn bearer(request: &Request) -> &str {
    let header = request.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or("");
    match header.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => "",
    }
}

/// The refusal of a call without a good token.
pub(crate) fn unauthorized() -> Answer {
    Failure::new(401, "Unauthorized", "Please provide a valid token or key in the header 'Authorization'.")
        .with("WWW-Authenticate", "Bearer")
        .answer()
}

/// An answer in the provider's words.
pub(crate) fn refused(status: u16, code: &str, message: impl Into<String>) -> Answer {
    Failure::new(status, code, message).answer()
}

/// Only what is on the path can be asked to help.
pub(crate) fn helper(name: &str) -> Option<String> {
    process::on_path(name).map(|path| path.display().to_string())
}
