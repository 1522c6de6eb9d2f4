//! What the status remembers of a step once Azure has taken it, so that a restart goes on where it was.
use api::azure::{AzureStatus, ResourceState, ResourceStatus};
use arm::{Operation, OperationShape, Verb};

use super::report::operation_status;
use crate::step::Step;

/// Notes in a status that a step was taken: whose the resource is now, what it was given, the operation that was started.
pub fn performed(status: &mut AzureStatus, step: &Step, operation: Option<&Operation>) {
    let Some(id) = step.resource() else { return };
    let known = status.resources.iter().position(|it| it.id.eq_ignore_ascii_case(id.as_str()));
    let at = known.unwrap_or_else(|| {
        status.resources.push(ResourceStatus { id: id.to_string(), ..ResourceStatus::default() });
        status.resources.len() - 1
    });
    let resource = &mut status.resources[at];
    if let Step::ArmPut(put) = step {
        resource.owned = true;
        if put.secrets_version.is_some() {
            resource.secrets_version.clone_from(&put.secrets_version);
        }
    }
    if let Some(operation) = operation {
        resource.state = match (operation.verb, resource.state) {
            (Verb::Delete, _) => ResourceState::Deleting,
            (_, ResourceState::Absent | ResourceState::Creating | ResourceState::Unknown) => {
                ResourceState::Creating
            }
            _ => ResourceState::Updating,
        };
    }
    // An operation that only the resource itself tells of needs no note.
    let told = operation.filter(|operation| operation.shape != OperationShape::Body);
    resource.operation = told.map(operation_status);
}
