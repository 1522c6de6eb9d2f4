//! What a workspace stands on: each part is named by its id, or made with the workspace.
#![expect(unreachable_pub, reason = "the schema derive writes a private copy of each type")]
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! dependents {
    ($($(#[doc = $doc:literal])+ $name:ident($type_:literal, $create:ident);)+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
        #[serde(rename_all = "camelCase")]
        #[schemars(inline)]
        #[x_kube(validation = Rule::new("has(self.id) != has(self.create)")
            .message("set either id, for one that exists, or create, to have one made"))]
        pub struct $name {
            /// The id of one that exists; it is not changed.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            #[schemars(length(min = 1, max = 512), regex(pattern = r"^/[^\s]+$"))]
            #[x_kube(validation = Rule::new(concat!("self.matches('(?i)^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/", $type_, "/[^/]+$')"))
                .message(concat!("id must be of the form /subscriptions/S/resourceGroups/G/providers/", $type_, "/NAME")))]
            pub id: Option<String>,
            /// One is made in the workspace's resource group, and belongs to it.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub create: Option<$create>,
        }
    )+};
}

dependents! {
    /// A storage account.
    Storage("Microsoft.Storage/storageAccounts", CreateStorage);
    /// A key vault.
    KeyVault("Microsoft.KeyVault/vaults", CreateKeyVault);
    /// Application insights.
    Insights("Microsoft.Insights/components", CreateInsights);
    /// A container registry.
    ContainerRegistry("Microsoft.ContainerRegistry/registries", CreateRegistry);
}

/// A storage account to be made: without anonymous access, encrypted on its way.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct CreateStorage {
    /// Its name. Without it, one that is made from the workspace's name and is the only one of its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 24), regex(pattern = r"^[a-z0-9]+$"))]
    pub name: Option<String>,
    /// How often and where its data is kept.
    #[serde(default)]
    pub sku: StorageSku,
    /// Whether it has folders with rights of their own. It can't be changed later.
    #[serde(default)]
    pub hierarchical_namespace: bool,
}

/// How often and where the data of a storage account is kept.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum StorageSku {
    /// Three times in one place.
    #[default]
    #[serde(rename = "Standard_LRS")]
    StandardLrs,
    /// In three zones of the region.
    #[serde(rename = "Standard_ZRS")]
    StandardZrs,
    /// In another region too.
    #[serde(rename = "Standard_GRS")]
    StandardGrs,
    /// In another region too, where it can be read.
    #[serde(rename = "Standard_RAGRS")]
    StandardRagrs,
}

/// A key vault to be made: with rights by role, protected from being purged.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct CreateKeyVault {
    /// Its name. Without it, one that is made from the workspace's name and is the only one of its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 24), regex(pattern = r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"))]
    pub name: Option<String>,
    /// The tenant whose identities may use it.
    #[schemars(length(min = 36, max = 36), regex(pattern = r"^[-a-fA-F0-9]+$"))]
    pub tenant_id: String,
    /// How many days a deleted secret can be recovered. It can't be changed later.
    #[serde(default = "retention")]
    #[schemars(range(min = 7, max = 90))]
    pub soft_delete_retention_in_days: i32,
}

fn retention() -> i32 {
    90
}

/// Application insights to be made.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct CreateInsights {
    /// Its name. Without it, one that is made from the workspace's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[-a-zA-Z0-9_.]*[-a-zA-Z0-9_]$"))]
    pub name: Option<String>,
    /// The id of the Log Analytics workspace that keeps what comes in. Without it, one is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^/subscriptions/[^\s]+$"))]
    pub log_analytics_id: Option<String>,
    /// How many days the Log Analytics workspace that is made keeps what comes in.
    #[serde(default = "log_retention")]
    #[schemars(range(min = 30, max = 730))]
    pub retention_in_days: i32,
}

fn log_retention() -> i32 {
    30
}

/// A container registry to be made: without an admin user and anonymous access.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct CreateRegistry {
    /// Its name. Without it, one that is made from the workspace's name and is the only one of its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 5, max = 50), regex(pattern = r"^[a-zA-Z0-9]+$"))]
    pub name: Option<String>,
    /// The pricing tier. A workspace without public access needs `Premium`.
    #[serde(default)]
    pub sku: RegistrySku,
}

/// The pricing tier of a container registry.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum RegistrySku {
    /// For a start.
    Basic,
    /// For most.
    #[default]
    Standard,
    /// With private endpoints and copies in other regions.
    Premium,
}
