//! The resources beside machine learning: storage, vaults, registries of images, identities, insights, clusters.
use serde_json::{Value, json};

use super::{default, guid};
use crate::answer::{Failure, Outcome};
use crate::engine::Change;
use crate::state::text;

/// Names of accounts, vaults and registries are unique in the whole world.
fn taken(change: &Change<'_>, code: &str, what: &str) -> Outcome<()> {
    let (name, key) = (change.address.name(), change.address.key());
    let clash = |other: &crate::state::Record| other.key() != key && other.name().eq_ignore_ascii_case(name);
    if change.old.is_none() && change.state.of_kind(change.row.kind).any(clash) {
        let message = format!("The {what} name '{name}' is already taken.");
        return Err(Failure::new(409, code, message).about("name"));
    }
    Ok(())
}

pub(crate) fn storage(change: &mut Change<'_>) -> Outcome<()> {
    taken(change, "StorageAccountAlreadyTaken", "storage account")?;
    let name = change.address.name().to_owned();
    let created = crate::clock::rfc3339(change.now);
    let settings = change.settings();
    let uri = crate::storage::blob_uri(settings, &name, "");
    default(&mut change.body, "/properties/creationTime", json!(created));
    change.body["properties"]["primaryEndpoints"] = json!({"blob": uri});
    change.body["properties"]["provisioningState"] = json!("Succeeded");
    Ok(())
}

pub(crate) fn storage_keys(change: &mut Change<'_>) -> Outcome<Value> {
    let key = change.settings().storage_key();
    let one = |name: &str| json!({"keyName": name, "value": key, "permissions": "FULL"});
    Ok(json!({"keys": [one("key1"), one("key2")]}))
}

pub(crate) fn vault(change: &mut Change<'_>) -> Outcome<()> {
    taken(change, "VaultAlreadyExists", "vault")?;
    let name = change.address.name().to_owned();
    let tenant = change.settings().tenant.clone();
    default(&mut change.body, "/properties/tenantId", json!(tenant));
    default(&mut change.body, "/properties/sku", json!({"family": "A", "name": "standard"}));
    default(&mut change.body, "/properties/accessPolicies", json!([]));
    change.body["properties"]["vaultUri"] = json!(format!("https://{name}.vault.azure.net/"));
    change.body["properties"]["provisioningState"] = json!("Succeeded");
    Ok(())
}

pub(crate) fn image_registry(change: &mut Change<'_>) -> Outcome<()> {
    taken(change, "AlreadyInUse", "registry")?;
    let name = change.address.name().to_ascii_lowercase();
    default(&mut change.body, "/properties", json!({}));
    change.body["properties"]["loginServer"] = json!(format!("{name}.azurecr.io"));
    default(&mut change.body, "/properties/adminUserEnabled", json!(false));
    Ok(())
}

pub(crate) fn user_identity(change: &mut Change<'_>) -> Outcome<()> {
    let id = change.address.id();
    let tenant = change.settings().tenant.clone();
    change.body["properties"] = json!({"tenantId": tenant, "principalId": guid(&["principal", &id]), "clientId": guid(&["client", &id])});
    Ok(())
}

pub(crate) fn log_workspace(change: &mut Change<'_>) -> Outcome<()> {
    let id = guid(&["logs", &change.address.key()]);
    default(&mut change.body, "/properties", json!({}));
    change.body["properties"]["customerId"] = json!(id);
    default(&mut change.body, "/properties/retentionInDays", json!(30));
    default(&mut change.body, "/properties/sku", json!({"name": "PerGB2018"}));
    Ok(())
}

pub(crate) fn insights(change: &mut Change<'_>) -> Outcome<()> {
    let id = guid(&["insights", &change.address.key()]);
    let name = change.address.name().to_owned();
    default(&mut change.body, "/properties/Application_Type", json!("web"));
    let properties = &mut change.body["properties"];
    properties["AppId"] = json!(id);
    properties["ApplicationId"] = json!(name);
    properties["InstrumentationKey"] = json!(id);
    properties["ConnectionString"] = json!(format!("InstrumentationKey={id}"));
    properties["provisioningState"] = json!("Succeeded");
    Ok(())
}

/// A connected cluster reports itself connected: its agents are taken to run.
pub(crate) fn cluster(change: &mut Change<'_>) -> Outcome<()> {
    let properties = &mut change.body["properties"];
    default(properties, "/connectivityStatus", json!("Connected"));
    default(properties, "/distribution", json!("generic"));
    default(properties, "/infrastructure", json!("generic"));
    default(properties, "/agentVersion", json!("1.29.0"));
    default(properties, "/kubernetesVersion", json!("1.33.0"));
    default(properties, "/totalNodeCount", json!(1));
    default(properties, "/totalCoreCount", json!(4));
    default(&mut change.body, "/tags", json!({}));
    let now = crate::clock::rfc3339(change.now);
    change.body["properties"]["lastConnectivityTime"] = json!(now);
    Ok(())
}

