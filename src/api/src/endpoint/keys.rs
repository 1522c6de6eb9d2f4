//! What the status of an Endpoint on this cluster tells of its keys.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The keys of an Endpoint on this cluster: where they are, never what they are.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct KeysStatus {
    /// The Secret of this namespace that holds them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub secret_name: Option<String>,
    /// The last word of a person that was obeyed or refused: the value of the annotation
    /// `mlops-operator.dev/keys-action`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub handled_action: Option<String>,
    /// Why it was refused, when it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub action_refused: Option<String>,
}
