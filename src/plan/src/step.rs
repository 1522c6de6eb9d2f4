//! What a plan consists of: steps to take, the status to report, the events to publish, and when to look again.
use std::fmt;
use std::time::Duration;

use api::Reason;
use serde_json::Value;

use crate::child::ChildKind;

/// What to do about one object, decided from one observation of the world.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan<Status> {
    /// The writes, in the order in which they must happen. None means that the world is as wanted.
    pub steps: Vec<Step>,
    /// The status once the steps are done.
    pub status: Status,
    /// What changed since the last status, for people who read events.
    pub events: Vec<Event>,
    /// When to look again.
    pub next: Next,
}

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Create or change an object by server-side apply.
    Apply(Apply),
    /// Delete an object, if it still is the one that was seen.
    Delete(Delete),
}

/// A server-side apply.
#[derive(Clone, Debug, PartialEq)]
pub struct Apply {
    /// The kind of the object.
    pub kind: ChildKind,
    /// The namespace of the object.
    pub namespace: String,
    /// The name of the object.
    pub name: String,
    /// The fields to own, `apiVersion` and `kind` included.
    pub body: Value,
    /// Who owns them.
    pub manager: FieldManager,
    /// Whether no such object of ours was seen, so that a stranger's must not be taken over.
    pub create: bool,
    /// Why it is needed, in a few words.
    pub why: &'static str,
}

/// Who owns the fields of a server-side apply.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FieldManager {
    /// The operator.
    Operator,
    /// Holds a field between the operator and the controller that takes it over, so that it keeps its value.
    HandOver,
}

impl FieldManager {
    /// The name that the API server records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operator => api::meta::MANAGER,
            Self::HandOver => "mlops-operator-hand-over",
        }
    }
}

/// A delete with the identity of the object that was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Delete {
    /// The kind of the object.
    pub kind: ChildKind,
    /// The namespace of the object.
    pub namespace: String,
    /// The name of the object.
    pub name: String,
    /// The identity that it must have.
    pub uid: String,
    /// Why it goes, in a few words.
    pub why: &'static str,
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Apply(apply) => {
                let verb = match (apply.create, apply.manager) {
                    (true, _) => "create",
                    (false, FieldManager::Operator) => "apply",
                    (false, FieldManager::HandOver) => "hand over",
                };
                write!(formatter, "{verb} {} {}/{}: {}", apply.kind, apply.namespace, apply.name, apply.why)
            }
            Self::Delete(delete) => {
                write!(
                    formatter,
                    "delete {} {}/{}: {}",
                    delete.kind, delete.namespace, delete.name, delete.why
                )
            }
        }
    }
}

/// Something that people read in `kubectl events`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    /// Whether it is good news.
    pub type_: EventType,
    /// The reason of the condition that changed.
    pub reason: Reason,
    /// What was being done, a word in CamelCase.
    pub action: &'static str,
    /// The message, at most 1,000 bytes.
    pub note: String,
}

/// Whether an event is good news.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EventType {
    /// Things go as wanted.
    Normal,
    /// Something is wrong.
    Warning,
}

/// When to look at an object again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// When something changes.
    OnChange,
    /// When something changes, or after this time.
    After(Duration),
}
