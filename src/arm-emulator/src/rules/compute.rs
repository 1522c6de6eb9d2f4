//! Computes: what each type needs, their states, power, nodes and keys.
use serde_json::{Value, json};

use super::{default, guid, quota};
use crate::answer::{Failure, Outcome};
use crate::clock::rfc3339;
use crate::engine::Change;
use crate::state::text;

pub(crate) fn write(change: &mut Change<'_>) -> Outcome<()> {
    let kind = text(&change.body, "/properties/computeType").to_owned();
    let location = change.location();
    let now = rfc3339(change.now);
    let created = change.old.as_ref().map_or(now.clone(), |old| old.text("/properties/createdOn").to_owned());
    default(&mut change.body, "/location", json!(location));
    default(&mut change.body, "/properties/computeLocation", json!(location));
    default(&mut change.body, "/properties/properties", json!({}));
    change.body["properties"]["createdOn"] = json!(created);
    change.body["properties"]["modifiedOn"] = json!(now);
    change.body["properties"]["provisioningErrors"] = Value::Null;
    match kind.to_ascii_lowercase().as_str() {
        "amlcompute" => cluster(change),
        "computeinstance" => instance(change),
        "kubernetes" => kubernetes(change),
        "aks" | "virtualmachine" | "synapsespark" | "databricks" | "datafactory" | "hdinsight"
        | "datalakeanalytics" => {
            change.body["properties"]["isAttachedCompute"] = json!(true);
            Ok(())
        }
        _ => {
            let message = format!(
                "The compute type '{kind}' is not supported. Use AmlCompute, ComputeInstance or Kubernetes."
            );
            Err(Failure::new(400, "ValidationError", message).about("properties.computeType"))
        }
    }
}

fn needs_size(change: &Change<'_>) -> Outcome<String> {
    let size = text(&change.body, "/properties/properties/vmSize").to_owned();
    if quota::size(&size).is_some() {
        return Ok(size);
    }
    let message = format!("The specified VM size '{size}' is not supported in this region.");
    Err(Failure::new(400, "InvalidPropertyValue", message).about("vmSize"))
}

fn cluster(change: &mut Change<'_>) -> Outcome<()> {
    let size = needs_size(change)?;
    let scale = change.body.pointer("/properties/properties/scaleSettings").cloned().unwrap_or_default();
    let count = |name: &str| scale.get(name).and_then(Value::as_i64);
    let (least, most) = (count("minNodeCount").unwrap_or(0), count("maxNodeCount"));
    let Some(most) = most else {
        let message =
            "The field 'properties.properties.scaleSettings.maxNodeCount' is required for an AmlCompute.";
        return Err(Failure::new(400, "ValidationError", message).about("scaleSettings.maxNodeCount"));
    };
    if least > most || least < 0 {
        let message =
            format!("The minimum node count {least} must lie between 0 and the maximum node count {most}.");
        return Err(Failure::new(400, "ValidationError", message).about("scaleSettings.minNodeCount"));
    }
    quota::reserve(change, &size, most)?;
    let body = &mut change.body;
    body["properties"]["isAttachedCompute"] = json!(false);
    let own = &mut body["properties"]["properties"];
    default(own, "/vmPriority", json!("Dedicated"));
    default(own, "/osType", json!("Linux"));
    default(own, "/scaleSettings/minNodeCount", json!(0));
    default(own, "/scaleSettings/nodeIdleTimeBeforeScaleDown", json!("PT2M"));
    default(own, "/remoteLoginPortPublicAccess", json!("NotSpecified"));
    default(own, "/enableNodePublicIp", json!(true));
    default(own, "/isolatedNetwork", json!(false));
    own["allocationState"] = json!("Steady");
    own["currentNodeCount"] = json!(least);
    own["targetNodeCount"] = json!(least);
    own["errors"] = Value::Null;
    own["nodeStateCounts"] = json!({
        "preparingNodeCount": 0, "runningNodeCount": 0, "idleNodeCount": least, "unusableNodeCount": 0,
        "leavingNodeCount": 0, "preemptedNodeCount": 0,
    });
    Ok(())
}

