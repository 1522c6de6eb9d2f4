//! Records every status that an Endpoint ever had, beside its Deployment, and finds those that were not true.
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures::TryStreamExt as _;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Resource};
use serde_json::{Value, json};

/// How long a Deployment's change may have been under way to the operator when it wrote a status.
const UNDER_WAY: Duration = Duration::from_secs(10);

/// One version of an object.
struct Version {
    number: u64,
    seen: Instant,
    deployment: bool,
    deleted: bool,
    body: Value,
}

/// A record of one namespace.
#[derive(Clone)]
pub struct Truth {
    versions: Arc<Mutex<Vec<Version>>>,
    tasks: Arc<Tasks>,
}

struct Tasks(Vec<tokio::task::JoinHandle<()>>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl Truth {
    /// Starts to record.
    pub fn start(client: &Client, namespace: &str) -> Self {
        let versions = Arc::default();
        let endpoints = ApiResource::erase::<api::Endpoint>(&());
        let deployments = ApiResource::erase::<k8s_openapi::api::apps::v1::Deployment>(&());
        let tasks = [(endpoints, false), (deployments, true)].map(|(resource, deployment)| {
            let api = Api::namespaced_with(client.clone(), namespace, &resource);
            tokio::spawn(record(api, deployment, Arc::clone(&versions)))
        });
        Self { versions, tasks: Arc::new(Tasks(tasks.into())) }
    }

    /// The statuses seen so far.
    pub fn count(&self) -> usize {
        self.versions().iter().filter(|version| !version.deployment).count()
    }

    /// Fails with every status that was not true.
    pub fn verify(&self) -> anyhow::Result<()> {
        let mut versions = self.versions();
        versions.sort_by_key(|version| version.number);
        let mut lies = Vec::new();
        for (index, version) in versions.iter().enumerate() {
            if !version.deployment && !version.deleted && !is_old(&versions[..index], version) {
                lies.extend(shape(&version.body));
                lies.extend(readiness(&versions[..index], version));
            }
        }
        ensure!(lies.is_empty(), "{} statuses were not true:\n{}", lies.len(), lies.join("\n"));
        Ok(())
    }

    /// Whether the recorder still runs.
    pub fn is_recording(&self) -> bool {
        self.tasks.0.iter().all(|task| !task.is_finished())
    }

    fn versions(&self) -> std::sync::MutexGuard<'_, Vec<Version>> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn record(api: Api<DynamicObject>, deployment: bool, versions: Arc<Mutex<Vec<Version>>>) {
    let mut events = std::pin::pin!(watcher(api, watcher::Config::default()));
    loop {
        let (object, deleted) = match events.try_next().await {
            Ok(Some(Event::Apply(object) | Event::InitApply(object))) => (object, false),
            Ok(Some(Event::Delete(object))) => (object, true),
            Ok(Some(Event::Init | Event::InitDone)) => continue,
            Ok(None) => return,
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let number = object.meta().resource_version.as_deref().and_then(|text| text.parse().ok());
        let version = Version {
            number: number.unwrap_or(0),
            seen: Instant::now(),
            deployment,
            deleted,
            body: json!(object),
        };
        versions.lock().unwrap_or_else(PoisonError::into_inner).push(version);
    }
}

fn same_name(left: &Version, right: &Version) -> bool {
    left.body["metadata"]["name"] == right.body["metadata"]["name"]
}

/// Whether this version's status is the one that the version before had.
fn is_old(before: &[Version], version: &Version) -> bool {
    let last = before.iter().rev().find(|it| !it.deployment && same_name(it, version));
    last.is_some_and(|last| last.body["status"] == version.body["status"])
}

fn condition<'a>(body: &'a Value, type_: &str) -> Option<&'a Value> {
    body["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == type_)
}

fn holds(body: &Value, type_: &str) -> bool {
    condition(body, type_).is_some_and(|condition| condition["status"] == "True")
}

/// What is wrong with the conditions among themselves.
fn shape(body: &Value) -> Vec<String> {
    let status = &body["status"];
    if status.get("conditions").is_none() {
        return Vec::new();
    }
    let (ready, reconciling, stalled) =
        (holds(body, "Ready"), holds(body, "Reconciling"), holds(body, "Stalled"));
    let mut wrong = Vec::new();
    if [ready, reconciling, stalled].iter().filter(|holds| **holds).count() != 1 {
        wrong.push("not exactly one of Ready, Reconciling and Stalled holds");
    }
    if condition(body, "Ready").is_none() {
        wrong.push("there is no condition Ready");
    }
    if status["observedGeneration"].as_i64() > body["metadata"]["generation"].as_i64() {
        wrong.push("observedGeneration is ahead of the generation");
    }
    let of_another = |condition: &Value| condition["observedGeneration"] != status["observedGeneration"];
    let of_progress = ["Ready", "Reconciling", "Stalled"].iter().filter_map(|type_| condition(body, type_));
    if of_progress.into_iter().any(of_another) {
        wrong.push("a condition speaks of another generation than the status");
    }
    wrong.into_iter().map(|what| format!("{what}: {} {status}", body["metadata"]["name"])).collect()
}

/// Whether `Ready` is said of a Deployment that was not rolled out.
fn readiness(before: &[Version], version: &Version) -> Option<String> {
    let body = &version.body;
    let speaks_of_spec = body["status"]["observedGeneration"] == body["metadata"]["generation"];
    // What runs in Azure has no Deployment.
    let is_here = matches!(body["spec"]["target"]["type"].as_str(), None | Some("Kubernetes"));
    if !holds(body, "Ready") || !speaks_of_spec || !is_here {
        return None;
    }
    // With a progressive strategy, the Deployment has the stable revision's name.
    let stable = &body["status"]["rollout"]["stable"];
    let runs =
        |it: &&Version| it.deployment && (same_name(it, version) || it.body["metadata"]["name"] == *stable);
    let deployments: Vec<&Version> = before.iter().filter(runs).collect();
    let known = deployments.iter().enumerate().filter(|(index, _)| {
        let next = deployments.get(index + 1);
        next.is_none_or(|next| next.seen + UNDER_WAY > version.seen)
    });
    let mut reasons = Vec::new();
    for (_, deployment) in known {
        match unready(body, deployment) {
            None => return None,
            Some(reason) => reasons.push(reason),
        }
    }
    Some(format!(
        "{} says Ready at version {}, but its Deployment: {}",
        body["metadata"]["name"],
        version.number,
        if reasons.is_empty() { "does not exist".to_owned() } else { reasons.join("; ") }
    ))
}

fn unready(endpoint: &Value, version: &Version) -> Option<String> {
    let (body, status) = (&version.body, &version.body["status"]);
    let number = |value: &Value| value.as_i64().unwrap_or(0);
    let scaling = &endpoint["spec"]["scaling"];
    let least = scaling["replicas"].as_i64().or(scaling["minReplicas"].as_i64()).unwrap_or(1);
    let named = endpoint["spec"]["model"]["uri"].as_str();
    let uri = named.or_else(|| endpoint["status"]["resolvedModel"]["url"].as_str()).unwrap_or_default();
    let uri = uri.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let model = body["spec"]["template"]["metadata"]["annotations"]["mlops-operator.dev/model"].as_str();
    let model = model.unwrap_or_default().trim_end_matches('/');
    let said = format!("version {}: {status}", version.number);
    if version.deleted {
        return Some("is deleted".to_owned());
    }
    if model != uri {
        return Some(format!("runs the model {model}, not {uri}"));
    }
    let rolled_out = number(&status["observedGeneration"]) >= number(&body["metadata"]["generation"])
        && number(&status["updatedReplicas"]) >= least
        && number(&status["replicas"]) <= number(&status["updatedReplicas"])
        && number(&status["availableReplicas"]) >= least;
    (!rolled_out).then_some(said)
}
