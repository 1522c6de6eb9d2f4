//! What the kinds that talk to Azure share: identity, management, export, and what their status tells.
#![expect(unreachable_pub, reason = "the schema derive writes a private copy of each type")]
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The finalizer of an object that has resources in Azure.
pub const FINALIZER: &str = "mlops-operator.dev/azure";
/// The annotation that keeps an object's resources in Azure from being deleted, whatever its spec says.
pub const PROTECT_ANNOTATION: &str = "mlops-operator.dev/protect";

/// Names another object of the same namespace.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct LocalReference {
    /// The name.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

/// A key of a Secret of the same namespace.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct SecretKey {
    /// The name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// The key in it.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// The schema of a value of a tag, label or setting: a bounded string, for
/// `#[schemars(with = "BTreeMap<String, ShortText>")]`.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "only its schema is used")]
pub struct ShortText(#[schemars(length(max = 256))] String);

/// Who talks to Azure for this object.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct AzureAccess {
    /// A Secret of this namespace with `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and, for a service principal,
    /// `AZURE_CLIENT_SECRET`. Without it, the operator's own identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_ref: Option<LocalReference>,
}

/// How far the operator may go with what is outside the cluster.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Management {
    /// Whether to write.
    #[serde(default)]
    pub mode: ManagementMode,
    /// What to do with a resource that exists already and was not made for this object.
    #[serde(default)]
    pub adoption: Adoption,
    /// What becomes of the resources in Azure when this object is deleted. Without it: `Delete`, and `Orphan` for a
    /// workspace whose environment is `Production`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<DeletionPolicy>,
}

/// Whether to write.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum ManagementMode {
    /// Azure is made to be as the spec says.
    #[default]
    Manage,
    /// Nothing is written; `status.plan` holds what would be, and every difference.
    Plan,
    /// Azure is neither read nor written.
    Paused,
}

/// What to do with a resource that exists already and was not made for this object.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum Adoption {
    /// It is a conflict.
    #[default]
    Never,
    /// It is taken over, unless its tags say that somebody else manages it.
    IfUnowned,
    /// It is taken over, whoever manages it.
    Force,
}

/// What becomes of the resources in Azure when the object is deleted.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum DeletionPolicy {
    /// They are deleted.
    Delete,
    /// They stay, untouched.
    Orphan,
    /// They stay, archived, so that lists no longer show them. For models and data assets; others are deleted.
    Archive,
}

/// Where to write ids and keys for other workloads.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(validation = Rule::new("has(self.secretName) || has(self.configMapName)")
    .message("export needs secretName, configMapName or both"))]
pub struct Export {
    /// A Secret of this namespace that gets the ids, addresses and keys. It must not exist before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub secret_name: Option<String>,
    /// A ConfigMap of this namespace that gets the ids and addresses. It must not exist before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub config_map_name: Option<String>,
}

/// What the operator saw in Azure and did there.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AzureStatus {
    /// The generation of the spec that this status speaks of; -1 until the operator has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `AzureReachable`, and while true `Reconciling` and `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The id of the resource in Azure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub id: Option<String>,
    /// The page of the resource in the portal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub portal_url: Option<String>,
    /// Facts that Azure gave, such as `workspaceId` or `scoringUri`. Never a key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub outputs: BTreeMap<String, String>,
    /// Every resource in Azure that this object stands for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub resources: Vec<ResourceStatus>,
    /// What is about to be written or, in the mode `Plan`, would be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanStatus>,
}

/// One resource in Azure.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct ResourceStatus {
    /// Its id.
    #[schemars(length(max = 2048))]
    pub id: String,
    /// Where it stands.
    #[serde(default)]
    pub state: ResourceState,
    /// Whether it was made or taken over for this object, so that it goes with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub owned: bool,
    /// The operation that runs on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationStatus>,
    /// The fields in which Azure differs from what is wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub differences: Vec<FieldDifference>,
    /// The versions of the Secrets whose values it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub secrets_version: Option<String>,
    /// Operations on it that failed in a row.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failures: u32,
    /// When the last of them failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Time>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the serializer passes references")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Where a resource stands.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum ResourceState {
    /// It has not been looked at yet.
    #[default]
    Unknown,
    /// It does not exist.
    Absent,
    /// It is being made.
    Creating,
    /// It is being changed.
    Updating,
    /// It is as wanted.
    Ready,
    /// It differs from what is wanted.
    Differs,
    /// An operation on it failed.
    Failed,
    /// It is being deleted.
    Deleting,
    /// It exists, and is not this object's.
    Foreign,
}

/// An operation that was started and has not been seen to end.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct OperationStatus {
    /// The HTTP method that started it.
    #[schemars(length(max = 16))]
    pub verb: String,
    /// How it is polled.
    #[schemars(length(max = 32))]
    pub shape: String,
    /// Where it is polled.
    #[schemars(length(max = 16384))]
    pub url: String,
    /// When it was started.
    pub started: Time,
    /// When it must have ended, as far as Azure said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Time>,
}

/// One field that differs.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct FieldDifference {
    /// The field, as a JSON pointer into the resource's body.
    #[schemars(length(max = 512))]
    pub field: String,
    /// What is wanted, as JSON.
    #[schemars(length(max = 512))]
    pub wanted: String,
    /// What Azure has, as JSON.
    #[schemars(length(max = 512))]
    pub actual: String,
}

/// What is about to be written or would be.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct PlanStatus {
    /// A digest of all steps, `sha256:` and 64 hexadecimal digits: the same plan has the same hash.
    #[schemars(length(max = 71))]
    pub hash: String,
    /// The steps, in order.
    #[schemars(length(max = 256))]
    pub steps: Vec<PlannedStep>,
}

/// One write that is about to be made or would be.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct PlannedStep {
    /// The step as one line: verb, resource and why.
    #[schemars(length(max = 4096))]
    pub step: String,
    /// The fields that it changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub differences: Vec<FieldDifference>,
}
