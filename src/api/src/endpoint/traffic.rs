//! How the inference gateway treats the requests of an Endpoint on this cluster.
#![expect(unreachable_pub, reason = "the schema derive writes a private copy of each type")]
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the inference gateway treats requests.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(
    validation = Rule::new("!has(self.gatewayApi) || !has(self.stickyHeader)")
        .message("routing.stickyHeader is the inference gateway's work, and the standard channel of the Gateway API has nothing like it: remove it, or remove routing.gatewayApi"),
    validation = Rule::new("!has(self.gatewayApi) || !has(self.rateLimit)")
        .message("routing.rateLimit is the inference gateway's work, and the standard channel of the Gateway API has nothing like it: limit rates in your own gateway, or remove routing.gatewayApi"),
    validation = Rule::new("!has(self.gatewayApi) || !has(self.queueTimeoutSeconds)")
        .message("routing.queueTimeoutSeconds is about the inference gateway, which alone keeps requests until a pod has started: remove it, or remove routing.gatewayApi")
)]
pub struct Routing {
    /// Lets a gateway of your own execute the rollout, in place of the inference gateway: the operator writes an
    /// HTTPRoute of the Gateway API, and keeps its weights as the rollout's step says. What the inference gateway does
    /// beside is refused: keys and tokens, capture, limits, scaling by requests, and checks by its measurements;
    /// `rollout.analysis.queries` can judge. The operator's chart must have `gatewayApi.enabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_api: Option<GatewayApi>,
    /// Host names that are this endpoint's own. At the inference gateway they come beside the path
    /// `/endpoints/NAMESPACE/NAME`, and each must lie in a domain that the operator's chart gives to this namespace. With
    /// `gatewayApi` they come in place of the path, and the Gateway's owner decides by the host names and the
    /// `allowedRoutes` of its listeners; the chart's `gatewayApi.domain` can narrow them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        inner(
            length(min = 1, max = 253),
            regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)+$")
        )
    )]
    pub hosts: Vec<String>,
    /// A header whose value keeps its caller on one revision while requests are split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9][-A-Za-z0-9]*$"))]
    pub sticky_header: Option<String>,
    /// How often one caller may call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// The longest time of a request, in seconds. At the inference gateway, 60 without it; with `gatewayApi`, as your
    /// gateway has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3600))]
    pub request_timeout_seconds: Option<i32>,
    /// How long a request waits for a revision that starts, or for room, in seconds. Without it: 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 600))]
    pub queue_timeout_seconds: Option<i32>,
}

/// A gateway of your own that speaks the Gateway API.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct GatewayApi {
    /// The Gateway that the HTTPRoute belongs to.
    pub parent_ref: ParentReference,
    /// The address at which callers reach the Gateway, such as `https://models.example.com`, for `status.url`. Without
    /// it, `http://` and the first of `hosts`; without hosts, the status tells no address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 512), regex(pattern = r"^https?://[^\s/@?#]+$"))]
    pub url: Option<String>,
}

/// Names a Gateway, as a `parentRef` of an HTTPRoute does.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct ParentReference {
    /// The name of the Gateway.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// The namespace of the Gateway. Without it, the Endpoint's own. A Gateway of another namespace takes the route in if
    /// the `allowedRoutes` of its listener name this namespace; no ReferenceGrant is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: Option<String>,
    /// The name of one listener. Without it, every listener that allows the route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub section_name: Option<String>,
    /// The port of the listeners. Without it, any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
}

/// How often one caller may call. A caller is a token's application, a key, or else an address; each replica of the
/// gateway counts by itself.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(validation = Rule::new("double(self.requestsPerSecond) >= 0.001").message("requestsPerSecond must be at least 0.001"))]
pub struct RateLimit {
    /// Requests a second in the long run.
    #[schemars(range(min = 0.001, max = 1_000_000.0))]
    pub requests_per_second: f64,
    /// Requests at once. Without it, those of one second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub burst: Option<i32>,
}

/// Which requests and answers are kept, where Azure Machine Learning's data collector keeps them: below `model_inputs`
/// and `model_outputs`, in a folder for each hour.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Capture {
    /// The share of requests that is kept, in percent.
    #[serde(default = "all")]
    #[schemars(range(min = 0.01, max = 100.0))]
    pub sampling_percent: f64,
    /// How they are written: `JSONLines`, a JSON object a line, as the data collector does, or `Parquet`, a row for each
    /// row of a request and a column for each feature. There `correlationid` and `row` tell which output belongs to which
    /// input, `time` when it was asked and `modelversion` which revision answered; a column of mixed types or of lists
    /// holds JSON as text.
    #[serde(default)]
    pub format: CaptureFormat,
    /// Where they are kept.
    pub store: CaptureStore,
    /// Columns whose values are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 128)))]
    pub mask: Vec<String>,
}

fn all() -> f64 {
    100.0
}

/// How captures are written.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum CaptureFormat {
    /// A JSON object a line, as the data collector writes it.
    #[default]
    #[serde(rename = "JSONLines")]
    JsonLines,
    /// A table: a row for each row of a request, and a column for each feature.
    Parquet,
}

/// Where captures are kept.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct CaptureStore {
    /// A folder of Azure Storage, `https://ACCOUNT.blob.core.windows.net/CONTAINER/PATH`. The gateway writes by its own
    /// identity; NAMESPACE/NAME of the Endpoint is put behind the path.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new("self.matches('^https://[^\\\\s/@?#]+/[a-z0-9$][-a-z0-9]{1,62}(/[^\\\\s?#]*)?$') && !self.matches('(^|/)[.][.](/|$)')")
        .message("capture.store.uri must be https://ACCOUNT.blob.core.windows.net/CONTAINER/PATH, without a query and without '..'"))]
    pub uri: String,
}
