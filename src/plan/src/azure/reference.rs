//! Objects of the same namespace that another refers to, and what of Azure they stand for.
use api::Reason;
use arm::ResourceId;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Refusal;
use super::wanted::Facts;

/// The provider of Azure Machine Learning.
pub const MACHINE_LEARNING: &str = "Microsoft.MachineLearningServices";

/// A workspace that an object refers to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Workspace {
    /// Its id.
    pub id: ResourceId,
    /// Its region.
    pub location: String,
}

/// Reads an object as its type; what the API server admitted and this version can't read is a refusal.
pub fn read<T: DeserializeOwned>(object: &Value) -> Result<T, Refusal> {
    serde_json::from_value(object.clone()).map_err(|error| Refusal {
        reason: Reason::Invalid,
        message: format!("the object can't be read: {error}"),
    })
}

/// A resource id made from fields of a spec.
pub fn id(made: Result<ResourceId, arm::InvalidResourceId>) -> Result<ResourceId, Refusal> {
    made.map_err(|error| Refusal { reason: Reason::Invalid, message: error.to_string() })
}

/// The workspace that an MLWorkspace of this namespace stands for, once it exists.
pub fn workspace(facts: &Facts, name: &str) -> Result<Workspace, Refusal> {
    let object = ready(facts, "MLWorkspace", name)?;
    let workspace = Workspace {
        id: id(workspace_id(&object, facts))?,
        location: object["spec"]["location"].as_str().unwrap_or_default().to_owned(),
    };
    Ok(workspace)
}

/// The id of the workspace that an MLWorkspace stands for, whether it exists or not.
pub fn workspace_id(object: &Value, facts: &Facts) -> Result<ResourceId, arm::InvalidResourceId> {
    of_group(object, facts, "workspaces")
}

/// The id of the resource of a resource group that an object stands for: `spec.subscriptionId`, `spec.resourceGroup`
/// and `spec.name` or the object's own name.
pub fn of_group(object: &Value, facts: &Facts, type_: &str) -> Result<ResourceId, arm::InvalidResourceId> {
    let spec = &object["spec"];
    let subscription = spec["subscriptionId"].as_str().or(facts.subscription).unwrap_or_default();
    let name = spec["name"].as_str().or(object["metadata"]["name"].as_str()).unwrap_or_default();
    let group = spec["resourceGroup"].as_str().unwrap_or_default();
    ResourceId::resource_group_of(subscription, group)?
        .with_provider(&format!("{MACHINE_LEARNING}/{type_}"), name)
}

/// An object that exists and whose own resource in Azure exists.
pub fn ready(facts: &Facts, kind: &str, name: &str) -> Result<Value, Refusal> {
    let waits = |message| Refusal { reason: Reason::DependencyNotReady, message };
    let object = facts
        .objects
        .find(kind, name)
        .ok_or_else(|| waits(format!("there is no {kind} {name} in this namespace")))?;
    if facts.assume_ready || exists(&object) {
        return Ok(object);
    }
    let ready = object["status"]["conditions"].as_array().and_then(|conditions| {
        conditions.iter().find(|condition| condition["type"] == "Ready")?["message"].as_str()
    });
    Err(waits(match ready {
        Some(message) => format!("{kind} {name} is not ready: {message}"),
        None => format!("{kind} {name} is not ready"),
    }))
}

/// Whether an object's own resource was seen to exist. It need not be as wanted at this moment.
fn exists(object: &Value) -> bool {
    let status = &object["status"];
    let Some(id) = status["id"].as_str() else { return false };
    status["resources"].as_array().into_iter().flatten().any(|resource| {
        resource["id"].as_str().is_some_and(|it| it.eq_ignore_ascii_case(id))
            && matches!(resource["state"].as_str(), Some("Ready" | "Differs" | "Updating"))
    })
}
