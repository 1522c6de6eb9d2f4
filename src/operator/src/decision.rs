//! What was decided about one object, whatever its kind.
use std::time::Duration;

use api::DecisionRecordSpec;
use api::azure::AzureStatus;
use arm::Operation;
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
    /// Whether the objects that name it must look again.
    pub(crate) tells: bool,
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
            tells: false,
        }
    }

    /// Notes that Azure has taken a step, so that a restart goes on where it was.
    pub(crate) fn performed(&mut self, step: &Step, operation: Option<&Operation>) {
        let Some(place) = self.status.pointer_mut(self.azure_at).filter(|_| step.resource().is_some()) else {
            return;
        };
        if let Ok(mut status) = serde_json::from_value::<AzureStatus>(place.clone()) {
            plan::azure::performed(&mut status, step, operation);
            *place = json!(status);
        }
    }

    /// Notes that the log has one more entry.
    pub(crate) fn recorded(&mut self, entry: &DecisionRecordSpec) {
        let log = serde_json::from_value(self.status["decisions"].take()).ok().flatten();
        self.status["decisions"] = json!(plan::decision::advanced(log, entry));
    }

    /// Looks again when an operation that a step has started is to be polled.
    pub(crate) fn started(&mut self, operation: &Operation, now: Timestamp) {
        let wait = Duration::try_from(operation.poll_at.duration_since(now)).unwrap_or_default();
        self.next = match self.next {
            Next::After(other) => Next::After(other.min(wait)),
            Next::OnChange => Next::After(wait),
        };
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

    /// Says in the status that Azure could not be asked, beside what was planned without it; and looks again later.
    pub(crate) fn note(&mut self, failure: &Failure, now: Timestamp) {
        let old = conditions(&self.old_status);
        let said = failure.reachability(&old, self.metadata.generation, now);
        let mut all = conditions(&self.status);
        all.retain(|condition| said.iter().all(|it| it.type_ != condition.type_));
        all.extend(said);
        self.status["conditions"] = json!(all);
        self.next = failure.next(3, 0.5);
    }

    /// Says in the status what failed, in place of what was planned.
    pub(crate) fn fail(&mut self, failure: &Failure, now: Timestamp) {
        let old = conditions(&self.old_status);
        let generation = self.metadata.generation;
        let conditions = failure.conditions(&conditions(&self.status), &old, generation, now);
        self.status["conditions"] = json!(conditions);
        // What was said of an older spec is not said of this one.
        let observed =
            if failure.keeps(&old) { &self.old_status["observedGeneration"] } else { &json!(generation) };
        self.status["observedGeneration"] = observed.clone();
        self.events = failure.events(&old);
    }
}

fn conditions(status: &Value) -> Vec<Condition> {
    serde_json::from_value(status["conditions"].clone()).unwrap_or_default()
}
