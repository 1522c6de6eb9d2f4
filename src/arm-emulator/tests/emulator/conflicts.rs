//! What the service refuses, in Azure's words.
use serde_json::{Value, json};

use crate::support::{REGISTRY, Session, WORKSPACE, deployment, endpoint, registry, workspace};

const ENDPOINT: &str = "/subscriptions/s1/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/ws1/onlineEndpoints/churn";

#[tokio::test]
async fn a_soft_deleted_workspace_holds_its_name_until_it_is_purged() {
    let session = Session::with_workspace().await;
    session.done("DELETE", WORKSPACE, &Value::Null).await;
    assert_eq!(session.get(WORKSPACE).await.status, 404);
    let refused = session.call("PUT", WORKSPACE, &workspace()).await;
    assert_eq!((refused.status, refused.code()), (400, "BadRequest"));
    assert_eq!(
        refused.message(),
        "Soft-deleted workspace exists. Please purge or recover it. https://aka.ms/wsoftdelete"
    );
    let purged = session.call("DELETE", &format!("{WORKSPACE}?forceToPurge=true"), &Value::Null).await;
    assert_eq!(purged.status, 204);
    session.done("PUT", WORKSPACE, &workspace()).await;
    session.done("DELETE", &format!("{WORKSPACE}?forceToPurge=true"), &Value::Null).await;
    session.done("PUT", WORKSPACE, &workspace()).await;
}

#[tokio::test]
async fn an_endpoint_has_one_operation_at_a_time() {
    let session = Session::of(
        arm_emulator::Emulator::builder()
            .operation_duration(20)
            .operation_duration_of("onlineEndpoints", 60_000)
            .rates(None),
    )
    .await;
    session.done("PUT", WORKSPACE, &workspace()).await;
    assert_eq!(session.call("PUT", ENDPOINT, &endpoint()).await.status, 201);
    for (method, path, body) in [
        ("PUT", ENDPOINT.to_owned(), endpoint()),
        ("DELETE", ENDPOINT.to_owned(), Value::Null),
        ("PUT", format!("{ENDPOINT}/deployments/blue"), deployment()),
    ] {
        let refused = session.call(method, &path, &body).await;
        assert_eq!((refused.status, refused.code()), (409, "Conflict"), "{method} {path}");
    }
}

#[tokio::test]
async fn traffic_sums_to_a_hundred_and_goes_to_what_exists() {
    let session = Session::with_workspace().await;
    session.serve().await;
    let with = |traffic: Value, mirror: Value| {
        let mut body = endpoint();
        body["properties"]["traffic"] = traffic;
        body["properties"]["mirrorTraffic"] = mirror;
        body
    };
    let refusals = [
        (json!({"blue": 60}), json!({}), "sum to 100"),
        (json!({"green": 100}), json!({}), "does not exist"),
        (json!({"blue": 101}), json!({}), "from 0 to 100"),
        (json!({"blue": 100}), json!({"blue": 10}), "not both"),
        (json!({}), json!({"blue": 60}), "50 percent"),
    ];
    for (traffic, mirror, words) in refusals {
        let refused = session.call("PUT", ENDPOINT, &with(traffic, mirror)).await;
        assert_eq!(refused.status, 400);
        assert!(refused.message().contains(words), "{}", refused.message());
    }
    session.done("PUT", ENDPOINT, &with(json!({"blue": 100}), json!({}))).await;
    assert_eq!(session.get(ENDPOINT).await.body["properties"]["traffic"], json!({"blue": 100}));
}

#[tokio::test]
async fn a_deployment_with_traffic_is_not_deleted() {
    let session = Session::with_workspace().await;
    session.serve().await;
    let mut body = endpoint();
    body["properties"]["traffic"] = json!({"blue": 100});
    session.done("PUT", ENDPOINT, &body).await;
    let refused = session.call("DELETE", &format!("{ENDPOINT}/deployments/blue"), &Value::Null).await;
    assert_eq!(refused.status, 400);
    assert!(refused.message().contains("100 percent of the live traffic"), "{}", refused.message());
    body["properties"]["traffic"] = json!({"blue": 0});
    session.done("PUT", ENDPOINT, &body).await;
    session.done("DELETE", &format!("{ENDPOINT}/deployments/blue"), &Value::Null).await;
    assert_eq!(session.get(ENDPOINT).await.body["properties"]["traffic"], json!({}));
}

