//! Round trips: what a manifest made in Azure, imported, is a manifest that wants exactly that.
use std::collections::BTreeMap;

use plan::azure::Compiled;
use plan::import::{self, Bodies, Imported, Remaining};
use serde_json::{Value, json};
use testkit::azure::{FakeAzure, SUBSCRIPTION};

use super::{REGISTRY, WORKSPACE, azure, id, object, place};

/// Everything that is in Azure.
fn bodies(azure: &FakeAzure) -> Bodies {
    azure.ids().map(|id| (id.clone(), azure.get(id).unwrap().clone())).collect()
}

/// Makes an object in Azure.
fn made(azure: &mut FakeAzure, object: &Value) -> Bodies {
    azure.add_secret("source", "1", &["key", "token", "secret", "user"]);
    let mut object = object.clone();
    assert!(azure.converge(&mut object, 60).converged, "{}", object["status"]);
    bodies(azure)
}

fn others() -> BTreeMap<(String, String), Value> {
    let mut all = [place("MLWorkspace", WORKSPACE, "dev"), place("ModelRegistry", REGISTRY, "contoso")];
    for it in &mut all {
        it["spec"]["subscriptionId"] = json!(SUBSCRIPTION);
    }
    let key = |it: &Value| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&it["kind"]), text(&it["metadata"]["name"]))
    };
    all.into_iter().map(|it| (key(&it), it)).collect()
}

fn compiled(imported: &Imported, bodies: &Bodies) -> Compiled {
    import::compile(imported, &others(), bodies).unwrap()
}

fn remaining(imported: &Imported, bodies: &Bodies) -> Vec<Remaining> {
    assert_eq!(
        imported.object["spec"]["management"],
        json!({"mode": "Plan", "adoption": "IfUnowned", "deletion": "Orphan"})
    );
    assert!(imported.notes.is_empty(), "{:?}", imported.notes);
    import::proof(&compiled(imported, bodies), bodies)
}

#[test]
fn a_workspace_with_all_that_is_in_it_comes_back() {
    let spec = json!({
        "environment": "Development", "resourceGroup": "ml", "location": "westeurope", "name": "Churn_1",
        "friendlyName": "Churn", "tags": {"team": "churn"}, "publicNetworkAccess": "Disabled",
        "storageAccount": {"create": {}}, "keyVault": {"create": {"tenantId": "00000000-0000-0000-0000-000000000000"}},
        "applicationInsights": {"create": {}}, "containerRegistry": {"create": {"sku": "Premium"}},
        "managedNetwork": {"isolationMode": "AllowOnlyApprovedOutbound", "firewallSku": "Basic", "outboundRules": [
            {"name": "packages", "type": "FQDN", "fqdn": "*.example.com"},
            {"name": "tags", "type": "ServiceTag", "serviceTag": {"serviceTag": "AzureMonitor", "portRanges": "443"}},
            {"name": "store", "type": "PrivateEndpoint", "privateEndpoint": {
                "serviceResourceId": format!("{}/providers/Microsoft.Storage/storageAccounts/x", super::GROUP),
                "subresourceTarget": "blob"}},
        ]},
        "serverlessCompute": {"noPublicIp": true},
        "datastores": [
            {"name": "customers", "type": "AzureBlob", "accountName": "abc", "containerName": "customers",
             "credentials": {"accountKey": {"name": "source", "key": "key"}}, "tags": {"a": "b"}},
            {"name": "lake", "type": "AzureDataLakeGen2", "accountName": "abc", "filesystem": "lake",
             "credentials": {"servicePrincipal": {
                "tenantId": "00000000-0000-0000-0000-000000000000", "clientId": "00000000-0000-0000-0000-000000000001",
                "clientSecret": {"name": "source", "key": "secret"}}}},
            {"name": "open", "type": "AzureBlob", "accountName": "abc", "containerName": "open"},
        ],
        "connections": [
            {"name": "code", "category": "Git", "target": "https://git.example.com", "authType": "PAT",
             "secrets": [{"field": "pat", "valueFrom": {"name": "source", "key": "token"}}]},
            {"name": "open", "category": "Git", "target": "https://git.example.com", "authType": "None",
             "metadata": {"a": "b"}},
        ],
        "diagnosticSettings": [{"name": "audit", "workspaceId": format!("{}/providers/Microsoft.OperationalInsights/workspaces/x", super::GROUP),
            "logs": [{"categoryGroup": "audit"}], "metrics": [{"category": "AllMetrics", "enabled": false}]}],
    });
    let mut azure = FakeAzure::new();
    let bodies = made(&mut azure, &object("MLWorkspace", "churn", &spec));
    let main = id(&WORKSPACE.replace("/dev", "/Churn_1"));
    let imported = import::workspace(&main, &bodies[&main], &bodies, "team");
    assert_eq!(imported.name(), "churn-1");
    assert_eq!(imported.object["spec"]["name"], "Churn_1");
    assert_eq!(remaining(&imported, &bodies), []);
    assert_eq!(compiled(&imported, &bodies).wanted.len(), 10, "the workspace and nine parts of it");
    assert_eq!(
        imported.secrets,
        BTreeMap::from([
            ("churn-1-code".to_owned(), vec!["pat".to_owned()]),
            ("churn-1-customers".to_owned(), vec!["account-key".to_owned()]),
            ("churn-1-lake".to_owned(), vec!["client-secret".to_owned()]),
        ])
    );
}

