//! What a kind says about Azure: the resources that it wants, in order, and what must hold before.
use std::collections::BTreeMap;

use api::Reason;
use arm::{ArmError, ResourceId};
use jiff::Timestamp;
use serde_json::Value;

use super::{Refusal, Sight, World};
use crate::digest;
use crate::step::{ExportStep, Step};

/// Other objects of the same namespace, as the API server has them.
pub trait Lookup {
    /// An object of a kind by its name.
    fn find(&self, kind: &str, name: &str) -> Option<Value>;
}

impl Lookup for BTreeMap<(String, String), Value> {
    fn find(&self, kind: &str, name: &str) -> Option<Value> {
        self.get(&(kind.to_owned(), name.to_owned())).cloned()
    }
}

/// What a kind may look at when it says what it wants.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The time of the observation.
    pub now: Timestamp,
    /// Other objects of the namespace.
    pub objects: &'a dyn Lookup,
    /// What has been read so far; a kind that needs more names it in [`Compiled::reads`].
    pub seen: &'a BTreeMap<ResourceId, Sight>,
    /// The default subscription, if the operator has one.
    pub subscription: Option<&'a str>,
    /// Whether objects that are referenced count as ready: when all of a plan is to be shown before anything exists.
    pub assume_ready: bool,
}

/// A further read.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Read {
    /// One resource.
    Get(ResourceId),
    /// Every child of a type, such as `deployments`; each becomes a sight of its own.
    List(ResourceId, &'static str),
}

/// What an object wants in Azure.
#[derive(Clone, Debug, PartialEq)]
pub struct Compiled {
    /// The resource that the object stands for.
    pub main: ResourceId,
    /// The resources, in the order in which they are made.
    pub wanted: Vec<Wanted>,
    /// What else must be read.
    pub reads: Vec<Read>,
    /// What must hold before anything is written.
    pub requires: Vec<Requirement>,
    /// Facts for `status.outputs`.
    pub outputs: Vec<Output>,
    /// What to write into a Secret or ConfigMap once all is ready.
    pub exports: Vec<Export>,
    /// The name of the revision that the spec asks for, of kinds that have revisions.
    pub revision: Option<String>,
}

/// One resource that is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Its id; the type must stand in the table of resource types.
    pub id: ResourceId,
    /// Its body, without the owner's tag.
    pub body: Value,
    /// Values from Secrets, put into the body when it is sent.
    pub secrets: Vec<SecretValue>,
    /// Resources that must be ready before, beside those above it in its id.
    pub after: Vec<ResourceId>,
    /// Fields that can be changed by PATCH, as JSON pointers; any other change is a PUT of the whole.
    pub patchable: &'static [&'static str],
    /// Resources with the same value here are written one at a time.
    pub one_at_a_time_with: Option<ResourceId>,
    /// The query of a delete, such as `forceToPurge=true`.
    pub delete_query: String,
    /// Whether it can be archived by `properties.isArchived`.
    pub archivable: bool,
    /// Whether it stays when the object is deleted, because what is deleted may be recovered and needs it.
    pub stays: bool,
    /// Actions whose answer tells more when an operation on it has failed; the first answer that says anything counts.
    pub on_failure: Vec<FailureLog>,
}

/// An action of a resource whose answer tells why an operation on it has failed.
#[derive(Clone, Debug, PartialEq)]
pub struct FailureLog {
    /// The action, such as `getLogs`, which is sent by POST.
    pub action: &'static str,
    /// What is sent with it.
    pub body: Value,
    /// Where the log stands in the answer, as a JSON pointer.
    pub pointer: &'static str,
}

/// The most of a log that a condition shows: its end, where the cause stands.
const LOG_LIMIT: usize = 1500;

/// A failure with the end of the log that goes with it.
pub fn with_log(mut error: ArmError, log: &str) -> ArmError {
    let log = log.trim();
    if !log.is_empty() {
        let skipped = log.chars().count().saturating_sub(LOG_LIMIT);
        let tail: String = log.chars().skip(skipped).collect();
        error.message = format!("{}\nthe end of its log:\n{}", error.message.trim(), tail.trim());
    }
    error
}

impl Wanted {
    /// A resource without anything particular.
    pub fn new(id: ResourceId, body: Value) -> Self {
        Self {
            id,
            body,
            secrets: Vec::new(),
            after: Vec::new(),
            patchable: &[],
            one_at_a_time_with: None,
            delete_query: String::new(),
            archivable: false,
            stays: false,
            on_failure: Vec::new(),
        }
    }
}

