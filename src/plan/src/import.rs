//! Manifests for what exists in Azure: the reverse of what each kind compiles.
//!
//! Every manifest only observes: nothing is written before somebody sets `spec.management.mode` to `Manage`. What a
//! manifest can't say is found by comparing what it wants with what exists, see [`proof`].

mod asset;
mod compute;
mod endpoint;
mod registry;
mod workspace;

use std::collections::BTreeMap;

use arm::{Difference, ResourceId};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

pub use self::asset::{code_of, data_asset, model};
pub use self::compute::compute;
pub use self::endpoint::endpoint;
pub use self::registry::registry;
pub use self::workspace::workspace;
use crate::azure::{Compiled, Facts, OWNER_TAG, Read, Refusal, Sight, kind};

/// What was read of Azure, by id.
pub type Bodies = BTreeMap<ResourceId, Value>;

/// A manifest for what exists.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The object.
    pub object: Value,
    /// The Secrets that it names, which must be filled in: Azure never tells what is in them.
    pub secrets: BTreeMap<String, Vec<String>>,
    /// What of Azure no manifest can say.
    pub notes: Vec<String>,
}

/// One difference that is left between a manifest and what exists.
#[derive(Clone, Debug, PartialEq)]
pub struct Remaining {
    /// The resource.
    pub id: ResourceId,
    /// The fields that differ; none when the resource does not exist.
    pub differences: Vec<Difference>,
}

impl Imported {
    fn new(kind: &str, name: &str, namespace: &str, spec: Spec) -> Self {
        let mut all = Map::new();
        all.insert(
            "management".to_owned(),
            json!({"mode": "Plan", "adoption": "IfUnowned", "deletion": "Orphan"}),
        );
        all.extend(spec.0);
        let object = json!({
            "apiVersion": format!("{}/{}", api::GROUP, api::VERSION),
            "kind": kind,
            "metadata": {"name": object_name(name), "namespace": namespace},
            "spec": all,
        });
        Self { object, secrets: BTreeMap::new(), notes: Vec::new() }
    }

    /// The name of the object.
    pub fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// The kind of the object.
    pub fn kind(&self) -> &str {
        self.object["kind"].as_str().unwrap_or_default()
    }
}

/// A spec that is being made: what is null or empty is left out.
#[derive(Default)]
struct Spec(Map<String, Value>);

impl Spec {
    fn set(&mut self, field: &str, value: impl Into<Value>) -> &mut Self {
        let value = value.into();
        let is_empty = match &value {
            Value::Null => true,
            Value::Object(map) => map.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::String(text) => text.is_empty(),
            Value::Bool(_) | Value::Number(_) => false,
        };
        if !is_empty {
            self.0.insert(field.to_owned(), value);
        }
        self
    }

    /// Takes fields over from a body under the names that they have there.
    fn copy(&mut self, from: &Value, fields: &[(&str, &str)]) -> &mut Self {
        for (field, pointer) in fields {
            self.set(field, from.pointer(pointer).cloned().unwrap_or_default());
        }
        self
    }

    fn value(self) -> Value {
        if self.0.is_empty() { Value::Null } else { Value::Object(self.0) }
    }
}

fn text<'a>(body: &'a Value, pointer: &str) -> &'a str {
    body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The name of an object that stands for a resource: lower-case letters, digits and hyphens.
pub fn object_name(name: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let name: String = name.chars().map(plain).take(63).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "imported".to_owned() } else { name.to_owned() }
}

/// The name in Azure, where it is not that of the object.
fn own_name(name: &str) -> Value {
    if object_name(name) == name { Value::Null } else { json!(name) }
}

/// Tags without those of the operator.
fn tags(body: &Value, pointer: &str) -> Value {
    let mut tags = body.pointer(pointer).and_then(Value::as_object).cloned().unwrap_or_default();
    tags.retain(|key, value| key != OWNER_TAG && value.is_string());
    Value::Object(tags)
}

/// A managed identity; null when there is none.
fn identity(body: &Value) -> Value {
    let type_ = text(body, "/identity/type").replace(' ', "").to_ascii_lowercase();
    let type_ = match type_.as_str() {
        "systemassigned" => "SystemAssigned",
        "userassigned" => "UserAssigned",
        "systemassigned,userassigned" => "SystemAssignedAndUserAssigned",
        _ => return Value::Null,
    };
    let assigned = body.pointer("/identity/userAssignedIdentities").and_then(Value::as_object);
    let ids: Vec<&String> = assigned.into_iter().flatten().map(|(id, _)| id).collect();
    let mut identity = Spec::default();
    identity.set("type", type_).set("userAssignedIdentities", json!(ids));
    identity.value()
}

/// The resources below another of a type, such as `datastores`, by their names.
fn children<'a>(bodies: &'a Bodies, parent: &ResourceId, type_: &str) -> Vec<(&'a ResourceId, &'a Value)> {
    let type_ = format!("{}/{type_}", parent.type_());
    bodies.iter().filter(|(id, _)| id.is_a(&type_) && id.parent().as_ref() == Some(parent)).collect()
}

/// What an imported object wants, by what is known of Azure.
pub fn compile(
    imported: &Imported,
    others: &BTreeMap<(String, String), Value>,
    bodies: &Bodies,
) -> Result<Compiled, Refusal> {
    let known = kind(imported.kind()).ok_or_else(|| Refusal {
        reason: api::Reason::Invalid,
        message: format!("the kind {} has no resources in Azure", imported.kind()),
    })?;
    let seen: BTreeMap<ResourceId, Sight> =
        bodies.iter().map(|(id, body)| (id.clone(), Sight::Present(body.clone()))).collect();
    let facts = Facts {
        now: Timestamp::UNIX_EPOCH,
        objects: others,
        seen: &seen,
        subscription: None,
        assume_ready: true,
    };
    (known.compile)(&imported.object, &facts)
}

/// What has to be read before an imported object can be compared.
pub fn needs(compiled: &Compiled) -> impl Iterator<Item = &ResourceId> {
    let reads = compiled.reads.iter().filter_map(|read| match read {
        Read::Get(id) => Some(id),
        Read::List(..) => None,
    });
    compiled.ids().chain(reads)
}

/// The proof that a manifest says what exists: every field that it wants otherwise. The owner's tag, by which a resource
/// is taken over, is none of them.
pub fn proof(compiled: &Compiled, bodies: &Bodies) -> Vec<Remaining> {
    let one = |wanted: &crate::azure::Wanted| {
        let type_ = arm::resource_type(&wanted.id.type_())?;
        let differences = match bodies.get(&wanted.id) {
            Some(body) => arm::differences(&wanted.body, body, type_),
            None => return Some(Remaining { id: wanted.id.clone(), differences: Vec::new() }),
        };
        (!differences.is_empty()).then(|| Remaining { id: wanted.id.clone(), differences })
    };
    compiled.wanted.iter().filter_map(one).collect()
}
