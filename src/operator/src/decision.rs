//! What was decided about one object, whatever its kind.
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use plan::failure::Failure;
use plan::{Event, Next, Plan, Step};
use serde::Serialize;
use serde_json::{Value, json};

/// What to do about one object, whatever its kind.
#[derive(Debug)]
pub struct Decision {
    pub(crate) metadata: ObjectMeta,
    pub(crate) old_status: Value,
    pub(crate) status: Value,
    pub(crate) steps: Vec<Step>,
    pub(crate) events: Vec<Event>,
    pub(crate) next: Next,
}

impl Decision {
    /// A decision from a plan.
    pub fn new<Status: Serialize>(
        metadata: ObjectMeta,
        old_status: Value,
        plan: Plan<Status>,
    ) -> anyhow::Result<Self> {
        let Plan { steps, status, events, next } = plan;
        Ok(Self { metadata, old_status, status: serde_json::to_value(status)?, steps, events, next })
    }

    /// A decision without a plan: the status stays as it is until a failure is put into it.
    pub(crate) fn unplanned(metadata: ObjectMeta, status: Value) -> Self {
        let old_status = status.clone();
        Self { metadata, old_status, status, steps: Vec::new(), events: Vec::new(), next: Next::OnChange }
    }

    pub(crate) fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Whether the object is ready, by its new status.
    pub(crate) fn is_ready(&self) -> bool {
        conditions(&self.status)
            .iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
    }

    /// Says in the status what failed, in place of what was planned.
    pub(crate) fn fail(&mut self, failure: &Failure, now: Timestamp) {
        let old = conditions(&self.old_status);
        let generation = self.metadata.generation;
        let conditions = failure.conditions(&conditions(&self.status), &old, generation, now);
        self.status["conditions"] = json!(conditions);
        self.status["observedGeneration"] = json!(generation);
        self.events = failure.events(&old);
    }
}

fn conditions(status: &Value) -> Vec<Condition> {
    serde_json::from_value(status["conditions"].clone()).unwrap_or_default()
}
