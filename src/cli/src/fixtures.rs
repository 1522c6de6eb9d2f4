//! Objects for the tests, as the API server would return them.
use std::io::Write as _;

use api::{Endpoint, ServingRuntime};
use arm::ResourceId;
use arm_emulator::Emulator;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::azure::Environment;
use crate::objects::AzureObject;
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

/// An MLWorkspace of generation 2, with one resource that is as wanted and one that is not.
pub(crate) fn workspace(conditions: &[Value]) -> AzureObject {
    let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/churn";
    let difference = json!({"field": "/properties/description", "wanted": "1", "actual": "2"});
    parse(json!({
        "apiVersion": "mlops-operator.dev/v1alpha1",
        "kind": "MLWorkspace",
        "metadata": {"name": "churn", "namespace": "team", "generation": 2},
        "spec": {},
        "status": {
            "observedGeneration": 2, "conditions": conditions, "id": id,
            "portalUrl": format!("https://portal.azure.com/#resource{id}"),
            "resources": [
                {"id": format!("{id}/datastores/a"), "state": "Ready", "owned": true},
                {"id": id, "state": "Differs", "owned": true, "differences": [difference]},
            ],
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

/// The environment of a process that works with an emulated Azure, and the file of its certificate authority.
pub(crate) fn azure_environment(emulator: &Emulator) -> (Environment, tempfile::NamedTempFile) {
    let mut ca = tempfile::NamedTempFile::new().unwrap();
    ca.write_all(emulator.ca_pem().as_bytes()).unwrap();
    let variables = [
        ("AZURE_RESOURCE_MANAGER_ENDPOINT", emulator.url()),
        ("AZURE_RESOURCE_MANAGER_AUDIENCE", "https://management.azure.com/"),
        ("AZURE_AUTHORITY_HOST", emulator.url()),
        ("AZURE_TENANT_ID", arm_emulator::TENANT),
        ("AZURE_CLIENT_ID", arm_emulator::CLIENT),
        ("AZURE_CLIENT_SECRET", arm_emulator::SECRET),
        ("AZURE_SUBSCRIPTION_ID", "s1"),
    ];
    (variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(), ca)
}

/// Makes a resource, and waits until it is there.
pub(crate) async fn put(
    emulator: &Emulator,
    ca: &tempfile::NamedTempFile,
    id: &str,
    body: &Value,
) -> Result<(), String> {
    let environment = azure_environment(emulator).0;
    let config = arm_client::Config {
        cloud: arm_client::cloud_from_environment(&environment).unwrap(),
        ca: Some(std::fs::read(ca.path()).unwrap()),
        ..arm_client::Config::default()
    };
    let source = arm_client::credential_from_environment(&environment).unwrap().unwrap();
    let session = arm_client::Client::new(config).unwrap().with(&source);
    let mut started =
        session.put(&ResourceId::parse(id).unwrap(), body).await.map_err(|error| error.to_string())?;
    while let arm::Started::Running(operation) = started {
        started = match session.poll(&operation).await.map_err(|error| error.to_string())? {
            arm::Progress::Running(operation) => arm::Started::Running(operation),
            arm::Progress::Failed(error) | arm::Progress::Canceled(error) => return Err(error.to_string()),
            arm::Progress::Succeeded(_) | arm::Progress::Lost => return Ok(()),
        };
        tokio::task::yield_now().await;
    }
    Ok(())
}
