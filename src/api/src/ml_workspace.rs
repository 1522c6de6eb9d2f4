//! `MLWorkspace`: a workspace of Azure Machine Learning and everything it stands on.
#![expect(unreachable_pub, reason = "the schema derive writes a private copy of each type")]
use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::azure::{AzureAccess, AzureStatus, Export, LocalReference, Management, ShortText};
use crate::identity::Identity;

pub use self::connection::{AuthType, Connection, ConnectionSecret};
pub use self::datastore::{
    Datastore, DatastoreCredentials, DatastoreType, ServiceIdentity, ServicePrincipal,
};
pub use self::dependent::{
    ContainerRegistry, CreateInsights, CreateKeyVault, CreateRegistry, CreateStorage, Insights, KeyVault,
    RegistrySku, Storage, StorageSku,
};
pub use self::diagnostics::{DiagnosticSetting, EventHub, LogCategory, MetricCategory};
pub use self::network::{
    FirewallSku, IsolationMode, ManagedNetwork, OutboundRule, PrivateEndpointDestination, Protocol, RuleType,
    ServiceTagDestination,
};

mod connection;
mod datastore;
mod dependent;
mod diagnostics;
mod network;

/// A workspace of Azure Machine Learning: the workspace itself, what it stands on, and what it gives to its users.
///
/// Storage account, key vault, application insights and container registry are named by id, or made with it.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "mlops-operator.dev",
    version = "v1alpha1",
    kind = "MLWorkspace",
    plural = "mlworkspaces",
    shortname = "mlw",
    category = "mlops",
    namespaced,
    status = "AzureStatus",
    derive = "PartialEq",
    doc = "A workspace of Azure Machine Learning and everything it stands on.",
    validation = Rule::new("has(self.spec.name) || self.metadata.name.matches('^[a-z0-9][-a-z0-9]{2,32}$')")
        .message("metadata.name must have 3 to 33 lower-case letters, digits and hyphens, because the workspace gets the same name; or set spec.name"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Environment", type_ = "string", json_path = ".spec.environment"),
    printcolumn(name = "Kind", type_ = "string", json_path = ".spec.kind"),
    printcolumn(name = "Location", type_ = "string", json_path = ".spec.location"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Studio", type_ = "string", json_path = ".status.outputs.studioUrl", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].message", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.resourceGroup == oldSelf.resourceGroup && self.location == oldSelf.location && self.kind == oldSelf.kind && (has(self.subscriptionId) ? self.subscriptionId : '') == (has(oldSelf.subscriptionId) ? oldSelf.subscriptionId : '') && (has(self.name) ? self.name : '') == (has(oldSelf.name) ? oldSelf.name : '')")
        .message("subscriptionId, resourceGroup, location, name and kind can't be changed: make another MLWorkspace"),
    validation = Rule::new("(self.kind == 'Project') == (has(self.hubRef) || has(self.hubResourceId)) && !(has(self.hubRef) && has(self.hubResourceId))")
        .message("a Project needs either hubRef or hubResourceId, and no other kind has one"),
    validation = Rule::new("self.kind != 'Project' || !(has(self.storageAccount) || has(self.keyVault) || has(self.applicationInsights) || has(self.containerRegistry) || has(self.managedNetwork) || has(self.encryption))")
        .message("a Project has storageAccount, keyVault, applicationInsights, containerRegistry, managedNetwork and encryption from its hub: remove them here"),
    validation = Rule::new("self.kind == 'Project' || (has(self.storageAccount) && has(self.keyVault))")
        .message("storageAccount and keyVault are needed: name each by its id, or set create to have it made"),
    validation = Rule::new("self.kind == 'FeatureStore' || !has(self.featureStore)")
        .message("featureStore applies to the kind FeatureStore only")
        .field_path(".featureStore"),
    validation = Rule::new("self.kind == 'Hub' || !has(self.hub)")
        .message("hub applies to the kind Hub only")
        .field_path(".hub"),
    validation = Rule::new("!has(self.primaryUserAssignedIdentity) || (has(self.identity.userAssignedIdentities) && self.identity.userAssignedIdentities.exists(id, id.lowerAscii() == self.primaryUserAssignedIdentity.lowerAscii()))")
        .message("primaryUserAssignedIdentity must be one of identity.userAssignedIdentities"),
    validation = Rule::new("self.identity.type != 'UserAssigned' || has(self.primaryUserAssignedIdentity)")
        .message("an identity of the type UserAssigned needs primaryUserAssignedIdentity, by which the workspace reaches its own resources"),
    validation = Rule::new("has(self.hbiWorkspace) == has(oldSelf.hbiWorkspace) && (!has(self.hbiWorkspace) || self.hbiWorkspace == oldSelf.hbiWorkspace)")
        .message("hbiWorkspace can't be changed once the workspace is made")
        .field_path(".hbiWorkspace")
)]
pub struct MLWorkspaceSpec {
    /// Who talks to Azure for it.
    #[serde(default)]
    pub azure: AzureAccess,
    /// How far the operator may go.
    #[serde(default)]
    pub management: Management,
    /// What the workspace is for. What a `Production` workspace has in Azure stays when this object is deleted, unless
    /// `management.deletion` says otherwise.
    pub environment: Environment,
    /// The subscription. Without it, the operator's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 36), regex(pattern = r"^[-a-zA-Z0-9]+$"))]
    pub subscription_id: Option<String>,
    /// The resource group, which must exist.
    #[schemars(length(min = 1, max = 90), regex(pattern = r"^[-\w._()]+$"))]
    pub resource_group: String,
    /// The region, such as `westeurope`.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-z0-9]+$"))]
    pub location: String,
    /// The name in Azure. Without it, the name of this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 33), regex(pattern = r"^[a-zA-Z0-9][-a-zA-Z0-9_]*$"))]
    pub name: Option<String>,
    /// What kind of workspace it is.
    #[serde(default)]
    pub kind: WorkspaceKind,
    /// The MLWorkspace of the kind `Hub` that a `Project` belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub_ref: Option<LocalReference>,
    /// The id of the hub that a `Project` belongs to, where no MLWorkspace stands for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^/subscriptions/[^\s]+/workspaces/[^/\s]+$"))]
    pub hub_resource_id: Option<String>,
    /// What a `Hub` gives to its projects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<Hub>,
    /// The settings of a `FeatureStore`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_store: Option<FeatureStore>,
    /// The name that people see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub friendly_name: Option<String>,
    /// What it is for, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// Tags in Azure, on the workspace and on what is made with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, ShortText>", extend("maxProperties" = 40))]
    pub tags: BTreeMap<String, String>,
    /// The pricing tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<WorkspaceSku>,
    /// The storage account that holds files, models and results. It can't be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_account: Option<Storage>,
    /// The key vault that holds secrets. It can't be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_vault: Option<KeyVault>,
    /// The application insights that take logs and metrics of what is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_insights: Option<Insights>,
    /// The container registry that holds images. Without it, Azure makes one when it first needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_registry: Option<ContainerRegistry>,
    /// The managed identity of the workspace.
    #[serde(default)]
    pub identity: Identity,
    /// The id of the user-assigned identity by which the workspace reaches its own resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^/[^\s]+$"))]
    pub primary_user_assigned_identity: Option<String>,
    /// Whether the workspace answers on the internet.
    #[serde(default)]
    pub public_network_access: PublicNetworkAccess,
    /// The network that Azure keeps for the workspace's machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_network: Option<ManagedNetwork>,
    /// The key of your own that encrypts what Azure stores for the workspace. It can't be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// Whether the data is of high business impact, so that Azure collects less for diagnosis. It can't be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hbi_workspace: Option<bool>,
    /// The compute that builds images, where the container registry is private.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 32), regex(pattern = r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"))]
    pub image_build_compute: Option<String>,
    /// Whether only the first version of the API may be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v1_legacy_mode: Option<bool>,
    /// How the datastores that come with the workspace reach their storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_datastores_auth_mode: Option<SystemDatastoresAuthMode>,
    /// Where machines without a compute of their own run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serverless_compute: Option<ServerlessCompute>,
    /// Datastores of the workspace. One that is removed here is deleted, and the data it points to stays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub datastores: Vec<Datastore>,
    /// Connections to services outside the workspace. One that is removed here is deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub connections: Vec<Connection>,
    /// Where logs and metrics of the workspace go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub diagnostic_settings: Vec<DiagnosticSetting>,
    /// What a delete leaves behind.
    #[serde(default)]
    pub soft_delete: SoftDelete,
    /// Where to write ids, addresses and keys for other workloads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<Export>,
}

