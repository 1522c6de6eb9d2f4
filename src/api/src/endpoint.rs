//! `Endpoint`: a stable scoring address and the model behind it.
#![expect(unreachable_pub, reason = "the schema derive writes a private copy of each type")]
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::azure::{AzureAccess, AzureStatus, Export, LocalReference, Management, PlanStatus};
use crate::meta::{EnvironmentVariable, ModelFormat};

mod keys;
mod rollout;
mod scaling;
mod target;
mod traffic;

pub use keys::KeysStatus;
pub use rollout::{
    Analysis, AnalysisModes, AnalysisQuery, Check, CheckMode, CheckOutcome, OnFailure, PauseCause, Rejected,
    Rollout, RolloutPause, RolloutPhase, RolloutStatus, RolloutStep, RolloutStrategy,
};
pub use scaling::{
    Asked, PolicyType, Scaling, ScalingBehavior, ScalingChange, ScalingPolicy, ScalingQuery, ScalingRules,
    ScalingStatus, ScalingTarget, SelectPolicy,
};
pub use target::{
    Auth, AuthMode, BatchResources, BatchSettings, CodeConfiguration, Collection, DataCollector,
    LoggingLevel, OutputAction, ProbeSettings, RequestLogging, RequestSettings, RetrySettings, RollingRate,
    Route, Switch, Target, TargetEnvironment, TargetType, TokenRules,
};
pub use traffic::{Capture, CaptureFormat, CaptureStore, GatewayApi, ParentReference, RateLimit, Routing};

