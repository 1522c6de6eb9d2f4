//! Jobs: from submitted to ended, their cancellation, and what is left of them after a restart.
//!
//! Invariant: a job that has ended has no process left.
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::asset::Finder;
use super::deployments::at_or_below;
use super::local::{JOB, Shared};
use super::process::Tail;
use super::{Control, Event, batch, command_job, pipeline, sweep};
use crate::address::Address;
use crate::clock::{rfc3339, wall};
use crate::operation::{Fate, merge};
use crate::state::text;

/// Jobs that have not ended, pipelines and their steps included.
const RUNNING: usize = 1000;
/// Logs of ended jobs that are kept in memory.
const LOGS: usize = 200;
/// What is kept of a job's log.
const LOG_BYTES: usize = 1 << 20;
/// The file of a job's output that people look for.
pub(crate) const LOG: &str = "user_logs/std_log.txt";

/// A job that runs.
pub(crate) struct Run {
    pub(crate) cancel: CancellationToken,
    pub(crate) log: Arc<Tail>,
    /// The jobs below this one that have not ended.
    below: TaskTracker,
    /// Canceled when all is over.
    ended: CancellationToken,
}

/// All jobs that run, and how many commands may.
pub(crate) struct Jobs {
    running: Mutex<HashMap<String, Arc<Run>>>,
    logs: Mutex<VecDeque<(String, Arc<Tail>)>>,
    pub(crate) slots: Semaphore,
}

/// What a job has of the one above it.
#[derive(Default)]
struct Above {
    cancel: CancellationToken,
    /// Held until the job has ended.
    below: Option<TaskTrackerToken>,
}

/// What a job's kind needs to run it.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) shared: Arc<Shared>,
    pub(crate) control: Control,
    pub(crate) run: Arc<Run>,
    pub(crate) id: String,
    pub(crate) name: String,
    /// The id of its workspace.
    pub(crate) home: String,
    pub(crate) properties: Value,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Jobs {
    pub(crate) fn new(slots: usize) -> Self {
        Self { running: Mutex::default(), logs: Mutex::default(), slots: Semaphore::new(slots) }
    }

    fn get(&self, id: &str) -> Option<Arc<Run>> {
        locked(&self.running).get(&id.to_ascii_lowercase()).cloned()
    }

    /// Ends what is at an id or below it.
    pub(crate) fn remove(&self, id: &str) {
        for (key, run) in locked(&self.running).iter() {
            if at_or_below(id, key) {
                run.cancel.cancel();
            }
        }
    }

    /// What a job has said so far, if it runs or ended not long ago.
    pub(crate) fn log(&self, id: &str) -> Option<String> {
        let key = id.to_ascii_lowercase();
        let logs = locked(&self.logs);
        let found = logs.iter().rev().find(|(other, _)| *other == key);
        found.map(|(_, tail)| tail.last(usize::MAX))
    }

    /// A new run, unless there is one already.
    fn add(&self, id: &str, cancel: CancellationToken) -> Option<Arc<Run>> {
        let key = id.to_ascii_lowercase();
        let mut running = locked(&self.running);
        if running.contains_key(&key) {
            return None;
        }
        let log = Arc::new(Tail::new(LOG_BYTES));
        let run =
            Run { cancel, log: Arc::clone(&log), below: TaskTracker::new(), ended: CancellationToken::new() };
        let run = Arc::new(run);
        running.insert(key.clone(), Arc::clone(&run));
        let mut logs = locked(&self.logs);
        logs.push_back((key, log));
        if logs.len() > LOGS {
            logs.pop_front();
        }
        Some(run)
    }
}

impl Job {
    pub(crate) fn finder(&self) -> Finder<'_> {
        Finder { control: &self.control, home: &self.home, endpoint: self.shared.blobs.endpoint() }
    }

    /// Changes the job's properties as the world sees them.
    pub(crate) fn patch(&self, properties: &Value) {
        self.control.merge(&self.id, &json!({"properties": properties}));
    }

    /// A status on the way; one that was asked to end keeps saying so.
    pub(crate) fn status(&self, status: &str) {
        if !self.run.cancel.is_cancelled() {
            self.patch(&json!({"status": status}));
        }
    }

    /// Keeps bytes among the job's artifacts.
    pub(crate) async fn artifact(&self, name: &str, bytes: Bytes) -> anyhow::Result<()> {
        let place = self.finder().artifacts(&self.name)?.child(name);
        self.shared.blobs.write(&place, bytes).await
    }

    /// Makes a job below this one, runs it to its end, and gives it as it then is.
    pub(crate) async fn child(&self, name: &str, mut properties: Value) -> anyhow::Result<Value> {
        let id = format!("{}/jobs/{name}", self.home);
        properties["properties"]["azureml.parentRunId"] = json!(self.name);
        properties["experimentName"] = self.properties["experimentName"].clone();
        let body = new(name, &properties);
        ensure!(self.control.create(&id, JOB, body), "there is a job '{name}' already");
        let above = Above { cancel: self.run.cancel.child_token(), below: Some(self.run.below.token()) };
        start(&self.shared, &self.control, &id, above)?.ended.cancelled().await;
        self.control.resource(&id).with_context(|| format!("the job '{name}' is gone"))
    }
}

