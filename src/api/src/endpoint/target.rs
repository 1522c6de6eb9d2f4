//! Where an Endpoint's model runs, and what only targets in Azure have.
#![expect(unreachable_pub, reason = "the schema derive writes a private copy of each type")]
use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::azure::{LocalReference, ShortText};
use crate::identity::Identity;

/// Where the model runs.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(
    validation = Rule::new("self.type == 'Kubernetes' || has(self.workspaceRef)")
        .message("a target in Azure needs target.workspaceRef, the MLWorkspace that it belongs to"),
    validation = Rule::new("self.type != 'Kubernetes' || !(has(self.endpointName) || has(self.environment) || has(self.codeConfiguration) || has(self.identity) || has(self.tags))")
        .message("target.endpointName, environment, codeConfiguration, identity and tags apply to targets in Azure: remove them, or set another target.type"),
    validation = Rule::new("self.type in ['ArcKubernetes', 'ManagedBatch'] ? has(self.computeRef) != has(self.computeId) : !(has(self.computeRef) || has(self.computeId))")
        .message("the targets ArcKubernetes and ManagedBatch need one of target.computeRef and target.computeId, and the others have none"),
    validation = Rule::new("self.type in ['ManagedOnline', 'ArcKubernetes'] || !(has(self.instanceType) || has(self.modelMountPath) || has(self.livenessProbe) || has(self.readinessProbe) || has(self.startupProbe) || has(self.requestSettings) || has(self.appInsightsEnabled) || has(self.dataCollector))")
        .message("target.instanceType, modelMountPath, the probes, requestSettings, appInsightsEnabled and dataCollector apply to the targets ManagedOnline and ArcKubernetes"),
    validation = Rule::new("self.type == 'ManagedOnline' || !(has(self.egressPublicNetworkAccess) || has(self.publicNetworkAccess) || has(self.mirrorTraffic))")
        .message("target.egressPublicNetworkAccess, publicNetworkAccess and mirrorTraffic apply to the target ManagedOnline")
)]
pub struct Target {
    /// The kind of place.
    #[serde(rename = "type", default)]
    pub type_: TargetType,
    /// The MLWorkspace that the endpoint in Azure belongs to. With the target `Kubernetes`, the one in which
    /// `azureml://` addresses of models are looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_ref: Option<LocalReference>,
    /// The endpoint's name in Azure, unique in its region. Without it, the name of this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 32), regex(pattern = r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"))]
    pub endpoint_name: Option<String>,
    /// `ManagedOnline`: the size of each instance, such as `Standard_DS3_v2`. `ArcKubernetes`: the instance type of the
    /// compute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-zA-Z0-9][-a-zA-Z0-9_.]*$"))]
    pub instance_type: Option<String>,
    /// The Compute on which the model runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute_ref: Option<LocalReference>,
    /// The id of the compute on which the model runs, `/subscriptions/…/computes/NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^/subscriptions/[^\s]+/computes/[^\s/]+$"))]
    pub compute_id: Option<String>,
    /// The container in which the model runs. Without it, the environment that the Model names; models in the formats
    /// MLflow and Triton need none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<TargetEnvironment>,
    /// The code that scores. Without it, the code that the Model names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_configuration: Option<CodeConfiguration>,
    /// Where the model's files are mounted in the container, for environments with an image of one's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^/[^\s]*$"))]
    pub model_mount_path: Option<String>,
    /// When a container is started anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness_probe: Option<ProbeSettings>,
    /// When a container gets requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness_probe: Option<ProbeSettings>,
    /// When a container has started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup_probe: Option<ProbeSettings>,
    /// How requests are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_settings: Option<RequestSettings>,
    /// Whether the workspace's Application Insights gets the container's log and requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_insights_enabled: Option<bool>,
    /// Whether the container may reach the internet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress_public_network_access: Option<Switch>,
    /// Whether the endpoint answers requests from the internet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_network_access: Option<Switch>,
    /// Which requests and answers are kept for monitoring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_collector: Option<DataCollector>,
    /// A share of requests, in percent, of which a new revision gets a copy, beside the revision that answers. While
    /// this is set, a new revision answers nobody; remove it, and all requests go to the new revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 50))]
    pub mirror_traffic: Option<i32>,
    /// The endpoint's identity, by which it reads models and images. Without it, one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Tags of the endpoint and its deployments.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, ShortText>", extend("maxProperties" = 40))]
    pub tags: BTreeMap<String, String>,
}