fn instance(change: &mut Change<'_>) -> Outcome<()> {
    let size = needs_size(change)?;
    taken(change)?;
    quota::reserve(change, &size, 1)?;
    let name = change.address.name().to_owned();
    let location = change.location();
    let principal = change.call.principal.object.clone();
    let tenant = change.settings().tenant.clone();
    change.body["properties"]["isAttachedCompute"] = json!(false);
    let own = &mut change.body["properties"]["properties"];
    let assigned = text(own, "/personalComputeInstanceSettings/assignedUser/objectId").to_owned();
    default(own, "/applicationSharingPolicy", json!("Personal"));
    default(own, "/computeInstanceAuthorizationType", json!("personal"));
    default(own, "/enableNodePublicIp", json!(true));
    default(own, "/enableSSO", json!(true));
    default(own, "/sshSettings", json!({"sshPublicAccess": "Disabled"}));
    default(&mut own["sshSettings"], "/adminUserName", json!("azureuser"));
    default(&mut own["sshSettings"], "/sshPort", json!(4000));
    own["applications"] = json!([{
        "displayName": "Jupyter", "endpointUri": format!("https://{name}.{location}.instances.azureml.ms/tree/"),
    }]);
    own["connectivityEndpoints"] = json!({"publicIpAddress": null, "privateIpAddress": "10.0.0.4"});
    let owner = if assigned.is_empty() { principal } else { assigned };
    own["createdBy"] = json!({"userName": owner, "userOrgId": tenant, "userId": owner});
    own["errors"] = json!([]);
    if change.old.is_none() {
        change.body["properties"]["properties"]["state"] = json!("Creating");
        change.then(json!({"properties": {"properties": {
            "state": "Running",
            "lastOperation": {"operationName": "Create", "operationStatus": "Succeeded", "operationTrigger": "User"},
        }}}));
    }
    Ok(())
}

/// The names of compute instances are unique in a region.
fn taken(change: &Change<'_>) -> Outcome<()> {
    let (name, key) = (change.address.name(), change.address.key());
    let location = change.location();
    let clash = change.state.of_kind(change.row.kind).any(|other| {
        other.key() != key
            && other.name().eq_ignore_ascii_case(name)
            && other.text("/properties/computeType").eq_ignore_ascii_case("ComputeInstance")
            && other.text("/location").eq_ignore_ascii_case(&location)
    });
    if clash {
        let message =
            format!("The compute instance name '{name}' is already taken in the region {location}.");
        return Err(Failure::new(409, "Conflict", message).about("name"));
    }
    Ok(())
}

fn kubernetes(change: &mut Change<'_>) -> Outcome<()> {
    let cluster = text(&change.body, "/properties/resourceId").to_owned();
    let address = crate::address::Address::parse(&cluster).filter(crate::address::Address::is_resource);
    let Some(address) = address else {
        let message =
            "The field 'properties.resourceId' must be the id of a connected cluster or a managed cluster.";
        return Err(Failure::new(400, "ValidationError", message).about("properties.resourceId"));
    };
    if address.kind() == "microsoft.kubernetes/connectedclusters" {
        attachable(change, &address)?;
    }
    change.body["properties"]["isAttachedCompute"] = json!(true);
    let own = &mut change.body["properties"]["properties"];
    default(own, "/namespace", json!("default"));
    default(own, "/defaultInstanceType", json!("defaultinstancetype"));
    let default_type = json!({"defaultinstancetype": {"nodeSelector": null, "resources": {
        "requests": {"cpu": "100m", "memory": "2Gi"}, "limits": {"cpu": "2", "memory": "2Gi", "nvidia.com/gpu": null}}}});
    default(own, "/instanceTypes", default_type);
    own["relayConnectionString"] = Value::Null;
    own["serviceBusConnectionString"] = Value::Null;
    own["extensionPrincipalId"] = json!(guid(&["extension", &cluster]));
    own["extensionInstanceReleaseTrain"] = json!("stable");
    default(own, "/vcName", Value::Null);
    Ok(())
}

/// A connected cluster of this emulator must have the extension; one that it does not know is believed, as storage
/// accounts are.
fn attachable(change: &Change<'_>, cluster: &crate::address::Address) -> Outcome<()> {
    let Some(record) = change.state.get(&cluster.key()) else { return Ok(()) };
    let below = record.key();
    let extension = change.state.below(&below).any(|one| {
        one.text("/properties/extensionType").eq_ignore_ascii_case("Microsoft.AzureML.Kubernetes")
            && one.text("/properties/provisioningState") == "Succeeded"
    });
    if extension {
        return Ok(());
    }
    let message = format!(
        "The extension 'Microsoft.AzureML.Kubernetes' is not installed on the cluster '{}', or the workspace's \
         identity has no right to see it.",
        cluster.name()
    );
    Err(Failure::new(400, "BadRequest", message)
        .detail("ExtensionNotInstalled", "Install the AzureML extension."))
}

