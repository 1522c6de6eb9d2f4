//! Workspaces: their read-only fields, their default datastores, soft deletion, keys and networks.
use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{default, guid, last, secret};
use crate::answer::{Failure, Outcome};
use crate::engine::Change;
use crate::operation::Effect;
use crate::state::{Record, text};

pub(crate) const KIND: &str = "Microsoft.MachineLearningServices/workspaces";
const DATASTORE: &str = "Microsoft.MachineLearningServices/workspaces/datastores";

pub(crate) fn write(change: &mut Change<'_>) -> Outcome<()> {
    let key = change.address.key();
    if change.old.is_none() && change.state.soft_deleted.contains_key(&key) {
        let message = "Soft-deleted workspace exists. Please purge or recover it. https://aka.ms/wsoftdelete";
        return Err(Failure::new(400, "BadRequest", message));
    }
    kind(change)?;
    dependents(change)?;
    network(change);
    let location = change.location();
    let id = guid(&["workspace", &key, &change.now.to_string()]);
    let subscription = change.address.subscription().to_owned();
    let group = change.address.resource_group().to_owned();
    let name = change.address.name().to_owned();
    let tenant = change.settings().tenant.clone();
    let body = &mut change.body;
    default(body, "/tags", json!({}));
    default(body, "/properties/friendlyName", json!(name));
    default(body, "/properties/workspaceId", json!(id));
    default(body, "/properties/tenantId", json!(tenant));
    default(body, "/properties/discoveryUrl", json!(format!("emulator://discovery/{location}")));
    let uri = format!(
        "azureml://{location}.api.azureml.ms/mlflow/v1.0/subscriptions/{subscription}/resourceGroups/{group}/\
         providers/{KIND}/{name}"
    );
    default(body, "/properties/mlFlowTrackingUri", json!(uri));
    let notebook = json!({"fqdn": format!("ml-{name}-{location}.{location}.notebooks.azure.net"),
        "resourceId": id, "notebookPreparationError": null});
    default(body, "/properties/notebookInfo", notebook);
    default(body, "/properties/privateLinkCount", json!(0));
    default(body, "/properties/storageHnsEnabled", json!(false));
    if change.old.is_none() {
        datastores(change);
    }
    Ok(())
}

fn kind(change: &mut Change<'_>) -> Outcome<()> {
    default(&mut change.body, "/kind", json!("Default"));
    let kind = text(&change.body, "/kind").to_ascii_lowercase();
    if !["default", "hub", "project", "featurestore"].contains(&kind.as_str()) {
        let message = format!(
            "The workspace kind '{kind}' is not supported. Use Default, Hub, Project or FeatureStore."
        );
        return Err(Failure::new(400, "ValidationError", message).about("kind"));
    }
    if kind == "project" && change.old.is_none() {
        let hub = text(&change.body, "/properties/hubResourceId").to_owned();
        let Some(record) = change.state.get(&hub.to_ascii_lowercase()) else {
            let message = format!("The hub workspace '{hub}' of the project was not found.");
            return Err(Failure::new(400, "ValidationError", message).about("hubResourceId"));
        };
        let shared = ["storageAccount", "keyVault", "applicationInsights", "containerRegistry"];
        let found: Vec<(&str, Value)> = shared
            .iter()
            .filter_map(|name| Some((*name, record.body["properties"].get(name)?.clone())))
            .collect();
        for (name, value) in found {
            change.body["properties"][name] = value;
        }
    }
    Ok(())
}

/// Storage and key vault that lie in this emulator's reach must exist; ids elsewhere are taken as they are.
fn dependents(change: &Change<'_>) -> Outcome<()> {
    if change.old.is_some() {
        return Ok(());
    }
    for name in ["storageAccount", "keyVault", "applicationInsights", "containerRegistry"] {
        let id = text(&change.body, &format!("/properties/{name}"));
        if !id.is_empty() && crate::address::Address::parse(id).is_none_or(|address| !address.is_resource()) {
            let message = format!("The value '{id}' of '{name}' is not a resource id.");
            return Err(Failure::new(400, "ValidationError", message).about(name));
        }
    }
    Ok(())
}

fn network(change: &mut Change<'_>) {
    let Some(network) = change.body.pointer_mut("/properties/managedNetwork").filter(|one| one.is_object())
    else {
        return;
    };
    let isolated = !text(network, "/isolationMode").eq_ignore_ascii_case("Disabled");
    let rules = network.get("outboundRules").and_then(Value::as_object).cloned().unwrap_or_default();
    default(network, "/outboundRules", json!({}));
    if isolated {
        default(network, "/status", json!({"status": "Inactive", "sparkReady": false}));
    }
    for (name, mut rule) in rules {
        default(&mut rule, "/category", json!("UserDefined"));
        default(&mut rule, "/status", json!("Inactive"));
        let address = change.address.child("outboundRules", &name);
        let kind = "Microsoft.MachineLearningServices/workspaces/outboundRules";
        let record = plain(change, address.id(), kind, json!({"properties": rule}));
        change.state.put(record);
    }
}

