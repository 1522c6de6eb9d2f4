//! Online deployments: the model fetched, the servers started, and the operation ended as they do.
//!
//! Invariant: a deployment that is updated goes on answering with its old servers until the new ones are ready.
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Semaphore;

use super::asset::Finder;
use super::local::{DEPLOYMENT, Shared};
use super::process::Tail;
use super::serving::{self, Launch, Server};
use super::{Control, blobs};
use crate::address::Address;
use crate::operation::Fate;
use crate::state::text;

/// Processes of one deployment, however many instances it asks for.
const INSTANCES: usize = 2;
/// Processes of all deployments.
const PROCESSES: usize = 64;
/// Servers that start at the same time.
const STARTING: usize = 2;
/// The largest model.
pub(crate) const MODEL_BYTES: u64 = 1 << 30;
/// What is kept of a deployment's log.
const LOG_BYTES: usize = 256 * 1024;

/// How much of a deployment may be in use at a time.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) slots: Semaphore,
    /// Requests that run or wait.
    pub(crate) inside: AtomicUsize,
    pub(crate) most: usize,
    pub(crate) timeout: Duration,
    pub(crate) wait: Duration,
}

/// A deployment that answers.
#[derive(Debug)]
pub(crate) struct Deployment {
    pub(crate) name: String,
    pub(crate) launch: Launch,
    pub(crate) gate: Gate,
    /// What the servers were started from; the same again needs no new ones.
    source: String,
    servers: Mutex<Vec<Arc<Server>>>,
    turn: AtomicUsize,
    reviving: tokio::sync::Mutex<()>,
    /// Holds the model's file as long as a server may be started from it.
    folder: Arc<TempDir>,
}

/// What a deployment said, by its containers.
#[derive(Clone, Debug)]
struct Logs {
    server: Arc<Tail>,
    storage: Arc<Tail>,
}

/// How many requests a deployment got.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    answered: u64,
    failed: u64,
    refused: u64,
    mirrored: u64,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tally {
    Answered,
    Failed,
    Refused,
    Mirrored,
}

/// All deployments that answer, by their ids in lower case.
#[derive(Default)]
pub(crate) struct Deployments {
    running: Mutex<HashMap<String, Arc<Deployment>>>,
    logs: Mutex<HashMap<String, Logs>>,
    counts: Mutex<BTreeMap<String, Count>>,
    starting: Starting,
}

struct Starting(Semaphore);

