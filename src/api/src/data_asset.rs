//! `DataAsset`: a named, versioned data set.
#![expect(unreachable_pub, reason = "the schema derive writes a private copy of each type")]
#![expect(clippy::duplicated_attributes, reason = "several columns share a type")]
use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::azure::{AzureAccess, AzureStatus, LocalReference, Management, ShortText};

/// A named, versioned data set of a workspace.
///
/// A version can't be changed once it exists: a new location needs a new version.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "mlops-operator.dev",
    version = "v1alpha1",
    kind = "DataAsset",
    plural = "dataassets",
    shortname = "mlda",
    category = "mlops",
    namespaced,
    status = "AzureStatus",
    derive = "PartialEq",
    doc = "A named, versioned data set of a workspace.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason"
    ),
    printcolumn(name = "Workspace", type_ = "string", json_path = ".spec.workspaceRef.name"),
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.version"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.workspaceRef == oldSelf.workspaceRef && (has(self.name) ? self.name : '') == (has(oldSelf.name) ? oldSelf.name : '')")
        .message("workspaceRef and name can't be changed: make another DataAsset")
)]
pub struct DataAssetSpec {
    /// Who talks to Azure for it.
    #[serde(default)]
    pub azure: AzureAccess,
    /// How far the operator may go.
    #[serde(default)]
    pub management: Management,
    /// The MLWorkspace that it belongs to.
    pub workspace_ref: LocalReference,
    /// The name in Azure. Without it, the name of this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[a-zA-Z0-9][-a-zA-Z0-9_]*$"))]
    pub name: Option<String>,
    /// The version.
    #[schemars(length(min = 1, max = 30), regex(pattern = r"^[a-zA-Z0-9][-a-zA-Z0-9._]*$"))]
    pub version: String,
    /// What it is.
    #[serde(rename = "type")]
    pub type_: DataType,
    /// Where it lies: `azureml://datastores/STORE/paths/PATH`, or an `https://`, `abfss://` or `wasbs://` address.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new("self.matches('^(azureml|https)://[^\\\\s@]+$|^(abfss|wasbs)://[^\\\\s@/]+@[^\\\\s@]+$')")
        .message("uri must be azureml://datastores/STORE/paths/PATH, an https:// address without a user name, or an abfss:// or wasbs:// address"),
        validation = Rule::new("!self.startsWith('https://') || !self.contains('?')")
        .message("uri must not carry a query, because a signature in it would be stored for everybody to read"))]
    pub uri: String,
    /// What it holds, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// Tags in Azure.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, ShortText>", extend("maxProperties" = 40))]
    pub tags: BTreeMap<String, String>,
}

/// What a data asset is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum DataType {
    /// One file.
    File,
    /// A folder.
    Folder,
    /// A folder with an `MLTable` file that says how to read it.
    #[serde(rename = "MLTable")]
    MlTable,
}
