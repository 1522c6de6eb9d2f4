//! The brain: a valid spec and the observed world in, a plan and a status out.
//!
//! ```text
//! object + World --validate--> Valid --plan--> Plan { steps, status, events, next }
//! ```
//!
//! Invariant: no async, clock, environment, file or randomness; the same world gives the same plan, byte for byte.
//! Invariant: a plan writes only objects that are absent or already ours.

pub mod azure;
pub mod child;
mod compute;
pub mod condition;
mod data_asset;
pub mod decision;
pub mod digest;
pub mod endpoint;
pub mod failure;
pub mod import;
mod ml_workspace;
pub mod model;
pub mod model_promotion;
mod model_registry;
mod quantity;
pub mod rights;
pub mod serving_runtime;
pub mod settings;
mod step;
pub mod subset;

pub use child::{ChildKind, Children, Observed};
pub use settings::{Gateway, GatewayApi, Settings};
pub use step::{
    Apply, ArmDelete, ArmPatch, ArmPut, Delete, Event, EventType, ExportStep, FieldManager, Next, Plan, Step,
    WriteKeys,
};