/// A stable scoring address and the model behind it.
///
/// On this cluster, the operator keeps a Deployment, a Service, a PodDisruptionBudget, a NetworkPolicy, a ServiceAccount
/// and, when asked to, a HorizontalPodAutoscaler and an HTTPRoute for it; in Azure, an endpoint and its deployments. All of
/// them go when the Endpoint is deleted.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "mlops-operator.dev",
    version = "v1alpha1",
    kind = "Endpoint",
    plural = "endpoints",
    shortname = "mlep",
    category = "mlops",
    namespaced,
    status = "EndpointStatus",
    derive = "PartialEq",
    doc = "A stable scoring address and the model behind it.",
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]{0,48}[a-z0-9])?$')")
        .message("metadata.name must start with a letter, hold only lower-case letters, digits and hyphens, and have at most 50 characters, because a Service gets the same name"),
    scale(
        spec_replicas_path = ".spec.scaling.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Serving", type_ = "string", json_path = ".status.conditions[?(@.type=='Serving')].status"),
    printcolumn(name = "Model", type_ = "string", json_path = ".spec.model.uri"),
    printcolumn(name = "Replicas", type_ = "string", json_path = ".status.readyReplicas", description = "Pods that answer"),
    printcolumn(name = "Rollout", type_ = "string", json_path = ".status.rollout.phase"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.url", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].message", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.container) || self.model.format != 'ONNX' || has(self.runtimeRef) || self.target.type != 'Kubernetes'")
        .message("container applies to the formats MLflow, Triton and Custom; for ONNX name a ServingRuntime with runtimeRef, or remove container")
        .field_path(".container"),
    validation = Rule::new("(self.mode == 'Batch') == (self.target.type == 'ManagedBatch')")
        .message("mode Batch goes with the target ManagedBatch, and mode Online with the others"),
    validation = Rule::new("self.target.type == 'ManagedBatch' || !has(self.batch)")
        .message("batch applies to the target ManagedBatch")
        .field_path(".batch"),
    validation = Rule::new("self.target.type != 'Kubernetes' || !has(self.export)")
        .message("export applies to targets in Azure: remove it, or set another target.type"),
    validation = Rule::new("!has(self.auth) || (self.target.type == 'ManagedBatch' ? self.auth.mode == 'AadToken' : self.target.type == 'ArcKubernetes' ? self.auth.mode in ['Key', 'AMLToken'] : self.target.type == 'Kubernetes' ? self.auth.mode != 'AMLToken' : self.auth.mode != 'None')")
        .message("auth.mode must be AadToken with the target ManagedBatch, Key or AMLToken with ArcKubernetes, Key, AadToken or AMLToken with ManagedOnline, and Key, AadToken or None with Kubernetes"),
    validation = Rule::new("!has(self.auth) || (self.target.type == 'Kubernetes' && self.auth.mode == 'AadToken') == has(self.auth.token)")
        .message("auth.token goes with auth.mode AadToken on the target Kubernetes, which needs it to know whose tokens to take")
        .field_path(".auth"),
    validation = Rule::new("self.target.type == 'Kubernetes' || !has(self.scaling.target) || has(self.scaling.target.cpuUtilization)")
        .message("scaling.target.concurrency, latencyMilliseconds and query apply to the target Kubernetes, where the operator scales by them")
        .field_path(".scaling"),
    validation = Rule::new("self.target.type == 'Kubernetes' || !has(self.scaling.behavior)")
        .message("scaling.behavior applies to the target Kubernetes")
        .field_path(".scaling"),
    validation = Rule::new("self.target.type == 'Kubernetes' || !(has(self.capture) || has(self.routing))")
        .message("capture and routing apply to the target Kubernetes: use target.dataCollector in Azure"),
    validation = Rule::new("!has(self.routing) || !has(self.routing.gatewayApi) || !has(self.auth) || self.auth.mode == 'None'")
        .message("auth is asked for by the inference gateway; with routing.gatewayApi, requests come through a gateway of your own, which must ask for it itself: remove auth, or remove routing.gatewayApi")
        .field_path(".auth"),
    validation = Rule::new("!has(self.routing) || !has(self.routing.gatewayApi) || !has(self.capture)")
        .message("capture is the inference gateway's work, and an HTTPRoute can't ask another gateway for it: remove capture, or remove routing.gatewayApi")
        .field_path(".capture"),
    validation = Rule::new("!has(self.routing) || !has(self.routing.gatewayApi) || !has(self.scaling.target) || has(self.scaling.target.cpuUtilization)")
        .message("scaling.target.concurrency, latencyMilliseconds and minReplicas 0 need the inference gateway, which measures requests and keeps them: scale by cpuUtilization, or remove routing.gatewayApi")
        .field_path(".scaling"),
    validation = Rule::new("!has(self.routing) || !has(self.routing.gatewayApi) || !has(self.rollout.analysis) || !has(self.rollout.analysis.maxPredictionDisagreement)")
        .message("analysis.maxPredictionDisagreement needs the inference gateway, which compares answers; the gateway behind routing.gatewayApi throws away the answers to copies: remove it, or remove routing.gatewayApi")
        .field_path(".rollout"),
    validation = Rule::new("!has(self.routing) || !has(self.routing.gatewayApi) || !has(self.rollout.analysis) || !(has(self.rollout.analysis.maxErrorRate) || has(self.rollout.analysis.maxP95LatencyRatio))")
        .message("analysis.maxErrorRate and maxP95LatencyRatio are measured by the inference gateway; with routing.gatewayApi, judge by the metrics of your own gateway with analysis.queries")
        .field_path(".rollout"),
    validation = Rule::new("self.target.type == 'Kubernetes' || !has(self.rollout.analysis) || !has(self.rollout.analysis.maxPredictionDisagreement)")
        .message("rollout.analysis.maxPredictionDisagreement applies to the target Kubernetes: nobody sees the answers to the copies that Azure makes")
        .field_path(".rollout"),
    validation = Rule::new("self.target.type != 'ManagedBatch' || !(self.rollout.strategy in ['BlueGreen', 'Canary'])")
        .message("rollout.strategy BlueGreen and Canary apply to the targets that answer at once: with ManagedBatch, a new revision gets the jobs that start once it is there")
        .field_path(".rollout"),
    validation = Rule::new("self.target.type != 'ArcKubernetes' || !has(self.rollout.steps) || !self.rollout.steps.exists(step, has(step.mirror))")
        .message("mirror in rollout.steps applies to the targets Kubernetes and ManagedOnline: with ArcKubernetes, Azure makes no copies of requests; use traffic")
        .field_path(".rollout"),
    validation = Rule::new("self.target.type != 'ManagedOnline' || !has(self.rollout.steps) || self.rollout.steps.all(step, !has(step.mirror) || step.mirror <= 50)")
        .message("with the target ManagedOnline, mirror in rollout.steps may be 50 at most: Azure copies no more")
        .field_path(".rollout"),
    validation = Rule::new("!has(self.target.mirrorTraffic) || !(self.rollout.strategy in ['BlueGreen', 'Canary'])")
        .message("target.mirrorTraffic goes with the strategy RollingUpdate: with BlueGreen and Canary, use a step with mirror")
        .field_path(".target"),
    validation = Rule::new("self.target.type == 'Kubernetes' || !has(self.container) || !(has(self.container.image) || has(self.container.command) || has(self.container.args))")
        .message("container.image, command and args apply to the target Kubernetes: use target.environment in Azure")
        .field_path(".container"),
    validation = Rule::new("self.target.type in ['Kubernetes', 'ArcKubernetes'] || !has(self.scaling.maxReplicas)")
        .message("scaling by load applies to the targets Kubernetes and ArcKubernetes: set scaling.replicas for ManagedOnline, and batch.resources.instanceCount for ManagedBatch")
        .field_path(".scaling"),
    validation = Rule::new("self.target.type == 'Kubernetes' || self.model.format in ['MLflow', 'Triton'] || has(self.target.environment) || has(self.model.modelRef)")
        .message("in Azure, models in the formats ONNX and Custom need target.environment, or a Model that names one"),
    validation = Rule::new("self.target.type == 'Kubernetes' || has(self.model.modelRef) || (has(self.model.uri) && self.model.uri.matches('^(azureml://|/subscriptions/)'))")
        .message("a target in Azure needs a registered model: model.modelRef, or a model.uri that begins with azureml:// or /subscriptions/")
        .field_path(".model")
)]
pub struct EndpointSpec {
    /// Who talks to Azure for it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub azure: AzureAccess,
    /// How far the operator may go.
    #[serde(default, skip_serializing_if = "is_default")]
    pub management: Management,
    /// How requests come: `Online` answers each request at once, `Batch` scores files.
    #[serde(default)]
    pub mode: EndpointMode,
    /// Where the model runs. Without it, on this cluster.
    #[serde(default)]
    pub target: Target,
    /// The model that answers.
    pub model: ModelReference,
    /// The ServingRuntime that turns the model into a container. Without it, the runtime that supports the model's
    /// format: first in this namespace, then among the defaults that the operator's chart installed. Azure has
    /// `target.environment` instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_ref: Option<RuntimeReference>,
    /// The container that serves the model, for runtimes that leave it open, and its extra arguments and environment. In
    /// Azure, the environment variables alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerOverride>,
    /// CPU and memory of each replica. With the target `ManagedOnline`, `target.instanceType` decides.
    #[serde(default)]
    pub resources: Resources,
    /// How many replicas answer: a fixed number, or a range that follows the CPU load.
    #[serde(default)]
    pub scaling: Scaling,
    /// How a change of the model or of its container reaches the pods. In Azure, a new revision is always made beside
    /// the old one: it gets all requests once it can answer or, with `BlueGreen` and `Canary`, as the rollout says.
    #[serde(default)]
    pub rollout: Rollout,
    /// How callers prove who they are. Without it, in Azure by a key, and with the target `ManagedBatch` by a token of
    /// Microsoft Entra ID. On this cluster, it makes the inference gateway the only way to the pods; without it,
    /// whoever reaches the Service is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// How the inference gateway, or a gateway of your own, treats requests, with the target `Kubernetes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing: Option<Routing>,
    /// Which requests and answers the inference gateway keeps for monitoring, with the target `Kubernetes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<Capture>,
    /// How files are scored, with the target `ManagedBatch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchSettings>,
    /// Where to write the address and the keys for other workloads: `scoringUri`, `swaggerUri` and, in a Secret and with
    /// the mode `Key`, `primaryKey` and `secondaryKey`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<Export>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// How requests come to an endpoint.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum EndpointMode {
    /// Each request is answered at once.
    #[default]
    Online,
    /// Files are scored by jobs.
    Batch,
}

