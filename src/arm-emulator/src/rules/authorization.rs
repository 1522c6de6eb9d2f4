//! Roles: definitions, assignments, and just-in-time requests with the schedules that they make.
use serde_json::{Value, json};

use super::{default, guid, last};
use crate::address::{Address, covers};
use crate::answer::{Failure, Outcome};
use crate::call::Call;
use crate::clock::rfc3339;
use crate::engine::Change;
use crate::state::text;

const DEFINITION: &str = "Microsoft.Authorization/roleDefinitions";
const ASSIGNMENT: &str = "Microsoft.Authorization/roleAssignments";

/// The built-in roles that this project's personas use, by name and id.
const BUILT_IN: &[(&str, &str)] = &[
    ("Owner", "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"),
    ("Contributor", "b24988ac-6180-42a0-ab88-20f7382dd24c"),
    ("Reader", "acdd72a7-3385-48ef-bd42-f606fba81ae7"),
    ("User Access Administrator", "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"),
    ("Role Based Access Control Administrator", "f58310d9-a9f6-439a-9e8d-f62e7b41a168"),
    ("Managed Identity Operator", "f1a07417-d97a-45cb-824c-7a7467783830"),
    ("AzureML Data Scientist", "f6c7c914-8db3-469d-8ca1-694a8f32e121"),
    ("AzureML Compute Operator", "e503ece1-11d0-4e8e-8e2c-7a6c3bf38815"),
    ("AzureML Registry User", "1823dd4f-9b8c-4ab6-ab4e-7397a3684615"),
    ("AzureML Metrics Writer (preview)", "635dd51f-9968-44d3-b7fb-6d9a6bd613ae"),
    ("Azure AI Developer", "64702f94-c441-49e6-a78b-ef80e0188fee"),
    ("Azure AI Administrator", "b78c5d69-af96-48a3-bf8d-a8b4d589de94"),
    ("Azure AI Inference Deployment Operator", "3afb7f49-54cb-416e-8c09-6dc049efa503"),
    ("Azure AI Enterprise Network Connection Approver", "b556d68e-0be0-4f35-a333-ad7ee1ce17ea"),
    ("AcrPush", "8311e382-0749-4cb8-b61a-304f252e45ec"),
    ("AcrPull", "7f951dda-4ed3-4680-a7ca-43fe172d538d"),
    ("AcrDelete", "c2f4ef07-c644-48eb-af81-4b1b4947fb11"),
    ("Container Registry Repository Reader", "b93aa761-3e63-49ed-ac28-beffa264f7ac"),
    ("Log Analytics Reader", "73c42c96-874c-492b-b04d-ab87d138a893"),
    ("Log Analytics Contributor", "92aaf0da-9dab-42b6-94a3-d43ce8d16293"),
    ("Monitoring Reader", "43d0d8ad-25c7-4714-9337-8ba259a9fe05"),
    ("Monitoring Contributor", "749f88d5-cbae-40b8-bcfc-e573ddc772fa"),
    ("Monitoring Metrics Publisher", "3913510d-42f4-4e42-8a64-420c390055eb"),
    ("Log Analytics Data Reader", "3b03c2da-16b3-4a49-8834-0f8130efdd3b"),
    ("Key Vault Administrator", "00482a5a-887f-4fb3-b363-3b7fe8e74483"),
    ("Key Vault Secrets Officer", "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"),
    ("Key Vault Secrets User", "4633458b-17de-408a-b874-0445c86b69e6"),
    ("Key Vault Reader", "21090545-7ca7-4776-b22c-e363652d74d2"),
    ("Key Vault Contributor", "f25e0fa2-a7c8-4377-a976-54943a77a395"),
    ("Managed Identity Contributor", "e40ec5ca-96e0-45a2-b4ff-59039f2c2b59"),
    ("Kubernetes Extension Contributor", "85cb6faf-e071-4c9b-8136-154b5a04f717"),
    ("Kubernetes Cluster - Azure Arc Onboarding", "34e09817-6cbe-4d01-b1a2-e0eac5743d41"),
    ("Azure Arc Enabled Kubernetes Cluster User Role", "00493d72-78f6-4148-b6c5-d3ce8e4799dd"),
    ("Azure Arc Kubernetes Cluster Admin", "8393591c-06b9-48a2-a542-1bd6b377f6a2"),
    ("Azure Arc Kubernetes Viewer", "63f0a09d-1495-4db4-a681-037d84835eb4"),
    ("Azure Kubernetes Service Cluster Admin Role", "0ab0b1a8-8aac-4efd-b8c2-3ee1fb270be8"),
    ("Storage Blob Data Contributor", "ba92f5b4-2d11-453d-a403-e96b0029c9fe"),
    ("Storage Blob Data Reader", "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"),
    ("Storage Blob Data Owner", "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"),
    ("AzureML Workspace Connection Secrets Reader", "ea01e6af-a1c1-4350-9563-ad00f8c72ec5"),
];