/// The body of a job that the emulator itself makes.
pub(crate) fn new(name: &str, given: &Value) -> Value {
    let service = json!({"endpoint": "azureml://emulator/mlflow/v1.0", "jobServiceType": null, "port": null,
        "status": null});
    let mut properties = json!({
        "status": "Starting", "displayName": name, "experimentName": "Default", "isArchived": false, "tags": {},
        "properties": {}, "inputs": {}, "outputs": {}, "services": {"Tracking": service}, "parameters": {},
    });
    merge(&mut properties, given);
    json!({"properties": properties})
}

/// A job was stored: a new one is run.
pub(crate) fn submitted(shared: &Arc<Shared>, id: &str, control: &Control) {
    let Some(job) = control.resource(id) else { return };
    if !["NotStarted", "Starting"].contains(&text(&job, "/properties/status")) {
        return;
    }
    // A job that runs already was only changed.
    if let Err(error) = start(shared, control, id, Above::default()) {
        let error = format!("{error:#}");
        control
            .merge(id, &json!({"properties": {"status": "Failed", "properties": {"azureml.error": error}}}));
    }
}

fn start(shared: &Arc<Shared>, control: &Control, id: &str, above: Above) -> anyhow::Result<Arc<Run>> {
    ensure!(
        locked(&shared.jobs.running).len() < RUNNING,
        "the emulator runs as many jobs as it can ({RUNNING})"
    );
    let body = control.resource(id).context("the job is gone")?;
    let address = Address::parse(id).context("the job has no id")?;
    let Some(run) = shared.jobs.add(id, above.cancel) else {
        return shared.jobs.get(id).context("the job has just ended");
    };
    let job = Job {
        shared: Arc::clone(shared),
        control: control.clone(),
        run: Arc::clone(&run),
        id: text(&body, "/id").to_owned(),
        name: address.name().to_owned(),
        home: address.ancestor(1).map(|workspace| workspace.id()).unwrap_or_default(),
        properties: body["properties"].clone(),
    };
    shared.spawn(async move {
        to_the_end(job).await;
        drop(above.below);
    });
    Ok(run)
}

async fn to_the_end(job: Job) {
    let started = rfc3339(wall());
    let result = tokio::select! {
        result = execute(&job) => result,
        () = job.run.cancel.cancelled() => Ok(json!({})),
    };
    job.run.below.close();
    job.run.below.wait().await;
    let mut patch = json!({"properties": {"StartTimeUtc": started}});
    match result {
        _ if job.run.cancel.is_cancelled() => {
            job.run.log.push("The job was canceled.");
            patch["status"] = json!("Canceled");
        }
        Ok(more) => {
            patch["status"] = json!("Completed");
            merge(&mut patch, &more);
        }
        Err(error) => {
            let message = format!("{error:#}");
            job.run.log.push(&message);
            patch["status"] = json!("Failed");
            patch["properties"]["azureml.error"] = json!(message);
        }
    }
    let log = job.run.log.last(usize::MAX);
    if let Err(error) = job.artifact(LOG, log.into()).await {
        job.run.log.push(&format!("failed to keep the log: {error:#}"));
    }
    patch["properties"]["EndTimeUtc"] = json!(rfc3339(wall()));
    job.patch(&patch);
    locked(&job.shared.jobs.running).remove(&job.id.to_ascii_lowercase());
    job.run.ended.cancel();
}

async fn execute(job: &Job) -> anyhow::Result<Value> {
    let kind = text(&job.properties, "/jobType").to_ascii_lowercase();
    match kind.as_str() {
        "command" => {
            let _slot = job.shared.jobs.slots.acquire().await?;
            command_job::run(job).await
        }
        "pipeline" if batch::is_batch(&job.properties) => {
            let _slot = job.shared.jobs.slots.acquire().await?;
            batch::run(job).await
        }
        "pipeline" => pipeline::run(job).await,
        "sweep" => sweep::run(job).await,
        _ => bail!("the emulator runs no jobs of the type '{}'", text(&job.properties, "/jobType")),
    }
}

/// A job is to be canceled: its operation ends when its processes are gone.
pub(crate) fn cancel(shared: &Arc<Shared>, event: Event, control: Control) {
    let waits = |operation: &String| control.held().iter().any(|(held, _)| held == operation);
    let Some(operation) = event.operation.filter(waits) else { return };
    let run = shared.jobs.get(&event.id);
    shared.spawn(async move {
        if let Some(run) = run {
            run.cancel.cancel();
            run.ended.cancelled().await;
        }
        control.finish(&operation, Fate::Succeeded, None);
    });
}

/// Jobs of the state that was loaded: those that had begun are lost, those that had not are run.
pub(crate) fn resume(shared: &Arc<Shared>, control: &Control) {
    for (operation, key) in control.held() {
        if Address::parse(&key).is_some_and(|address| address.kind() == JOB.to_ascii_lowercase()) {
            control.finish(&operation, Fate::Succeeded, None);
        }
    }
    for job in control.resources(JOB) {
        let id = text(&job, "/id");
        let lost = |status: &str| {
            let error = "the emulator was restarted while the job was running";
            let patch = json!({"properties": {"status": status, "properties": {"azureml.error": error}}});
            control.merge(id, &patch);
        };
        match text(&job, "/properties/status") {
            "NotStarted" | "Starting"
                if text(&job, "/properties/properties/azureml.parentRunId").is_empty() =>
            {
                submitted(shared, id, control);
            }
            "NotStarted" | "Starting" | "Running" | "Finalizing" => lost("Failed"),
            "CancelRequested" => lost("Canceled"),
            _ => {}
        }
    }
}