/// A value of a Secret that goes into a body.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SecretValue {
    /// Where it goes, as a JSON pointer.
    pub pointer: String,
    /// The name of the Secret.
    pub secret: String,
    /// The key in it.
    pub key: String,
}

/// Something that must hold before anything is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Requirement {
    /// The resource; it is read.
    pub id: ResourceId,
    /// The field, as a JSON pointer; empty when the resource need only exist.
    pub pointer: &'static str,
    /// The values that are good, without regard to case.
    pub one_of: &'static [&'static str],
    /// The reason when it does not hold.
    pub reason: Reason,
    /// The words; `{actual}` is replaced by what was found.
    pub message: String,
}

impl Requirement {
    pub(super) fn check(&self, seen: &BTreeMap<ResourceId, Sight>) -> Option<Refusal> {
        let actual = match seen.get(&self.id) {
            Some(Sight::Present(body)) if self.pointer.is_empty() || self.holds(body) => return None,
            Some(Sight::Present(body)) => {
                body.pointer(self.pointer).and_then(Value::as_str).unwrap_or("nothing").to_owned()
            }
            Some(Sight::Absent) | None => "no such resource".to_owned(),
        };
        Some(Refusal { reason: self.reason, message: self.message.replace("{actual}", &actual) })
    }

    fn holds(&self, body: &Value) -> bool {
        let actual = body.pointer(self.pointer).and_then(Value::as_str).unwrap_or_default();
        self.one_of.iter().any(|good| good.eq_ignore_ascii_case(actual))
    }
}

/// A fact for `status.outputs`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Output {
    /// Its name.
    pub name: &'static str,
    /// The resource that has it.
    pub id: ResourceId,
    /// The field, as a JSON pointer, or a text with such pointers in braces.
    pub pointer: &'static str,
}

/// An object that ids, addresses or keys are written into.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Export {
    /// Whether it is a Secret; else a ConfigMap, which gets no keys.
    pub secret: bool,
    /// Its name.
    pub name: String,
    /// The values by key.
    pub values: BTreeMap<String, ExportValue>,
}

/// A value to export.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ExportValue {
    /// A text.
    Text(String),
    /// A field of a resource.
    Field(ResourceId, &'static str),
    /// A field of what an action such as `listKeys` answers. Never in a ConfigMap.
    Action(ResourceId, &'static str, &'static str),
}

impl Compiled {
    /// What a resource waits for: those above it, and those it names.
    pub(super) fn dependencies<'a>(&'a self, wanted: &'a Wanted) -> impl Iterator<Item = &'a ResourceId> {
        let above = self.wanted.iter().map(|it| &it.id).filter(|id| is_above(id, &wanted.id));
        above.chain(&wanted.after)
    }

    /// Every resource that must be read.
    pub fn ids(&self) -> impl Iterator<Item = &ResourceId> {
        let required = self.requires.iter().map(|requirement| &requirement.id);
        self.wanted.iter().map(|wanted| &wanted.id).chain(required)
    }

    /// Every Secret that is named.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.wanted.iter().flat_map(|wanted| &wanted.secrets).map(|value| value.secret.as_str())
    }
}

/// Whether a resource is above another in its id.
pub(super) fn is_above(above: &ResourceId, below: &ResourceId) -> bool {
    let mut parent = below.parent();
    while let Some(id) = parent {
        if id == *above {
            return true;
        }
        parent = id.parent();
    }
    false
}

/// The exports that are absent or out of date.
pub(super) fn exports(world: &World, compiled: &Compiled) -> Vec<Step> {
    let resolve = |value: &ExportValue| match value {
        ExportValue::Field(id, pointer) => {
            let body = match world.seen.get(id) {
                Some(Sight::Present(body)) => body.pointer(pointer),
                Some(Sight::Absent) | None => None,
            };
            ExportValue::Text(body.map_or_else(String::new, text))
        }
        other => other.clone(),
    };
    let step = |export: &Export| {
        let values: BTreeMap<String, ExportValue> =
            export.values.iter().map(|(key, value)| (key.clone(), resolve(value))).collect();
        let digest = digest::of(&format!("{values:?}").into(), 32);
        let is_current = world.exported.get(&export.name) == Some(&digest);
        (!is_current).then(|| {
            Step::Export(ExportStep {
                namespace: world.subject.owner.namespace.clone(),
                name: export.name.clone(),
                secret: export.secret,
                values,
                digest,
            })
        })
    };
    compiled.exports.iter().filter_map(step).collect()
}

/// A value as text: a string without its quotes.
pub(super) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
