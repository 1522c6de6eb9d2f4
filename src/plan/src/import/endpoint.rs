//! An Endpoint for an online or batch endpoint that exists, and for the deployment that gets its requests.
use arm::ResourceId;
use serde_json::{Map, Value, json};

use super::{Bodies, Imported, Spec, children, identity, own_name, tags, text};

/// The manifest of an endpoint; `None` when it has no deployment of a model.
pub fn endpoint(
    id: &ResourceId,
    body: &Value,
    bodies: &Bodies,
    workspace: &str,
    namespace: &str,
) -> Option<Imported> {
    let is_batch = id.type_().to_ascii_lowercase().ends_with("/batchendpoints");
    let all = children(bodies, id, "deployments");
    let live = live(body, is_batch);
    let (deployment_id, deployment) =
        all.iter().find(|(id, _)| live.as_deref() == Some(id.name())).or(all.first())?;
    let mut target = Spec::default();
    let is_arc = text(deployment, "/properties/endpointComputeType") == "Kubernetes";
    target
        .set(
            "type",
            match (is_batch, is_arc) {
                (true, _) => "ManagedBatch",
                (false, true) => "ArcKubernetes",
                (false, false) => "ManagedOnline",
            },
        )
        .set("workspaceRef", json!({"name": workspace}))
        .set("endpointName", own_name(id.name()))
        .set("identity", endpoint_identity(body))
        .set("tags", tags(body, "/tags"));
    code_and_environment(&mut target, deployment);
    let properties = &deployment["properties"];
    let model = if is_batch {
        target.copy(properties, &[("computeId", "/compute")]);
        text(properties, "/model/assetId")
    } else {
        online(&mut target, body, properties, is_arc);
        text(properties, "/model")
    };
    if model.is_empty() {
        return None;
    }
    let mut spec = Spec::default();
    spec.set("mode", if is_batch { "Batch" } else { "Online" })
        .set("target", target.value())
        .set("model", json!({"uri": model, "format": format(properties)}))
        .set("auth", json!({"mode": auth_mode(body)}))
        .set("scaling", if is_batch { Value::Null } else { scaling(deployment) })
        .set("container", variables(properties))
        .set("resources", resources(properties));
    if is_batch {
        spec.set("batch", batch(properties));
    }
    let mut imported = Imported::new("Endpoint", id.name(), namespace, spec);
    imported.notes = notes(&all, deployment_id);
    Some(imported)
}

/// A deployment does not say its model's format. Only MLflow and Triton need no environment, and MLflow is what most are.
fn format(properties: &Value) -> &'static str {
    if text(properties, "/environmentId").is_empty() { "MLflow" } else { "Custom" }
}

/// An Endpoint names its deployments itself, and has one that gets requests.
fn notes(all: &[(&ResourceId, &Value)], taken: &ResourceId) -> Vec<String> {
    let others = all.iter().filter(|(id, _)| *id != taken);
    others.map(|(id, _)| format!("the deployment {} beside {}", id.name(), taken.name())).collect()
}

/// The deployment that gets the most requests.
fn live(body: &Value, is_batch: bool) -> Option<String> {
    if is_batch {
        return Some(text(body, "/properties/defaults/deploymentName").to_owned());
    }
    let traffic = body.pointer("/properties/traffic")?.as_object()?;
    traffic.iter().max_by_key(|(_, share)| share.as_i64().unwrap_or_default()).map(|(name, _)| name.clone())
}

/// The identity that an Endpoint has without a word is left out.
fn endpoint_identity(body: &Value) -> Value {
    let identity = identity(body);
    if identity == json!({"type": "SystemAssigned"}) { Value::Null } else { identity }
}

fn auth_mode(body: &Value) -> &'static str {
    match text(body, "/properties/authMode").to_ascii_lowercase().as_str() {
        "aadtoken" => "AadToken",
        "amltoken" => "AMLToken",
        _ => "Key",
    }
}

