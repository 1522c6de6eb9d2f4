//! The custom resources of `mlops-operator.dev`: spec, status, printer columns and the rules that the API server checks.
//!
//! Invariant: no IO and no logic beyond the types; doc comments of fields are documentation for the author of a manifest.

pub mod approval;
pub mod azure;
pub mod compute;
mod crds;
pub mod data_asset;
pub mod decision_record;
pub mod endpoint;
pub mod identity;
pub mod meta;
pub mod ml_workspace;
pub mod model;
pub mod model_promotion;
pub mod model_registry;
mod policies;
pub mod reason;
pub mod serving_runtime;

pub use approval::{Approval, ApprovalSpec, ApprovalStatus};
pub use compute::{Compute, ComputeSpec};
pub use crds::crds;
pub use data_asset::{DataAsset, DataAssetSpec};
pub use decision_record::{DecisionRecord, DecisionRecordSpec};
pub use endpoint::{Endpoint, EndpointSpec, EndpointStatus};
pub use ml_workspace::{MLWorkspace, MLWorkspaceSpec};
pub use model::{Model, ModelSpec, ModelStatus};
pub use model_promotion::{ModelPromotion, ModelPromotionSpec, ModelPromotionStatus};
pub use model_registry::{ModelRegistry, ModelRegistrySpec};
pub use policies::{Policy, policies};
pub use reason::Reason;
pub use serving_runtime::{ServingRuntime, ServingRuntimeSpec, ServingRuntimeStatus};

/// The API group of every kind.
pub const GROUP: &str = "mlops-operator.dev";
/// The served and stored version of every kind.
pub const VERSION: &str = "v1alpha1";
