//! The managed identity of a resource in Azure.
#![expect(unreachable_pub, reason = "the schema derive writes a private copy of each type")]
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The managed identity by which a resource reaches others.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(validation = Rule::new("(self.type in ['UserAssigned', 'SystemAssignedAndUserAssigned']) == (has(self.userAssignedIdentities) && size(self.userAssignedIdentities) > 0)")
    .message("identity.userAssignedIdentities goes with the types UserAssigned and SystemAssignedAndUserAssigned, which need at least one"))]
pub struct Identity {
    /// Whose identity it is.
    #[serde(rename = "type")]
    pub type_: IdentityType,
    /// The ids of user-assigned identities, `/subscriptions/…/Microsoft.ManagedIdentity/userAssignedIdentities/NAME`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 512), regex(pattern = r"^/[^\s]+$")))]
    #[x_kube(validation = Rule::new("self.all(id, id.matches('(?i)^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft.ManagedIdentity/userAssignedIdentities/[^/]+$'))")
        .message("each of userAssignedIdentities must be an id of the form /subscriptions/S/resourceGroups/G/providers/Microsoft.ManagedIdentity/userAssignedIdentities/NAME"))]
    pub user_assigned_identities: Vec<String>,
}

/// Whose identity a resource has.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum IdentityType {
    /// One of its own, which comes and goes with it.
    #[default]
    SystemAssigned,
    /// Identities that exist by themselves.
    UserAssigned,
    /// Both.
    SystemAssignedAndUserAssigned,
}
