//! The bodies that are sent, from a manifest with everything in it.
use serde_json::{Value, json};

use super::{WORKSPACE, both, endpoint, inside, only_deployment, ready};

/// What is stored of an endpoint and of its deployment.
#[track_caller]
fn check(spec: &Value, collection: &str, name: &str) {
    let mut both = both(endpoint(spec));
    let compute = json!({"workspaceRef": {"name": "dev"}});
    both.azure.add_object(&ready("Compute", "arc", &format!("{WORKSPACE}/computes/arc"), &compute));
    let model = json!({
        "workspaceRef": {"name": "dev"},
        "versions": [{
            "version": "7", "uri": "azureml://datastores/models/paths/x", "format": "ONNX",
            "environment": {"name": "server", "version": "2"},
            "code": {"uri": "https://models.example/code", "scoringScript": "score.py"},
        }],
    });
    let id = format!("{WORKSPACE}/models/churn");
    let mut model = ready("Model", "churn", &id, &model);
    model["status"]["outputs"] = json!({"latestVersion": "7"});
    let resources = model["status"]["resources"].as_array_mut().unwrap();
    resources.push(json!({"id": format!("{id}/versions/7"), "state": "Ready"}));
    both.azure.add_object(&model);
    both.settle(20).unwrap();
    let endpoint = inside(&format!("{collection}/churn"));
    let deployment = endpoint.child("deployments", &only_deployment(&both)).unwrap();
    let mut bodies = json!({});
    bodies["endpoint"] = both.azure.get(&endpoint).unwrap().clone();
    bodies["deployment"] = both.azure.get(&deployment).unwrap().clone();
    let environment = both.azure.ids().find(|id| id.type_().ends_with("environments/versions"));
    bodies["environment"] = json!(environment.and_then(|id| both.azure.get(id)));
    let exports: Vec<Value> = ["keys", "address"]
        .iter()
        .filter_map(|name| both.azure.exported(name))
        .map(|export| json!(format!("{:?} {:?}", export.secret, export.values)))
        .collect();
    bodies["exports"] = json!(exports);
    let text = serde_json::to_string_pretty(&bodies).unwrap();
    insta::assert_snapshot!(name, text.replace(WORKSPACE, "W"));
}

#[test]
fn everything_of_a_managed_online_endpoint_is_sent() {
    let spec = json!({
        "target": {
            "type": "ManagedOnline",
            "workspaceRef": {"name": "dev"},
            "instanceType": "Standard_DS3_v2",
            "environment": {
                "image": "registry.example/server:1",
                "livenessRoute": {"path": "/live", "port": 8080},
                "readinessRoute": {"path": "/ready", "port": 8080},
                "scoringRoute": {"path": "/score", "port": 8080},
            },
            "codeConfiguration": {"codeId": format!("{WORKSPACE}/codes/c/versions/1"), "scoringScript": "score.py"},
            "modelMountPath": "/models",
            "livenessProbe": {"initialDelay": "PT10S", "period": "PT10S", "timeout": "PT2S", "failureThreshold": 30, "successThreshold": 1},
            "readinessProbe": {"period": "PT5S"},
            "startupProbe": {"failureThreshold": 60},
            "requestSettings": {"maxConcurrentRequestsPerInstance": 4, "maxQueueWait": "PT0.5S", "requestTimeout": "PT5S"},
            "appInsightsEnabled": true,
            "egressPublicNetworkAccess": "Disabled",
            "publicNetworkAccess": "Enabled",
            "dataCollector": {
                "collections": {"model_inputs": {"dataCollectionMode": "Enabled", "samplingRate": 0.5}},
                "rollingRate": "Hour",
                "requestLogging": {"captureHeaders": ["x-request-id"]},
            },
            "identity": {"type": "UserAssigned", "userAssignedIdentities": ["/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i"]},
            "tags": {"team": "churn"},
        },
        "model": {"uri": super::version(1), "format": "ONNX"},
        "container": {"env": [{"name": "OMP_NUM_THREADS", "value": "1"}]},
        "scaling": {"replicas": 2},
        "auth": {"mode": "Key"},
        "export": {"secretName": "keys", "configMapName": "address"},
    });
    check(&spec, "onlineEndpoints", "azure_bodies_managed_online");
}

#[test]
fn an_endpoint_of_a_cluster_in_arc_scales_by_load_and_uses_what_its_model_names() {
    let spec = json!({
        "target": {
            "type": "ArcKubernetes",
            "workspaceRef": {"name": "dev"},
            "computeRef": {"name": "arc"},
            "instanceType": "gpu",
        },
        "model": {"modelRef": {"name": "churn"}, "format": "ONNX"},
        "resources": {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"nvidia.com/gpu": "1"}},
        "scaling": {"minReplicas": 2, "maxReplicas": 5, "target": {"cpuUtilization": 60}},
        "auth": {"mode": "AMLToken"},
    });
    check(&spec, "onlineEndpoints", "azure_bodies_arc");
}

#[test]
fn everything_of_a_batch_endpoint_is_sent() {
    let spec = json!({
        "mode": "Batch",
        "target": {
            "type": "ManagedBatch",
            "workspaceRef": {"name": "dev"},
            "computeRef": {"name": "arc"},
            "environment": {"environmentId": "azureml://registries/azureml/environments/sklearn/versions/1"},
            "codeConfiguration": {"codeId": format!("{WORKSPACE}/codes/c/versions/1"), "scoringScript": "score.py"},
        },
        "model": {"modelRef": {"name": "churn", "version": "7"}, "format": "Custom"},
        "batch": {
            "miniBatchSize": 10, "maxConcurrencyPerInstance": 2, "errorThreshold": -1, "loggingLevel": "Info",
            "outputAction": "AppendRow", "outputFileName": "scores.csv",
            "retrySettings": {"maxRetries": 3, "timeout": "PT30S"},
            "resources": {"instanceCount": 2, "instanceType": "gpu"},
        },
        "export": {"secretName": "keys"},
    });
    check(&spec, "batchEndpoints", "azure_bodies_batch");
}
