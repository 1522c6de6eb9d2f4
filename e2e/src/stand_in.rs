//! Plays the part of the Deployments' controller and of the nodes: says that pods were started, or what goes wrong.
use std::collections::BTreeMap;
use std::time::Duration;

use futures::TryStreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::sync::watch;

/// What happens to the pods of a namespace.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mode {
    /// They become ready, in the steps of a rolling update.
    #[default]
    Ready,
    /// Nobody looks at the Deployments.
    Away,
    /// The Deployments are seen, but no new pod becomes ready.
    Stuck,
    /// As `Stuck`, and the deadline of the rollout has passed.
    Late,
    /// Every pod is lost.
    Lost,
    /// The API server refuses the pods.
    Refused,
}

/// The stand-in for one namespace; it ends when dropped.
pub struct StandIn {
    mode: watch::Sender<Mode>,
    task: tokio::task::JoinHandle<()>,
}

impl StandIn {
    /// Starts it.
    pub fn start(client: &Client, namespace: &str) -> Self {
        let mode = watch::Sender::new(Mode::default());
        let api = Api::namespaced(client.clone(), namespace);
        let task = tokio::spawn(play(api, mode.subscribe()));
        Self { mode, task }
    }

    /// Changes what happens to the pods.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A Deployment as it was seen last, and the pod template whose pods all run.
#[derive(Default)]
struct Seen {
    body: Value,
    rolled_out: Value,
}

async fn play(api: Api<Deployment>, mut mode: watch::Receiver<Mode>) {
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    let mut events = std::pin::pin!(watcher(api.clone(), watcher::Config::default()));
    loop {
        tokio::select! {
            event = events.try_next() => match event {
                Ok(Some(Event::Apply(deployment) | Event::InitApply(deployment))) => {
                    let name = deployment.name_any();
                    seen.entry(name.clone()).or_default().body = json!(deployment);
                    let mode = *mode.borrow();
                    act(&api, &name, &mut seen, mode).await;
                }
                Ok(Some(Event::Delete(deployment))) => { seen.remove(&deployment.name_any()); }
                Ok(Some(Event::Init | Event::InitDone)) => {}
                Ok(None) => return,
                // The API server may be away on purpose.
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            },
            changed = mode.changed() => {
                if changed.is_err() {
                    return;
                }
                let mode = *mode.borrow_and_update();
                for name in seen.keys().cloned().collect::<Vec<_>>() {
                    act(&api, &name, &mut seen, mode).await;
                }
            }
        }
    }
}

/// Takes one step; its own write brings the next event.
async fn act(api: &Api<Deployment>, name: &str, seen: &mut BTreeMap<String, Seen>, mode: Mode) {
    let Some(entry) = seen.get_mut(name) else { return };
    if entry.body["metadata"]["deletionTimestamp"].is_string() {
        return;
    }
    let Some(status) = next_status(entry, mode) else { return };
    let patch = Patch::Merge(json!({"status": status}));
    for _ in 0..200 {
        match api.patch_status(name, &PatchParams::default(), &patch).await {
            Ok(deployment) => {
                // Its event will say the same.
                entry.body["status"] = json!(deployment.status);
                return;
            }
            // An API server that has just come back asks to wait; no event would bring the step back.
            Err(kube::Error::Api(status)) if status.code < 429 => return,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

fn next_status(seen: &mut Seen, mode: Mode) -> Option<Value> {
    let (body, status) = (&seen.body, &seen.body["status"]);
    let generation = &body["metadata"]["generation"];
    let number = |field: &str| status[field].as_i64().unwrap_or(0);
    let wanted = body["spec"]["replicas"].as_i64().unwrap_or(1);
    let template = &body["spec"]["template"];
    if mode == Mode::Away {
        return None;
    }
    let current = status["observedGeneration"] == *generation;
    let (ready, updated) = match mode {
        Mode::Ready if current => (wanted, wanted),
        Mode::Lost => (0, wanted),
        _ if *template == seen.rolled_out => {
            (number("readyReplicas").min(wanted), number("updatedReplicas").min(wanted))
        }
        _ => (number("readyReplicas"), 0),
    };
    let replicas = if mode == Mode::Ready && current { wanted } else { number("replicas").max(updated) };
    let condition = |type_: &str, status: &str, reason: &str, message: &str| json!([{"type": type_, "status": status, "reason": reason, "message": message}]);
    let conditions = match mode {
        Mode::Late => condition("Progressing", "False", "ProgressDeadlineExceeded", "timed out"),
        Mode::Refused => condition("ReplicaFailure", "True", "FailedCreate", "exceeded quota: small"),
        _ => Value::Null,
    };
    if mode == Mode::Ready && current {
        seen.rolled_out = template.clone();
    }
    let next = json!({
        "observedGeneration": generation, "replicas": replicas, "updatedReplicas": updated,
        "readyReplicas": ready, "availableReplicas": ready, "conditions": conditions,
    });
    let same = ["observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas"]
        .iter()
        .all(|field| next[field] == status[field] || (next[field] == 0 && status.get(field).is_none()));
    let same_conditions = next["conditions"].is_null() == status.get("conditions").is_none_or(Value::is_null);
    (!same || !same_conditions).then_some(next)
}
