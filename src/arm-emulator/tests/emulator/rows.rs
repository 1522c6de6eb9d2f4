//! Every type of resource: the exact statuses of create, read, list, update and delete, and the operation's shape.
use serde_json::{Value, json};

use crate::support::{REGISTRY, Session, WORKSPACE, deployment, endpoint, registry, workspace};

/// One type: where, with what body, and what PUT, the second PUT, and DELETE answer. A comma and a header's first
/// letter say which operation follows: `A` for Azure-AsyncOperation, `L` for Location, `B` for both.
type Case = (&'static str, Value, &'static str, &'static str, &'static str);

fn machine_learning() -> Vec<Case> {
    let asset = |field: &str, value: Value| json!({"properties": {field: value}});
    let model = asset("modelUri", json!("azureml://m"));
    let data = json!({"properties": {"dataType": "uri_file", "dataUri": "azureml://d"}});
    let component = asset("componentSpec", json!({"name": "c"}));
    let image = asset("image", json!("example/base:1"));
    let schedule = json!({"properties": {
        "action": {"actionType": "CreateJob", "jobDefinition": {"jobType": "Pipeline"}},
        "trigger": {"triggerType": "Cron", "expression": "0 3 * * *"}}});
    let store = json!({"properties": {"datastoreType": "AzureBlob", "accountName": "a", "containerName": "c",
        "credentials": {"credentialsType": "AccountKey", "secrets": {"secretsType": "AccountKey", "key": "k"}}}});
    let serverless = json!({"location": "eastus", "properties": {"authMode": "Key"}});
    let cluster = json!({"location": "eastus", "properties": {"computeType": "AmlCompute", "properties": {
        "vmSize": "Standard_DS2_v2", "scaleSettings": {"maxNodeCount": 1}}}});
    let empty = json!({"properties": {}});
    vec![
        ("/computes/cluster1", cluster, "201A", "200A", "202B"),
        ("/models/m", empty.clone(), "201", "200", "200"),
        ("/models/m/versions/1", model.clone(), "201", "200", "200"),
        ("/environments/e/versions/1", image.clone(), "201", "200", "200"),
        ("/data/d/versions/1", data.clone(), "201", "200", "200"),
        ("/components/c/versions/1", component.clone(), "201", "200", "200"),
        ("/codes/k/versions/1", asset("codeUri", json!("https://a/b")), "201", "200", "200"),
        ("/datastores/store", store, "201", "200", "200"),
        (
            "/connections/git",
            json!({"properties": {"authType": "PAT", "category": "Git", "target": "https://g",
            "credentials": {"pat": "p"}}}),
            "200",
            "200",
            "200",
        ),
        (
            "/outboundRules/r",
            json!({"properties": {"type": "FQDN", "destination": "example.com"}}),
            "202L",
            "202L",
            "202L",
        ),
        ("/onlineEndpoints/endpoint-1", endpoint(), "201A", "200A", "202L"),
        (
            "/batchEndpoints/batch-1",
            json!({"location": "eastus", "properties": {"authMode": "AADToken"}}),
            "201A",
            "200A",
            "202L",
        ),
        ("/serverlessEndpoints/serverless-1", serverless, "201A", "200A", "202L"),
        ("/schedules/nightly", schedule, "201A", "200A", "202L"),
        ("/featuresets/f/versions/1", empty.clone(), "201A", "200A", "202L"),
        ("/featurestoreEntities/f/versions/1", empty.clone(), "201A", "200A", "202L"),
        ("/capabilityHosts/h", empty.clone(), "201A", "200A", "202L"),
        ("/marketplaceSubscriptions/s", empty.clone(), "201A", "200A", "202L"),
        ("/privateEndpointConnections/p", empty, "200", "200", "200"),
    ]
}

/// The id of what is beside machine learning in the resource group.
fn beside(rest: &str) -> &'static str {
    Box::leak(format!("/subscriptions/s1/resourceGroups/rg/providers/{rest}").into_boxed_str())
}

