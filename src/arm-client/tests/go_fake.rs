//! The client against the official fake server of Go's `armmachinelearning`, which nobody here wrote.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]
//!
//! `cargo xtask test azure` starts that server and names it in `FAKE_ENDPOINT`.
use arm::{Cloud, Endpoints, Operation, OperationShape, Progress, ResourceId, Seen, Started};
use arm_client::{Client, Config, CredentialSource, Secret, Session};
use serde_json::{Value, json};

const GROUP: &str = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/operator\
                     /providers/Microsoft.MachineLearningServices";

fn session() -> Session {
    let address = std::env::var("FAKE_ENDPOINT").expect("FAKE_ENDPOINT: run `cargo xtask test azure`");
    let endpoints = Endpoints {
        resource_manager: address.clone(),
        authority: address.clone(),
        audience: address.clone(),
        portal: address,
        storage_suffix: "core.local".to_owned(),
    };
    let cloud = Cloud::Custom(endpoints);
    let client = Client::new(Config { cloud, loopback_http: true, ..Config::default() }).unwrap();
    client.with(&CredentialSource::Token(Secret::from("made-up".to_owned())))
}

fn id(path: &str) -> ResourceId {
    ResourceId::parse(&format!("{GROUP}/{path}")).unwrap()
}

/// Follows an operation to its end, each poll by a client of its own that knows nothing but what a status holds.
async fn finish(started: Started, shape: OperationShape) -> Option<Value> {
    let Started::Running(mut operation) = started else { panic!("no operation was started: {started:?}") };
    assert_eq!(operation.shape, shape);
    for _ in 0..100 {
        let kept = serde_json::to_string(&operation).unwrap();
        let resumed: Operation = serde_json::from_str(&kept).unwrap();
        match session().poll(&resumed).await.unwrap() {
            Progress::Running(next) => operation = next,
            Progress::Succeeded(result) => return result,
            other => panic!("the operation ended as {other:?}"),
        }
    }
    panic!("the operation did not end within 100 polls");
}

async fn workspace(session: &Session, name: &str) -> ResourceId {
    let workspace = id(&format!("workspaces/{name}"));
    let body = json!({"location": "westeurope", "kind": "Default", "properties": {"friendlyName": name}});
    let started = session.put(&workspace, &body).await.unwrap();
    let made = finish(started, OperationShape::Location).await.expect("the result is the workspace");
    assert_eq!(made["properties"]["friendlyName"], name);
    workspace
}

async fn body(session: &Session, id: &ResourceId) -> Value {
    match session.get(id).await.unwrap() {
        Seen::Present(body) => body,
        Seen::Absent => panic!("{id} is absent"),
    }
}

#[tokio::test]
async fn workspace_is_made_changed_listed_and_deleted() {
    let session = session();
    let workspace = workspace(&session, "lifecycle").await;
    let patch = json!({"tags": {"owner": "us"}, "properties": {"description": "changed"}});
    finish(session.patch(&workspace, &patch).await.unwrap(), OperationShape::Location).await;
    let found = body(&session, &workspace).await;
    assert_eq!(
        (&found["tags"]["owner"], &found["properties"]["description"]),
        (&json!("us"), &json!("changed"))
    );
    let listed = session.list(&format!("{GROUP}/workspaces")).await.unwrap();
    assert!(listed.iter().any(|one| one["name"] == "lifecycle"));
    finish(session.delete(&workspace, "forceToPurge=true").await.unwrap(), OperationShape::Location).await;
    assert_eq!(session.get(&workspace).await.unwrap(), Seen::Absent);
    assert_eq!(session.delete(&workspace, "").await.unwrap(), Started::Done(None));
}

