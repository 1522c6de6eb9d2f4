//! `Model`: a registered model with its versions and what they depend on.
#![expect(unreachable_pub, reason = "the schema derive writes a private copy of each type")]
#![expect(clippy::duplicated_attributes, reason = "several columns share a type")]
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::azure::{AzureAccess, AzureStatus, LocalReference, Management, ShortText};
use crate::meta::ModelFormat;

/// A registered model of a workspace or registry, with its versions and what they depend on.
///
/// Without a workspace or registry it is known to this cluster alone, and nothing is done in Azure. The place, format and content of a version can't be changed once it exists: something new needs a new version.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "mlops-operator.dev",
    version = "v1alpha1",
    kind = "Model",
    plural = "models",
    shortname = "mlm",
    category = "mlops",
    namespaced,
    status = "ModelStatus",
    derive = "PartialEq",
    doc = "A registered model with its versions and what they depend on.",
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
    printcolumn(name = "Registry", type_ = "string", json_path = ".spec.registryRef.name"),
    printcolumn(name = "Latest", type_ = "string", json_path = ".status.outputs.latestVersion"),
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
    validation = Rule::new("!has(self.workspaceRef) || !has(self.registryRef)")
        .message("a Model belongs to one place: set either workspaceRef or registryRef, or neither when this cluster fetches its versions itself"),
    validation = Rule::new("has(self.workspaceRef) || has(self.registryRef) || !has(self.versions) || self.versions.all(it, it.uri.matches('^(https?|pvc|az|abfss)://'))")
        .message("without workspaceRef and registryRef, uri in versions must be what pods can fetch: https://, http://, pvc://, az:// or abfss://"),
    validation = Rule::new("!(has(self.workspaceRef) || has(self.registryRef)) || !has(self.versions) || self.versions.all(it, it.uri.matches('^(azureml://|runs:/|https://)'))")
        .message("uri in versions must be azureml://datastores/STORE/paths/PATH, azureml://jobs/JOB/outputs/OUTPUT/paths/PATH, runs:/RUN/PATH or an https:// address"),
    validation = Rule::new("has(self.workspaceRef) == has(oldSelf.workspaceRef) && (!has(self.workspaceRef) || self.workspaceRef == oldSelf.workspaceRef) && has(self.registryRef) == has(oldSelf.registryRef) && (!has(self.registryRef) || self.registryRef == oldSelf.registryRef) && (has(self.name) ? self.name : '') == (has(oldSelf.name) ? oldSelf.name : '')")
        .message("workspaceRef, registryRef and name can't be changed: make another Model")
)]
pub struct ModelSpec {
    /// Who talks to Azure for it.
    #[serde(default)]
    pub azure: AzureAccess,
    /// How far the operator may go. With `deletion: Archive`, versions that go stay in Azure, hidden from lists.
    #[serde(default)]
    pub management: Management,
    /// The MLWorkspace that it belongs to, unless it belongs to a registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_ref: Option<LocalReference>,
    /// The ModelRegistry that it belongs to, unless it belongs to a workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_ref: Option<LocalReference>,
    /// The name in Azure. Without it, the name of this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[a-zA-Z0-9][-a-zA-Z0-9._]*$"))]
    pub name: Option<String>,
    /// What it predicts, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// Tags in Azure of the model as a whole.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, ShortText>", extend("maxProperties" = 40))]
    pub tags: BTreeMap<String, String>,
    /// The versions that this object registers. Others, such as those that jobs register, are left alone. A version that
    /// is taken off the list is deleted in Azure, or archived when `management.deletion` says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["version"]))]
    pub versions: Vec<ModelVersion>,
}

/// What the operator saw in Azure and did there, and which version each stage runs.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelStatus {
    /// What every kind in Azure tells.
    #[serde(flatten)]
    pub azure: AzureStatus,
    /// Which version each stage runs. ModelPromotions move it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub stages: Vec<ModelStage>,
    /// Where the log of what was decided about its versions stands. The entries are DecisionRecords.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decisions: Option<DecisionLog>,
}

/// Where a log of decisions stands.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct DecisionLog {
    /// How many entries it has.
    pub count: i64,
    /// The digest of the last one. Kept elsewhere, it proves later that nothing before it was changed or removed.
    #[schemars(length(max = 71))]
    pub head: String,
    /// How many decisions of each promotion that still exists are in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4096), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["uid"]))]
    pub promotions: Vec<LoggedPromotion>,
}

/// How much of a promotion is in the log.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct LoggedPromotion {
    /// The identity of the promotion.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// How many of its decisions.
    pub count: i32,
}

/// The version that a stage runs.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct ModelStage {
    /// The stage.
    #[schemars(length(max = 63))]
    pub name: String,
    /// The version. None when the first one went back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 30))]
    pub version: Option<String>,
    /// The ModelPromotion that brought it.
    #[schemars(length(max = 253))]
    pub promotion: String,
    /// Since when.
    pub since: Time,
}

