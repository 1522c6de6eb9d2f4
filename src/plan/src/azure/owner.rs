//! Whose a resource is: a tag that names the cluster, the kind and the object.
use arm::{OwnerAt, ResourceId, ResourceType};
use serde_json::{Map, Value};

use super::{Sight, World};

/// The tag that names the owner of a resource.
pub const OWNER_TAG: &str = "mlops-operator-owner";

/// Tags by which other tools say that a resource is theirs.
const TAGS_OF_OTHERS: [&str; 5] = ["managed-by", "managedby", "managed_by", "terraform", "aso-owner"];

/// The object that a resource belongs to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Owner {
    /// The identity of the cluster.
    pub cluster: String,
    /// The kind of the object.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What the tags of a resource say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Claim {
    /// It is this object's.
    Ours,
    /// Nobody says that it is his.
    Nobody,
    /// Somebody else's; the words of his tag.
    Other(String),
}

impl Owner {
    /// The value of the tag.
    pub fn tag(&self) -> String {
        format!("{}/{}/{}/{}", self.cluster, self.kind, self.namespace, self.name)
    }

    /// A body with the tag in it.
    pub(super) fn mark(&self, mut body: Value, type_: &ResourceType) -> Value {
        if let Some(tags) = type_.owner.pointer().and_then(|pointer| entry(&mut body, pointer)) {
            tags.insert(OWNER_TAG.to_owned(), self.tag().into());
        }
        body
    }

    /// Whose a resource is, by its tags. `None` for types that bear none.
    pub(super) fn claim(&self, body: &Value, type_: &ResourceType) -> Option<Claim> {
        let pointer = type_.owner.pointer()?;
        let none = Map::new();
        let tags = body.pointer(pointer).and_then(Value::as_object).unwrap_or(&none);
        if let Some(owner) = tags.get(OWNER_TAG).and_then(Value::as_str) {
            return Some(if owner == self.tag() {
                Claim::Ours
            } else {
                Claim::Other(format!("{OWNER_TAG}={owner}"))
            });
        }
        let other = tags.iter().find(|(key, _)| TAGS_OF_OTHERS.contains(&key.to_ascii_lowercase().as_str()));
        Some(other.map_or(Claim::Nobody, |(key, value)| {
            Claim::Other(format!("{key}={}", value.as_str().unwrap_or_default()))
        }))
    }
}

/// Whether what a resource without tags is a part of is this object's, by its tag now; `None` when nothing above it that
/// bears tags was seen to exist.
pub(super) fn whole_is_ours(world: &World, id: &ResourceId) -> Option<bool> {
    let parent = id.parent()?;
    let claim = match (world.seen.get(&parent), arm::resource_type(&parent.type_())) {
        (Some(Sight::Present(body)), Some(type_)) => world.subject.owner.claim(body, type_),
        _ => None,
    };
    claim.map_or_else(|| whole_is_ours(world, &parent), |claim| Some(claim == Claim::Ours))
}

/// Whether resources of a type are made only when absent, and never changed unless they were made for this object.
pub(super) fn is_shared(type_: &ResourceType) -> bool {
    type_.owner == OwnerAt::Shared
}

/// The map at a pointer, made when absent.
fn entry<'a>(body: &'a mut Value, pointer: &str) -> Option<&'a mut Map<String, Value>> {
    let mut value = body;
    for key in pointer.split('/').skip(1) {
        if value.is_null() {
            *value = Value::Object(Map::new());
        }
        value = value.as_object_mut()?.entry(key).or_insert(Value::Null);
    }
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut()
}