/// The kind of place where a model runs.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum TargetType {
    /// Pods on this cluster.
    #[default]
    Kubernetes,
    /// Virtual machines that Azure Machine Learning manages, which answer each request at once.
    ManagedOnline,
    /// Jobs of Azure Machine Learning that score files. Goes with `mode: Batch`.
    ManagedBatch,
    /// Pods on a cluster that is attached to the workspace as a compute.
    ArcKubernetes,
}

/// The container in which the model runs: one that is registered, or an image.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(
    validation = Rule::new("has(self.environmentId) != has(self.image)")
        .message("target.environment needs one of environmentId and image"),
    validation = Rule::new("has(self.image) || !(has(self.livenessRoute) || has(self.readinessRoute) || has(self.scoringRoute))")
        .message("target.environment's routes go with image: an environment that is registered has its own")
)]
pub struct TargetEnvironment {
    /// The id of an environment's version: `/subscriptions/…/environments/NAME/versions/VERSION` or
    /// `azureml://registries/REGISTRY/environments/NAME/versions/VERSION`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^(azureml://|/subscriptions/)[^\s]+$"))]
    pub environment_id: Option<String>,
    /// An image; an environment is registered for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^[^\s]+$"))]
    pub image: Option<String>,
    /// Where the container says that it is alive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness_route: Option<Route>,
    /// Where the container says that it can answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness_route: Option<Route>,
    /// Where the container answers requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scoring_route: Option<Route>,
}

/// A path and port of the container.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Route {
    /// The path.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^/[^\s]*$"))]
    pub path: String,
    /// The port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
}

/// The code that scores.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct CodeConfiguration {
    /// The id of a code asset's version, `/subscriptions/…/codes/NAME/versions/VERSION`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^(azureml://|/subscriptions/)[^\s]+$"))]
    pub code_id: Option<String>,
    /// The script in it that scores, such as `score.py`.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[^\s]+$"))]
    pub scoring_script: String,
}

/// How often a container is asked how it is. Durations are of the form `PT10S`.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct ProbeSettings {
    /// The failures in a row that count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub failure_threshold: Option<i32>,
    /// The successes in a row that count after a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub success_threshold: Option<i32>,
    /// The wait before the first question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<IsoDuration>")]
    pub initial_delay: Option<String>,
    /// The time from one question to the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<IsoDuration>")]
    pub period: Option<String>,
    /// The longest wait for an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<IsoDuration>")]
    pub timeout: Option<String>,
}

/// The schema of a duration, such as `PT90S` or `PT0.5S`.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "only its schema is used")]
struct IsoDuration(
    #[schemars(
        length(min = 3, max = 32),
        regex(pattern = r"^PT([0-9]+H)?([0-9]+M)?([0-9]+([.][0-9]+)?S)?$")
    )]
    String,
);

/// How requests are taken.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct RequestSettings {
    /// How many requests one instance takes at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub max_concurrent_requests_per_instance: Option<i32>,
    /// The longest wait of a request for its turn, such as `PT0.5S`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<IsoDuration>")]
    pub max_queue_wait: Option<String>,
    /// The longest time of a request, such as `PT5S`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<IsoDuration>")]
    pub request_timeout: Option<String>,
}

/// On or off.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum Switch {
    /// On.
    Enabled,
    /// Off.
    Disabled,
}

/// Which requests and answers are kept for monitoring.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct DataCollector {
    /// What is collected, by name: `model_inputs`, `model_outputs`, or a name that the scoring script uses.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 16))]
    pub collections: BTreeMap<String, Collection>,
    /// How often a new file is begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolling_rate: Option<RollingRate>,
    /// What of each request is kept beside its payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_logging: Option<RequestLogging>,
}

