//! The managed identity of a resource, as Azure Resource Manager takes it.
use api::identity::{Identity, IdentityType};
use serde_json::{Map, Value, json};

/// The `identity` of a body.
pub(crate) fn identity(identity: &Identity) -> Value {
    let type_ = match identity.type_ {
        IdentityType::SystemAssigned => "SystemAssigned",
        IdentityType::UserAssigned => "UserAssigned",
        IdentityType::SystemAssignedAndUserAssigned => "SystemAssigned,UserAssigned",
    };
    let assigned: Map<String, Value> =
        identity.user_assigned_identities.iter().map(|id| (id.clone(), json!({}))).collect();
    if assigned.is_empty() {
        json!({"type": type_})
    } else {
        json!({"type": type_, "userAssignedIdentities": assigned})
    }
}
