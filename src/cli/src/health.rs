//! How an object is, by the rules of its conditions.
use api::meta::ConditionType;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use plan::condition;
use serde::Serialize;

use crate::output::Mark;

/// How an object is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(crate) enum Health {
    /// The cluster is as the spec says.
    Ready,
    /// It is on its way by itself.
    Reconciling,
    /// A person must act.
    Stalled,
    /// The operator has not looked at the present spec yet.
    Unseen,
    /// It is being deleted.
    Deleting,
}

impl Health {
    /// Reads it from what the operator reported. A status that speaks of an earlier spec says nothing about this one.
    pub(crate) fn new(metadata: &ObjectMeta, observed: Option<i64>, conditions: &[Condition]) -> Self {
        let holds = |type_| condition::find(conditions, type_).is_some_and(|found| found.status == "True");
        if metadata.deletion_timestamp.is_some() {
            Self::Deleting
        } else if observed.unwrap_or(-1) < metadata.generation.unwrap_or(0) {
            Self::Unseen
        } else if holds(ConditionType::Stalled) {
            Self::Stalled
        } else if holds(ConditionType::Ready) {
            Self::Ready
        } else {
            Self::Reconciling
        }
    }

    /// Whether it stays so until somebody changes something.
    pub(crate) fn is_settled(self) -> bool {
        matches!(self, Self::Ready | Self::Stalled)
    }

    pub(crate) fn mark(self) -> Mark {
        match self {
            Self::Ready => Mark::Good,
            Self::Reconciling | Self::Unseen | Self::Deleting => Mark::Busy,
            Self::Stalled => Mark::Bad,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::Unseen => "Unseen",
            Self::Deleting => "Deleting",
        }
    }
}
