//! Registries: their fields, publishing and importing of assets, and links to blobs.
use serde_json::{Value, json};

use super::{asset, default, guid};
use crate::address::Address;
use crate::answer::{Answer, Failure, Outcome};
use crate::engine::Change;
use crate::operation::{Effect, Fate};
use crate::state::{Record, State, text};
use crate::storage;

pub(crate) const KIND: &str = "Microsoft.MachineLearningServices/registries";

pub(crate) fn write(change: &mut Change<'_>) -> Outcome<()> {
    let name = change.address.name().to_owned();
    let clash = change
        .state
        .of_kind(KIND)
        .any(|other| other.name().eq_ignore_ascii_case(&name) && other.key() != change.address.key());
    if clash {
        let message = format!("The registry name '{name}' is already taken.");
        return Err(Failure::new(409, "Conflict", message).about("name"));
    }
    let location = change.location();
    let subscription = change.address.subscription().to_owned();
    let properties = &mut change.body["properties"];
    default(
        properties,
        "/regionDetails",
        json!([{"location": location, "acrDetails": [], "storageAccountDetails": []}]),
    );
    default(properties, "/publicNetworkAccess", json!("Enabled"));
    properties["discoveryUrl"] =
        json!(format!("emulator://registrymanagement/v1.0/registries/{name}/discovery"));
    properties["mlFlowRegistryUri"] =
        json!(format!("azureml://{location}.api.azureml.ms/mlflow/v1.0/registries/{name}"));
    let group = format!(
        "/subscriptions/{subscription}/resourceGroups/azureml-rg-{name}_{}",
        guid(&["registry", &name])
    );
    default(properties, "/managedResourceGroup", json!({"resourceId": group}));
    default(&mut change.body, "/tags", json!({}));
    Ok(())
}

/// The body is the registry as it is to be: regions that it does not name go.
pub(crate) fn remove_regions(change: &mut Change<'_>) -> Outcome<Value> {
    let Some(old) = &change.old else { return Ok(Value::Null) };
    let places = |body: &Value| -> Vec<String> {
        let regions = body["properties"]["regionDetails"].as_array();
        regions.into_iter().flatten().map(|region| text(region, "/location").to_ascii_lowercase()).collect()
    };
    let staying = places(&change.body);
    let kept: Vec<Value> = old.body["properties"]["regionDetails"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|region| staying.contains(&text(region, "/location").to_ascii_lowercase()))
        .cloned()
        .collect();
    if kept.is_empty() {
        let message = "The last region of a registry can't be removed. Delete the registry instead.";
        return Err(Failure::new(400, "UserError", message));
    }
    change.then(json!({"properties": {"regionDetails": kept}}));
    Ok(Value::Null)
}

/// A registry by its name, which is all that callers know of it.
pub(crate) fn by_name<'a>(state: &'a State, name: &str) -> Option<&'a Record> {
    state.of_kind(KIND).find(|registry| registry.name().eq_ignore_ascii_case(name))
}

/// The asset that `{registry}/{type}/{name}/versions/{version}` or `.../labels/latest` names.
pub(crate) fn asset<'a>(state: &'a State, rest: &str) -> Option<&'a Record> {
    let parts: Vec<&str> = rest.split('/').collect();
    let [registry, kind, name, how, version] = parts.as_slice() else { return None };
    let container = format!("{}/{kind}/{name}", by_name(state, registry)?.id).to_ascii_lowercase();
    if how.eq_ignore_ascii_case("labels") {
        return state.below(&container).max_by_key(|version| version.sequence);
    }
    state.get(&format!("{container}/versions/{}", version.to_ascii_lowercase()))
}

/// Copies a version of the workspace into a registry.
pub(crate) fn publish(change: &mut Change<'_>) -> Outcome<Value> {
    let Some(source) = change.old.clone() else { return Ok(Value::Null) };
    let name = text(&change.body, "/registryName").to_owned();
    let container = change.address.parent().map(|parent| parent.name().to_owned()).unwrap_or_default();
    let or = |pointer: &str, fallback: &str| match text(&change.body, pointer) {
        "" => fallback.to_owned(),
        given => given.to_owned(),
    };
    let destination = (or("/destinationName", &container), or("/destinationVersion", change.address.name()));
    copy(change, &source, &name, (&destination.0, &destination.1))?;
    Ok(Value::Null)
}

/// The same through the registry's own data plane: the source is named by its workspace's GUID.
pub(crate) fn import(change: &mut Change<'_>) -> Outcome<Value> {
    let id = text(&change.body, "/properties/sourceAssetId").to_owned();
    let parts: Vec<&str> = id.trim_start_matches("azureml://").split('/').collect();
    let source = match parts.as_slice() {
        ["locations", _, "workspaces", workspace, kind, name, "versions", version] => {
            let found = change
                .state
                .of_kind(super::workspace::KIND)
                .find(|one| one.text("/properties/workspaceId").eq_ignore_ascii_case(workspace))
                .map(|one| format!("{}/{kind}/{name}/versions/{version}", one.id).to_ascii_lowercase());
            found.and_then(|key| change.state.get(&key)).cloned()
        }
        _ => None,
    };
    let Some(source) = source else {
        let message = format!("The source asset '{id}' was not found.");
        return Err(Failure::new(404, "UserError", message).about("sourceAssetId"));
    };
    let fallback = Address::parse(&source.id).unwrap_or_else(|| change.address.clone());
    let container = fallback.parent().map(|parent| parent.name().to_owned()).unwrap_or_default();
    let or = |pointer: &str, fallback: &str| match text(&change.body, pointer) {
        "" => fallback.to_owned(),
        given => given.to_owned(),
    };
    let destination =
        (or("/properties/destinationName", &container), or("/properties/destinationVersion", source.name()));
    let name = change.address.name().to_owned();
    copy(change, &source, &name, (&destination.0, &destination.1))?;
    Ok(Value::Null)
}

