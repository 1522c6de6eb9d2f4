//! What a plan consists of: steps to take, the status to report, the events to publish, and when to look again.
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use api::{DecisionRecord, Reason};
use arm::{Difference, ResourceId};
use serde_json::Value;

use crate::azure::{ExportValue, SecretValue};
use crate::child::ChildKind;
use crate::endpoint::keys::Key;

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
    /// Add the finalizer to the object itself, or remove it.
    Finalizer(bool),
    /// Create or replace a resource in Azure.
    ArmPut(ArmPut),
    /// Change fields of a resource in Azure.
    ArmPatch(ArmPatch),
    /// Delete a resource in Azure.
    ArmDelete(ArmDelete),
    /// Write ids, addresses and keys into a Secret or ConfigMap.
    Export(ExportStep),
    /// Write keys of an Endpoint into its Secret.
    WriteKeys(WriteKeys),
    /// Add an entry to the log of decisions.
    Record(Box<DecisionRecord>),
}

/// A PUT of a resource in Azure.
#[derive(Clone, Debug, PartialEq)]
pub struct ArmPut {
    /// The resource.
    pub id: ResourceId,
    /// The whole body, without values of Secrets.
    pub body: Value,
    /// The values of Secrets that go into the body.
    pub secrets: Vec<SecretValue>,
    /// The versions of these Secrets, to be remembered once it is done.
    pub secrets_version: Option<String>,
    /// Whether it does not exist yet.
    pub create: bool,
    /// The fields that change.
    pub differences: Vec<Difference>,
    /// Why it is needed.
    pub why: String,
}

/// A PATCH of a resource in Azure.
#[derive(Clone, Debug, PartialEq)]
pub struct ArmPatch {
    /// The resource.
    pub id: ResourceId,
    /// The fields to change.
    pub body: Value,
    /// The fields that change, with what they were.
    pub differences: Vec<Difference>,
    /// Why it is needed.
    pub why: String,
}

/// A DELETE of a resource in Azure.
#[derive(Clone, Debug, PartialEq)]
pub struct ArmDelete {
    /// The resource.
    pub id: ResourceId,
    /// The query, such as `forceToPurge=true`.
    pub query: String,
    /// Why it goes.
    pub why: String,
}

/// A write of ids, addresses and keys into a Secret or ConfigMap.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ExportStep {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// Whether it is a Secret; else a ConfigMap.
    pub secret: bool,
    /// The values, or where to get them.
    pub values: BTreeMap<String, ExportValue>,
    /// The digest that tells whether it is up to date.
    pub digest: String,
}

/// A write of keys into the Secret of an Endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteKeys {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The whole Secret or, where it exists, a patch with its identity and version; without the keys.
    pub body: Value,
    /// The keys to write, by their fields. The others stay as they are.
    pub keys: BTreeMap<&'static str, Key>,
    /// Whether it does not exist yet.
    pub create: bool,
    /// Why it is needed.
    pub why: String,
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
    /// Sets the number of pods of a revision whose Deployment can't be built from the spec any more.
    Scale,
}

impl FieldManager {
    /// The name that the API server records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operator => api::meta::MANAGER,
            Self::HandOver => "mlops-operator-hand-over",
            Self::Scale => "mlops-operator-scale",
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

impl Step {
    /// The resource in Azure that it writes.
    pub fn resource(&self) -> Option<&ResourceId> {
        match self {
            Self::ArmPut(put) => Some(&put.id),
            Self::ArmPatch(patch) => Some(&patch.id),
            Self::ArmDelete(delete) => Some(&delete.id),
            Self::Apply(_)
            | Self::Delete(_)
            | Self::Finalizer(_)
            | Self::Export(_)
            | Self::WriteKeys(_)
            | Self::Record(_) => None,
        }
    }

    /// Whether the next plan sees the effect of this step without waiting for anything.
    pub fn is_seen_at_once(&self) -> bool {
        !matches!(self, Self::Apply(_) | Self::Delete(_) | Self::Record(_))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Apply(apply) => {
                let verb = match (apply.create, apply.manager) {
                    (true, _) => "create",
                    (false, FieldManager::Operator) => "apply",
                    (false, FieldManager::HandOver) => "hand over",
                    (false, FieldManager::Scale) => "scale",
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
            Self::Finalizer(true) => {
                formatter.write_str("add the finalizer: resources in Azure must go first")
            }
            Self::Finalizer(false) => formatter.write_str("remove the finalizer: nothing is left in Azure"),
            Self::ArmPut(put) => {
                let verb = if put.create { "create" } else { "update" };
                write!(formatter, "{verb} (PUT) {}: {}", put.id, put.why)
            }
            Self::ArmPatch(patch) => write!(formatter, "update (PATCH) {}: {}", patch.id, patch.why),
            Self::ArmDelete(delete) => write!(formatter, "delete (DELETE) {}: {}", delete.id, delete.why),
            Self::Record(record) => {
                let spec = &record.spec;
                let name = record.metadata.name.as_deref().unwrap_or_default();
                write!(formatter, "create DecisionRecord {name}: {:?} by {}", spec.decision, spec.promotion)
            }
            Self::WriteKeys(keys) => {
                let verb = if keys.create { "create" } else { "patch" };
                write!(formatter, "{verb} Secret {}/{}: {}", keys.namespace, keys.name, keys.why)
            }
            Self::Export(export) => {
                let kind = if export.secret { "Secret" } else { "ConfigMap" };
                write!(
                    formatter,
                    "apply {kind} {}/{}: what it exports has changed",
                    export.namespace, export.name
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
