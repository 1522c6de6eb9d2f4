//! Models, environments, data, components and code: versions, containers, uploads, datastores and connections.
use serde_json::{Value, json};

use super::{default, last};
use crate::answer::{Failure, Outcome};
use crate::engine::Change;
use crate::state::{Record, State, text};
use crate::{operation::Effect, storage};

pub(crate) fn model(change: &mut Change<'_>) -> Outcome<()> {
    let uri = text(&change.body, "/properties/modelUri").to_owned();
    let known = [
        "https://",
        "http://",
        "azureml://",
        "azureml:",
        "runs:/",
        "wasbs://",
        "abfss://",
        "dbfs:/",
        "/subscriptions/",
    ];
    if !uri.is_empty() && !known.iter().any(|prefix| uri.starts_with(prefix)) {
        let message =
            format!("The model uri '{uri}' is not supported. Use an azureml://, runs:/ or https:// uri.");
        return Err(Failure::new(400, "UserError", message).about("properties.modelUri"));
    }
    Ok(())
}

pub(crate) fn environment(change: &mut Change<'_>) -> Outcome<()> {
    let properties = &mut change.body["properties"];
    let has = |name: &str| properties.get(name).is_some_and(|value| !value.is_null());
    if !has("image") && !has("build") && !has("condaFile") {
        let message = "An environment needs an image, a build context or a conda file.";
        return Err(Failure::new(400, "UserError", message).about("properties.image"));
    }
    properties["environmentType"] = json!("UserCreated");
    Ok(())
}

pub(crate) fn data(change: &mut Change<'_>) -> Outcome<()> {
    let kind = text(&change.body, "/properties/dataType").to_owned();
    let known = ["uri_file", "uri_folder", "mltable"];
    if known.iter().any(|one| one.eq_ignore_ascii_case(&kind)) {
        return Ok(());
    }
    let message = format!("The data type '{kind}' is not supported. Use one of {}.", known.join(", "));
    Err(Failure::new(400, "UserError", message).about("properties.dataType"))
}

/// Before a version goes, its container learns which one is now the newest.
pub(crate) fn remove_version(change: &mut Change<'_>) -> Outcome<()> {
    let (Some(container), Some(_)) = (change.address.parent(), &change.old) else { return Ok(()) };
    let key = change.address.key();
    let patch = numbers(change.state, &container.key(), None, Some(&key));
    change.effects.push(Effect::Merge(container.key(), patch.clone()));
    change.effects.push(Effect::Remove { key, soft: false });
    if let Some(record) = change.state.get_mut(&container.key()) {
        crate::operation::merge(&mut record.body, &patch);
    }
    Ok(())
}

/// What a container says of its versions, with one more or one less.
pub(crate) fn numbers(state: &State, container: &str, more: Option<&str>, less: Option<&str>) -> Value {
    let versions: Vec<&Record> = state
        .below(container)
        .filter(|version| version.key().matches('/').count() == container.matches('/').count() + 2)
        .filter(|version| less != Some(version.key().as_str()))
        .collect();
    let newest =
        versions.iter().max_by_key(|version| version.sequence).map(|version| version.name().to_owned());
    let names = versions.iter().map(|version| version.name()).chain(more);
    let highest = names.filter_map(|name| name.parse::<u64>().ok()).max().unwrap_or(0);
    let latest = more.map(str::to_owned).or(newest);
    json!({"properties": {"latestVersion": latest, "nextVersion": (highest + 1).to_string()}})
}

/// A place to upload to: a container of the workspace's storage with a signed link.
pub(crate) fn pending_upload(change: &mut Change<'_>) -> Outcome<Value> {
    let given = text(&change.body, "/pendingUploadId").to_owned();
    let id = if given.is_empty() { uuid::Uuid::new_v4().to_string() } else { given };
    let account = storage::account(change);
    let container = format!("upload-{id}");
    let settings = change.settings();
    let uri = storage::blob_uri(settings, &account, &container);
    let sas = storage::signature(settings, &account, &container, crate::clock::wall());
    Ok(json!({
        "blobReferenceForConsumption": {
            "blobUri": uri,
            "storageAccountArmId": storage::account_id(change, &account),
            "credential": {"credentialType": "SAS", "sasUri": format!("{uri}?{sas}")},
        },
        "pendingUploadId": id,
        "pendingUploadType": "TemporaryBlobReference",
    }))
}