#[tokio::test]
async fn a_name_is_unique_in_its_region() {
    let session = Session::with_workspace().await;
    session.serve().await;
    let other = WORKSPACE.replace("ws1", "ws2");
    session.done("PUT", &other, &workspace()).await;
    let refused = session.call("PUT", &format!("{other}/onlineEndpoints/churn"), &endpoint()).await;
    assert_eq!(refused.status, 400);
    assert!(refused.body.to_string().contains("Endpoint name needs to be unique within a region"));
    let mut elsewhere = endpoint();
    elsewhere["location"] = json!("westeurope");
    session.done("PUT", &format!("{other}/onlineEndpoints/churn"), &elsewhere).await;
}

#[tokio::test]
async fn what_can_only_be_set_at_creation_stays() {
    let session = Session::with_workspace().await;
    let model = format!("{WORKSPACE}/models/m/versions/1");
    session.done("PUT", &model, &json!({"properties": {"modelUri": "azureml://a"}})).await;
    let refused = session.call("PUT", &model, &json!({"properties": {"modelUri": "azureml://b"}})).await;
    assert_eq!(
        (refused.status, refused.body["error"]["target"].as_str()),
        (400, Some("properties.modelUri"))
    );
    assert!(refused.body["error"]["additionalInfo"].to_string().contains("managementfrontend"));
    session
        .done("PUT", &model, &json!({"properties": {"modelUri": "azureml://a", "tags": {"x": "y"}}}))
        .await;
    let mut moved = workspace();
    moved["location"] = json!("westeurope");
    assert_eq!(session.call("PUT", WORKSPACE, &moved).await.status, 400);
}

#[tokio::test]
async fn publishing_copies_once_and_needs_the_environment_in_the_registry() {
    let session = Session::with_workspace().await;
    session.done("PUT", REGISTRY, &registry()).await;
    session
        .done(
            "PUT",
            &format!("{WORKSPACE}/models/m/versions/1"),
            &json!({"properties": {"modelUri": "azureml://a"}}),
        )
        .await;
    let publish = format!("{WORKSPACE}/models/m/versions/1/publish");
    let to = json!({"registryName": "reg1", "destinationName": "m", "destinationVersion": "7"});
    session.done("POST", &publish, &to).await;
    assert_eq!(
        session.get(&format!("{REGISTRY}/models/m/versions/7")).await.body["properties"]["modelUri"],
        "azureml://a"
    );
    let twice = session.call("POST", &publish, &to).await;
    assert_eq!(twice.status, 409);
    assert!(twice.message().contains("already exists"));
    let component = json!({"properties": {"componentSpec": {"environment": format!("azureml:{WORKSPACE}/environments/e/versions/1")}}});
    session.done("PUT", &format!("{WORKSPACE}/components/c/versions/1"), &component).await;
    let started = session
        .call(
            "POST",
            &format!("{WORKSPACE}/components/c/versions/1/publish"),
            &json!({"registryName": "reg1"}),
        )
        .await;
    let end = session.follow(&started).await;
    assert_eq!(end.status, 400);
    assert_eq!(
        end.message(),
        "ModelRegistryError: Could not find asset with ID: azureml://registries/reg1/environments/e/versions/1"
    );
}

#[tokio::test]
async fn a_lock_above_forbids_deletion_below() {
    let session = Session::with_workspace().await;
    let lock = "/subscriptions/s1/resourceGroups/rg/providers/Microsoft.Authorization/locks/keep";
    session.done("PUT", lock, &json!({"properties": {"level": "CanNotDelete"}})).await;
    let refused = session.call("DELETE", WORKSPACE, &Value::Null).await;
    assert_eq!((refused.status, refused.code()), (409, "ScopeLocked"));
    session
        .done(
            "PUT",
            &format!("{WORKSPACE}/models/m/versions/1"),
            &json!({"properties": {"modelUri": "azureml://a"}}),
        )
        .await;
    session.done("PUT", lock, &json!({"properties": {"level": "ReadOnly"}})).await;
    assert_eq!(session.call("PUT", WORKSPACE, &workspace()).await.code(), "ScopeLocked");
    session.done("DELETE", lock, &Value::Null).await;
    session.done("DELETE", WORKSPACE, &Value::Null).await;
}