/// What happens to the machines must be said: an attached compute can only be detached.
pub(crate) fn remove(change: &mut Change<'_>) -> Outcome<()> {
    if change.old.is_none() {
        return Ok(());
    }
    let action = change.call.query("underlyingResourceAction").unwrap_or("");
    if !["Delete", "Detach"].iter().any(|known| known.eq_ignore_ascii_case(action)) {
        let message = "The query parameter 'underlyingResourceAction' is required: use Delete or Detach.";
        return Err(Failure::new(400, "BadArgument", message).about("underlyingResourceAction"));
    }
    let attached =
        change.old.as_ref().is_some_and(|old| old.body["properties"]["isAttachedCompute"] == json!(true));
    if attached && action.eq_ignore_ascii_case("Delete") {
        let message = "An attached compute can't be deleted. Use underlyingResourceAction=Detach.";
        return Err(Failure::new(400, "BadArgument", message).about("underlyingResourceAction"));
    }
    let id = change.address.id();
    let used = change.state.of_kind("Microsoft.MachineLearningServices/workspaces/onlineEndpoints");
    if let Some(endpoint) =
        used.into_iter().find(|one| one.text("/properties/compute").eq_ignore_ascii_case(&id))
    {
        let message =
            format!("The compute is used by the online endpoint '{}'. Delete that first.", endpoint.name());
        return Err(Failure::new(409, "Conflict", message));
    }
    Ok(())
}

/// Starting, stopping and restarting are for compute instances.
fn power(change: &mut Change<'_>, during: &str, after: &str, name: &str) -> Outcome<Value> {
    let kind = change.old.as_ref().map_or("", |old| old.text("/properties/computeType"));
    if !kind.eq_ignore_ascii_case("ComputeInstance") {
        let message =
            format!("A compute of type '{kind}' can't be started or stopped: only a ComputeInstance can.");
        return Err(Failure::new(400, "BadRequest", message));
    }
    let key = change.address.key();
    if change.state.running().any(|one| one.key == key) {
        let message = "The compute is busy with another operation. Please try again later.";
        return Err(Failure::new(409, "Conflict", message));
    }
    if let Some(record) = change.state.get_mut(&key) {
        record.body["properties"]["properties"]["state"] = json!(during);
    }
    change.then(json!({"properties": {"properties": {"state": after, "lastOperation": {
        "operationName": name, "operationStatus": "Succeeded", "operationTrigger": "User",
        "operationTime": rfc3339(change.now)}}}}));
    Ok(Value::Null)
}

pub(crate) fn start(change: &mut Change<'_>) -> Outcome<Value> {
    power(change, "Starting", "Running", "Start")
}

pub(crate) fn stop(change: &mut Change<'_>) -> Outcome<Value> {
    power(change, "Stopping", "Stopped", "Stop")
}

pub(crate) fn restart(change: &mut Change<'_>) -> Outcome<Value> {
    power(change, "Restarting", "Running", "Restart")
}

pub(crate) fn list_nodes(change: &mut Change<'_>) -> Outcome<Value> {
    let count = change
        .old
        .as_ref()
        .and_then(|old| old.body.pointer("/properties/properties/currentNodeCount")?.as_i64());
    let node = |index: i64| {
        json!({"nodeId": format!("tvmps_{index:08}"), "privateIpAddress": format!("10.0.0.{}", 4 + index),
            "publicIpAddress": null, "port": 50000 + index, "nodeState": "idle", "runId": null})
    };
    Ok(json!({"nodes": (0..count.unwrap_or(0).min(200)).map(node).collect::<Vec<_>>()}))
}

pub(crate) fn list_keys(change: &mut Change<'_>) -> Outcome<Value> {
    let kind = change.old.as_ref().map_or("", |old| old.text("/properties/computeType")).to_owned();
    Ok(json!({"computeType": kind}))
}