fn built_in_body(scope: &str, name: &str, id: &str) -> Value {
    json!({
        "id": format!("{scope}/providers/{DEFINITION}/{id}"), "name": id, "type": DEFINITION,
        "properties": {
            "roleName": name, "type": "BuiltInRole", "description": name, "assignableScopes": ["/"],
            "permissions": [{"actions": [], "notActions": [], "dataActions": [], "notDataActions": []}],
        },
    })
}

/// The part of a scope that role definitions are shown below.
fn subscription_scope(scope: &str) -> String {
    let id = crate::address::part(scope, "subscriptions");
    if id.is_empty() { String::new() } else { format!("/subscriptions/{id}") }
}

/// A built-in role, if that is what an address names.
pub(crate) fn built_in(address: &Address) -> Option<Value> {
    if !address.kind().eq_ignore_ascii_case(DEFINITION) {
        return None;
    }
    let (name, id) = BUILT_IN.iter().find(|(_, id)| id.eq_ignore_ascii_case(address.name()))?;
    Some(built_in_body(&subscription_scope(&address.scope), name, id))
}

/// All built-in roles, for a list of definitions.
pub(crate) fn built_ins(change: &Change<'_>) -> Vec<Value> {
    if change.row.kind != DEFINITION {
        return Vec::new();
    }
    let scope = subscription_scope(&change.address.scope);
    BUILT_IN.iter().map(|(name, id)| built_in_body(&scope, name, id)).collect()
}

/// Whether a value passes the `$filter` of a list at a scope.
pub(crate) fn matches_filter(call: &Call, scope: &str, value: &Value) -> bool {
    let Some(filter) = call.query("$filter") else { return true };
    filter.split(" and ").all(|term| {
        let term = term.trim().trim_matches(|mark| mark == '(' || mark == ' ');
        let quoted = term.split('\'').nth(1).unwrap_or("");
        let is = |pointer: &str| text(value, pointer).eq_ignore_ascii_case(quoted);
        let lower = term.to_ascii_lowercase();
        if lower.starts_with("atscope") {
            let at = Address::parse(text(value, "/id")).map_or_else(String::new, |id| id.scope);
            return covers(&at.to_ascii_lowercase(), &scope.to_ascii_lowercase());
        }
        if lower.starts_with("astarget") {
            return text(value, "/properties/principalId").eq_ignore_ascii_case(&call.principal.object);
        }
        match lower.split([' ', '(']).next().unwrap_or("") {
            "principalid" | "assignedto" => is("/properties/principalId"),
            "roledefinitionid" => is("/properties/roleDefinitionId"),
            "rolename" => is("/properties/roleName"),
            "type" => is("/properties/type"),
            "status" => is("/properties/status"),
            _ => true,
        }
    })
}

