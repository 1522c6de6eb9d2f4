//! Online, batch and serverless endpoints and their deployments: names, traffic, keys, and what refuses what.
use serde_json::{Map, Value, json};

use super::{asset, default, guid, quota, secret};
use crate::answer::{Failure, Outcome};
use crate::engine::Change;
use crate::operation::Effect;
use crate::settings::Client;
use crate::state::text;

pub(crate) const ONLINE: &str = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints";
const KEYS: &str = "/properties/keys";

fn refuse<T>(field: &str, message: String) -> Outcome<T> {
    Err(Failure::new(400, "UserError", message).about(field))
}

fn one_of(body: &Value, pointer: &str, known: &[&str]) -> Outcome<()> {
    let value = text(body, pointer);
    if known.iter().any(|one| one.eq_ignore_ascii_case(value)) {
        return Ok(());
    }
    let field = pointer.trim_start_matches('/').replace('/', ".");
    let message =
        format!("The value '{value}' of '{field}' is not supported. Use one of {}.", known.join(", "));
    Err(Failure::new(400, "ValidationError", message).about(&field))
}

pub(crate) fn online(change: &mut Change<'_>) -> Outcome<()> {
    one_of(&change.body, "/properties/authMode", &["Key", "AMLToken", "AADToken"])?;
    let compute = text(&change.body, "/properties/compute").to_owned();
    if change.old.is_none() {
        unique(change, &compute)?;
        quota::count(change, "onlineEndpoints")?;
        if compute.is_empty() && text(&change.body, "/identity/type").is_empty() {
            return refuse(
                "identity",
                "The field 'identity' is required for a managed online endpoint.".to_owned(),
            );
        }
    }
    if !compute.is_empty() && !asset::exists(change, &compute) {
        return refuse("properties.compute", format!("The compute '{compute}' was not found."));
    }
    traffic(change)?;
    mirror(change, !compute.is_empty())?;
    let location = change.location();
    let name = change.address.name().to_owned();
    let root = format!("emulator://emulator/inference/{location}/{name}");
    let id = guid(&["endpoint", &change.address.key()]);
    let properties = &mut change.body["properties"];
    properties["scoringUri"] = json!(format!("{root}/score"));
    properties["swaggerUri"] = json!(format!("{root}/swagger.json"));
    default(properties, "/publicNetworkAccess", json!("Enabled"));
    default(properties, "/traffic", json!({}));
    default(properties, "/mirrorTraffic", json!({}));
    default(properties, "/properties", json!({}));
    properties["properties"]["azureml.onlineendpointid"] = json!(format!("{}:{id}", change.address.id()));
    keys(change);
    Ok(())
}

/// Managed names are unique in a region, those on a cluster on that cluster.
fn unique(change: &Change<'_>, compute: &str) -> Outcome<()> {
    let name = change.address.name();
    let location = change.location();
    let clash = change.state.of_kind(change.row.kind).any(|other| {
        let same_place = if compute.is_empty() {
            other.text("/properties/compute").is_empty()
                && other.text("/location").eq_ignore_ascii_case(&location)
        } else {
            other.text("/properties/compute").eq_ignore_ascii_case(compute)
        };
        same_place && other.name().eq_ignore_ascii_case(name)
    });
    if !clash {
        return Ok(());
    }
    if compute.is_empty() {
        let message =
            "There is already an endpoint with this name, Endpoint name needs to be unique within a region";
        return Err(Failure::new(400, "BadRequest", "The request is invalid.")
            .about("name")
            .detail("Conflict", message));
    }
    let message = format!("An endpoint with the name '{name}' already exists on the cluster.");
    Err(Failure::new(409, "Conflict", message.clone()).detail("EndpointAlreadyExists", &message))
}

fn numbers(body: &Value, pointer: &str) -> Outcome<Vec<(String, i64)>> {
    let empty = Map::new();
    let map = body.pointer(pointer).and_then(Value::as_object).unwrap_or(&empty);
    map.iter()
        .map(|(name, value)| match value.as_i64().filter(|number| (0..=100).contains(number)) {
            Some(number) => Ok((name.clone(), number)),
            None => refuse(
                pointer.trim_start_matches('/'),
                format!("The traffic of the deployment '{name}' must be a whole number from 0 to 100."),
            ),
        })
        .collect()
}

fn deployed(change: &Change<'_>, name: &str) -> Outcome<()> {
    let there = change.state.get(&change.address.child("deployments", name).key());
    if there.is_some_and(|record| record.text("/properties/provisioningState") != "Deleting") {
        return Ok(());
    }
    let message = format!(
        "The deployment '{name}' in the traffic of endpoint '{}' does not exist.",
        change.address.name()
    );
    refuse("properties.traffic", message)
}