/// What a workspace is for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum Environment {
    /// Models are developed here.
    Development,
    /// Models are tried here before they are used.
    Staging,
    /// Models are used here.
    Production,
}

/// What kind of workspace it is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum WorkspaceKind {
    /// A workspace by itself.
    #[default]
    Default,
    /// What projects share.
    Hub,
    /// A part of a hub.
    Project,
    /// A store of features.
    FeatureStore,
}

/// The pricing tier of a workspace.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum WorkspaceSku {
    /// The usual one.
    Basic,
    /// A former one that some workspaces still have.
    Enterprise,
}

/// What a hub gives to its projects.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Hub {
    /// The id of the resource group in which projects are made that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^/subscriptions/[^\s]+$"))]
    pub default_workspace_resource_group: Option<String>,
    /// The ids of further storage accounts that projects may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(length(min = 1, max = 512), regex(pattern = r"^/subscriptions/[^\s]+$"))
    )]
    pub additional_workspace_storage_accounts: Vec<String>,
}

/// The settings of a feature store.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct FeatureStore {
    /// The version of Spark that computes features, such as `3.5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), regex(pattern = r"^[0-9]+\.[0-9]+(\.[0-9]+)?$"))]
    pub spark_runtime_version: Option<String>,
    /// The connection to the store for training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub offline_store_connection_name: Option<String>,
    /// The connection to the store for serving.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub online_store_connection_name: Option<String>,
}

