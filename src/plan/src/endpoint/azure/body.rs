//! The bodies of endpoints and deployments, as Azure Resource Manager takes them.
use std::collections::BTreeMap;

use api::EndpointSpec;
use api::endpoint::{AuthMode, ProbeSettings, TargetType};
use serde_json::{Map, Value, json};

use super::super::model_uri::Registered;
use super::{Refusal, is_batch};
use crate::azure::reference::{id, ready, workspace};
use crate::azure::{Facts, identity};

/// Fields of a batch deployment that the next job takes up, so that they make no new revision.
pub(super) const BATCH_FIELDS: [&str; 8] = [
    "miniBatchSize",
    "maxConcurrencyPerInstance",
    "errorThreshold",
    "loggingLevel",
    "outputAction",
    "outputFileName",
    "retrySettings",
    "resources",
];

/// What a body is made of, beside the spec.
pub(super) struct Parts<'a> {
    pub(super) location: &'a str,
    pub(super) model: &'a Registered,
    pub(super) environment: Option<String>,
    pub(super) compute: Option<String>,
}

/// The id of the compute that is named.
pub(super) fn compute(spec: &EndpointSpec, facts: &Facts) -> Result<Option<String>, Refusal> {
    let target = &spec.target;
    let Some(reference) = &target.compute_ref else { return Ok(target.compute_id.clone()) };
    let object = ready(facts, "Compute", &reference.name)?;
    if let Some(id) = object["status"]["id"].as_str() {
        return Ok(Some(id.to_owned()));
    }
    let place = object["spec"]["workspaceRef"]["name"].as_str().unwrap_or_default();
    let name = object["spec"]["name"].as_str().unwrap_or(&reference.name);
    Ok(Some(id(workspace(facts, place)?.id.child("computes", name))?.to_string()))
}

/// How callers prove who they are.
pub(super) fn auth_mode(spec: &EndpointSpec) -> AuthMode {
    match &spec.auth {
        Some(auth) => auth.mode,
        None if is_batch(spec) => AuthMode::AadToken,
        None => AuthMode::Key,
    }
}

/// The endpoint, without where its requests go.
pub(super) fn endpoint(spec: &EndpointSpec, parts: &Parts) -> Value {
    let target = &spec.target;
    let auth_mode = match auth_mode(spec) {
        // Admission lets `None` through on this cluster alone.
        AuthMode::Key | AuthMode::None => "Key",
        AuthMode::AadToken => "AADToken",
        AuthMode::AMLToken => "AMLToken",
    };
    let mut properties = json!({"authMode": auth_mode});
    if target.type_ == TargetType::ArcKubernetes {
        properties["compute"] = json!(parts.compute);
    }
    if let Some(access) = target.public_network_access {
        properties["publicNetworkAccess"] = json!(access);
    }
    json!({
        "location": parts.location,
        "identity": target.identity.as_ref().map_or_else(|| json!({"type": "SystemAssigned"}), identity),
        "tags": target.tags,
        "properties": properties,
    })
}

/// The deployment.
pub(super) fn deployment(spec: &EndpointSpec, parts: &Parts) -> Value {
    if is_batch(spec) {
        return batch(spec, parts);
    }
    let target = &spec.target;
    let is_managed = target.type_ == TargetType::ManagedOnline;
    let mut properties = runs(spec, parts);
    properties.extend(present(json!({
        "endpointComputeType": if is_managed { "Managed" } else { "Kubernetes" },
        "model": parts.model.id,
        "modelMountPath": target.model_mount_path,
        "instanceType": target.instance_type,
        "appInsightsEnabled": target.app_insights_enabled,
        "egressPublicNetworkAccess": target.egress_public_network_access,
        "requestSettings": target.request_settings,
        "livenessProbe": target.liveness_probe.as_ref().map(probe),
        "readinessProbe": target.readiness_probe.as_ref().map(probe),
        "startupProbe": target.startup_probe.as_ref().map(probe),
        "dataCollector": target.data_collector,
        "scaleSettings": scale_settings(spec),
        "containerResourceRequirements": (!is_managed).then(|| container_resources(spec)).flatten(),
    })));
    let mut sku = json!({"name": "Default"});
    if spec.scaling.max_replicas.is_none() {
        sku["capacity"] = json!(spec.scaling.replicas.unwrap_or(1));
    }
    json!({"location": parts.location, "tags": target.tags, "sku": sku, "properties": properties})
}

/// What online and batch deployments run alike.
fn runs(spec: &EndpointSpec, parts: &Parts) -> Map<String, Value> {
    let own = spec.target.code_configuration.as_ref();
    let code = match (own, &parts.model.code) {
        (Some(code), _) => present(json!({"codeId": code.code_id, "scoringScript": code.scoring_script})),
        (None, Some(code)) => present(json!({"codeId": code.id, "scoringScript": code.scoring_script})),
        (None, None) => Map::new(),
    };
    let variables = spec.container.as_ref().map(|container| &container.env[..]).unwrap_or_default();
    let variables: BTreeMap<&str, &str> =
        variables.iter().map(|variable| (variable.name.as_str(), variable.value.as_str())).collect();
    present(json!({
        "environmentId": parts.environment,
        "codeConfiguration": (!code.is_empty()).then_some(code),
        // The map is written as a whole, so that a variable that is taken off goes.
        "environmentVariables": variables,
    }))
}

fn batch(spec: &EndpointSpec, parts: &Parts) -> Value {
    let mut properties = runs(spec, parts);
    properties.extend(present(json!({
        "model": {"referenceType": "Id", "assetId": parts.model.id},
        "compute": parts.compute,
    })));
    if let Some(settings) = &spec.batch {
        properties.extend(present(json!(settings)));
    }
    json!({"location": parts.location, "tags": spec.target.tags, "properties": properties})
}

fn scale_settings(spec: &EndpointSpec) -> Value {
    let Some(max) = spec.scaling.max_replicas else { return json!({"scaleType": "Default"}) };
    json!({
        "scaleType": "TargetUtilization",
        "minInstances": spec.scaling.min_replicas.unwrap_or(1),
        "maxInstances": max,
        "targetUtilizationPercentage": spec.scaling.target.as_ref().and_then(|it| it.cpu_utilization).unwrap_or(70),
    })
}

/// CPU, memory and GPU of each instance; the cluster's instance type decides when the spec says nothing.
fn container_resources(spec: &EndpointSpec) -> Option<Value> {
    let amounts = |amounts: &BTreeMap<String, String>| {
        present(json!({
            "cpu": amounts.get("cpu"),
            "memory": amounts.get("memory"),
            "gpu": amounts.get("nvidia.com/gpu"),
        }))
    };
    let (requests, limits) = (amounts(&spec.resources.requests), amounts(&spec.resources.limits));
    (!requests.is_empty() || !limits.is_empty())
        .then(|| json!({"containerResourceRequests": requests, "containerResourceLimits": limits}))
}

fn probe(settings: &ProbeSettings) -> Value {
    Value::Object(present(json!(settings)))
}

/// An object without what is null.
fn present(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Map::new(),
    }
}