fn traffic(change: &Change<'_>) -> Outcome<()> {
    let traffic = numbers(&change.body, "/properties/traffic")?;
    for (name, _) in &traffic {
        deployed(change, name)?;
    }
    let sum: i64 = traffic.iter().map(|(_, number)| number).sum();
    if sum == 0 || sum == 100 {
        return Ok(());
    }
    refuse("properties.traffic", format!("The traffic must sum to 100 or to 0, but it sums to {sum}."))
}

fn mirror(change: &Change<'_>, kubernetes: bool) -> Outcome<()> {
    let field = "properties.mirrorTraffic";
    let mirrored = numbers(&change.body, "/properties/mirrorTraffic")?;
    let Some((name, share)) = mirrored.first() else { return Ok(()) };
    if mirrored.len() > 1 {
        return refuse(field, "Only one deployment can have mirror traffic.".to_owned());
    }
    if kubernetes {
        return refuse(field, "Mirror traffic is not supported for Kubernetes online endpoints.".to_owned());
    }
    if *share > 50 {
        return refuse(field, format!("The mirror traffic can be 50 percent at most, but it is {share}."));
    }
    deployed(change, name)?;
    let live = numbers(&change.body, "/properties/traffic")?;
    if *share > 0 && live.iter().any(|(other, number)| other == name && *number > 0) {
        return refuse(
            field,
            format!("The deployment '{name}' can have live traffic or mirror traffic, not both."),
        );
    }
    Ok(())
}

/// The two keys, made with the endpoint and kept unless a request brings others.
fn keys(change: &mut Change<'_>) {
    let old = change.old.as_ref().and_then(|old| old.secrets.get(KEYS)).cloned().unwrap_or_else(|| json!({}));
    let given = change.body.pointer(KEYS).cloned().unwrap_or_default();
    let key = |name: &str| {
        let found = given.get(name).or_else(|| old.get(name)).filter(|value| value.is_string());
        found.cloned().unwrap_or_else(|| json!(secret()))
    };
    change.body["properties"]["keys"] =
        json!({"primaryKey": key("primaryKey"), "secondaryKey": key("secondaryKey")});
}

pub(crate) fn list_keys(change: &mut Change<'_>) -> Outcome<Value> {
    let Some(old) = &change.old else { return Ok(Value::Null) };
    Ok(old.secrets.get(KEYS).cloned().unwrap_or_else(|| json!({"primaryKey": null, "secondaryKey": null})))
}

pub(crate) fn regenerate(change: &mut Change<'_>) -> Outcome<Value> {
    one_of(&change.body, "/keyType", &["Primary", "Secondary"])?;
    let name = if text(&change.body, "/keyType").eq_ignore_ascii_case("Primary") {
        "primaryKey"
    } else {
        "secondaryKey"
    };
    let given = text(&change.body, "/keyValue").to_owned();
    let old = change.old.as_ref().and_then(|old| old.secrets.get(KEYS)?.get(name)?.as_str());
    // The official client sends the key that is to be replaced.
    let value = if given.is_empty() || old == Some(given.as_str()) { secret() } else { given };
    change.effects.push(Effect::Secret {
        key: change.address.key(),
        pointer: KEYS.to_owned(),
        patch: json!({name: value}),
    });
    Ok(Value::Null)
}

/// A token for scoring, of the endpoints that go by Azure ML tokens.
pub(crate) fn token(change: &mut Change<'_>) -> Outcome<Value> {
    let mode = change.old.as_ref().map_or("", |old| old.text("/properties/authMode"));
    if !mode.eq_ignore_ascii_case("AMLToken") && !mode.eq_ignore_ascii_case("AADToken") {
        return refuse(
            "authMode",
            format!("An endpoint with the authentication mode {mode} has no tokens. Use its keys."),
        );
    }
    let principal = &change.call.principal;
    let client = Client {
        id: principal.application.clone(),
        secrets: Vec::new(),
        federated: false,
        object: principal.object.clone(),
    };
    let issued = change.core.issuer.issue(&client, "https://ml.azure.com", &change.call.base);
    let (token, expires) =
        issued.map_err(|error| Failure::new(500, "InternalServerError", error.to_string()))?;
    let refresh = expires - change.core.issuer.lifetime().cast_signed() / 2;
    Ok(json!({
        "accessToken": token, "expiryTimeUtc": expires, "refreshAfterTimeUtc": refresh, "tokenType": "Bearer",
    }))
}

