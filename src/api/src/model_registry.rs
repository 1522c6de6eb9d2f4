//! `ModelRegistry`: a registry of models that environments share.
#![expect(unreachable_pub, reason = "the schema derive writes a private copy of each type")]
use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::azure::{AzureAccess, AzureStatus, Export, Management, ShortText};
use crate::identity::Identity;
use crate::ml_workspace::PublicNetworkAccess;

/// A registry of models, environments and components that workspaces of several environments and regions share.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "mlops-operator.dev",
    version = "v1alpha1",
    kind = "ModelRegistry",
    plural = "modelregistries",
    shortname = "mlreg",
    category = "mlops",
    namespaced,
    status = "AzureStatus",
    derive = "PartialEq",
    doc = "A registry of models that environments share.",
    validation = Rule::new("has(self.spec.name) || self.metadata.name.matches('^[a-z0-9][-a-z0-9]{2,32}$')")
        .message("metadata.name must have 3 to 33 lower-case letters, digits and hyphens, because the registry gets the same name; or set spec.name"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Location", type_ = "string", json_path = ".spec.location"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].message", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.resourceGroup == oldSelf.resourceGroup && self.location == oldSelf.location && (has(self.subscriptionId) ? self.subscriptionId : '') == (has(oldSelf.subscriptionId) ? oldSelf.subscriptionId : '') && (has(self.name) ? self.name : '') == (has(oldSelf.name) ? oldSelf.name : '')")
        .message("subscriptionId, resourceGroup, location and name can't be changed: make another ModelRegistry"),
    validation = Rule::new("!has(self.regionDetails) || size(self.regionDetails) == 0 || self.regionDetails.exists(region, region.location == self.location)")
        .message("regionDetails must have an entry for location, where the registry itself is"),
    validation = Rule::new("!has(oldSelf.regionDetails) || oldSelf.regionDetails.all(old, has(self.regionDetails) && self.regionDetails.exists(region, region.location == old.location))")
        .message("a region can't be removed, because what is stored there would be lost: make another ModelRegistry")
        .field_path(".regionDetails")
)]
pub struct ModelRegistrySpec {
    /// Who talks to Azure for it.
    #[serde(default)]
    pub azure: AzureAccess,
    /// How far the operator may go.
    #[serde(default)]
    pub management: Management,
    /// The subscription. Without it, the operator's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 36), regex(pattern = r"^[-a-zA-Z0-9]+$"))]
    pub subscription_id: Option<String>,
    /// The resource group, which must exist.
    #[schemars(length(min = 1, max = 90), regex(pattern = r"^[-\w._()]+$"))]
    pub resource_group: String,
    /// The region of the registry itself, such as `westeurope`.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-z0-9]+$"))]
    pub location: String,
    /// The name in Azure, the only one of its kind in the tenant. Without it, the name of this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 33), regex(pattern = r"^[a-zA-Z0-9][-a-zA-Z0-9_]*$"))]
    pub name: Option<String>,
    /// The regions whose workspaces may use it, with the accounts that store its content there. Without it, the region of
    /// the registry, with accounts that Azure makes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["location"]))]
    pub region_details: Vec<RegionDetails>,
    /// The id of the resource group for what Azure makes. Without it, Azure makes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^/subscriptions/[^\s]+$"))]
    pub managed_resource_group: Option<String>,
    /// Whether the registry answers on the internet.
    #[serde(default)]
    pub public_network_access: PublicNetworkAccess,
    /// The managed identity of the registry.
    #[serde(default)]
    pub identity: Identity,
    /// Tags in Azure.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, ShortText>", extend("maxProperties" = 40))]
    pub tags: BTreeMap<String, String>,
    /// Where to write ids and addresses for other workloads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<Export>,
}

/// A region of a registry.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct RegionDetails {
    /// The region.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-z0-9]+$"))]
    pub location: String,
    /// The container registry for environments.
    #[serde(default)]
    pub container_registry: RegionRegistry,
    /// The storage account for models and data.
    #[serde(default)]
    pub storage_account: RegionStorage,
}

/// The container registry of a region. Azure makes it, unless one is named.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct RegionRegistry {
    /// The id of one that exists. It must be of the tier Premium.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^/subscriptions/[^\s]+/registries/[^/\s]+$"))]
    pub id: Option<String>,
}

/// The storage account of a region. Azure makes it, unless one is named.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(validation = Rule::new("!has(self.id) || (!has(self.storageAccountType) && !has(self.storageAccountHnsEnabled))")
    .message("storageAccountType and storageAccountHnsEnabled are for an account that Azure makes: remove them, or id"))]
pub struct RegionStorage {
    /// The id of one that exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 512),
        regex(pattern = r"^/subscriptions/[^\s]+/storageAccounts/[^/\s]+$")
    )]
    pub id: Option<String>,
    /// How often and where the account that Azure makes keeps its data. Without it, `Standard_LRS`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_account_type: Option<StorageAccountType>,
    /// Whether the account that Azure makes has folders with rights of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_account_hns_enabled: Option<bool>,
}

/// How often and where a storage account keeps its data.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum StorageAccountType {
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
    /// In three zones of the region, and in another region too.
    #[serde(rename = "Standard_GZRS")]
    StandardGzrs,
    /// In three zones of the region, and in another region too, where it can be read.
    #[serde(rename = "Standard_RAGZRS")]
    StandardRagzrs,
    /// Three times in one place, on fast disks.
    #[serde(rename = "Premium_LRS")]
    PremiumLrs,
    /// In three zones of the region, on fast disks.
    #[serde(rename = "Premium_ZRS")]
    PremiumZrs,
}
