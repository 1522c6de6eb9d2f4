//! Azure Resource Manager as data: resource ids, resource types, errors, operations, differences.
//!
//! Invariant: no IO, no clock; everything here is a value or a function of values.

mod cloud;
mod difference;
mod error;
mod error_class;
mod id;
mod metric;
mod operation;
mod resource_type;
mod retry_after;

pub use cloud::{Cloud, Endpoints};
pub use difference::{Difference, differences, merge};
pub use error::{ArmError, ErrorBody};
pub use error_class::{ErrorClass, classify, is_absence};
pub use id::{InvalidResourceId, ResourceId};
pub use metric::{METRICS_API_VERSION, MetricQuery, MetricSeries};
pub use operation::{Answer, Operation, OperationShape, Progress, Started, Verb, polled, started};
pub use resource_type::{OwnerAt, RESOURCE_TYPES, ResourceType, find as resource_type};
pub use retry_after::retry_after;

/// What a read of a resource found.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// It does not exist.
    Absent,
    /// It exists; its whole body.
    Present(serde_json::Value),
}

impl Seen {
    /// The body, if the resource exists.
    pub fn body(&self) -> Option<&serde_json::Value> {
        match self {
            Self::Absent => None,
            Self::Present(body) => Some(body),
        }
    }
}