pub(crate) fn definition(change: &mut Change<'_>) -> Outcome<()> {
    if built_in(&change.address).is_some() {
        return Err(Failure::new(
            403,
            "RoleDefinitionUpdateNotPermitted",
            "A built-in role can't be changed.",
        ));
    }
    let name = text(&change.body, "/properties/roleName").to_owned();
    let key = change.address.key();
    let own_name = |other: &crate::state::Record| {
        last(&other.id).eq_ignore_ascii_case(change.address.name())
            || !other.text("/properties/roleName").eq_ignore_ascii_case(&name)
    };
    let taken = change.state.of_kind(DEFINITION).any(|other| other.key() != key && !own_name(other))
        || BUILT_IN.iter().any(|(built_in, _)| built_in.eq_ignore_ascii_case(&name));
    if taken {
        let message = format!(
            "A custom role with the same name already exists in this directory. Use a different name than '{name}'."
        );
        return Err(Failure::new(409, "RoleDefinitionWithSameNameExists", message));
    }
    if name.chars().count() > 512 {
        return Err(Failure::new(
            400,
            "InvalidRoleDefinitionName",
            "The role's name may have 512 characters at most.",
        ));
    }
    let scopes = change.body["properties"]["assignableScopes"].as_array().cloned().unwrap_or_default();
    if scopes.is_empty() || scopes.iter().any(|scope| scope.as_str().is_none_or(|scope| scope.len() < 2)) {
        let message = "A custom role needs assignable scopes, and '/' is not one of them.";
        return Err(Failure::new(400, "InvalidRoleDefinitionScope", message));
    }
    change.body["properties"]["type"] = json!("CustomRole");
    stamp(change);
    Ok(())
}

fn stamp(change: &mut Change<'_>) {
    let now = rfc3339(change.now);
    let by = change.call.principal.object.clone();
    let created = change.old.as_ref().map(|old| old.body["properties"].clone()).unwrap_or_default();
    let properties = &mut change.body["properties"];
    properties["createdOn"] = created.get("createdOn").cloned().unwrap_or_else(|| json!(now));
    properties["createdBy"] = created.get("createdBy").cloned().unwrap_or_else(|| json!(by));
    properties["updatedOn"] = json!(now);
    properties["updatedBy"] = json!(by);
}

pub(crate) fn remove_definition(change: &mut Change<'_>) -> Outcome<()> {
    if built_in(&change.address).is_some() {
        return Err(Failure::new(
            403,
            "RoleDefinitionDeleteNotPermitted",
            "A built-in role can't be deleted.",
        ));
    }
    let name = change.address.name();
    let used = change
        .state
        .of_kind(ASSIGNMENT)
        .any(|one| last(one.text("/properties/roleDefinitionId")).eq_ignore_ascii_case(name));
    if used {
        let message = "There are existing role assignments referencing role. Delete them first.";
        return Err(Failure::new(400, "RoleDefinitionHasAssignments", message));
    }
    Ok(())
}

fn role_exists(change: &Change<'_>) -> Outcome<()> {
    let id = text(&change.body, "/properties/roleDefinitionId");
    let guid = last(id);
    let there = BUILT_IN.iter().any(|(_, known)| known.eq_ignore_ascii_case(guid))
        || change.state.of_kind(DEFINITION).any(|one| one.name().eq_ignore_ascii_case(guid));
    if there {
        return Ok(());
    }
    let message = format!("The specified role definition with ID '{guid}' does not exist.");
    Err(Failure::new(400, "RoleDefinitionDoesNotExist", message))
}

fn same_grant(one: &crate::state::Record, change: &Change<'_>) -> bool {
    let same = |pointer: &str| one.text(pointer).eq_ignore_ascii_case(text(&change.body, pointer));
    let scope = Address::parse(&one.id).map_or_else(String::new, |id| id.scope.to_ascii_lowercase());
    scope == change.address.scope.to_ascii_lowercase()
        && same("/properties/principalId")
        && last(one.text("/properties/roleDefinitionId"))
            .eq_ignore_ascii_case(last(text(&change.body, "/properties/roleDefinitionId")))
}

