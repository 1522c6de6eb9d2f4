//! `ServingRuntime`: how a model format becomes a container.
#![expect(unreachable_pub, reason = "the schema derive writes a private copy of each type")]
#![expect(clippy::duplicated_attributes, reason = "several columns share a type")]
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::meta::{EnvironmentVariable, ModelFormat};

/// How a model format becomes a container.
///
/// Endpoints of the same namespace use it. Those in the operator's own namespace are the defaults for all namespaces.
/// A runtime names an image and its arguments; it can't widen what a pod may do.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "mlops-operator.dev",
    version = "v1alpha1",
    kind = "ServingRuntime",
    plural = "servingruntimes",
    shortname = "srt",
    category = "mlops",
    namespaced,
    status = "ServingRuntimeStatus",
    derive = "PartialEq",
    doc = "How a model format becomes a container.",
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
    printcolumn(name = "Formats", type_ = "string", json_path = ".spec.supportedFormats"),
    printcolumn(name = "Image", type_ = "string", json_path = ".spec.image"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.grpcPort) || self.grpcPort != self.port")
    .message("grpcPort must differ from port: for one port that answers both, set protocol: H2C and no grpcPort"))]
pub struct ServingRuntimeSpec {
    /// The formats that it serves.
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "set"))]
    pub supported_formats: Vec<ModelFormat>,
    /// The image. Without it, each Endpoint that uses the runtime names one in `spec.container.image`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^[^\s]+$"))]
    pub image: Option<String>,
    /// The command, in place of the image's entry point.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 4096)))]
    pub command: Vec<String>,
    /// The arguments. `$(MODEL_NAME)`, `$(MODEL_URI)`, `$(MODEL_DIGEST)`, `$(MODEL_FORMAT)`, `$(MODEL_PATH)`,
    /// `$(HTTP_PORT)` and, with `grpcPort`, `$(GRPC_PORT)` are replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    pub args: Vec<String>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub env: Vec<EnvironmentVariable>,
    /// Who brings the model into the container.
    #[serde(default)]
    pub model_delivery: ModelDelivery,
    /// The port that answers HTTP requests.
    #[serde(default = "port")]
    #[schemars(range(min = 1024, max = 65535))]
    pub port: i32,
    /// What `port` speaks to the inference gateway: `HTTP1`, or `H2C` for HTTP/2 from the first byte, which answers gRPC
    /// as well. The probes of Kubernetes ask in HTTP/1.1, which the port must answer too.
    #[serde(default)]
    pub protocol: Protocol,
    /// The port that answers gRPC calls, such as those of the Open Inference Protocol. The Service of an Endpoint has it
    /// as port 8081.
    ///
    /// Through the inference gateway, a call goes to the gateway's own port, with a host of the Endpoint
    /// (`routing.hosts`), or with `mlops-endpoint: NAMESPACE/NAME` in its metadata. Keys, limits, shares of revisions
    /// and statistics are those of HTTP requests; `routing.requestTimeoutSeconds` is the time until an answer begins. A
    /// code such as INTERNAL or UNAVAILABLE counts as a failure of the revision, one such as INVALID_ARGUMENT as its
    /// caller's. Calls are mirrored, but their answers are not compared (`incomparable`); they are not captured, which is
    /// counted (`unfit`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024, max = 65535))]
    pub grpc_port: Option<i32>,
    /// The path that answers 200 once the model is loaded and can answer requests.
    #[serde(default = "readiness_path")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^/[^\s]*$"))]
    pub readiness_path: String,
    /// The path that answers 200 while the process is healthy, from its start on.
    #[serde(default = "liveness_path")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^/[^\s]*$"))]
    pub liveness_path: String,
    /// The path of requests, below the Endpoint's address; `{name}` stands for the Endpoint's name.
    #[serde(default = "inference_path")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^/[^\s]*$"))]
    pub inference_path: String,
    /// Seconds that the container may take until its liveness path answers.
    #[serde(default = "startup_seconds")]
    #[schemars(range(min = 1, max = 7200))]
    pub startup_seconds: i32,
    /// Seconds that a pod goes on answering after it was told to stop, so that no request is lost.
    #[serde(default = "drain_seconds")]
    #[schemars(range(min = 0, max = 600))]
    pub drain_seconds: i32,
}

/// What a port speaks, without encryption.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    #[serde(rename = "HTTP1")]
    Http1,
    /// HTTP/2 from the first byte (h2c with prior knowledge), and so gRPC as well.
    #[serde(rename = "H2C")]
    H2c,
}

fn port() -> i32 {
    8080
}

fn readiness_path() -> String {
    "/v2/health/ready".into()
}

fn liveness_path() -> String {
    "/v2/health/live".into()
}

fn inference_path() -> String {
    "/v2/models/{name}/infer".into()
}

fn startup_seconds() -> i32 {
    300
}

fn drain_seconds() -> i32 {
    5
}

/// Who brings the model into the container.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum ModelDelivery {
    /// The operator: an init container fetches the model, verifies its digest, and the container finds it at
    /// `MODEL_PATH`.
    #[default]
    Mounted,
    /// The container: it fetches `MODEL_URI` and verifies `MODEL_DIGEST` by itself.
    Fetched,
}

/// What the operator found.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct ServingRuntimeStatus {
    /// The generation of the spec that this status speaks of; -1 until the operator has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: endpoints can use it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