pub(crate) fn online_deployment(change: &mut Change<'_>) -> Outcome<()> {
    one_of(&change.body, "/properties/endpointComputeType", &["Managed", "Kubernetes", "AzureMLCompute"])?;
    let kubernetes = text(&change.body, "/properties/endpointComputeType").eq_ignore_ascii_case("Kubernetes");
    let endpoint = change.address.parent().and_then(|parent| change.state.get(&parent.key()).cloned());
    let on_cluster = endpoint.is_some_and(|endpoint| !endpoint.text("/properties/compute").is_empty());
    if kubernetes != on_cluster {
        let message = "The endpointComputeType of a deployment must fit its endpoint: Kubernetes for an endpoint with a \
                       compute, Managed for one without.";
        return refuse("properties.endpointComputeType", message.to_owned());
    }
    for (field, pointer) in [("model", "/properties/model"), ("environmentId", "/properties/environmentId")] {
        let id = text(&change.body, pointer);
        if !id.is_empty() && !asset::exists(change, id) {
            return refuse(
                &format!("properties.{field}"),
                format!("The asset '{id}' of '{field}' was not found."),
            );
        }
    }
    scale(change, kubernetes)?;
    let id = guid(&["deployment", &change.address.key()]);
    let properties = &mut change.body["properties"];
    for name in ["livenessProbe", "readinessProbe"] {
        default(properties, &format!("/{name}"), json!({}));
        let probe = &mut properties[name];
        default(probe, "/failureThreshold", json!(30));
        default(probe, "/successThreshold", json!(1));
        default(probe, "/initialDelay", json!("PT10S"));
        default(probe, "/period", json!("PT10S"));
        default(probe, "/timeout", json!("PT2S"));
    }
    default(properties, "/requestSettings/maxConcurrentRequestsPerInstance", json!(1));
    default(properties, "/requestSettings/requestTimeout", json!("PT5S"));
    default(properties, "/requestSettings/maxQueueWait", json!("PT0.5S"));
    default(properties, "/egressPublicNetworkAccess", json!("Enabled"));
    default(properties, "/appInsightsEnabled", json!(false));
    default(properties, "/environmentVariables", json!({}));
    default(properties, "/properties", json!({}));
    properties["properties"]["azureml.onlinedeploymentid"] = json!(id);
    Ok(())
}

/// Instances: how many, of what size, and whether there are enough of them.
fn scale(change: &mut Change<'_>, kubernetes: bool) -> Outcome<()> {
    let preset = if kubernetes {
        json!({"scaleType": "TargetUtilization", "minInstances": 1, "maxInstances": 1,
            "targetUtilizationPercentage": 70, "pollingInterval": "PT1S"})
    } else {
        json!({"scaleType": "Default"})
    };
    default(&mut change.body, "/properties/scaleSettings", preset);
    default(&mut change.body, "/sku/name", json!("Default"));
    default(&mut change.body, "/sku/capacity", json!(1));
    if kubernetes {
        return Ok(());
    }
    default(&mut change.body, "/properties/instanceType", json!("Standard_F4s_v2"));
    let size = text(&change.body, "/properties/instanceType").to_owned();
    if quota::size(&size).is_none() {
        return refuse(
            "properties.instanceType",
            format!("The instance type '{size}' is not supported in this region."),
        );
    }
    let capacity = change.body.pointer("/sku/capacity").and_then(Value::as_i64).unwrap_or(0);
    if !(1..=20).contains(&capacity) {
        return refuse("sku.capacity", format!("The capacity {capacity} must lie between 1 and 20."));
    }
    if change.old.is_none() {
        quota::count(change, "onlineDeployments")?;
        let endpoint = change.address.parent().map(|parent| parent.key()).unwrap_or_default();
        if change.state.below(&endpoint).count() >= 20 {
            return Err(Failure::new(400, "OutOfQuota", "An endpoint can have 20 deployments at most."));
        }
    }
    quota::reserve(change, &size, capacity)
}

/// A deployment with traffic stays; one without leaves the endpoint's traffic as it goes.
pub(crate) fn remove_online_deployment(change: &mut Change<'_>) -> Outcome<()> {
    let (Some(_), Some(parent)) = (&change.old, change.address.parent()) else { return Ok(()) };
    let name = change.address.name().to_owned();
    let Some(endpoint) = change.state.get(&parent.key()) else { return Ok(()) };
    for (map, word) in [("traffic", "live"), ("mirrorTraffic", "mirror")] {
        let share = endpoint.body["properties"][map].get(&name).and_then(Value::as_i64).unwrap_or(0);
        if share > 0 {
            let message = format!(
                "The deployment '{name}' has {share} percent of the {word} traffic of the endpoint '{}'. Set it to 0 before \
                 deleting the deployment.",
                parent.name()
            );
            return Err(Failure::new(400, "UserError", message).about(&format!("properties.{map}")));
        }
    }
    let patch = json!({"properties": {"traffic": {&name: null}, "mirrorTraffic": {&name: null}}});
    change.effects.push(Effect::Merge(parent.key(), patch));
    change.effects.push(Effect::Remove { key: change.address.key(), soft: false });
    Ok(())
}