pub(crate) fn assignment(change: &mut Change<'_>) -> Outcome<()> {
    role_exists(change)?;
    if change.old.is_some() {
        let old = change.old.clone();
        if !old.is_some_and(|old| same_grant(&old, change)) {
            let message = "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.";
            return Err(Failure::new(400, "RoleAssignmentUpdateNotPermitted", message));
        }
    } else if let Some(other) = change.state.of_kind(ASSIGNMENT).find(|one| same_grant(one, change)) {
        let message = format!(
            "The role assignment already exists. The ID of the existing role assignment is {}.",
            other.name()
        );
        return Err(Failure::new(409, "RoleAssignmentExists", message));
    }
    let count = change.state.of_kind(ASSIGNMENT).count();
    if count >= 4000 && change.old.is_none() {
        let message = "No more role assignments can be created for this subscription.";
        return Err(Failure::new(400, "RoleAssignmentLimitExceeded", message));
    }
    let scope = change.address.scope.clone();
    let properties = &mut change.body["properties"];
    properties["scope"] = json!(if scope.is_empty() { "/".to_owned() } else { scope });
    default(properties, "/principalType", json!("ServicePrincipal"));
    for name in ["condition", "conditionVersion", "delegatedManagedIdentityResourceId", "description"] {
        default(properties, &format!("/{name}"), Value::Null);
    }
    stamp(change);
    Ok(())
}

/// A request is a record for ever; granting or removing happens with it.
pub(crate) fn request(change: &mut Change<'_>) -> Outcome<()> {
    if change.old.is_some() {
        let message = "A request with this name already exists. Use a new GUID for every request.";
        return Err(Failure::new(409, "RoleAssignmentRequestExists", message));
    }
    check_request(change)?;
    let eligible = change.row.kind.contains("Eligibility");
    let (schedules, instances) = if eligible {
        ("roleEligibilitySchedules", "roleEligibilityScheduleInstances")
    } else {
        ("roleAssignmentSchedules", "roleAssignmentScheduleInstances")
    };
    let kind = |name: &str| format!("Microsoft.Authorization/{name}");
    let existing: Vec<String> = change
        .state
        .of_kind(&kind(schedules))
        .chain(change.state.of_kind(&kind(instances)))
        .filter(|one| same_grant(one, change))
        .map(crate::state::Record::key)
        .collect();
    let what = text(&change.body, "/properties/requestType").to_owned();
    let removes = ["AdminRemove", "SelfDeactivate"].contains(&what.as_str());
    let extends =
        ["AdminUpdate", "AdminExtend", "AdminRenew", "SelfExtend", "SelfRenew"].contains(&what.as_str());
    if existing.is_empty() && (removes || extends) {
        return Err(Failure::new(400, "RoleAssignmentDoesNotExist", "The Role assignment does not exist."));
    }
    if !existing.is_empty() && !removes && !extends {
        return Err(Failure::new(400, "RoleAssignmentExists", "The Role assignment already exists."));
    }
    for key in existing {
        change.state.remove(&key);
    }
    let schedule = guid(&["schedule", &change.address.key()]);
    stamp_request(change, if removes { "Revoked" } else { "Provisioned" }, &schedule, schedules);
    if !removes {
        for name in [schedules, instances] {
            grant(change, name, &schedule);
        }
    }
    Ok(())
}

fn check_request(change: &Change<'_>) -> Outcome<()> {
    let known = [
        "AdminAssign",
        "AdminRemove",
        "AdminUpdate",
        "AdminExtend",
        "AdminRenew",
        "SelfActivate",
        "SelfDeactivate",
        "SelfExtend",
        "SelfRenew",
    ];
    let what = text(&change.body, "/properties/requestType");
    if !known.contains(&what) {
        return Err(Failure::new(400, "BadRequestFormat", format!("The request type '{what}' is unknown.")));
    }
    role_exists(change)?;
    let expiration = change.body.pointer("/properties/scheduleInfo/expiration").cloned().unwrap_or_default();
    let length = text(&expiration, "/duration").parse::<jiff::Span>().ok();
    let hours = length
        .and_then(|span| span.total((jiff::Unit::Hour, jiff::SpanRelativeTo::days_are_24_hours())).ok());
    let most = if change.row.kind.contains("Eligibility") { 366.0 * 24.0 } else { 183.0 * 24.0 };
    let selfish = what.starts_with("Self");
    if hours.is_some_and(|hours| hours > if selfish { 24.0 } else { most }) {
        let message = "The following policy rules failed: [\"ExpirationRule\"]";
        return Err(Failure::new(400, "RoleAssignmentRequestPolicyValidationFailed", message));
    }
    if selfish && what == "SelfActivate" && text(&change.body, "/properties/justification").is_empty() {
        let message = "The following policy rules failed: [\"JustificationRule\"]";
        return Err(Failure::new(400, "RoleAssignmentRequestPolicyValidationFailed", message));
    }
    Ok(())
}