/// A record of a resource that comes with another.
pub(crate) fn plain(change: &mut Change<'_>, id: String, kind: &str, body: Value) -> Record {
    Record {
        id,
        kind: kind.to_owned(),
        body,
        secrets: BTreeMap::new(),
        created: change.now,
        modified: change.now,
        created_by: change.call.principal.application.clone(),
        sequence: change.state.next(),
    }
}

/// The datastores that every workspace is born with.
fn datastores(change: &mut Change<'_>) {
    let workspace = text(&change.body, "/properties/workspaceId").to_owned();
    let storage = text(&change.body, "/properties/storageAccount").to_owned();
    let settings = change.settings();
    let account = match (&settings.storage_account, last(&storage)) {
        (Some(only), _) => only.clone(),
        (None, "") => format!("st{}", &workspace.replace('-', "")[..16]),
        (None, name) => name.to_owned(),
    };
    let (endpoint, protocol) = (settings.storage_endpoint.clone(), settings.storage_protocol.clone());
    let key = settings.storage_key();
    let stores = [
        ("workspaceblobstore", "AzureBlob", "containerName", format!("azureml-blobstore-{workspace}"), true),
        ("workspaceartifactstore", "AzureBlob", "containerName", "azureml".to_owned(), false),
        ("workspacefilestore", "AzureFile", "fileShareName", format!("azureml-filestore-{workspace}"), false),
        ("workspaceworkingdirectory", "AzureFile", "fileShareName", "code".to_owned(), false),
    ];
    for (name, kind, container, value, is_default) in stores {
        let mut properties = json!({
            "datastoreType": kind, "accountName": account, "endpoint": endpoint, "protocol": protocol,
            "credentials": {"credentialsType": "AccountKey"}, "isDefault": is_default,
            "serviceDataAccessAuthIdentity": "None", "description": null, "tags": {}, "properties": {},
            "subscriptionId": change.address.subscription(), "resourceGroup": change.address.resource_group(),
        });
        properties[container] = json!(value);
        let id = change.address.child("datastores", name).id();
        let mut record = plain(change, id, DATASTORE, json!({"properties": properties}));
        let secrets = json!({"secretsType": "AccountKey", "key": key});
        record.secrets.insert("/properties/credentials/secrets".to_owned(), secrets);
        change.state.put(record);
    }
}

/// A deleted workspace holds its name, unless it is purged or its data were encrypted with the customer's key.
pub(crate) fn remove(change: &mut Change<'_>) -> Outcome<()> {
    let purge = change.call.query("forceToPurge").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let key = change.address.key();
    let Some(old) = &change.old else {
        if purge {
            change.state.soft_deleted.remove(&key);
        }
        return Ok(());
    };
    let hub = old.id.to_ascii_lowercase();
    let has_projects = change
        .state
        .of_kind(KIND)
        .any(|record| record.text("/properties/hubResourceId").eq_ignore_ascii_case(&hub));
    if has_projects {
        let message = format!("The hub '{}' can't be deleted while it has projects.", change.address.name());
        return Err(Failure::new(409, "Conflict", message));
    }
    let own_key = old.text("/properties/encryption/status").eq_ignore_ascii_case("Enabled");
    change.effects.push(Effect::Remove { key, soft: !purge && !own_key });
    Ok(())
}

/// The rule's fields that the service keeps, and its copy in the workspace.
pub(crate) fn outbound_rule(change: &mut Change<'_>) -> Outcome<()> {
    let kind = text(&change.body, "/properties/type").to_owned();
    if !["FQDN", "PrivateEndpoint", "ServiceTag"].iter().any(|known| known.eq_ignore_ascii_case(&kind)) {
        let message =
            format!("The outbound rule type '{kind}' is unknown. Use FQDN, PrivateEndpoint or ServiceTag.");
        return Err(Failure::new(400, "ValidationError", message).about("properties.type"));
    }
    default(&mut change.body, "/properties/category", json!("UserDefined"));
    default(&mut change.body, "/properties/status", json!("Inactive"));
    let name = change.address.name().to_owned();
    let rule = change.body["properties"].clone();
    if let Some(workspace) = change.address.parent() {
        let patch = json!({"properties": {"managedNetwork": {"outboundRules": {name: rule}}}});
        change.effects.push(Effect::Merge(workspace.key(), patch));
    }
    Ok(())
}

pub(crate) fn remove_outbound_rule(change: &mut Change<'_>) -> Outcome<()> {
    let patch = json!({"properties": {"managedNetwork": {"outboundRules": {change.address.name(): null}}}});
    if let Some(workspace) = change.address.parent().filter(|_| change.old.is_some()) {
        change.effects.push(Effect::Merge(workspace.key(), patch));
        change.effects.push(Effect::Remove { key: change.address.key(), soft: false });
    }
    Ok(())
}