/// One version of a model.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct ModelVersion {
    /// The version.
    #[schemars(length(min = 1, max = 30), regex(pattern = r"^[a-zA-Z0-9][-a-zA-Z0-9._]*$"))]
    pub version: String,
    /// Where the model lies: `azureml://datastores/STORE/paths/PATH`, `azureml://jobs/JOB/outputs/OUTPUT/paths/PATH`,
    /// `runs:/RUN/PATH`, or the `https://` address of a blob. Of a model without workspace and registry, what pods can
    /// fetch: `https://…`, `http://…`, `pvc://CLAIM/PATH`, `az://CONTAINER/PATH` or `abfss://…`.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new("self.matches('^(azureml://|runs:/|https?://|pvc://|az://|abfss://[^@]+@)[^\\\\s@]+$')")
        .message("uri must be azureml://datastores/STORE/paths/PATH, azureml://jobs/JOB/outputs/OUTPUT/paths/PATH, runs:/RUN/PATH or an https:// address without a user name"),
        validation = Rule::new("!self.startsWith('http') || !self.contains('?')")
        .message("uri must not carry a query, because a signature in it would be stored for everybody to read"))]
    pub uri: String,
    /// The format. ONNX and other single files are `custom_model` in Azure.
    pub format: ModelFormat,
    /// What is new in it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// Tags in Azure.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, ShortText>", extend("maxProperties" = 40))]
    pub tags: BTreeMap<String, String>,
    /// Properties in Azure, which can be added but not changed or removed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, ShortText>", extend("maxProperties" = 40))]
    pub properties: BTreeMap<String, String>,
    /// The stage that Azure shows, for example `Production`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub stage: Option<String>,
    /// The flavors of an MLflow model by name, each with its data.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, FlavorData>", extend("maxProperties" = 8))]
    pub flavors: BTreeMap<String, BTreeMap<String, String>>,
    /// The SHA-256 digest of the model's file, `sha256:` and 64 hexadecimal digits, which Azure keeps as a property and
    /// endpoints check. It can be added, but not changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71), regex(pattern = r"^sha256:[a-f0-9]{64}$"))]
    pub digest: Option<String>,
    /// The job that made it, when `uri` does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[a-zA-Z0-9][-a-zA-Z0-9_]*$"))]
    pub job_name: Option<String>,
    /// The environment in which it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentDependency>,
    /// The code that serves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<CodeDependency>,
}

/// The schema of the data of a flavor.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "only its schema is used")]
struct FlavorData(
    #[schemars(with = "BTreeMap<String, ShortText>", extend("maxProperties" = 32))] BTreeMap<String, String>,
);

/// A version of an environment. With an image it is made, without one it must exist.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(validation = Rule::new("has(self.image) || !has(self.condaFile) && !has(self.inferenceConfig) && !has(self.description) && !has(self.tags)")
    .message("environment needs image when condaFile, inferenceConfig, description or tags are set; with name and version alone it must exist"))]
pub struct EnvironmentDependency {
    /// Its name.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[a-zA-Z0-9][-a-zA-Z0-9._]*$"))]
    pub name: String,
    /// Its version.
    #[schemars(length(min = 1, max = 30), regex(pattern = r"^[a-zA-Z0-9][-a-zA-Z0-9._]*$"))]
    pub version: String,
    /// The image; best with a digest, `registry/name@sha256:…`. It can't be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^[^\s]+$"))]
    pub image: Option<String>,
    /// The packages to add to the image: the content of a conda file. It can't be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32768))]
    pub conda_file: Option<String>,
    /// How a container of the image is asked, for images that bring a server of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inference_config: Option<InferenceConfig>,
    /// What it holds, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// Tags in Azure.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, ShortText>", extend("maxProperties" = 40))]
    pub tags: BTreeMap<String, String>,
}

/// How a container is asked.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct InferenceConfig {
    /// Where it answers while it lives.
    pub liveness_route: Route,
    /// Where it answers once it can take requests.
    pub readiness_route: Route,
    /// Where it takes requests.
    pub scoring_route: Route,
    /// Where it answers once it has started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup_route: Option<Route>,
}

/// A path on a port.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Route {
    /// The path.
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^/[^\s]*$"))]
    pub path: String,
    /// The port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
}

/// A version of code.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct CodeDependency {
    /// Its name. Without it, the name of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[a-zA-Z0-9][-a-zA-Z0-9._]*$"))]
    pub name: Option<String>,
    /// Its version. Without it, the version of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 30), regex(pattern = r"^[a-zA-Z0-9][-a-zA-Z0-9._]*$"))]
    pub version: Option<String>,
    /// The folder of the code: the `https://` address of a blob in the workspace's own storage account. It can't be
    /// changed later.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new("self.matches('^https://[^\\\\s@?]+$')")
        .message("code.uri must be the https:// address of a blob, without a user name or query"))]
    pub uri: String,
    /// The script in it that answers requests, for example `score.py`.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[^/\s][^\s]*\.py$"))]
    pub scoring_script: String,
}