#[test]
fn computes_come_back() {
    let workspace = json!({"name": "dev"});
    let specs = [
        json!({"workspaceRef": workspace, "type": "AmlCompute", "description": "d", "tags": {"a": "b"}, "amlCompute": {
            "vmSize": "Standard_DS3_v2", "vmPriority": "LowPriority", "isolatedNetwork": false,
            "scaleSettings": {"minNodeCount": 1, "maxNodeCount": 4, "nodeIdleTimeBeforeScaleDown": "PT2M"}}}),
        json!({"workspaceRef": workspace, "type": "ComputeInstance", "computeInstance": {
        "vmSize": "Standard_DS3_v2", "idleTimeBeforeShutdown": "PT30M", "sshPublicKey": "ssh-rsa AAAA",
        "schedules": [
            {"action": "Stop", "cron": {"expression": "0 18 * * *"}},
            {"action": "Start", "enabled": false, "recurrence": {"frequency": "Week", "interval": 1,
                "schedule": {"hours": [7], "minutes": [30], "weekDays": ["Monday"]}}},
        ]}}),
    ];
    for spec in specs {
        let mut azure = azure();
        let bodies = made(&mut azure, &object("Compute", "machine", &spec));
        let main = super::inside("computes/machine");
        let imported = import::compute(&main, &bodies[&main], "dev", "team").unwrap();
        assert_eq!(remaining(&imported, &bodies), [], "{spec}");
        assert_eq!(imported.object["spec"]["type"], spec["type"]);
    }
}

#[test]
fn a_compute_of_another_type_is_not_imported() {
    let body = json!({"properties": {"computeType": "HDInsight"}});
    assert_eq!(import::compute(&super::inside("computes/x"), &body, "dev", "team"), None);
}

#[test]
fn models_with_their_versions_and_dependencies_come_back() {
    let spec = json!({"workspaceRef": {"name": "dev"}, "description": "d", "tags": {"a": "b"}, "versions": [
        {"version": "2", "uri": "azureml://datastores/d/paths/m/model.onnx", "format": "ONNX",
         "digest": format!("sha256:{}", "a".repeat(64)), "properties": {"p": "q"}},
        {"version": "10", "uri": "azureml://jobs/j/outputs/o/paths/m", "format": "MLflow", "stage": "Staging",
         "flavors": {"python_function": {"loader_module": "mlflow.sklearn"}},
         "environment": {"name": "scoring", "version": "2", "image": "registry.example/image@sha256:1"},
         "code": {"uri": "https://account.blob.core.windows.net/code/2", "scoringScript": "score.py"}},
    ]});
    let mut azure = azure();
    let bodies = made(&mut azure, &object("Model", "churn", &spec));
    let main = super::inside("models/churn");
    let version = super::inside("models/churn/versions/10");
    assert_eq!(import::code_of(&version, &bodies[&version]), Some(super::inside("codes/churn/versions/10")));
    let imported = import::model(&main, &bodies[&main], &bodies, ("workspaceRef", "dev"), "team").unwrap();
    assert_eq!(remaining(&imported, &bodies), []);
    let versions = imported.object["spec"]["versions"].as_array().unwrap();
    let names: Vec<&Value> = versions.iter().map(|version| &version["version"]).collect();
    assert_eq!(names, ["2", "10"]);
    assert_eq!(versions[1]["environment"], json!({"name": "scoring", "version": "2"}));
    assert_eq!(versions[1]["tags"], Value::Null, "the operator's own tags are no tags of the user");
}

#[test]
fn an_archived_model_is_not_imported() {
    let body = json!({"properties": {"isArchived": true}});
    let main = super::inside("models/churn");
    assert_eq!(import::model(&main, &body, &Bodies::new(), ("workspaceRef", "dev"), "team"), None);
}

