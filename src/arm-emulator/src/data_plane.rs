//! The boundary to the data plane: what happens to resources is told to it, and what is below its paths is
//! answered by it.
//!
//! The control plane works without one: operations then end by the clock, and nothing is ever scored.
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;

pub use self::blobs::{Service, Storage};
pub use self::local::{Local, Options};

use crate::answer::Answer;
use crate::core::Core;
use crate::operation::{self, Effect, Fate};
use crate::state::{RESOURCES, Record};

mod asset;
mod batch;
mod blobs;
mod command_job;
mod deployments;
mod history;
mod jobs;
mod ledger;
mod local;
mod metrics;
mod pipeline;
mod process;
mod rows;
mod sandbox;
mod schedules;
mod score;
mod serving;
mod signature;
mod substitute;
mod sweep;
mod translate;

/// What happened to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is stored, and its operation has begun (create, update, or an action such as `start`).
    Started,
    /// It is stored for good: at once (a job, a model) or because its operation succeeded.
    Succeeded,
    /// Its operation failed or was canceled.
    Failed,
    /// Its deletion has begun.
    Deleting,
    /// It is gone, and so is all below it.
    Deleted,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// The resource's id. Compare without regard to case.
    pub id: String,
    /// Its type in ARM's spelling, `Microsoft.MachineLearningServices/workspaces/jobs`; empty where unknown.
    pub kind: String,
    /// What happened.
    pub change: Change,
    /// The operation that began, by the name that [`Control::finish`] takes.
    pub operation: Option<String>,
}

/// A request below a path that is not ARM's.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path, not decoded.
    pub path: String,
    /// The query, not decoded; empty where there is none.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// The scheme and authority that the client used.
    pub base: String,
}

/// Requests that a deployment answered in the same second in the same way.
#[derive(Clone, Debug, PartialEq)]
pub struct Served {
    /// When, in milliseconds since 1970 by the wall clock.
    pub at: i64,
    /// The name of the deployment, in lower case.
    pub deployment: String,
    /// The status of the answer.
    pub status: u16,
    /// The status that the model gave.
    pub model_status: u16,
    /// How many.
    pub count: u64,
    /// How long they took, in milliseconds; of many only some.
    pub latencies: Vec<f64>,
}

/// An answer that is still being made.
pub type Pending = Pin<Box<dyn Future<Output = Option<Answer>> + Send>>;

/// What runs behind the control plane.
pub trait DataPlane: Send + Sync {
    /// Whether the operation that begins waits for [`Control::finish`] instead of the clock. Called while the
    /// state is locked: it must return at once and must not use a [`Control`]. `body` is the resource as stored.
    fn holds(&self, event: &Event, body: &Value) -> bool;

    /// Called after the state has changed, without a lock, in the order of the changes. It must not block:
    /// long work is spawned.
    fn observe(&self, event: Event, control: Control);

    /// Called once at the start, when resources and running operations may have come from a state file.
    fn resume(&self, control: Control);

    /// Answers what is no path of ARM, of the token endpoints or of the emulator's own interface, such as
    /// `/emulator/inference/{region}/{endpoint}/score`. `None` gives 404.
    fn serve(&self, request: Request, control: Control) -> Pending;

    /// The newest lines of a deployment's container, for `getLogs`; `None` gives an empty log.
    fn logs(&self, deployment: &str, container: &str, lines: usize) -> Option<String>;

    /// What the deployments of an endpoint answered from one time until before another, for its metrics. Called while the
    /// state is locked: it must return at once and must not use a [`Control`].
    fn served(&self, _endpoint: &str, _span: (i64, i64)) -> Vec<Served> {
        Vec::new()
    }

    /// Waits until a link to a container that was just handed out leads somewhere.
    fn settle(&self, _account: String, _container: String) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::ready(()))
    }

    /// Ends everything that runs. It begins to end at the call; the future waits for the end.
    fn stop(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::ready(()))
    }
}

