//! What every kind shares: condition types, the names of labels, and small types of fields.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The label on every object and pod that belongs to an Endpoint; its value is the Endpoint's name.
pub const ENDPOINT_LABEL: &str = "mlops-operator.dev/endpoint";
/// The label on a pod that names the revision it runs.
pub const REVISION_LABEL: &str = "mlops-operator.dev/revision";
/// The label on an object in another namespace that names the namespace of its Endpoint.
pub const ENDPOINT_NAMESPACE_LABEL: &str = "mlops-operator.dev/endpoint-namespace";
/// The label on the ConfigMaps that the inference gateway reads; its value is `true`.
pub const GATEWAY_ROUTE_LABEL: &str = "mlops-operator.dev/gateway-route";
/// The value of the label `app.kubernetes.io/name` of the inference gateway's pods.
pub const GATEWAY_NAME: &str = "mlops-gateway";
/// The label on the Jobs and pods of a ModelPromotion's checks; its value is the promotion's name.
pub const PROMOTION_LABEL: &str = "mlops-operator.dev/promotion";
/// The standard label that names who manages an object.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY_LABEL`], and the field manager of every write.
pub const MANAGER: &str = "mlops-operator";
/// The annotation that holds the digest of what was applied last.
pub const APPLIED_ANNOTATION: &str = "mlops-operator.dev/applied";
/// The annotation on a pod that names its model's URI, without any query.
pub const MODEL_ANNOTATION: &str = "mlops-operator.dev/model";

/// The annotation on an Endpoint by which a person steers its rollout: `pause`, `resume`, `skip-step`, `abort`, `retry`,
/// `promote`, `rollback` or `rollback=REVISION`, and behind an `@` anything that makes it differ from the last one.
pub const ROLLOUT_ACTION_ANNOTATION: &str = "mlops-operator.dev/rollout-action";

/// The annotation on an Endpoint by which a person asks for a new key: `regenerate=primary` or `regenerate=secondary`, and
/// behind an `@` anything that makes it differ from the last one. On the Secret with the keys, it names the last that was
/// obeyed.
pub const KEYS_ACTION_ANNOTATION: &str = "mlops-operator.dev/keys-action";

/// The annotation on a ModelPromotion by which a person steers it: `abort` ends it, `retry` runs the checks again that
/// have not passed; and behind an `@` anything that makes it differ from the last one.
pub const PROMOTION_ACTION_ANNOTATION: &str = "mlops-operator.dev/promotion-action";

/// The types of conditions.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
pub enum ConditionType {
    /// The cluster is as the spec says. Always present.
    Ready,
    /// Work is under way. Present only while true.
    Reconciling,
    /// A person must act; the message says what to do. Present only while true.
    Stalled,
    /// Requests are answered, by whichever revision, whatever a rollout is doing.
    Serving,
    /// The number of pods is left as it is, although scaling asks for more or less. Present only while true.
    ScalingHeld,
    /// People must vote before it goes on. Present only while true; waiting is no failure.
    ApprovalRequired,
    /// Azure answers. Its transition time says since when it does or does not.
    AzureReachable,
}

impl ConditionType {
    /// Every type of condition, in the order in which a status lists them.
    pub const ALL: [Self; 7] = [
        Self::Ready,
        Self::Reconciling,
        Self::Stalled,
        Self::Serving,
        Self::ScalingHeld,
        Self::ApprovalRequired,
        Self::AzureReachable,
    ];

    /// The name as it stands in `status.conditions[].type`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::Serving => "Serving",
            Self::ScalingHeld => "ScalingHeld",
            Self::ApprovalRequired => "ApprovalRequired",
            Self::AzureReachable => "AzureReachable",
        }
    }
}

/// The format of a model, which decides the ServingRuntime when none is named.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[schemars(inline)]
pub enum ModelFormat {
    /// An ONNX model, one `.onnx` file. Served by the operator's own model server.
    #[serde(rename = "ONNX")]
    Onnx,
    /// An MLflow model, served by a container that you name.
    MLflow,
    /// A Triton model repository, served by a container that you name.
    Triton,
    /// Any other format, served by a container that you name.
    Custom,
}

impl ModelFormat {
    /// The name as it stands in a manifest.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Onnx => "ONNX",
            Self::MLflow => "MLflow",
            Self::Triton => "Triton",
            Self::Custom => "Custom",
        }
    }
}

/// An environment variable with a literal value. Secrets do not belong here: the value is stored in clear text.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct EnvironmentVariable {
    /// Its name, for example `OMP_NUM_THREADS`. `MODEL_NAME`, `MODEL_URI`, `MODEL_DIGEST`, `MODEL_FORMAT`, `MODEL_PATH`,
    /// `HTTP_PORT`, `HTTP_PROTOCOL` and `GRPC_PORT` are set by the operator and can't be changed.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub name: String,
    /// Its value; `$(NAME)` is replaced by an earlier variable's value.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 4096))]
    pub value: String,
}
