//! Objects for the tests, as the API server would return them.
use api::{Endpoint, ServingRuntime};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::output::Style;

/// What a pipe gets: no colour.
pub(crate) const PLAIN: Style = Style { colour: false, unicode: true };

/// A condition of the present generation.
pub(crate) fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": type_, "status": status, "reason": reason, "message": message,
        "observedGeneration": 2, "lastTransitionTime": "2026-01-02T03:04:05Z",
    })
}

/// An Endpoint of generation 2 with a status.
pub(crate) fn endpoint(name: &str, status: &Value) -> Endpoint {
    parse(json!({
        "apiVersion": "mlops-operator.dev/v1alpha1",
        "kind": "Endpoint",
        "metadata": {"name": name, "namespace": "team", "generation": 2, "uid": "1"},
        "spec": {"model": {"uri": format!("https://models.example/{name}-8.onnx?sig=secret"), "format": "ONNX"}},
        "status": status,
    }))
}

/// The status of generation 2.
pub(crate) fn status(conditions: &[Value], revisions: &Value) -> Value {
    json!({
        "observedGeneration": 2,
        "url": "http://churn.team.svc/v2/models/churn/infer",
        "conditions": conditions,
        "revisions": revisions,
    })
}

/// A revision of an Endpoint `churn`.
pub(crate) fn revision(digest: &str, model: u32, state: &str, replicas: (i32, i32)) -> Value {
    json!({
        "name": format!("churn-{digest}"), "model": format!("https://models.example/churn-{model}.onnx"),
        "state": state, "readyReplicas": replicas.0, "replicas": replicas.1,
    })
}

/// A pod of an Endpoint `churn` that answers.
pub(crate) fn pod(digest: &str, suffix: &str) -> Value {
    json!({
        "metadata": {
            "name": format!("churn-{digest}-{suffix}"), "namespace": "team",
            "labels": {
                "mlops-operator.dev/endpoint": "churn",
                "mlops-operator.dev/revision": format!("churn-{digest}"),
            },
        },
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

/// The pod, not ready, with a container that waits.
pub(crate) fn waiting(mut pod: Value, reason: &str, message: &str) -> Value {
    pod["status"] = json!({
        "phase": "Pending",
        "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [{
            "name": "model", "image": "registry.example/server:9", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": reason, "message": message}},
        }],
    });
    pod
}

/// A default ServingRuntime.
pub(crate) fn runtime() -> ServingRuntime {
    parse(json!({
        "apiVersion": "mlops-operator.dev/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": {"name": "onnx", "namespace": "team", "generation": 1},
        "spec": {"supportedFormats": ["ONNX"], "image": "registry.example/model-server:1"},
        "status": {
            "observedGeneration": 1,
            "conditions": [condition("Ready", "True", "Accepted", "endpoints can use it for ONNX")],
        },
    }))
}

/// Pods from their JSON.
pub(crate) fn pods(pods: Vec<Value>) -> Vec<Pod> {
    pods.into_iter().map(parse).collect()
}

fn parse<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}