/// One collection of requests or answers.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Collection {
    /// Whether it is collected.
    pub data_collection_mode: Switch,
    /// The share of requests that is kept, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub sampling_rate: Option<f64>,
    /// The id of the data asset that it becomes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^[^\s]+$"))]
    pub data_id: Option<String>,
    /// The client id of the identity that writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[-a-zA-Z0-9]+$"))]
    pub client_id: Option<String>,
}

/// How often a new file of collected data is begun.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum RollingRate {
    /// Each year.
    Year,
    /// Each month.
    Month,
    /// Each day.
    Day,
    /// Each hour.
    Hour,
    /// Each minute.
    Minute,
}

/// What of each request is kept beside its payload.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct RequestLogging {
    /// The headers that are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 256)))]
    pub capture_headers: Vec<String>,
}

/// How callers of an endpoint prove who they are.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Auth {
    /// The kind of proof.
    pub mode: AuthMode,
    /// A Secret of this namespace with keys of your own, for the mode `Key` on this cluster: `primaryKey` and, so that one
    /// can be replaced without a gap, `secondaryKey`. Without it, the operator makes the Secret `NAME-keys` with two random
    /// keys, gives back one that is missing, and makes a new one on `kubectl mlops keys regenerate NAME`. A change of the
    /// Secret is seen within half a minute. The chart's value `endpointKeys.enabled` gives the operator the right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalReference>,
    /// The tokens that are taken, for the mode `AadToken` on this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenRules>,
}

/// The tokens that are taken.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct TokenRules {
    /// Who issued them, the claim `iss`: `https://login.microsoftonline.com/TENANT/v2.0`.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^https://[^\s]+$"))]
    pub issuer: String,
    /// For whom, the claim `aud`: the application's id.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[^\s]+$"))]
    pub audience: String,
    /// Where the issuer's public keys are: `https://login.microsoftonline.com/TENANT/discovery/v2.0/keys`.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^https://[^\s]+$"))]
    pub jwks_uri: String,
    /// The app role that a token must hold, in the claim `roles`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[^\s]+$"))]
    pub role: Option<String>,
}

/// The kind of proof of a caller.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum AuthMode {
    /// One of two keys, which do not expire.
    #[default]
    Key,
    /// A token of Microsoft Entra ID.
    AadToken,
    /// A token of Azure Machine Learning.
    AMLToken,
    /// None: anyone is answered. Only with the target `Kubernetes`.
    None,
}

/// How a batch endpoint scores files.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct BatchSettings {
    /// How many files, or how many rows of a table, are scored at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub mini_batch_size: Option<i32>,
    /// How many processes score on each instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_concurrency_per_instance: Option<i32>,
    /// The failed files after which a job is given up; -1 to go on whatever fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = 2_147_483_647))]
    pub error_threshold: Option<i32>,
    /// How much a job writes into its log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logging_level: Option<LoggingLevel>,
    /// What becomes of the scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_action: Option<OutputAction>,
    /// The file of the scores, with `AppendRow`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[^\s/]+$"))]
    pub output_file_name: Option<String>,
    /// When a batch of files is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_settings: Option<RetrySettings>,
    /// The machines of a job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<BatchResources>,
}

/// How much a job writes into its log.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum LoggingLevel {
    /// What happens.
    Info,
    /// What may be wrong.
    Warning,
    /// Everything.
    Debug,
}

/// What becomes of the scores.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum OutputAction {
    /// The scoring script keeps them.
    SummaryOnly,
    /// They are appended to one file.
    AppendRow,
}

/// When a batch of files is tried again.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct RetrySettings {
    /// How often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub max_retries: Option<i32>,
    /// The longest time of one try, such as `PT30S`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<IsoDuration>")]
    pub timeout: Option<String>,
}

/// The machines of a job.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct BatchResources {
    /// How many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub instance_count: Option<i32>,
    /// Their size, for computes with several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-zA-Z0-9][-a-zA-Z0-9_.]*$"))]
    pub instance_type: Option<String>,
}

impl TargetType {
    /// Whether the model runs under Azure Machine Learning.
    pub const fn is_azure(self) -> bool {
        !matches!(self, Self::Kubernetes)
    }
}