/// The model that answers: where it lies, what it must be, and in which format.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(
    validation = Rule::new("has(self.uri) != has(self.modelRef)")
        .message("model needs one of uri and modelRef")
)]
pub struct ModelReference {
    /// Where the model lies: `https://…` or `http://…` for a file, `pvc://CLAIM/PATH` for a file or folder on a
    /// PersistentVolumeClaim of this namespace, `az://CONTAINER/PATH`, `https://ACCOUNT.blob.core.windows.net/CONTAINER/PATH`
    /// or `abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH` for Azure Storage, an `azureml://…` id or address of Azure Machine Learning, or the id
    /// `/subscriptions/…/models/NAME/versions/VERSION` of a model's version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(
        validation = Rule::new("self.matches('^(https?://[^\\\\s/@]+(/[^\\\\s]*)?|pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[^\\\\s]*)?|azureml://[^\\\\s@?#]+|az://[a-z0-9$][-a-z0-9]{1,62}(/[^\\\\s?#]*)?|abfss://[a-z0-9$][-a-z0-9]{1,62}@[a-z0-9][-a-z0-9.]*(/[^\\\\s?#]*)?|/subscriptions/[^\\\\s?#]+/models/[^\\\\s/?#]+/versions/[^\\\\s/?#]+)$')")
            .message("model.uri must be https://HOST/PATH, http://HOST/PATH, pvc://CLAIM/PATH, az://CONTAINER/PATH, abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH, azureml://… or /subscriptions/…/models/NAME/versions/VERSION, without a user name or password"),
        validation = Rule::new("!self.matches('^pvc://.*/[.][.](/|$)')")
            .message("model.uri must not leave its claim: remove the '..'")
    )]
    pub uri: String,
    /// A Model of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_ref: Option<RegisteredModel>,
    /// The MLWorkspace in which an `azureml://` address that names none is looked up. Without it,
    /// `target.workspaceRef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_ref: Option<LocalReference>,
    /// The ModelRegistry that stands for the registry of an address `azureml://registries/…`; the target `Kubernetes`
    /// needs it to find the model's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_ref: Option<LocalReference>,
    /// The SHA-256 digest of the model's file, `sha256:` and 64 hexadecimal digits. When given, a file that differs is
    /// refused before it is loaded. Azure fetches its own copy of a registered version, which nobody can change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71), regex(pattern = r"^sha256:[a-f0-9]{64}$"))]
    pub digest: Option<String>,
    /// The model's format.
    pub format: ModelFormat,
    /// A Secret of this namespace with what opens the model's store, for the target `Kubernetes`. Its keys are the names
    /// of environment variables: `AZURE_STORAGE_ACCOUNT_NAME`, `AZURE_STORAGE_ACCOUNT_KEY`, `AZURE_STORAGE_SAS_TOKEN`,
    /// `AZURE_STORAGE_ENDPOINT`, `AZURE_CLIENT_ID`, `AZURE_TENANT_ID`, `AZURE_CLIENT_SECRET` and the others that
    /// `mlops-model-server --help` names. Only the container that fetches the model gets them. A change of the Secret
    /// reaches pods that start after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_ref: Option<LocalReference>,
    /// The client id of a managed identity in Azure, federated with the ServiceAccount that has the Endpoint's name. The
    /// pods get its tokens by Azure Workload Identity, which the cluster must run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36), regex(pattern = r"^[a-fA-F0-9]{8}(-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}$"))]
    pub workload_identity_client_id: Option<String>,
}

