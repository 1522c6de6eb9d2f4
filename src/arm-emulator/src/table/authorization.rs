//! Rows of `Microsoft.Authorization`.
use super::{Action, PLAIN, Parent, Reply, Row};
use crate::rules::authorization as rules;

const REQUEST: Row = Row {
    put: Some((Reply::Now(201), Reply::Now(201))),
    delete: None,
    parent: Parent::Free,
    required: &["/properties/principalId", "/properties/roleDefinitionId", "/properties/requestType"],
    actions: &[Action::post("cancel", rules::cancel), Action::post("validate", rules::validate).absent()],
    write: rules::request,
    inherited: true,
    ..PLAIN
};

/// What requests make; nobody writes it.
const SHOWN: Row = Row { put: None, delete: None, parent: Parent::Free, inherited: true, ..PLAIN };

pub(super) const ROWS: &[Row] = &[
    Row {
        kind: "Microsoft.Authorization/roleDefinitions",
        put: Some((Reply::Now(201), Reply::Now(201))),
        delete_returns: true,
        required: &["/properties/roleName", "/properties/permissions", "/properties/assignableScopes"],
        defaults: &[("/properties/description", "\"\"")],
        parent: Parent::Free,
        write: rules::definition,
        remove: rules::remove_definition,
        inherited: true,
        ..PLAIN
    },
    Row {
        kind: "Microsoft.Authorization/roleAssignments",
        delete_returns: true,
        required: &["/properties/principalId", "/properties/roleDefinitionId"],
        parent: Parent::Free,
        write: rules::assignment,
        inherited: true,
        ..PLAIN
    },
    Row { kind: "Microsoft.Authorization/roleEligibilityScheduleRequests", ..REQUEST },
    Row { kind: "Microsoft.Authorization/roleAssignmentScheduleRequests", ..REQUEST },
    Row { kind: "Microsoft.Authorization/roleEligibilitySchedules", ..SHOWN },
    Row { kind: "Microsoft.Authorization/roleEligibilityScheduleInstances", ..SHOWN },
    Row { kind: "Microsoft.Authorization/roleAssignmentSchedules", ..SHOWN },
    Row { kind: "Microsoft.Authorization/roleAssignmentScheduleInstances", ..SHOWN },
    Row {
        kind: "Microsoft.Authorization/roleManagementPolicies",
        put: None,
        patch: Some(Reply::Now(200)),
        ..SHOWN
    },
    Row { kind: "Microsoft.Authorization/roleManagementPolicyAssignments", ..SHOWN },
    Row {
        kind: "Microsoft.Authorization/locks",
        required: &["/properties/level"],
        parent: Parent::Free,
        ..PLAIN
    },
];