pub(crate) fn datastore(change: &mut Change<'_>) -> Outcome<()> {
    let kind = text(&change.body, "/properties/datastoreType").to_owned();
    let needed: &[&str] = match kind.to_ascii_lowercase().as_str() {
        "azureblob" => &["accountName", "containerName"],
        "azuredatalakegen2" => &["accountName", "filesystem"],
        "azurefile" => &["accountName", "fileShareName"],
        "azuredatalakegen1" => &["storeName"],
        "onelake" => &["artifact", "oneLakeWorkspaceName"],
        _ => {
            let message = format!("The datastore type '{kind}' is not supported.");
            return Err(Failure::new(400, "UserError", message).about("properties.datastoreType"));
        }
    };
    if let Some(field) =
        needed.iter().find(|field| change.body["properties"].get(**field).is_none_or(Value::is_null))
    {
        let message = format!("The request is invalid: the field 'properties.{field}' is required.");
        return Err(Failure::new(400, "ValidationError", message).about(&format!("properties.{field}")));
    }
    let settings = change.settings();
    let (endpoint, protocol) = (settings.storage_endpoint.clone(), settings.storage_protocol.clone());
    let properties = &mut change.body["properties"];
    default(properties, "/endpoint", json!(endpoint));
    default(properties, "/protocol", json!(protocol));
    default(properties, "/isDefault", json!(false));
    default(properties, "/serviceDataAccessAuthIdentity", json!("None"));
    default(properties, "/tags", json!({}));
    default(properties, "/properties", json!({}));
    Ok(())
}

pub(crate) fn datastore_secrets(change: &mut Change<'_>) -> Outcome<Value> {
    let secrets = change.old.as_ref().and_then(|old| old.secrets.get("/properties/credentials/secrets"));
    let Some(secrets) = secrets else {
        let message = "The datastore has no secrets: its credentials are of type None.";
        return Err(Failure::new(400, "UserError", message));
    };
    Ok(secrets.clone())
}

pub(crate) fn connection(change: &mut Change<'_>) -> Outcome<()> {
    let workspace = change.address.parent().map(|parent| parent.id()).unwrap_or_default();
    let category = text(&change.body, "/properties/category").to_owned();
    let group = match category.as_str() {
        "AzureOpenAI" | "CognitiveSearch" | "CognitiveService" | "AIServices" => "AzureAI",
        "Git" | "PythonFeed" | "ContainerRegistry" | "CustomKeys" | "ApiKey" | "Serp" | "Serverless" => {
            "ServicesAndApps"
        }
        _ => "Azure",
    };
    let properties = &mut change.body["properties"];
    properties["createdByWorkspaceArmId"] = json!(workspace);
    properties["group"] = json!(group);
    default(properties, "/isSharedToAll", json!(false));
    default(properties, "/metadata", json!({}));
    default(properties, "/sharedUserList", json!([]));
    default(properties, "/useWorkspaceManagedIdentity", json!(false));
    Ok(())
}

/// The whole connection, with its credentials.
pub(crate) fn connection_secrets(change: &mut Change<'_>) -> Outcome<Value> {
    let Some(old) = &change.old else { return Ok(Value::Null) };
    let mut body = crate::view::render(old, change.call);
    for (pointer, value) in &old.secrets {
        crate::engine::set(&mut body, pointer, value.clone());
    }
    Ok(body)
}

/// Whether an asset that an id names is there; ids that lead elsewhere are believed.
pub(crate) fn exists(change: &Change<'_>, id: &str) -> bool {
    let id = id.strip_prefix("azureml:").filter(|rest| rest.starts_with("/subscriptions/")).unwrap_or(id);
    if id.starts_with("/subscriptions/") {
        return crate::address::Address::parse(id)
            .filter(crate::address::Address::is_resource)
            .is_some_and(|address| change.state.get(&address.key()).is_some());
    }
    if let Some(rest) = id.strip_prefix("azureml://registries/") {
        return super::registry::asset(change.state, rest).is_some();
    }
    true
}

/// The name of an asset's type in the paths: `models`, `environments`.
pub(crate) fn collection(kind: &str) -> &str {
    kind.split('/').nth(2).unwrap_or_else(|| last(kind))
}