/// Names a Model and one of its versions.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(validation = Rule::new("!has(self.version) || !has(self.stage)")
    .message("modelRef names a version or follows a stage: remove one of version and stage"))]
pub struct RegisteredModel {
    /// The name of a Model of this namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// The version. Without it, the one that the Model stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 30), regex(pattern = r"^[a-zA-Z0-9][-a-zA-Z0-9._]*$"))]
    pub version: Option<String>,
    /// A stage: the Endpoint follows the version that ModelPromotions bring there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub stage: Option<String>,
}

/// Names a ServingRuntime.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct RuntimeReference {
    /// The name of a ServingRuntime in this namespace, or of a default that the operator's chart installed.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// What an Endpoint says about its container beyond its runtime.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct ContainerOverride {
    /// The image; best with a digest, `registry/name:tag@sha256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^[^\s]+$"))]
    pub image: Option<String>,
    /// The command, in place of the image's entry point.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 4096)))]
    pub command: Vec<String>,
    /// The arguments, in place of the runtime's; `$(MODEL_PATH)` and the other variables are replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    pub args: Vec<String>,
    /// Environment variables, in addition to the runtime's; a name given twice takes the value given here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub env: Vec<EnvironmentVariable>,
}

/// CPU and memory of each replica.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(
    validation = Rule::new("!has(self.requests) || !has(self.limits) || self.requests.all(name, !(name in self.limits) || !isQuantity(self.requests[name]) || !isQuantity(self.limits[name]) || quantity(self.limits[name]).compareTo(quantity(self.requests[name])) >= 0)")
        .message("each of resources.limits must be at least the request of the same name")
)]
pub struct Resources {
    /// What each replica is given for sure, by resource: `cpu` (250m), `memory` (256Mi), `nvidia.com/gpu` (1).
    /// Without a value, `cpu` is 100m and `memory` is 256Mi.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    #[x_kube(validation = Rule::new("self.all(name, isQuantity(self[name]) && quantity(self[name]).isGreaterThan(quantity('0')) && (!name.contains('/') || quantity(self[name]).isInteger()))")
        .message("each of resources.requests must be a positive quantity, such as cpu: 250m, memory: 256Mi or nvidia.com/gpu: 1"),
        validation = Rule::new("self.all(name, name in ['cpu', 'memory', 'ephemeral-storage'] || name.matches('^[a-z0-9]([-a-z0-9.]{0,200}[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]{0,60}[A-Za-z0-9])?$'))")
        .message("resources.requests may name cpu, memory, ephemeral-storage, and devices such as nvidia.com/gpu"))]
    #[schemars(with = "BTreeMap<String, QuantityText>")]
    pub requests: BTreeMap<String, String>,
    /// What each replica may use at most. Without a value, `memory` is limited to its request and `cpu` is not limited.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    #[x_kube(validation = Rule::new("self.all(name, isQuantity(self[name]) && quantity(self[name]).isGreaterThan(quantity('0')) && (!name.contains('/') || quantity(self[name]).isInteger()))")
        .message("each of resources.limits must be a positive quantity, such as cpu: 250m, memory: 256Mi or nvidia.com/gpu: 1"),
        validation = Rule::new("self.all(name, name in ['cpu', 'memory', 'ephemeral-storage'] || name.matches('^[a-z0-9]([-a-z0-9.]{0,200}[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]{0,60}[A-Za-z0-9])?$'))")
        .message("resources.limits may name cpu, memory, ephemeral-storage, and devices such as nvidia.com/gpu"))]
    #[schemars(with = "BTreeMap<String, QuantityText>")]
    pub limits: BTreeMap<String, String>,
}