#[tokio::test]
async fn compute_is_made_and_deleted() {
    let session = session();
    workspace(&session, "computes").await;
    let compute = id("workspaces/computes/computes/cluster");
    let scale = json!({"minNodeCount": 0, "maxNodeCount": 2, "nodeIdleTimeBeforeScaleDown": "PT5M"});
    let properties = json!({"vmSize": "Standard_DS3_v2", "scaleSettings": scale});
    let wanted = json!({
        "location": "westeurope",
        "properties": {"computeType": "AmlCompute", "properties": properties},
    });
    let started = session.put(&compute, &wanted).await.unwrap();
    finish(started, OperationShape::AzureAsyncOperation).await;
    let found = body(&session, &compute).await;
    assert_eq!(found["properties"]["properties"], properties);
    assert_eq!(found["properties"]["provisioningState"], "Succeeded");
    let started = session.delete(&compute, "underlyingResourceAction=Delete").await.unwrap();
    finish(started, OperationShape::Location).await;
    assert_eq!(session.get(&compute).await.unwrap(), Seen::Absent);
}

#[tokio::test]
async fn model_is_registered_at_once() {
    let session = session();
    workspace(&session, "models").await;
    let version = id("workspaces/models/models/churn/versions/7");
    assert_eq!(session.get(&version).await.unwrap(), Seen::Absent);
    let wanted =
        json!({"properties": {"modelUri": "azureml://datastores/d/paths/m/", "modelType": "custom_model"}});
    let Started::Done(Some(made)) = session.put(&version, &wanted).await.unwrap() else {
        panic!("a model version is made at once")
    };
    assert_eq!(made["properties"]["modelUri"], wanted["properties"]["modelUri"]);
    let listed = session.list(&format!("{GROUP}/workspaces/models/models/churn/versions")).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(session.delete(&version, "").await.unwrap(), Started::Done(None));
}

#[tokio::test]
async fn endpoint_is_served_and_taken_down_in_order() {
    let session = session();
    workspace(&session, "online").await;
    let endpoint = id("workspaces/online/onlineEndpoints/churn");
    let deployment = id("workspaces/online/onlineEndpoints/churn/deployments/blue");
    let with_traffic = |traffic: Value| {
        let identity = json!({"type": "SystemAssigned"});
        let properties = json!({"authMode": "Key", "traffic": traffic});
        json!({"location": "westeurope", "identity": identity, "properties": properties})
    };
    let put = async |id: &ResourceId, body: Value| {
        let started = session.put(id, &body).await.unwrap();
        finish(started, OperationShape::AzureAsyncOperation).await;
    };
    put(&endpoint, with_traffic(json!({}))).await;
    let properties = json!({
        "endpointComputeType": "Managed",
        "model": format!("{GROUP}/workspaces/online/models/churn/versions/7"),
        "scaleSettings": {"scaleType": "Default"},
    });
    let sku = json!({"name": "Default", "capacity": 1});
    put(&deployment, json!({"location": "westeurope", "sku": sku, "properties": properties})).await;
    put(&endpoint, with_traffic(json!({"blue": 100}))).await;
    let Started::Done(Some(keys)) = session.post(&endpoint, "listKeys", None).await.unwrap() else {
        panic!("keys are listed at once")
    };
    assert_eq!(keys["primaryKey"], "churn-primary");
    let scaled = session.patch(&deployment, &json!({"sku": {"capacity": 2}})).await.unwrap();
    finish(scaled, OperationShape::Location).await;
    assert_eq!(body(&session, &deployment).await["sku"]["capacity"], 2);
    let refused = session.delete(&deployment, "").await.unwrap_err();
    assert_eq!((refused.status, refused.error.unwrap().code.as_str()), (Some(400), "DeploymentHasTraffic"));
    put(&endpoint, with_traffic(json!({"blue": 0}))).await;
    finish(session.delete(&deployment, "").await.unwrap(), OperationShape::Location).await;
    finish(session.delete(&endpoint, "").await.unwrap(), OperationShape::Location).await;
    assert_eq!(session.get(&deployment).await.unwrap(), Seen::Absent);
}

#[tokio::test]
async fn body_without_properties_is_refused() {
    let session = session();
    workspace(&session, "refused").await;
    let compute = id("workspaces/refused/computes/broken");
    let refused = session.put(&compute, &json!({"location": "westeurope"})).await.unwrap_err();
    assert_eq!(refused.status, Some(400));
    assert_eq!(session.get(&compute).await.unwrap(), Seen::Absent);
}
