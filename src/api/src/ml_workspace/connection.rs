//! Connections: addresses of services outside a workspace, with the credentials for them.
#![expect(unreachable_pub, reason = "the schema derive writes a private copy of each type")]
use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::azure::{SecretKey, ShortText};

/// The address of a service outside the workspace, with the credentials for it.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(validation = Rule::new("self.authType in ['None', 'AAD'] ? (!has(self.secrets) || size(self.secrets) == 0) && !has(self.clientId) : self.authType == 'ManagedIdentity' ? has(self.clientId) && has(self.resourceId) && (!has(self.secrets) || size(self.secrets) == 0) : has(self.secrets) && size(self.secrets) > 0")
    .message("secrets hold the credentials of every authType but None, AAD and ManagedIdentity, which have none; ManagedIdentity needs clientId and resourceId"),
  validation = Rule::new("!has(self.secrets) || self.authType == 'CustomKeys' || self.secrets.all(secret, secret.field in {'ApiKey': ['key'], 'AccountKey': ['key'], 'PAT': ['pat'], 'SAS': ['sas'], 'UsernamePassword': ['username', 'password', 'securityToken'], 'ServicePrincipal': ['clientSecret'], 'AccessKey': ['accessKeyId', 'secretAccessKey'], 'None': [], 'AAD': [], 'ManagedIdentity': []}[self.authType])")
    .message("the fields of secrets are: key for ApiKey and AccountKey, pat for PAT, sas for SAS, username, password and securityToken for UsernamePassword, clientSecret for ServicePrincipal, accessKeyId and secretAccessKey for AccessKey"),
  validation = Rule::new("self.authType != 'ServicePrincipal' || (has(self.clientId) && has(self.tenantId))")
    .message("a connection of the authType ServicePrincipal needs clientId and tenantId"))]
pub struct Connection {
    /// Its name.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-zA-Z0-9][-a-zA-Z0-9_]*$"))]
    pub name: String,
    /// The kind of service, in Azure's words, such as `Git`, `PythonFeed`, `ContainerRegistry`, `AzureOpenAI`, `ADLSGen2`.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-zA-Z0-9]+$"))]
    pub category: String,
    /// Its address.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new("!self.matches('://[^/]*@')")
        .message("target must not hold a user name or password: put them into a Secret"))]
    pub target: String,
    /// How one proves who one is.
    pub auth_type: AuthType,
    /// The credentials, each a field of the authType and a key of a Secret.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["field"]))]
    pub secrets: Vec<ConnectionSecret>,
    /// The client id of the service principal or managed identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 36, max = 36), regex(pattern = r"^[-a-fA-F0-9]+$"))]
    pub client_id: Option<String>,
    /// The tenant of the service principal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 36, max = 36), regex(pattern = r"^[-a-fA-F0-9]+$"))]
    pub tenant_id: Option<String>,
    /// The id of the managed identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^/subscriptions/[^\s]+$"))]
    pub resource_id: Option<String>,
    /// Whether every user of a hub's projects may use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_shared_to_all: Option<bool>,
    /// What else the service wants to know, such as `ApiVersion`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, ShortText>", extend("maxProperties" = 32))]
    pub metadata: BTreeMap<String, String>,
}

/// How one proves to a service who one is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum AuthType {
    /// Not at all.
    None,
    /// By one's own identity in Azure.
    AAD,
    /// By a managed identity.
    ManagedIdentity,
    /// By a service principal.
    ServicePrincipal,
    /// By a key.
    ApiKey,
    /// By the key of a storage account.
    AccountKey,
    /// By a pair of an access key and its secret.
    AccessKey,
    /// By a personal access token.
    PAT,
    /// By a shared access signature.
    SAS,
    /// By user name and password.
    UsernamePassword,
    /// By fields of your own.
    CustomKeys,
}

/// One field of the credentials.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct ConnectionSecret {
    /// The field, such as `key` for `ApiKey`, or `username` and `password` for `UsernamePassword`.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[-a-zA-Z0-9_.]+$"))]
    pub field: String,
    /// Where its value lies.
    pub value_from: SecretKey,
}