fn code_and_environment(target: &mut Spec, deployment: &Value) {
    let properties = &deployment["properties"];
    let mut environment = Spec::default();
    environment.copy(properties, &[("environmentId", "/environmentId")]);
    let mut code = Spec::default();
    code.copy(
        properties,
        &[("codeId", "/codeConfiguration/codeId"), ("scoringScript", "/codeConfiguration/scoringScript")],
    );
    target.set("environment", environment.value()).set("codeConfiguration", code.value());
}

fn online(target: &mut Spec, body: &Value, properties: &Value, is_arc: bool) {
    for field in ["instanceType", "modelMountPath", "appInsightsEnabled"] {
        target.set(field, properties[field].clone());
    }
    let fields = |from: &Value, names: &[&str]| {
        let mut section = Spec::default();
        for name in names {
            section.set(name, from[*name].clone());
        }
        section.value()
    };
    let probe = ["failureThreshold", "successThreshold", "initialDelay", "period", "timeout"];
    for field in ["livenessProbe", "readinessProbe", "startupProbe"] {
        target.set(field, fields(&properties[field], &probe));
    }
    let requests = ["maxConcurrentRequestsPerInstance", "maxQueueWait", "requestTimeout"];
    target.set("requestSettings", fields(&properties["requestSettings"], &requests)).set(
        "dataCollector",
        fields(&properties["dataCollector"], &["collections", "rollingRate", "requestLogging"]),
    );
    if is_arc {
        target.copy(body, &[("computeId", "/properties/compute")]);
    } else {
        target
            .copy(properties, &[("egressPublicNetworkAccess", "/egressPublicNetworkAccess")])
            .copy(body, &[("publicNetworkAccess", "/properties/publicNetworkAccess")]);
    }
}

fn scaling(deployment: &Value) -> Value {
    let settings = &deployment["properties"]["scaleSettings"];
    let mut scaling = Spec::default();
    if settings["scaleType"] == "TargetUtilization" {
        scaling.copy(settings, &[("minReplicas", "/minInstances"), ("maxReplicas", "/maxInstances")]);
        let mut target = Spec::default();
        target.copy(settings, &[("cpuUtilization", "/targetUtilizationPercentage")]);
        scaling.set("target", target.value());
    } else {
        scaling.copy(deployment, &[("replicas", "/sku/capacity")]);
    }
    scaling.value()
}

fn variables(properties: &Value) -> Value {
    let variables = properties["environmentVariables"].as_object().into_iter().flatten();
    let list: Vec<Value> = variables.map(|(name, value)| json!({"name": name, "value": value})).collect();
    if list.is_empty() { Value::Null } else { json!({"env": list}) }
}

fn resources(properties: &Value) -> Value {
    let requirements = &properties["containerResourceRequirements"];
    let amounts = |from: &Value| {
        let names = [("cpu", "cpu"), ("memory", "memory"), ("gpu", "nvidia.com/gpu")];
        let amounts: Map<String, Value> = names
            .into_iter()
            .filter_map(|(key, name)| Some((name.to_owned(), json!(from[key].as_str()?))))
            .collect();
        Value::Object(amounts)
    };
    let mut resources = Spec::default();
    resources
        .set("requests", amounts(&requirements["containerResourceRequests"]))
        .set("limits", amounts(&requirements["containerResourceLimits"]));
    resources.value()
}

fn batch(properties: &Value) -> Value {
    let mut batch = Spec::default();
    for field in [
        "miniBatchSize",
        "maxConcurrencyPerInstance",
        "errorThreshold",
        "loggingLevel",
        "outputAction",
        "outputFileName",
    ] {
        batch.set(field, properties[field].clone());
    }
    let mut retry = Spec::default();
    retry.copy(
        properties,
        &[("maxRetries", "/retrySettings/maxRetries"), ("timeout", "/retrySettings/timeout")],
    );
    let mut machines = Spec::default();
    machines.copy(
        properties,
        &[("instanceCount", "/resources/instanceCount"), ("instanceType", "/resources/instanceType")],
    );
    batch.set("retrySettings", retry.value()).set("resources", machines.value());
    batch.value()
}