/// Whether something answers on the internet.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum PublicNetworkAccess {
    /// It does; who may come in is a matter of rights.
    #[default]
    Enabled,
    /// It answers through private endpoints only.
    Disabled,
}

/// A key of your own that encrypts what Azure stores.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Encryption {
    /// The id of the key vault.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^/subscriptions/[^\s]+$"))]
    pub key_vault_id: String,
    /// The key, such as `https://VAULT.vault.azure.net/keys/NAME/VERSION`.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^https://[^/\s]+/keys/[^\s]+$"))]
    pub key_identifier: String,
    /// The id of the user-assigned identity that may use the key. Without it, the workspace's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^/subscriptions/[^\s]+$"))]
    pub user_assigned_identity: Option<String>,
}

/// How the datastores that come with a workspace reach their storage.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum SystemDatastoresAuthMode {
    /// By the account's key.
    AccessKey,
    /// By the identity of whoever reads or writes.
    Identity,
    /// By signatures that Azure makes for each user.
    UserDelegationSAS,
}

/// Where machines without a compute of their own run.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct ServerlessCompute {
    /// The id of the subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^/subscriptions/[^\s]+$"))]
    pub subnet_id: Option<String>,
    /// Whether they have no address on the internet.
    #[serde(default)]
    pub no_public_ip: bool,
}

/// What a delete leaves behind.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct SoftDelete {
    /// Whether the workspace can be recovered after its deletion.
    #[serde(default)]
    pub on_delete: OnDelete,
}

/// Whether a workspace can be recovered after its deletion.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum OnDelete {
    /// It can for 14 days, while which its name is taken. What was made with it stays, because it needs it.
    #[default]
    SoftDelete,
    /// It is gone for good, and so is what was made with it.
    Purge,
}