pub(crate) fn logs(change: &mut Change<'_>) -> Outcome<Value> {
    let container = match text(&change.body, "/containerType") {
        "" => "InferenceServer",
        container => container,
    };
    let lines = change.body.get("tail").and_then(Value::as_u64).unwrap_or(100) as usize;
    let content =
        change.core.data_plane().and_then(|plane| plane.logs(&change.address.id(), container, lines));
    Ok(json!({"content": content.unwrap_or_default()}))
}

pub(crate) fn skus(_: &mut Change<'_>) -> Outcome<Value> {
    Ok(json!({"value": [{
        "resourceType": format!("{ONLINE}/deployments"),
        "sku": {"name": "Default", "tier": "Standard"},
        "capacity": {"default": 1, "minimum": 1, "maximum": 20, "scaleType": "Manual"},
    }]}))
}

pub(crate) fn batch(change: &mut Change<'_>) -> Outcome<()> {
    one_of(&change.body, "/properties/authMode", &["AADToken", "Key", "AMLToken"])?;
    let chosen = text(&change.body, "/properties/defaults/deploymentName").to_owned();
    if !chosen.is_empty() && change.state.get(&change.address.child("deployments", &chosen).key()).is_none() {
        let message = format!("The default deployment '{chosen}' does not exist in the endpoint.");
        return refuse("properties.defaults.deploymentName", message);
    }
    let clash = |other: &crate::state::Record| {
        other.name().eq_ignore_ascii_case(change.address.name())
            && other.text("/location").eq_ignore_ascii_case(text(&change.body, "/location"))
    };
    if change.old.is_none() && change.state.of_kind(change.row.kind).any(clash) {
        let message =
            "There is already an endpoint with this name, Endpoint name needs to be unique within a region";
        return Err(Failure::new(400, "BadRequest", "The request is invalid.")
            .about("name")
            .detail("Conflict", message));
    }
    let root = format!("emulator://emulator/batch/{}/{}", change.location(), change.address.name());
    let properties = &mut change.body["properties"];
    properties["scoringUri"] = json!(format!("{root}/jobs"));
    properties["swaggerUri"] = json!(format!("{root}/swagger.json"));
    default(properties, "/defaults", json!({}));
    default(properties, "/properties", json!({}));
    keys(change);
    Ok(())
}

pub(crate) fn batch_deployment(change: &mut Change<'_>) -> Outcome<()> {
    for pointer in ["/properties/model/assetId", "/properties/environmentId"] {
        let id = text(&change.body, pointer);
        if !id.is_empty() && !asset::exists(change, id) {
            let field = pointer.trim_start_matches('/').replace('/', ".");
            return refuse(&field, format!("The resource '{id}' of '{field}' was not found."));
        }
    }
    let properties = &mut change.body["properties"];
    default(properties, "/errorThreshold", json!(-1));
    default(properties, "/loggingLevel", json!("Info"));
    default(properties, "/maxConcurrencyPerInstance", json!(1));
    default(properties, "/miniBatchSize", json!(10));
    default(properties, "/outputAction", json!("AppendRow"));
    default(properties, "/outputFileName", json!("predictions.csv"));
    default(properties, "/retrySettings", json!({"maxRetries": 3, "timeout": "PT30S"}));
    default(properties, "/resources/instanceCount", json!(1));
    default(properties, "/environmentVariables", json!({}));
    default(properties, "/properties", json!({}));
    Ok(())
}

pub(crate) fn remove_batch_deployment(change: &mut Change<'_>) -> Outcome<()> {
    let (Some(_), Some(parent)) = (&change.old, change.address.parent()) else { return Ok(()) };
    let name = change.address.name();
    let chosen =
        change.state.get(&parent.key()).map(|endpoint| endpoint.text("/properties/defaults/deploymentName"));
    if chosen.is_some_and(|chosen| chosen.eq_ignore_ascii_case(name)) {
        let patch = json!({"properties": {"defaults": {"deploymentName": null}}});
        change.effects.push(Effect::Merge(parent.key(), patch));
    }
    change.effects.push(Effect::Remove { key: change.address.key(), soft: false });
    Ok(())
}

pub(crate) fn serverless(change: &mut Change<'_>) -> Outcome<()> {
    one_of(&change.body, "/properties/authMode", &["Key", "AAD", "KeyAndAAD"])?;
    let root = format!("emulator://emulator/serverless/{}/{}", change.location(), change.address.name());
    let properties = &mut change.body["properties"];
    properties["inferenceEndpoint"] = json!({"uri": root, "headers": {}});
    properties["endpointState"] = json!("Creating");
    change.then(json!({"properties": {"endpointState": "Online"}}));
    keys(change);
    Ok(())
}