#[tokio::test]
async fn quotas_limit_cores_and_endpoints() {
    let session = Session::with_workspace().await;
    session.emulator.set_limit("standardDSv2Family", 4);
    session.serve().await;
    let mut larger = deployment();
    larger["sku"] = json!({"name": "Default", "capacity": 2});
    let refused = session.call("PUT", &format!("{ENDPOINT}/deployments/green"), &larger).await;
    assert_eq!((refused.status, refused.code()), (400, "OutOfQuota"));
    assert!(
        refused.message().contains("Current usage/limit: 2/4. Additional needed: 4"),
        "{}",
        refused.message()
    );
    session.emulator.set_limit("onlineEndpoints", 1);
    let refused = session.call("PUT", &format!("{WORKSPACE}/onlineEndpoints/second"), &endpoint()).await;
    assert_eq!(refused.code(), "OutOfQuota");
    let usages = session
        .get("/subscriptions/s1/providers/Microsoft.MachineLearningServices/locations/eastus/usages")
        .await;
    let family = usages.body["value"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"]["value"] == "standardDSv2Family");
    assert_eq!(
        (family.unwrap()["currentValue"].as_i64(), family.unwrap()["limit"].as_i64()),
        (Some(2), Some(4))
    );
}

#[tokio::test]
async fn a_role_is_assigned_once_and_never_changed() {
    let session = Session::start().await;
    let path = |name: &str| {
        format!("{WORKSPACE}/providers/Microsoft.Authorization/roleAssignments/{name}?api-version=2022-04-01")
    };
    let body = |role: &str| {
        json!({"properties": {"principalId": "p1", "roleDefinitionId":
        format!("/subscriptions/s1/providers/Microsoft.Authorization/roleDefinitions/{role}")}})
    };
    let (reader, owner) = ("acdd72a7-3385-48ef-bd42-f606fba81ae7", "8e3af657-a8ff-443c-a75c-2fe8c4bcb635");
    session.done("PUT", &path("a1"), &body(reader)).await;
    assert_eq!(session.call("PUT", &path("a2"), &body(reader)).await.code(), "RoleAssignmentExists");
    assert_eq!(
        session.call("PUT", &path("a1"), &body(owner)).await.code(),
        "RoleAssignmentUpdateNotPermitted"
    );
    assert_eq!(session.call("PUT", &path("a3"), &body("nobody")).await.code(), "RoleDefinitionDoesNotExist");
    let scope = WORKSPACE.split("/providers/").next().unwrap();
    let listed = session.get(&format!("{scope}/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01&$filter=atScope()")).await;
    assert_eq!(listed.body["value"], json!([]));
}

#[tokio::test]
async fn an_eligible_role_is_granted_and_removed_by_requests() {
    let session = Session::start().await;
    let at = "/subscriptions/s1/providers/Microsoft.Authorization";
    let request = |kind: &str| {
        json!({"properties": {"principalId": "p1", "requestType": kind,
        "roleDefinitionId": format!("{at}/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7"),
        "scheduleInfo": {"expiration": {"type": "AfterDuration", "duration": "PT8H"}}}})
    };
    let send = |name: &'static str, kind: &'static str| {
        let (session, body) = (&session, request(kind));
        async move {
            session
                .call(
                    "PUT",
                    &format!("{at}/roleEligibilityScheduleRequests/{name}?api-version=2020-10-01"),
                    &body,
                )
                .await
        }
    };
    let granted = send("r1", "AdminAssign").await;
    assert_eq!((granted.status, granted.body["properties"]["status"].as_str()), (201, Some("Provisioned")));
    assert_eq!(send("r2", "AdminAssign").await.code(), "RoleAssignmentExists");
    let schedules = format!("{at}/roleEligibilitySchedules?api-version=2020-10-01");
    assert_eq!(session.get(&schedules).await.body["value"].as_array().unwrap().len(), 1);
    let removed = send("r3", "AdminRemove").await;
    assert_eq!(removed.body["properties"]["status"], "Revoked");
    assert_eq!(session.get(&schedules).await.body["value"], json!([]));
    assert_eq!(send("r4", "AdminRemove").await.code(), "RoleAssignmentDoesNotExist");
}