/// Where the services of a region are, which the clients read before they look at jobs.
pub(crate) fn discovery(base: &str) -> Value {
    let names = [
        "api",
        "catalog",
        "experimentation",
        "gallery",
        "history",
        "hyperdrive",
        "labeling",
        "modelmanagement",
        "pipelines",
        "studio",
        "notebooks",
    ];
    let services: serde_json::Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), json!(base))).collect();
    Value::Object(services)
}

fn stored<'a>(change: &'a Change<'_>, pointer: &str) -> &'a str {
    change.old.as_ref().map_or("", |old| old.text(pointer))
}

pub(crate) fn list_keys(change: &mut Change<'_>) -> Outcome<Value> {
    let storage = stored(change, "/properties/storageAccount").to_owned();
    Ok(json!({
        "userStorageKey": storage_key(change),
        "userStorageArmId": storage,
        "userStorageResourceId": storage,
        "appInsightsInstrumentationKey": guid(&["insights", &change.address.key()]),
        "containerRegistryCredentials": null,
        "notebookAccessKeys": notebook(change),
    }))
}

/// The key of the workspace's storage account, as its default datastore has it.
fn storage_key(change: &Change<'_>) -> String {
    let key = change.address.child("datastores", "workspaceblobstore").key();
    let secrets =
        change.state.get(&key).and_then(|record| record.secrets.get("/properties/credentials/secrets"));
    secrets.map_or_else(String::new, |secrets| text(secrets, "/key").to_owned())
}

fn notebook(change: &Change<'_>) -> Value {
    let key = change.address.key();
    json!({"primaryAccessKey": guid(&["notebook", "1", &key]), "secondaryAccessKey": guid(&["notebook", "2", &key])})
}

pub(crate) fn notebook_keys(change: &mut Change<'_>) -> Outcome<Value> {
    Ok(notebook(change))
}

pub(crate) fn notebook_token(change: &mut Change<'_>) -> Outcome<Value> {
    Ok(json!({
        "accessToken": secret(), "expiresIn": 28800, "hostName": stored(change, "/properties/notebookInfo/fqdn"),
        "notebookResourceId": stored(change, "/properties/workspaceId"), "publicDns": "", "refreshToken": "",
        "scope": "aznb_identity", "tokenType": "Bearer",
    }))
}

pub(crate) fn storage_keys(change: &mut Change<'_>) -> Outcome<Value> {
    Ok(json!({"userStorageKey": storage_key(change)}))
}

pub(crate) fn diagnose(_: &mut Change<'_>) -> Outcome<Value> {
    let names = [
        "userDefinedRouteResults",
        "networkSecurityRuleResults",
        "resourceLockResults",
        "dnsResolutionResults",
        "storageAccountResults",
        "keyVaultResults",
        "containerRegistryResults",
        "applicationInsightsResults",
        "otherResults",
    ];
    let empty: serde_json::Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), json!([]))).collect();
    Ok(json!({"value": empty}))
}

pub(crate) fn accept(_: &mut Change<'_>) -> Outcome<Value> {
    Ok(Value::Null)
}

pub(crate) fn provision_network(change: &mut Change<'_>) -> Outcome<Value> {
    let spark = change.body.get("includeSpark").and_then(Value::as_bool).unwrap_or(false);
    let status = json!({"status": "Active", "sparkReady": spark});
    change.then(json!({"properties": {"managedNetwork": {"status": status}}}));
    Ok(status)
}

pub(crate) fn prepare_notebook(change: &mut Change<'_>) -> Outcome<Value> {
    Ok(change.old.as_ref().map_or(Value::Null, |old| old.body["properties"]["notebookInfo"].clone()))
}

pub(crate) fn network_dependencies(change: &mut Change<'_>) -> Outcome<Value> {
    let location = change.location();
    let endpoint = |name: String| json!({"domainName": name, "endpointDetails": [{"port": 443}]});
    Ok(json!({"value": [
        {"category": "Azure Active Directory", "endpoints": [endpoint("login.microsoftonline.com".to_owned())]},
        {"category": "Azure Machine Learning", "endpoints": [endpoint(format!("{location}.api.azureml.ms"))]},
    ]}))
}

pub(crate) fn private_links(change: &mut Change<'_>) -> Outcome<Value> {
    let id = format!("{}/privateLinkResources/amlworkspace", change.address.id());
    Ok(json!({"value": [{
        "id": id, "name": "amlworkspace", "type": format!("{KIND}/privateLinkResources"),
        "properties": {"groupId": "amlworkspace", "requiredMembers": ["default"],
            "requiredZoneNames": ["privatelink.api.azureml.ms", "privatelink.notebooks.azure.net"]},
    }]}))
}