/// The schema of a quantity: a bounded string.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "only its schema is used")]
struct QuantityText(#[schemars(length(min = 1, max = 32))] String);

/// What the operator saw and did.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct EndpointStatus {
    /// The generation of the spec that this status speaks of; -1 until the operator has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Serving`, and while true `Reconciling`, `Stalled` and `ScalingHeld`; in Azure also `AzureReachable`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The address that answers requests: on this cluster from inside it, in Azure the scoring URI, behind a gateway of
    /// your own what `routing` says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub url: Option<String>,
    /// Pods that exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Pods that answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// The label selector of the pods, for autoscalers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub selector: Option<String>,
    /// How many replicas the load asks for, when the operator scales by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<ScalingStatus>,
    /// Its keys, with `auth.mode` `Key` on this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<KeysStatus>,
    /// The rollout that is under way, or how the last one ended, with the strategies `BlueGreen` and `Canary`. In Azure,
    /// what stands here moves requests next, and holds once a read of the endpoint shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,
    /// The revisions that have pods or are wanted, the wanted one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub revisions: Vec<Revision>,
    /// What was seen in Azure and done there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure: Option<AzureStatus>,
    /// Where a registered model was found to lie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_model: Option<ResolvedModel>,
    /// What is about to be written or, in the mode `Plan`, would be, in Azure and on this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanStatus>,
}

/// Where a registered model was found to lie.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct ResolvedModel {
    /// What was looked up: the id of the model's version, or the address in a datastore.
    #[schemars(length(max = 2048))]
    pub source: String,
    /// The address of the model's file or folder.
    #[schemars(length(max = 4096))]
    pub url: String,
    /// The digest that the Model gives for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub digest: Option<String>,
}

/// One revision: a model in a container, and the pods or instances that run it.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Revision {
    /// Its name: the Endpoint's name and a digest of what its pods run, or the name of a deployment in Azure.
    #[schemars(length(max = 128))]
    pub name: String,
    /// The model's URI, without any query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub model: Option<String>,
    /// Pods or instances that exist.
    pub replicas: i32,
    /// Pods or instances that answer.
    pub ready_replicas: i32,
    /// The share of requests that it answers, in percent, as far as known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<i32>,
    /// Where it stands.
    pub state: RevisionState,
}

/// Where a revision stands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum RevisionState {
    /// It is the wanted revision, and all requests go to it.
    Stable,
    /// It is the wanted revision, on its way.
    Progressing,
    /// It is the wanted revision, and it can't go on without a person.
    Failed,
    /// It is a revision from before, and goes when the wanted one answers, or soon after.
    Retiring,
    /// It is the wanted revision, and gets a share of the requests, or copies, while it is judged.
    Canary,
    /// It is a revision from before without pods, kept so that a person can go back to it.
    Retired,
    /// It is the wanted revision, and was found worse than the one before.
    RolledBack,
}