/// The extension's settings are strings, and the AzureML extension needs some of them.
pub(crate) fn extension(change: &mut Change<'_>) -> Outcome<()> {
    let settings =
        change.body.pointer("/properties/configurationSettings").cloned().unwrap_or_else(|| json!({}));
    if settings.as_object().is_some_and(|map| map.values().any(|value| !value.is_string())) {
        let message = "All values of configurationSettings must be strings.";
        return Err(
            Failure::new(400, "InvalidRequestContent", message).about("properties.configurationSettings")
        );
    }
    let kind = text(&change.body, "/properties/extensionType").to_owned();
    if kind.eq_ignore_ascii_case("Microsoft.AzureML.Kubernetes") {
        let on = |name: &str| {
            settings.get(name).and_then(Value::as_str).is_some_and(|text| text.eq_ignore_ascii_case("true"))
        };
        if !on("enableTraining") && !on("enableInference") {
            let message = "At least one of enableTraining and enableInference must be True.";
            return Err(Failure::new(400, "ExtensionConfigurationInvalid", message));
        }
        if on("enableInference") && settings.get("inferenceRouterServiceType").is_none() {
            let message =
                "inferenceRouterServiceType is required for inference: LoadBalancer, NodePort or ClusterIP.";
            return Err(Failure::new(400, "ExtensionConfigurationInvalid", message));
        }
    }
    let clash = change.address.parent().map(|cluster| cluster.key()).unwrap_or_default();
    let own = change.address.key();
    let twice = |other: &crate::state::Record| {
        other.key() != own
            && other.key().starts_with(&format!("{clash}/providers/microsoft.kubernetesconfiguration"))
            && other.text("/properties/extensionType").eq_ignore_ascii_case(&kind)
    };
    if !clash.is_empty() && change.state.of_kind(change.row.kind).any(twice) {
        let message = format!("An extension of the type '{kind}' is already installed on the cluster.");
        return Err(Failure::new(409, "ExtensionAlreadyExists", message));
    }
    let properties = &mut change.body["properties"];
    default(properties, "/autoUpgradeMinorVersion", json!(true));
    default(properties, "/releaseTrain", json!("Stable"));
    default(properties, "/configurationSettings", json!({}));
    default(properties, "/configurationProtectedSettings", json!({}));
    default(properties, "/currentVersion", json!("1.1.85"));
    default(properties, "/statuses", json!([]));
    default(properties, "/isSystemExtension", json!(false));
    // Protected settings come back with their names only.
    if let Some(map) = properties["configurationProtectedSettings"].as_object_mut() {
        map.values_mut().for_each(|value| *value = json!(""));
    }
    Ok(())
}

pub(crate) fn alert(change: &mut Change<'_>) -> Outcome<()> {
    let scopes = change.body["properties"]["scopes"].as_array().map_or(0, Vec::len);
    if scopes == 0 {
        return Err(Failure::new(400, "BadRequest", "A metric alert needs at least one scope.")
            .about("properties.scopes"));
    }
    let severity = change.body["properties"]["severity"].as_i64().unwrap_or(-1);
    if !(0..=4).contains(&severity) {
        return Err(Failure::new(400, "BadRequest", "The severity must lie between 0 and 4.")
            .about("properties.severity"));
    }
    default(&mut change.body, "/properties/autoMitigate", json!(true));
    default(&mut change.body, "/tags", json!({}));
    Ok(())
}

pub(crate) fn action_group(change: &mut Change<'_>) -> Outcome<()> {
    if text(&change.body, "/properties/groupShortName").chars().count() > 12 {
        let message = "The short name of an action group may have 12 characters at most.";
        return Err(Failure::new(400, "InvalidResourceName", message).about("properties.groupShortName"));
    }
    default(&mut change.body, "/properties/enabled", json!(true));
    for list in
        ["emailReceivers", "smsReceivers", "webhookReceivers", "armRoleReceivers", "logicAppReceivers"]
    {
        default(&mut change.body, &format!("/properties/{list}"), json!([]));
    }
    Ok(())
}

/// At most five settings watch one resource.
pub(crate) fn diagnostics(change: &mut Change<'_>) -> Outcome<()> {
    let scope = format!("{}/", change.address.scope.to_ascii_lowercase());
    let count = change.state.of_kind(change.row.kind).filter(|one| one.key().starts_with(&scope)).count();
    if change.old.is_none() && count >= 5 {
        let message = "A resource can have 5 diagnostic settings at most.";
        return Err(Failure::new(400, "BadRequest", message));
    }
    let sinks = ["workspaceId", "storageAccountId", "eventHubAuthorizationRuleId", "marketplacePartnerId"];
    if sinks.iter().all(|name| change.body["properties"].get(*name).is_none_or(Value::is_null)) {
        let message = "At least one data sink needs to be specified.";
        return Err(Failure::new(400, "BadRequest", message));
    }
    default(&mut change.body, "/properties/logs", json!([]));
    default(&mut change.body, "/properties/metrics", json!([]));
    Ok(())
}
