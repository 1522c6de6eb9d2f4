//! The table of kinds that have resources in Azure: a further kind is a further line.
use api::azure::DeletionPolicy;
use serde_json::Value;

use super::Refusal;
use super::wanted::{Compiled, Facts};

/// A kind that has resources in Azure.
#[derive(Clone, Copy, Debug)]
pub struct AzureKind {
    /// The kind.
    pub kind: &'static str,
    /// Says what an object wants in Azure. It may be asked several times, with more and more seen.
    pub compile: fn(&Value, &Facts) -> Result<Compiled, Refusal>,
    /// What becomes of the resources when the object is deleted and does not say.
    pub deletion: fn(&Value) -> DeletionPolicy,
}

fn delete(_: &Value) -> DeletionPolicy {
    DeletionPolicy::Delete
}

/// Every kind that has resources in Azure.
pub const KINDS: &[AzureKind] = &[
    AzureKind { kind: "Compute", compile: crate::compute::compile, deletion: delete },
    AzureKind { kind: "DataAsset", compile: crate::data_asset::compile, deletion: delete },
    // Only while something of an Endpoint is in Azure, as `endpoint::azure::azure_part` tells.
    AzureKind { kind: "Endpoint", compile: crate::endpoint::azure::compile, deletion: delete },
    AzureKind {
        kind: "MLWorkspace",
        compile: crate::ml_workspace::compile,
        deletion: crate::ml_workspace::deletion,
    },
    AzureKind { kind: "Model", compile: crate::model::compile, deletion: delete },
    AzureKind { kind: "ModelRegistry", compile: crate::model_registry::compile, deletion: delete },
];

/// The line of a kind.
pub fn kind(name: &str) -> Option<&'static AzureKind> {
    KINDS.iter().find(|kind| kind.kind == name)
}
