//! Long-running operations: where they are polled, and how far they are.
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// An operation that was started and has not been seen to end. It is kept in an object's status, so that a restart
/// resumes it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// What started it.
    pub verb: Verb,
    /// How it is polled.
    pub shape: OperationShape,
    /// Where it is polled: an absolute URL, or for [`OperationShape::Body`] the resource's id.
    pub url: String,
    /// When it was started.
    pub started: Timestamp,
    /// When it must have ended, as far as the server said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// When to poll it next.
    pub poll_at: Timestamp,
}

/// What starts an operation.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Verb {
    /// A create or replace.
    Put,
    /// A change.
    Patch,
    /// A delete.
    Delete,
    /// An action.
    Post,
}

/// How an operation is polled.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum OperationShape {
    /// The URL of the header `Azure-AsyncOperation` answers a status.
    AzureAsyncOperation,
    /// The URL of the header `Location` answers 202 while it runs.
    Location,
    /// The resource itself tells, in `properties.provisioningState`.
    Body,
}