fn stamp_request(change: &mut Change<'_>, status: &str, schedule: &str, schedules: &str) {
    let scope = change.address.scope.clone();
    let now = rfc3339(change.now);
    let by = change.call.principal.object.clone();
    let target = if schedules.contains("Eligibility") {
        "targetRoleEligibilityScheduleId"
    } else {
        "targetRoleAssignmentScheduleId"
    };
    let properties = &mut change.body["properties"];
    properties["status"] = json!(status);
    properties["scope"] = json!(scope);
    properties["createdOn"] = json!(now);
    properties["requestorId"] = json!(by);
    default(properties, "/principalType", json!("User"));
    default(properties, &format!("/{target}"), json!(schedule));
    default(properties, "/scheduleInfo/startDateTime", json!(now));
}

/// The schedule, and its instance, that an approved request makes.
fn grant(change: &mut Change<'_>, name: &str, schedule: &str) {
    let scope = change.address.scope.clone();
    let id = format!("{scope}/providers/Microsoft.Authorization/{name}/{schedule}");
    let given = change.body["properties"].clone();
    let start = text(&given, "/scheduleInfo/startDateTime").to_owned();
    let end = expiry(&given, &start);
    let body = json!({"properties": {
        "scope": scope, "roleDefinitionId": given["roleDefinitionId"], "principalId": given["principalId"],
        "principalType": given["principalType"], "status": "Provisioned", "memberType": "Direct",
        "startDateTime": start, "endDateTime": end, "assignmentType": "Assigned",
        "condition": given.get("condition"), "conditionVersion": given.get("conditionVersion"),
        "createdOn": given["createdOn"], "updatedOn": given["createdOn"],
    }});
    let kind = format!("Microsoft.Authorization/{name}");
    let record = super::workspace::plain(change, id, &kind, body);
    change.state.put(record);
}

fn expiry(given: &Value, start: &str) -> Value {
    let expiration = given.pointer("/scheduleInfo/expiration").cloned().unwrap_or_default();
    match text(&expiration, "/type") {
        "AfterDateTime" => expiration["endDateTime"].clone(),
        "AfterDuration" => {
            let start = start.parse::<jiff::Timestamp>().ok();
            let length = text(&expiration, "/duration").parse::<jiff::Span>().ok();
            let end = start.zip(length).and_then(|(start, length)| {
                start
                    .to_zoned(jiff::tz::TimeZone::UTC)
                    .checked_add(length)
                    .ok()
                    .map(|end| end.timestamp().to_string())
            });
            json!(end)
        }
        _ => Value::Null,
    }
}

pub(crate) fn cancel(change: &mut Change<'_>) -> Outcome<Value> {
    let status = change.old.as_ref().map_or("", |old| old.text("/properties/status")).to_owned();
    if status == "Revoked" || status == "Canceled" {
        let message = format!("The request is {status} and can't be canceled.");
        return Err(Failure::new(400, "RoleAssignmentRequestCannotBeCanceled", message));
    }
    if let Some(record) = change.state.get_mut(&change.address.key()) {
        record.body["properties"]["status"] = json!("Canceled");
    }
    Ok(Value::Null)
}

pub(crate) fn validate(change: &mut Change<'_>) -> Outcome<Value> {
    check_request(change)?;
    let mut body = change.body.clone();
    body["id"] = json!(change.address.id());
    body["name"] = json!(change.address.name());
    body["type"] = json!(change.row.kind);
    body["properties"]["status"] = json!("Accepted");
    Ok(body)
}
