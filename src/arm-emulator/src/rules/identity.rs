//! Managed identities: the ids that Azure gives them.
use serde_json::{Value, json};

use super::guid;
use crate::engine::Change;

/// Fills in the ids of system-assigned and user-assigned identities.
pub(crate) fn fill(change: &mut Change<'_>) {
    let key = change.address.key();
    let tenant = change.settings().tenant.clone();
    let Some(identity) = change.body.get_mut("identity").filter(|identity| identity.is_object()) else {
        return;
    };
    let kind = identity["type"].as_str().unwrap_or("").to_ascii_lowercase();
    if kind.contains("systemassigned") {
        identity["principalId"] = json!(guid(&["identity", &key]));
        identity["tenantId"] = json!(tenant);
    }
    if let Some(assigned) = identity.get_mut("userAssignedIdentities").and_then(Value::as_object_mut) {
        for (id, value) in assigned {
            *value = json!({"principalId": guid(&["principal", id]), "clientId": guid(&["client", id])});
        }
    }
}