/// A body with a place, and more.
fn place(more: &Value) -> Value {
    let mut body = json!({"location": "eastus", "properties": {}});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn neighbors() -> Vec<Case> {
    let storage = place(&json!({"sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}));
    let images = place(&json!({"sku": {"name": "Basic"}}));
    let bare = place(&json!({}));
    let cluster = place(
        &json!({"identity": {"type": "SystemAssigned"}, "properties": {"agentPublicKeyCertificate": "YQ=="}}),
    );
    let extension = json!({"properties": {"extensionType": "Microsoft.AzureML.Kubernetes",
        "configurationSettings": {"enableTraining": "True"}}});
    let extended =
        "Microsoft.Kubernetes/connectedClusters/k2/providers/Microsoft.KubernetesConfiguration/extensions/x";
    vec![
        (beside("Microsoft.Storage/storageAccounts/account1"), storage, "202L", "200", "200"),
        (beside("Microsoft.KeyVault/vaults/vault1"), bare.clone(), "201", "200", "200"),
        (beside("Microsoft.ContainerRegistry/registries/images1"), images, "201A", "200A", "202L"),
        (beside("Microsoft.ManagedIdentity/userAssignedIdentities/u"), bare.clone(), "201", "200", "200"),
        (beside("Microsoft.OperationalInsights/workspaces/l"), bare, "201", "200", "200"),
        (beside("Microsoft.Kubernetes/connectedClusters/k"), cluster, "201A", "200A", "202L"),
        (beside(extended), extension, "201A", "200A", "202L"),
    ]
}

fn watchers() -> Vec<Case> {
    let alert = json!({"location": "global", "properties": {"severity": 2, "enabled": true, "scopes": [WORKSPACE],
        "evaluationFrequency": "PT1M", "windowSize": "PT5M", "criteria": {}}});
    let group = place(&json!({"properties": {"groupShortName": "g"}}));
    vec![
        (beside("Microsoft.Insights/metricAlerts/a"), alert, "200", "200", "200"),
        (beside("Microsoft.Insights/actionGroups/g"), group, "201", "200", "200"),
        (beside("Microsoft.Insights/components/i"), place(&json!({"kind": "web"})), "200", "200", "200"),
    ]
}

fn access() -> Vec<Case> {
    let reader = "/subscriptions/s1/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7";
    let lock = json!({"properties": {"level": "CanNotDelete"}});
    let assignment = json!({"properties": {"principalId": "p", "roleDefinitionId": reader}});
    let definition = json!({"properties": {"roleName": "r", "permissions": [], "assignableScopes": ["/subscriptions/s1"]}});
    let guid = "6f3b0a0e-0000-4000-8000-000000000001";
    let at = |kind: &str| beside(&format!("Microsoft.Authorization/{kind}/{guid}"));
    vec![
        (at("locks"), lock, "201", "200", "200"),
        (at("roleAssignments"), assignment, "201", "200", "200"),
        (at("roleDefinitions"), definition, "201", "201", "200"),
    ]
}

async fn check(session: &Session, path: &str, case: &Case) {
    let (_, body, create, update, delete) = case;
    assert_eq!(session.get(path).await.status, 404, "{path} before it is made");
    for (what, expected) in [("create", create), ("update", update)] {
        let reply = session.call("PUT", path, body).await;
        expect(session, &format!("{what} {path}"), expected, &reply).await;
        assert_eq!(reply.body["id"].as_str().unwrap().to_lowercase(), path.to_lowercase());
    }
    let read = session.get(path).await;
    assert_eq!(read.status, 200, "{path}");
    assert_eq!(read.body["name"], path.rsplit('/').next().unwrap());
    let (collection, _) = path.rsplit_once('/').unwrap();
    let listed = session.get(collection).await;
    let ids: Vec<&Value> = listed.body["value"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert!(ids.contains(&&read.body["id"]), "{collection} lists {ids:?}");
    let removal = if path.contains("/computes/") {
        format!("{path}?underlyingResourceAction=Delete")
    } else {
        path.to_owned()
    };
    let reply = session.call("DELETE", &removal, &Value::Null).await;
    expect(session, &format!("delete {path}"), delete, &reply).await;
    assert_eq!(session.get(path).await.status, 404, "{path} after it was deleted");
    assert_eq!(session.call("DELETE", &removal, &Value::Null).await.status, 204, "{path} deleted twice");
}

async fn expect(session: &Session, what: &str, expected: &str, reply: &crate::support::Reply) {
    let (status, shape) = expected.split_at(3);
    assert_eq!(reply.status.to_string(), status, "{what}: {reply:?}");
    let headers = (!reply.header("azure-asyncoperation").is_empty(), !reply.header("location").is_empty());
    assert_eq!(headers, (["A", "B"].contains(&shape), ["L", "B"].contains(&shape)), "{what}");
    if !shape.is_empty() {
        assert_eq!(reply.header("retry-after"), "1", "{what}");
        let end = session.follow(reply).await;
        assert!(end.status < 300, "{what}: {end:?}");
    }
}

#[tokio::test]
async fn every_type_in_a_workspace_answers_with_the_statuses_of_the_specification() {
    let session = Session::with_workspace().await;
    for case in machine_learning() {
        check(&session, &format!("{WORKSPACE}{}", case.0), &case).await;
    }
}

#[tokio::test]
async fn every_type_beside_machine_learning_answers_with_the_statuses_of_its_specification() {
    let session = Session::with_workspace().await;
    for case in neighbors().into_iter().chain(watchers()).chain(access()) {
        check(&session, case.0, &case).await;
    }
    let diagnostic = format!("{WORKSPACE}/providers/Microsoft.Insights/diagnosticSettings/d");
    let body = json!({"properties": {"workspaceId": "/subscriptions/s1", "logs": []}});
    check(&session, &diagnostic, &("", body, "200", "200", "200")).await;
}

#[tokio::test]
async fn a_registry_and_its_assets_are_made_by_operations() {
    let session = Session::start().await;
    check(&session, REGISTRY, &("", registry(), "201A", "200A", "202L")).await;
    session.done("PUT", REGISTRY, &registry()).await;
    let model = json!({"properties": {"modelUri": "azureml://m"}});
    check(&session, &format!("{REGISTRY}/models/m/versions/1"), &("", model, "201A", "200A", "202L")).await;
}

#[tokio::test]
async fn a_workspace_is_made_by_an_operation_that_is_followed_by_location() {
    let session = Session::start().await;
    let reply = session.call("PUT", WORKSPACE, &workspace()).await;
    assert_eq!(
        (reply.status, reply.body["properties"]["provisioningState"].as_str()),
        (202, Some("Creating"))
    );
    let end = session.follow(&reply).await;
    assert_eq!((end.status, end.body["properties"]["provisioningState"].as_str()), (200, Some("Succeeded")));
    assert_eq!(end.body["properties"]["workspaceId"].as_str().unwrap().len(), 36);
    let stores = session.get(&format!("{WORKSPACE}/datastores?isDefault=true")).await;
    assert_eq!(stores.body["value"][0]["name"], "workspaceblobstore");
    let model = json!({"properties": {"modelUri": "azureml://m"}});
    let child = session.call("PUT", &format!("{WORKSPACE}x/models/m/versions/1"), &model).await;
    assert_eq!((child.status, child.code()), (404, "ParentResourceNotFound"));
}

#[tokio::test]
async fn paths_are_read_without_regard_to_case() {
    let session = Session::with_workspace().await;
    let reply = session.get(&WORKSPACE.to_lowercase()).await;
    assert_eq!((reply.status, reply.body["id"].as_str()), (200, Some(WORKSPACE)));
    session.serve().await;
    let keys =
        session.call("POST", &format!("{WORKSPACE}/onlineendpoints/CHURN/LISTKEYS"), &Value::Null).await;
    assert_eq!(keys.body["primaryKey"].as_str().unwrap().len(), 64);
}

#[tokio::test]
async fn an_unknown_version_of_the_api_is_refused() {
    let session = Session::start().await;
    for (version, code) in [
        ("2031-01-01", "InvalidApiVersionParameter"),
        ("2019-01-01", "NoRegisteredProviderFound"),
        ("2025-12-02", "NoRegisteredProviderFound"),
    ] {
        let reply = session.get(&format!("{WORKSPACE}?api-version={version}")).await;
        assert_eq!((reply.status, reply.code()), (400, code), "{version}");
    }
    let reply = session.get(&format!("{WORKSPACE}?api-version=")).await;
    assert_eq!((reply.status, reply.code()), (400, "MissingApiVersionParameter"));
    for version in
        ["2024-10-01-preview", "2023-06-01-preview", "2022-02-01-preview", "2024-04-01", "2025-06-01"]
    {
        assert_eq!(session.get(&format!("{WORKSPACE}?api-version={version}")).await.status, 404, "{version}");
    }
}

#[tokio::test]
async fn a_long_list_comes_in_pages_that_lead_to_each_other() {
    let mut settings =
        arm_emulator::Settings { page_size: 2, rates: None, operation_duration: 20, ..Default::default() };
    settings.region = "eastus".to_owned();
    let session = Session::of(arm_emulator::Emulator::builder().settings(settings)).await;
    session.done("PUT", WORKSPACE, &workspace()).await;
    for version in 1..=5 {
        let body = json!({"properties": {"modelUri": "azureml://m"}});
        session.done("PUT", &format!("{WORKSPACE}/models/m/versions/{version}"), &body).await;
    }
    let mut names = Vec::new();
    let mut next = format!("{WORKSPACE}/models/m/versions?$orderBy=createdtime%20desc");
    while !next.is_empty() {
        let page = session.get(&next).await;
        let values = page.body["value"].as_array().unwrap().clone();
        assert!(values.len() <= 2);
        names.extend(values.iter().map(|one| one["name"].as_str().unwrap().to_owned()));
        next = page.body["nextLink"].as_str().unwrap_or("").to_owned();
    }
    assert_eq!(names, ["5", "4", "3", "2", "1"]);
    let newest =
        session.get(&format!("{WORKSPACE}/models/m/versions?$orderBy=createdtime%20desc&$top=1")).await;
    assert_eq!(newest.body["value"].as_array().unwrap().len(), 1);
    assert!(newest.body.get("nextLink").is_none());
    let container = session.get(&format!("{WORKSPACE}/models/m")).await.body;
    assert_eq!(
        (container["properties"]["latestVersion"].as_str(), container["properties"]["nextVersion"].as_str()),
        (Some("5"), Some("6"))
    );
}

#[tokio::test]
async fn what_is_secret_is_never_read_back() {
    let session = Session::with_workspace().await;
    let store = format!("{WORKSPACE}/datastores/own");
    let body = json!({"properties": {"datastoreType": "AzureBlob", "accountName": "a", "containerName": "c",
        "credentials": {"credentialsType": "AccountKey", "secrets": {"secretsType": "AccountKey", "key": "hush"}}}});
    let made = session.done("PUT", &store, &body).await;
    assert!(!made.body.to_string().contains("hush"));
    assert!(!session.get(&store).await.body.to_string().contains("hush"));
    let secrets = session.call("POST", &format!("{store}/listSecrets"), &Value::Null).await;
    assert_eq!(secrets.body["key"], "hush");
}

#[tokio::test]
async fn a_deployment_comes_back_with_the_defaults_of_the_service() {
    let session = Session::with_workspace().await;
    session.serve().await;
    let found = session.get(&format!("{WORKSPACE}/onlineEndpoints/churn/deployments/blue")).await.body;
    assert_eq!(found["sku"], json!({"name": "Default", "capacity": 1}));
    assert_eq!(found["properties"]["scaleSettings"]["scaleType"], "Default");
    assert_eq!(found["properties"]["requestSettings"]["requestTimeout"], "PT5S");
    assert_eq!(found["properties"]["livenessProbe"]["failureThreshold"], 30);
    let path = format!("{WORKSPACE}/onlineEndpoints/churn/deployments/blue");
    let scaled = session.done("PATCH", &path, &json!({"sku": {"capacity": 3}})).await;
    assert_eq!(scaled.status, 202);
    let found = session.get(&path).await.body;
    assert_eq!(found["sku"], json!({"name": "Default", "capacity": 3}));
    let refused = session
        .call("PATCH", &format!("{WORKSPACE}/onlineEndpoints/churn"), &json!({"properties": {"traffic": {}}}))
        .await;
    assert_eq!((refused.status, refused.code()), (400, "ValidationError"));
    assert_eq!(deployment()["properties"]["model"], found["properties"]["model"]);
}