impl Default for Starting {
    fn default() -> Self {
        Self(Semaphore::new(STARTING))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether `key` is `id` or lies below it.
pub(crate) fn at_or_below(id: &str, key: &str) -> bool {
    crate::address::covers(&id.to_ascii_lowercase(), key)
}

impl Deployments {
    pub(crate) fn get(&self, id: &str) -> Option<Arc<Deployment>> {
        locked(&self.running).get(&id.to_ascii_lowercase()).cloned()
    }

    /// Ends what is at an id or below it.
    pub(crate) fn remove(&self, id: &str) {
        locked(&self.running).retain(|key, _| !at_or_below(id, key));
        locked(&self.logs).retain(|key, _| !at_or_below(id, key));
        locked(&self.counts).retain(|key, _| !at_or_below(id, key));
    }

    pub(crate) fn log(&self, id: &str, container: &str, lines: usize) -> Option<String> {
        let logs = locked(&self.logs).get(&id.to_ascii_lowercase()).cloned()?;
        let tail =
            if container.eq_ignore_ascii_case("StorageInitializer") { logs.storage } else { logs.server };
        Some(tail.last(lines))
    }

    pub(crate) fn count(&self, id: &str, tally: Tally) {
        let mut counts = locked(&self.counts);
        let count = counts.entry(id.to_ascii_lowercase()).or_default();
        match tally {
            Tally::Answered => count.answered += 1,
            Tally::Failed => count.failed += 1,
            Tally::Refused => count.refused += 1,
            Tally::Mirrored => count.mirrored += 1,
        }
    }

    /// What each deployment got so far.
    pub(crate) fn counts(&self) -> Value {
        let counts = locked(&self.counts);
        let one = |(id, count): (&String, &Count)| {
            json!({"id": id, "answered": count.answered, "failed": count.failed, "refused": count.refused,
                "mirrored": count.mirrored})
        };
        json!({"value": counts.iter().map(one).collect::<Vec<_>>()})
    }

    fn new_logs(&self, id: &str) -> Logs {
        let logs = Logs { server: Arc::new(Tail::new(LOG_BYTES)), storage: Arc::new(Tail::new(LOG_BYTES)) };
        locked(&self.logs).insert(id.to_ascii_lowercase(), logs.clone());
        logs
    }

    fn processes(&self) -> usize {
        locked(&self.running).values().map(|deployment| locked(&deployment.servers).len()).sum()
    }
}

impl Deployment {
    /// A server that lives, in turn; a new one where all have ended.
    pub(crate) async fn server(&self, shared: &Arc<Shared>) -> Result<Arc<Server>, String> {
        if let Some(server) = self.alive() {
            return Ok(server);
        }
        let _turn = self.reviving.lock().await;
        if let Some(server) = self.alive() {
            return Ok(server);
        }
        let server = Arc::new(serving::start(shared, &self.launch).await?);
        *locked(&self.servers) = vec![Arc::clone(&server)];
        Ok(server)
    }

    fn alive(&self) -> Option<Arc<Server>> {
        let servers = locked(&self.servers);
        let alive: Vec<&Arc<Server>> = servers.iter().filter(|server| server.is_alive()).collect();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        alive.get(turn.checked_rem(alive.len())?).map(|server| Arc::clone(server))
    }
}

/// Whether a deployment is one that runs here.
pub(crate) fn is_run(shared: &Shared, body: &Value) -> bool {
    shared.options.model_server.is_some()
        && !text(body, "/properties/model").is_empty()
        && ["Managed", "Kubernetes"]
            .iter()
            .any(|kind| kind.eq_ignore_ascii_case(text(body, "/properties/endpointComputeType")))
}

/// A deployment is to be made or changed, and its operation waits.
pub(crate) fn begin(shared: &Arc<Shared>, id: String, operation: Option<String>, control: Control) {
    let waits = |operation: &String| control.held().iter().any(|(held, _)| held == operation);
    let Some(operation) = operation.filter(waits) else { return };
    let shared_then = Arc::clone(shared);
    shared.spawn(async move {
        let clock = &control.core.clock;
        let least = tokio::time::sleep(clock.wall_time(control.core.settings.duration(DEPLOYMENT)));
        let (fate, ()) = tokio::join!(attempt(&shared_then, &control, &id), least);
        control.finish(&operation, fate, None);
    });
}

async fn attempt(shared: &Arc<Shared>, control: &Control, id: &str) -> Fate {
    let failed = match deploy(shared, control, id).await {
        Ok(deployment) => {
            locked(&shared.deployments.running).insert(id.to_ascii_lowercase(), Arc::new(deployment));
            return Fate::Succeeded;
        }
        Err(error) => format!("{error:#}"),
    };
    let message = format!(
        "User container has crashed or terminated: {failed}. Please see troubleshooting guide, available here: \
         https://aka.ms/oe-tsg#error-resourcenotready"
    );
    Fate::Failed { code: "ResourceNotReady".to_owned(), message }
}

/// Deployments and operations of the state that was loaded.
pub(crate) fn resume(shared: &Arc<Shared>, control: &Control) {
    let held = control.held();
    for body in control.resources(DEPLOYMENT) {
        let id = text(&body, "/id").to_owned();
        let key = id.to_ascii_lowercase();
        if let Some((operation, _)) = held.iter().find(|(_, held)| *held == key) {
            begin(shared, id, Some(operation.clone()), control.clone());
        } else if is_run(shared, &body) && text(&body, "/properties/provisioningState") == "Succeeded" {
            let (shared_then, control) = (Arc::clone(shared), control.clone());
            shared.spawn(async move {
                // What it says when it fails is in its log, where people look.
                attempt(&shared_then, &control, &id).await;
            });
        }
    }
}

async fn deploy(shared: &Arc<Shared>, control: &Control, id: &str) -> anyhow::Result<Deployment> {
    let body = control.resource(id).context("the deployment is gone")?;
    let address = Address::parse(id).context("the deployment has no id")?;
    let capacity = body.pointer("/sku/capacity").and_then(Value::as_u64).unwrap_or(1).max(1) as usize;
    let gate = gate(&body, capacity);
    let variables = variables(&body);
    let model = text(&body, "/properties/model").to_owned();
    let wanted = capacity.min(INSTANCES);
    let source = format!("{model} {variables:?} {wanted}");
    if let Some(same) = shared.deployments.get(id).filter(|one| one.source == source && one.alive().is_some())
    {
        let servers = Mutex::new(locked(&same.servers).clone());
        return Ok(Deployment {
            name: same.name.clone(),
            launch: same.launch.clone(),
            gate,
            source,
            servers,
            turn: AtomicUsize::new(0),
            reviving: tokio::sync::Mutex::default(),
            folder: Arc::clone(&same.folder),
        });
    }
    ensure!(
        shared.deployments.processes() + wanted <= PROCESSES,
        "the emulator runs as many model servers as it can ({PROCESSES})"
    );
    let logs = shared.deployments.new_logs(id);
    let home = address.ancestor(1).map(|workspace| workspace.id()).unwrap_or_default();
    let folder = Arc::new(tempfile::tempdir()?);
    let file = fetched(shared, control, (&home, &model), folder.path(), &logs.storage).await?;
    let (name, version) = asset_name(&model);
    let launch = Launch { model: file, name, version, variables, log: Arc::clone(&logs.server) };
    let mut servers = Vec::new();
    for _ in 0..wanted {
        let _slot = shared.deployments.starting.0.acquire().await?;
        match serving::start(shared, &launch).await {
            Ok(server) => servers.push(Arc::new(server)),
            Err(message) => {
                logs.server.push(&message);
                bail!(message);
            }
        }
    }
    Ok(Deployment {
        name: address.name().to_owned(),
        launch,
        gate,
        source,
        servers: Mutex::new(servers),
        turn: AtomicUsize::new(0),
        reviving: tokio::sync::Mutex::default(),
        folder,
    })
}

fn gate(body: &Value, capacity: usize) -> Gate {
    let settings = &body["properties"]["requestSettings"];
    let at_once = settings["maxConcurrentRequestsPerInstance"].as_u64().unwrap_or(1).clamp(1, 1000) as usize;
    let slots = at_once * capacity;
    Gate {
        slots: Semaphore::new(slots),
        inside: AtomicUsize::new(0),
        // One running and one waiting for each slot.
        most: 2 * slots,
        timeout: duration(text(settings, "/requestTimeout"), Duration::from_secs(5)),
        wait: duration(text(settings, "/maxQueueWait"), Duration::from_millis(500)),
    }
}

/// An ISO 8601 duration, at most three minutes as Azure has it.
fn duration(iso: &str, otherwise: Duration) -> Duration {
    let parsed = iso.parse::<jiff::SignedDuration>().ok().and_then(|span| Duration::try_from(span).ok());
    parsed.unwrap_or(otherwise).min(Duration::from_mins(3))
}

fn variables(body: &Value) -> Vec<(String, String)> {
    let map = body["properties"]["environmentVariables"].as_object();
    let pair = |(name, value): (&String, &Value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let plain = !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0');
        plain.then(|| (name.clone(), value))
    };
    map.into_iter().flatten().filter_map(pair).collect()
}

/// The name and the version in a model's id.
pub(crate) fn asset_name(id: &str) -> (String, String) {
    let segments: Vec<&str> = id.split('/').collect();
    let after = |word: &str| {
        let at = segments.iter().position(|segment| segment.eq_ignore_ascii_case(word))?;
        segments.get(at + 1).map(|name| (*name).to_owned())
    };
    let short = id.strip_prefix("azureml:").and_then(|rest| rest.split_once(':'));
    if let Some((name, version)) = short.filter(|(name, _)| !name.contains('/')) {
        return (name.to_owned(), version.to_owned());
    }
    (
        after("models").unwrap_or_else(|| "model".to_owned()),
        after("versions").unwrap_or_else(|| "1".to_owned()),
    )
}

/// The model's file, fetched into a folder; `log` hears what the storage initializer would say.
pub(crate) async fn fetched(
    shared: &Shared,
    control: &Control,
    (home, model): (&str, &str),
    folder: &Path,
    log: &Tail,
) -> anyhow::Result<PathBuf> {
    let fetched = async {
        let finder = Finder { control, home, endpoint: shared.blobs.endpoint() };
        let place = finder.find(model, "models")?;
        log.push(&format!("Downloading {place}"));
        let path = shared.blobs.download(&place, folder, MODEL_BYTES).await?;
        let names = blobs::files(&path)?;
        let found: Vec<&str> = names
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| name.is_empty() || name.to_ascii_lowercase().ends_with(".onnx"))
            .collect();
        match found.as_slice() {
            [""] => Ok(path),
            [one] => Ok(path.join(one)),
            [] => bail!("the model '{model}' has no .onnx file"),
            several => bail!("the model '{model}' has {} .onnx files, and one is needed", several.len()),
        }
    };
    let file: anyhow::Result<PathBuf> = fetched.await;
    match &file {
        Ok(_) => log.push("Download finished"),
        Err(error) => log.push(&format!("Download failed: {error:#}")),
    }
    file
}