#[test]
fn data_assets_come_back() {
    for type_ in ["File", "Folder", "MLTable"] {
        let spec = json!({"workspaceRef": {"name": "dev"}, "name": "customers", "version": "3", "type": type_,
            "uri": "azureml://datastores/d/paths/p", "description": "d", "tags": {"a": "b"}});
        let mut azure = azure();
        let bodies = made(&mut azure, &object("DataAsset", "any", &spec));
        let main = super::inside("data/customers/versions/3");
        let imported = import::data_asset(&main, &bodies[&main], "dev", "team").unwrap();
        assert_eq!(imported.name(), "customers-3");
        assert_eq!(remaining(&imported, &bodies), []);
        assert_eq!(imported.object["spec"]["type"], type_);
    }
}

#[test]
fn a_registry_comes_back() {
    let spec = json!({"resourceGroup": "ml", "location": "westeurope", "tags": {"a": "b"}, "regionDetails": [
        {"location": "westeurope", "storageAccount": {"storageAccountType": "Standard_GRS"}},
        {"location": "northeurope", "containerRegistry": {
            "id": format!("{}/providers/Microsoft.ContainerRegistry/registries/x", super::GROUP)}},
    ]});
    let mut azure = FakeAzure::new();
    let bodies = made(&mut azure, &object("ModelRegistry", "contoso", &spec));
    let main = id(REGISTRY);
    let imported = import::registry(&main, &bodies[&main], "team");
    assert_eq!(remaining(&imported, &bodies), []);
    assert_eq!(imported.object["spec"]["regionDetails"].as_array().unwrap().len(), 2);
}

#[test]
fn endpoints_come_back_with_the_deployment_that_gets_requests() {
    let online = json!({"target": {"type": "ManagedOnline", "workspaceRef": {"name": "dev"}, "endpointName": "Churn-A",
            "instanceType": "Standard_DS3_v2", "livenessProbe": {"period": "PT10S", "failureThreshold": 3},
            "requestSettings": {"requestTimeout": "PT5S"}, "publicNetworkAccess": "Disabled", "tags": {"a": "b"}},
        "model": {"uri": "azureml://registries/contoso/models/churn/versions/7", "format": "MLflow"},
        "auth": {"mode": "AadToken"}, "container": {"env": [{"name": "A", "value": "b"}]},
        "scaling": {"minReplicas": 1, "maxReplicas": 3, "target": {"cpuUtilization": 60}}});
    let batch = json!({"mode": "Batch", "target": {"type": "ManagedBatch", "workspaceRef": {"name": "dev"},
            "endpointName": "Churn-A", "computeId": super::inside("computes/cpu")},
        "model": {"uri": "azureml://registries/contoso/models/churn/versions/7", "format": "MLflow"},
        "batch": {"miniBatchSize": 10, "retrySettings": {"maxRetries": 3}, "resources": {"instanceCount": 2}}});
    for (spec, collection) in [(online, "onlineEndpoints"), (batch, "batchEndpoints")] {
        let mut azure = azure();
        let bodies = made(&mut azure, &object("Endpoint", "churn-a", &spec));
        let main = super::inside(&format!("{collection}/Churn-A"));
        let imported = import::endpoint(&main, &bodies[&main], &bodies, "dev", "team").unwrap();
        assert_eq!(remaining(&imported, &bodies), [], "{}", imported.object["spec"]);
        // An object of another name and place names its deployments otherwise, and takes this one as it is.
        let mut elsewhere = import::endpoint(&main, &bodies[&main], &bodies, "dev", "elsewhere").unwrap();
        elsewhere.object["metadata"]["name"] = json!("churn-b");
        assert_eq!(remaining(&elsewhere, &bodies), [], "{}", elsewhere.object["spec"]);
        assert_eq!(imported.object["spec"]["target"]["type"], spec["target"]["type"]);
    }
}

#[test]
fn what_a_manifest_cannot_say_is_told() {
    let mut azure = azure();
    let endpoint = super::inside("onlineEndpoints/churn");
    azure.put(&endpoint, &json!({"location": "westeurope", "properties": {"authMode": "Key", "traffic": {"blue": 90, "green": 10}}}));
    for name in ["blue", "green"] {
        let body = json!({"location": "westeurope", "properties": {"endpointComputeType": "Managed", "model": "azureml:m:1",
            "provisioningState": "Succeeded"}});
        azure.put(&super::inside(&format!("onlineEndpoints/churn/deployments/{name}")), &body);
    }
    let bodies = bodies(&azure);
    let imported = import::endpoint(&endpoint, &bodies[&endpoint], &bodies, "dev", "team").unwrap();
    assert_eq!(imported.notes, ["the deployment green beside blue"]);
    let left = import::proof(&compiled(&imported, &bodies), &bodies);
    let fields: Vec<&str> = left[0].differences.iter().map(|it| it.field.as_str()).collect();
    assert!(fields.contains(&"/properties/traffic"), "green would lose its requests: {left:?}");
}