/// What a data plane can read and write.
#[derive(Clone)]
pub struct Control {
    pub(crate) core: Arc<Core>,
}

impl Control {
    /// A resource's stored body with its `id`; URLs that lead to the emulator begin with `emulator:/`.
    pub fn resource(&self, id: &str) -> Option<Value> {
        let state = self.core.state();
        let record = state.get(&id.to_ascii_lowercase())?;
        Some(with_id(record.body.clone(), &record.id))
    }

    /// A write-only field of a resource, by JSON pointer: `/properties/keys`, say.
    pub fn secret(&self, id: &str, pointer: &str) -> Option<Value> {
        self.core.state().get(&id.to_ascii_lowercase())?.secrets.get(pointer).cloned()
    }

    /// All resources of a type.
    pub fn resources(&self, kind: &str) -> Vec<Value> {
        let state = self.core.state();
        state.of_kind(kind).map(|record| with_id(record.body.clone(), &record.id)).collect()
    }

    /// Stores a new resource, as a pipeline makes its steps; false where there is one of that id.
    pub fn create(&self, id: &str, kind: &str, body: Value) -> bool {
        let mut state = self.core.state();
        if state.get(&id.to_ascii_lowercase()).is_some() || state.len() >= RESOURCES {
            return false;
        }
        let now = self.core.clock.now();
        let record = Record {
            id: id.to_owned(),
            kind: kind.to_owned(),
            body,
            secrets: std::collections::BTreeMap::new(),
            created: now,
            modified: now,
            created_by: "emulator".to_owned(),
            sequence: state.next(),
        };
        state.put(record);
        drop(state);
        self.core.touched();
        true
    }

    /// Changes a resource's body by a JSON merge patch; false where it is gone.
    pub fn merge(&self, id: &str, patch: &Value) -> bool {
        let mut state = self.core.state();
        let now = self.core.clock.now();
        let Some(record) = state.get_mut(&id.to_ascii_lowercase()) else { return false };
        operation::merge(&mut record.body, patch);
        record.modified = now;
        drop(state);
        self.core.touched();
        true
    }

    /// The operations that wait for [`Control::finish`]: the name of each and the id of its resource, in
    /// lower case.
    pub fn held(&self) -> Vec<(String, String)> {
        let state = self.core.state();
        let held = |one: &&operation::Operation| one.due.is_none() && one.fate == Fate::Succeeded;
        state.running().filter(held).map(|one| (one.id.clone(), one.key.clone())).collect()
    }

    /// Ends an operation that [`DataPlane::holds`] held; `patch` is merged into the resource on success.
    pub fn finish(&self, operation: &str, fate: Fate, patch: Option<Value>) {
        let now = self.core.clock.now();
        let mut state = self.core.state();
        if let Some(one) = state.operation_mut(operation) {
            one.fate = fate;
            let key = one.key.clone();
            one.effects.extend(patch.map(|patch| Effect::Merge(key, patch)));
        }
        let ended = operation::end(&mut state, operation, now);
        drop(state);
        self.core.touched();
        self.core.tell(ended.into_iter().filter_map(crate::engine::ended).collect());
    }

    /// The GUID, region and id of the workspace that a resource lies in.
    pub fn workspace(&self, id: &str) -> Option<Value> {
        let address = crate::address::Address::parse(id)?.ancestor(1)?;
        self.resource(&address.id())
    }

    /// Whether a bearer token was issued by this emulator and is good now.
    pub fn accepts_token(&self, token: &str) -> bool {
        self.core.issuer.check(token).is_ok()
    }

    /// Where things may be kept that belong to the state: beside the state file, if there is one.
    pub fn state_file(&self) -> Option<std::path::PathBuf> {
        self.core.settings.state.clone()
    }
}

fn with_id(mut body: Value, id: &str) -> Value {
    body["id"] = Value::String(id.to_owned());
    body
}
