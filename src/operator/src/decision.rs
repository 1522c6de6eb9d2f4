//! What was decided about one object, whatever its kind.
use std::time::Duration;

use api::azure::ResourceState;
use arm::{Operation, OperationShape, ResourceId, Verb};
use arm_client::Session;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use plan::failure::Failure;
use plan::{Event, Next, Plan, Step};
use serde::Serialize;
use serde_json::{Value, json};

/// What to do about one object, whatever its kind.
pub(crate) struct Decision {
    pub(crate) metadata: ObjectMeta,
    pub(crate) old_status: Value,
    pub(crate) status: Value,
    pub(crate) steps: Vec<Step>,
    pub(crate) events: Vec<Event>,
    pub(crate) next: Next,
    /// In whose name the steps in Azure are taken.
    pub(crate) session: Option<Session>,
    /// Where in the status the part is that is about Azure, as a JSON pointer.
    pub(crate) azure_at: &'static str,
    /// What kept the plan from being made.
    pub(crate) failure: Option<Failure>,
}

impl Decision {
    /// A decision from a plan.
    pub(crate) fn new<Status: Serialize>(
        metadata: ObjectMeta,
        old_status: Value,
        plan: Plan<Status>,
    ) -> anyhow::Result<Self> {
        let Plan { steps, status, events, next } = plan;
        let status = serde_json::to_value(status)?;
        Ok(Self { status, steps, events, next, ..Self::unplanned(metadata, old_status) })
    }

    /// A decision that could not be made.
    pub(crate) fn failed(metadata: ObjectMeta, status: Value, failure: Failure) -> Self {
        Self { failure: Some(failure), ..Self::unplanned(metadata, status) }
    }

    /// A decision without a plan: the status stays as it is until a failure is put into it.
    pub(crate) fn unplanned(metadata: ObjectMeta, status: Value) -> Self {
        let old_status = status.clone();
        Self {
            metadata,
            old_status,
            status,
            steps: Vec::new(),
            events: Vec::new(),
            next: Next::OnChange,
            session: None,
            azure_at: "",
            failure: None,
        }
    }

    /// Notes an operation that a step has started, so that a restart resumes it.
    pub(crate) fn started(&mut self, id: &ResourceId, operation: &Operation, now: Timestamp) {
        let wait = Duration::try_from(operation.poll_at.duration_since(now)).unwrap_or_default();
        self.next = match self.next {
            Next::After(other) => Next::After(other.min(wait)),
            Next::OnChange => Next::After(wait),
        };
        let resources =
            self.status.pointer_mut(self.azure_at).and_then(|azure| azure["resources"].as_array_mut());
        let same = |resource: &&mut Value| {
            resource["id"].as_str().is_some_and(|it| it.eq_ignore_ascii_case(id.as_str()))
        };
        if let Some(resource) = resources.and_then(|resources| resources.iter_mut().find(same)) {
            resource["state"] = json!(match (operation.verb, resource["state"].as_str()) {
                (Verb::Delete, _) => ResourceState::Deleting,
                (_, Some("Absent" | "Creating" | "Unknown")) => ResourceState::Creating,
                _ => ResourceState::Updating,
            });
            if operation.shape != OperationShape::Body {
                resource["operation"] = json!(plan::azure::operation_status(operation));
            }
        }
    }

    /// The status as it was before, for the last decision of several.
    pub(crate) fn since(self, old_status: Value) -> Self {
        Self { old_status, ..self }
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

    /// Whether the object was ready, by its status before.
    pub(crate) fn was_ready(&self) -> bool {
        conditions(&self.old_status)
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