fn copy(change: &mut Change<'_>, source: &Record, registry: &str, to: (&str, &str)) -> Outcome<()> {
    let Some(registry) = by_name(change.state, registry).cloned() else {
        let message = format!("The registry '{registry}' was not found.");
        return Err(Failure::new(404, "RegistryNotFound", message).about("registryName"));
    };
    let collection = asset::collection(&source.kind).to_owned();
    let container = format!("{}/{collection}/{}", registry.id, to.0);
    let id = format!("{container}/versions/{}", to.1);
    let key = id.to_ascii_lowercase();
    let coming = |effect: &Effect| matches!(effect, Effect::Put(record) if record.key() == key);
    let taken = change.state.get(&key).is_some()
        || change.state.running().any(|operation| operation.effects.iter().any(coming));
    if taken {
        let message = format!(
            "The asset '{}' with version '{}' already exists in registry '{}'.",
            to.0,
            to.1,
            registry.name()
        );
        return Err(
            Failure::new(409, "Conflict", message).detail("AssetAlreadyExists", "Choose another version.")
        );
    }
    if let Some(missing) = missing_environment(change.state, &source.body, registry.name()) {
        let message = format!("ModelRegistryError: Could not find asset with ID: {missing}");
        change.fate = Fate::Failed { code: "UserError".to_owned(), message };
        return Ok(());
    }
    let (now, by) = (change.now, change.call.principal.application.clone());
    let kind = format!("{KIND}/{collection}");
    let mut record = |id: &str, kind: String, body: Value| Record {
        id: id.to_owned(),
        kind,
        body,
        secrets: std::collections::BTreeMap::new(),
        created: now,
        modified: now,
        created_by: by.clone(),
        sequence: change.state.next(),
    };
    let mut body = source.body.clone();
    body["properties"]["provisioningState"] = json!("Succeeded");
    let version = record(&id, format!("{kind}/versions"), body);
    let empty = json!({"properties": {"provisioningState": "Succeeded", "isArchived": false, "tags": {},
        "properties": {}, "description": null}});
    let holder = record(&container, kind, empty);
    let below = container.to_ascii_lowercase();
    if change.state.get(&below).is_none() {
        change.effects.push(Effect::Put(Box::new(holder)));
    }
    let numbers = asset::numbers(change.state, &below, Some(to.1), None);
    change.effects.push(Effect::Merge(below, numbers));
    change.effects.push(Effect::Put(Box::new(version)));
    Ok(())
}

/// The first environment that an asset names and the registry has not got.
fn missing_environment(state: &State, value: &Value, registry: &str) -> Option<String> {
    match value {
        Value::String(text) => {
            let at = text.to_ascii_lowercase().find("/environments/")?;
            let parts: Vec<&str> = text[at + 1..].split('/').collect();
            let ["environments" | "Environments", name, how, version] = parts.as_slice() else { return None };
            let rest = format!("{registry}/environments/{name}/{how}/{version}");
            asset(state, &rest).is_none().then(|| format!("azureml://registries/{rest}"))
        }
        Value::Array(values) => values.iter().find_map(|value| missing_environment(state, value, registry)),
        Value::Object(values) => {
            values.values().find_map(|value| missing_environment(state, value, registry))
        }
        _ => None,
    }
}

/// A link to read the blob of a registry's asset.
pub(crate) fn data_reference(change: &mut Change<'_>) -> Outcome<Value> {
    let uri = text(&change.body, "/blobUri").to_owned();
    if uri.is_empty() || text(&change.body, "/assetId").is_empty() {
        let message = "The fields 'assetId' and 'blobUri' are required.";
        return Err(Failure::new(400, "ValidationError", message));
    }
    let account = storage::account(change);
    let path = uri.split("://").nth(1).unwrap_or("");
    let container = path.split('/').nth(1).unwrap_or("").to_owned();
    let sas = storage::signature(change.settings(), &account, &container, crate::clock::wall());
    Ok(json!({"blobReferenceForConsumption": {
        "blobUri": uri,
        "storageAccountArmId": storage::account_id(change, &account),
        "credential": {"credentialType": "SAS", "sasUri": format!("{uri}?{sas}")},
    }}))
}

/// Where a registry lives, for those who know only its name.
pub(crate) fn discovery(state: &State, name: &str, tenant: &str, base: &str) -> Answer {
    let Some(registry) = by_name(state, name) else {
        return Failure::new(404, "RegistryNotFound", format!("The registry '{name}' was not found."))
            .answer();
    };
    let address = Address::parse(&registry.id);
    let (subscription, group) =
        address.as_ref().map_or(("", ""), |address| (address.subscription(), address.resource_group()));
    let regions: Vec<&str> = registry.body["properties"]["regionDetails"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|region| text(region, "/location"))
        .collect();
    Answer::json(
        200,
        json!({
            "registryName": registry.name(), "tenantId": tenant, "primaryRegion": registry.text("/location"),
            "regions": regions, "subscriptionId": subscription, "resourceGroup": group, "workspaceName": registry.name(),
            "primaryRegionResourceProviderUri": format!("{base}/"),
        }),
    )
}
