//! Datastores: names for places where data lies.
#![expect(unreachable_pub, reason = "the schema derive writes a private copy of each type")]
use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::azure::{SecretKey, ShortText};

/// A name for a place where data lies.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(
    validation = Rule::new("has(self.containerName) == (self.type == 'AzureBlob') && has(self.filesystem) == (self.type == 'AzureDataLakeGen2') && has(self.fileShareName) == (self.type == 'AzureFile')")
        .message("set exactly the field of the type: containerName for AzureBlob, filesystem for AzureDataLakeGen2, fileShareName for AzureFile"),
    validation = Rule::new("self.type != 'AzureDataLakeGen2' || !has(self.credentials) || has(self.credentials.servicePrincipal)")
        .message("a datastore of the type AzureDataLakeGen2 takes credentials.servicePrincipal, or none"),
    validation = Rule::new("self.type != 'AzureFile' || (has(self.credentials) && (has(self.credentials.accountKey) || has(self.credentials.sas)))")
        .message("a datastore of the type AzureFile needs credentials.accountKey or credentials.sas"),
    validation = Rule::new("!(self.name in ['workspaceblobstore', 'workspacefilestore', 'workspaceartifactstore', 'workspaceworkingdirectory'])")
        .message("this datastore comes with the workspace: choose another name")
)]
pub struct Datastore {
    /// Its name.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[a-z0-9_]+$"))]
    pub name: String,
    /// What it is.
    #[serde(rename = "type")]
    pub type_: DatastoreType,
    /// The name of the storage account.
    #[schemars(length(min = 3, max = 24), regex(pattern = r"^[a-z0-9]+$"))]
    pub account_name: String,
    /// The blob container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 63), regex(pattern = r"^[-a-z0-9$]+$"))]
    pub container_name: Option<String>,
    /// The file system of the data lake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 63), regex(pattern = r"^[-a-z0-9$]+$"))]
    pub filesystem: Option<String>,
    /// The file share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 63), regex(pattern = r"^[-a-z0-9]+$"))]
    pub file_share_name: Option<String>,
    /// The domain of the storage service, such as `core.windows.net`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-a-z0-9.:]+$"))]
    pub endpoint: Option<String>,
    /// How it is reached; `https` unless Azure is told otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), regex(pattern = r"^[a-z]+$"))]
    pub protocol: Option<String>,
    /// The subscription of the storage account, where it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 36), regex(pattern = r"^[-a-zA-Z0-9]+$"))]
    pub subscription_id: Option<String>,
    /// The resource group of the storage account, where it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 90), regex(pattern = r"^[-\w._()]+$"))]
    pub resource_group: Option<String>,
    /// By what it is reached. Without it, by the identity of whoever reads or writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<DatastoreCredentials>,
    /// By whose identity the studio and data monitoring look into it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_data_access_auth_identity: Option<ServiceIdentity>,
    /// What it holds, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// Tags in Azure.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, ShortText>", extend("maxProperties" = 40))]
    pub tags: BTreeMap<String, String>,
}

/// What a datastore is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum DatastoreType {
    /// A blob container.
    AzureBlob,
    /// A file system of a data lake.
    AzureDataLakeGen2,
    /// A file share.
    AzureFile,
}

/// By what a datastore is reached: exactly one.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(validation = Rule::new("(has(self.accountKey) ? 1 : 0) + (has(self.sas) ? 1 : 0) + (has(self.servicePrincipal) ? 1 : 0) == 1")
    .message("set exactly one of credentials.accountKey, credentials.sas and credentials.servicePrincipal"))]
pub struct DatastoreCredentials {
    /// The key of the storage account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_key: Option<SecretKey>,
    /// A shared access signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sas: Option<SecretKey>,
    /// A service principal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_principal: Option<ServicePrincipal>,
}

/// A service principal.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct ServicePrincipal {
    /// Its tenant.
    #[schemars(length(min = 36, max = 36), regex(pattern = r"^[-a-fA-F0-9]+$"))]
    pub tenant_id: String,
    /// Its client id.
    #[schemars(length(min = 36, max = 36), regex(pattern = r"^[-a-fA-F0-9]+$"))]
    pub client_id: String,
    /// Its client secret.
    pub client_secret: SecretKey,
}

/// By whose identity services of the workspace look into a datastore.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum ServiceIdentity {
    /// By nobody's.
    None,
    /// By the workspace's own.
    WorkspaceSystemAssignedIdentity,
    /// By the workspace's user-assigned one.
    WorkspaceUserAssignedIdentity,
}
