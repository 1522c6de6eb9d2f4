//! The plan of a ServingRuntime: nothing to do, and a status that says it can be used.
use api::meta::ConditionType;
use api::{Reason, ServingRuntime, ServingRuntimeStatus};
use jiff::Timestamp;

use crate::condition::{self, Statement};
use crate::step::{Next, Plan};

/// Everything that the plan of a ServingRuntime depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct World {
    /// The time of the observation.
    pub now: Timestamp,
    /// The object.
    pub runtime: ServingRuntime,
}

/// Decides what to do about a ServingRuntime.
pub fn plan(world: &World) -> Plan<ServingRuntimeStatus> {
    let old = world.runtime.status.clone().unwrap_or_default();
    if world.runtime.metadata.deletion_timestamp.is_some() {
        return Plan { steps: Vec::new(), status: old, events: Vec::new(), next: Next::OnChange };
    }
    let formats: Vec<&str> =
        world.runtime.spec.supported_formats.iter().map(|format| format.name()).collect();
    let message = match &world.runtime.spec.image {
        Some(_) => format!("endpoints can use it for {}", formats.join(", ")),
        None => format!(
            "endpoints can use it for {}; each names its image in spec.container.image",
            formats.join(", ")
        ),
    };
    let statements = [Statement::new(ConditionType::Ready, true, Reason::Accepted, message)];
    let generation = world.runtime.metadata.generation;
    let conditions = condition::merge(&old.conditions, &statements, generation, world.now);
    let status = ServingRuntimeStatus { observed_generation: generation, conditions };
    Plan { steps: Vec::new(), status, events: Vec::new(), next: Next::OnChange }
}
