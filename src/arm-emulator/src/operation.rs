//! Long-running operations: what they will do, when, and what their URLs answer.
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::clock::{Milliseconds, rfc3339};
use crate::state::{Record, State};

/// How an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    /// Not over yet.
    InProgress,
    /// Over, and all was done.
    Succeeded,
    /// Over, with an error.
    Failed,
    /// Over, by another's will.
    Canceled,
}

/// How an operation is to end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status")]
pub enum Fate {
    /// As asked.
    #[default]
    Succeeded,
    /// With this error.
    Failed {
        /// ARM's error code.
        code: String,
        /// The sentence beside it.
        message: String,
    },
    /// Canceled by another operation.
    Canceled,
    /// Not at all.
    Never,
}

/// What an operation is about to do to its resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Verb {
    /// Make it.
    Create,
    /// Change it.
    Update,
    /// Remove it.
    Delete,
    /// Anything else: start, publish, diagnose.
    Act,
}

/// A change of the state that comes with success.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Effect {
    /// A JSON merge patch of a resource's body.
    Merge(String, Value),
    /// A JSON merge patch of one of its secrets.
    Secret { key: String, pointer: String, patch: Value },
    /// The end of a resource and all below it; a workspace may stay soft-deleted.
    Remove { key: String, soft: bool },
    /// A new resource, as publishing makes one.
    Put(Box<Record>),
}

/// One operation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Operation {
    pub(crate) id: String,
    /// The resource it is about, in lower case.
    pub(crate) key: String,
    pub(crate) verb: Verb,
    /// What can't have another operation meanwhile, in lower case.
    pub(crate) lock: String,
    pub(crate) started: Milliseconds,
    /// When it ends by itself; none when somebody else ends it, or nobody.
    pub(crate) due: Option<Milliseconds>,
    pub(crate) ended: Option<Milliseconds>,
    pub(crate) status: Status,
    pub(crate) fate: Fate,
    pub(crate) error: Option<Value>,
    pub(crate) effects: Vec<Effect>,
    /// What the `Location` form answers in the end.
    pub(crate) result: Option<Value>,
    /// Whether the result is the resource itself.
    pub(crate) returns_resource: bool,
    /// Its URL answers 404, as that of an old operation does.
    pub(crate) gone: bool,
}

impl Operation {
    pub(crate) fn is_running(&self) -> bool {
        self.status == Status::InProgress
    }

    /// The body of the `Azure-AsyncOperation` form.
    pub(crate) fn body(&self, id: &str) -> Value {
        let status = match self.status {
            Status::InProgress => "InProgress",
            Status::Succeeded => "Succeeded",
            Status::Failed => "Failed",
            Status::Canceled => "Canceled",
        };
        let mut body =
            json!({"id": id, "name": self.id, "status": status, "startTime": rfc3339(self.started)});
        body["percentComplete"] = json!(if self.is_running() { 0 } else { 100 });
        if let Some(ended) = self.ended {
            body["endTime"] = json!(rfc3339(ended));
        }
        if let Some(error) = &self.error {
            body["error"] = error.clone();
        }
        if let (Status::Succeeded, Some(result)) = (self.status, &self.result) {
            body["properties"] = result.clone();
        }
        body
    }

    /// The answer of the `Location` form once the operation is over.
    pub(crate) fn location_answer(&self, resource: Option<Value>) -> Answer {
        match self.status {
            Status::InProgress => Answer::empty(202),
            Status::Succeeded if self.verb == Verb::Delete => Answer::empty(204),
            Status::Succeeded => match self.result.clone().or(resource) {
                Some(body) => Answer::json(200, body),
                None => Answer::empty(200),
            },
            Status::Failed => Answer::json(400, json!({"error": self.error})),
            Status::Canceled => Answer::json(409, json!({"error": self.error})),
        }
    }
}

/// How an operation ended, for those who wait for it.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) key: String,
    pub(crate) verb: Verb,
    pub(crate) status: Status,
    pub(crate) removed: Vec<Record>,
}

/// Ends every operation whose time has come.
pub(crate) fn settle(state: &mut State, now: Milliseconds) -> Vec<Ended> {
    let mut due: Vec<(Milliseconds, String)> = state
        .running()
        .filter_map(|one| one.due.filter(|due| *due <= now).map(|due| (due, one.id.clone())))
        .collect();
    due.sort();
    due.into_iter().filter_map(|(at, id)| end(state, &id, at)).collect()
}

/// When the next operation ends by itself.
pub(crate) fn next_due(state: &State) -> Option<Milliseconds> {
    state.running().filter_map(|one| one.due).min()
}

/// Ends one operation as its fate says.
pub(crate) fn end(state: &mut State, id: &str, at: Milliseconds) -> Option<Ended> {
    let operation = state.operation_mut(id).filter(|one| one.is_running())?;
    let (status, error) = match &operation.fate {
        Fate::Succeeded => (Status::Succeeded, None),
        Fate::Failed { code, message } => {
            (Status::Failed, Some(json!({"code": code, "message": message, "details": []})))
        }
        Fate::Canceled => (
            Status::Canceled,
            Some(json!({
                "code": "OperationCanceled",
                "message": "The operation was canceled by another operation that has a higher priority.",
                "details": []
            })),
        ),
        Fate::Never => return None,
    };
    operation.status = status;
    operation.error = error;
    operation.ended = Some(at);
    let (key, verb, effects) =
        (operation.key.clone(), operation.verb, std::mem::take(&mut operation.effects));
    state.ended(id);
    provision(state, &key, verb, status, at);
    let mut removed = Vec::new();
    if status == Status::Succeeded {
        for effect in effects {
            removed.extend(apply(state, effect, at));
        }
    }
    Some(Ended { key, verb, status, removed })
}

/// The provisioning state that an ended operation leaves behind.
fn provision(state: &mut State, key: &str, verb: Verb, status: Status, at: Milliseconds) {
    let Some(record) = state.get_mut(key) else { return };
    let word = match status {
        Status::Failed => "Failed",
        Status::Canceled => "Canceled",
        Status::Succeeded | Status::InProgress => "Succeeded",
    };
    if let Some(now) = record.body.pointer_mut("/properties/provisioningState")
        && verb != Verb::Act
    {
        *now = json!(word);
        record.modified = at;
    }
}

fn apply(state: &mut State, effect: Effect, at: Milliseconds) -> Vec<Record> {
    match effect {
        Effect::Merge(key, patch) => {
            if let Some(record) = state.get_mut(&key) {
                merge(&mut record.body, &patch);
                record.modified = at;
            }
            Vec::new()
        }
        Effect::Secret { key, pointer, patch } => {
            if let Some(record) = state.get_mut(&key) {
                merge(record.secrets.entry(pointer).or_insert(Value::Null), &patch);
            }
            Vec::new()
        }
        Effect::Put(record) => {
            state.put(*record);
            Vec::new()
        }
        Effect::Remove { key, soft } => {
            let removed = state.remove(&key);
            let twin = removed.iter().find(|record| soft && record.key() == key);
            if let Some(twin) = twin.cloned() {
                state.soft_deleted.insert(key, twin);
            }
            removed
        }
    }
}

/// A JSON merge patch (RFC 7386).
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    if let Value::Object(target) = target {
        for (name, value) in patch {
            if value.is_null() {
                target.remove(name);
            } else {
                merge(target.entry(name).or_insert(Value::Null), value);
            }
        }
    }
}
