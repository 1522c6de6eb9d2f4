//! Long-running operations: shapes, outcomes, and what they leave behind.
use arm_emulator::{Action, Fault};
use serde_json::{Value, json};

use crate::support::{Session, WORKSPACE, endpoint, workspace};

const ENDPOINT: &str = "/subscriptions/s1/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/ws1/onlineEndpoints/churn";

fn fault(session: &Session, action: Action) {
    session.emulator.faults().set(Fault::new("PUT", "/onlineEndpoints/churn$", action)).unwrap();
}

#[tokio::test]
async fn the_urls_of_operations_have_the_form_of_the_service() {
    let session = Session::with_workspace().await;
    let reply = session.call("PUT", ENDPOINT, &endpoint()).await;
    let url = reply.header("azure-asyncoperation").to_owned();
    let workspace_id =
        session.get(WORKSPACE).await.body["properties"]["workspaceId"].as_str().unwrap().to_owned();
    let prefix = format!(
        "{}/subscriptions/s1/providers/Microsoft.MachineLearningServices/locations/eastus/mfeOperationsStatus/oeidp:{workspace_id}:",
        session.emulator.url()
    );
    assert!(url.starts_with(&prefix), "{url}");
    assert_eq!(reply.header("x-ms-async-operation-timeout"), "PT1H");
    let end = session.follow(&reply).await;
    assert_eq!(end.body["status"], "Succeeded");
    assert!(end.body["startTime"].is_string() && end.body["endTime"].is_string());
    let gone = session.call("DELETE", ENDPOINT, &Value::Null).await;
    assert!(gone.header("location").contains("/mfeOperationResults/oeidp:"), "{}", gone.header("location"));
    assert_eq!(session.follow(&gone).await.status, 204);
}

#[tokio::test]
async fn a_running_operation_says_when_to_ask_again() {
    let session = Session::of(arm_emulator::Emulator::builder().operation_duration(60_000).rates(None)).await;
    let reply = session.call("PUT", WORKSPACE, &workspace()).await;
    let polled = session.get(reply.header("location")).await;
    assert_eq!((polled.status, polled.header("retry-after")), (202, "1"));
    assert_eq!(polled.header("location"), reply.header("location"));
    assert_eq!(session.get(WORKSPACE).await.body["properties"]["provisioningState"], "Creating");
}

#[tokio::test]
async fn a_failed_operation_says_why_and_leaves_a_failed_resource() {
    let session = Session::with_workspace().await;
    fault(
        &session,
        Action::OperationFails { code: "ImageBuildFailure".to_owned(), message: "no image".to_owned() },
    );
    let reply = session.call("PUT", ENDPOINT, &endpoint()).await;
    let end = session.follow(&reply).await;
    assert_eq!(
        (end.body["status"].as_str(), end.body["error"]["code"].as_str()),
        (Some("Failed"), Some("ImageBuildFailure"))
    );
    assert_eq!(session.get(ENDPOINT).await.body["properties"]["provisioningState"], "Failed");
    session.done("PUT", ENDPOINT, &endpoint()).await;
    assert_eq!(session.get(ENDPOINT).await.body["properties"]["provisioningState"], "Succeeded");
}

#[tokio::test]
async fn an_operation_can_be_canceled_or_lost_or_endless() {
    let session = Session::with_workspace().await;
    fault(&session, Action::OperationCanceled);
    let end = session.follow(&session.call("PUT", ENDPOINT, &endpoint()).await).await;
    assert_eq!(
        (end.body["status"].as_str(), end.body["error"]["code"].as_str()),
        (Some("Canceled"), Some("OperationCanceled"))
    );
    fault(&session, Action::OperationUrlGone);
    let reply = session.call("PUT", ENDPOINT, &endpoint()).await;
    assert_eq!(session.get(reply.header("azure-asyncoperation")).await.status, 404);
    while session.get(ENDPOINT).await.body["properties"]["provisioningState"] != "Succeeded" {
        tokio::task::yield_now().await;
    }
    fault(&session, Action::OperationNeverEnds);
    let reply = session.call("PUT", ENDPOINT, &endpoint()).await;
    assert_eq!(session.get(reply.header("azure-asyncoperation")).await.body["status"], "InProgress");
    assert_eq!(session.call("PUT", ENDPOINT, &endpoint()).await.status, 409);
}

#[tokio::test]
async fn an_instance_is_stopped_and_started() {
    let session = Session::with_workspace().await;
    let path = format!("{WORKSPACE}/computes/instance-1");
    let body = json!({"location": "eastus", "properties": {"computeType": "ComputeInstance", "properties": {"vmSize": "Standard_DS2_v2"}}});
    session.done("PUT", &path, &body).await;
    for (action, state) in [("stop", "Stopped"), ("start", "Running")] {
        let reply = session.done("POST", &format!("{path}/{action}"), &Value::Null).await;
        assert_eq!(reply.status, 202);
        assert_eq!(session.get(&path).await.body["properties"]["properties"]["state"], state);
    }
    let refused = session.call("DELETE", &path, &Value::Null).await;
    assert_eq!(
        (refused.status, refused.body["error"]["target"].as_str()),
        (400, Some("underlyingResourceAction"))
    );
}

#[tokio::test]
async fn a_job_ends_by_itself_or_is_canceled() {
    let session = Session::with_workspace().await;
    let body = json!({"properties": {"jobType": "Command", "command": "true", "environmentId": "e"}});
    let path = format!("{WORKSPACE}/jobs/j1");
    assert_eq!(session.call("PUT", &path, &body).await.status, 201);
    while session.get(&path).await.body["properties"]["status"] != "Completed" {
        tokio::task::yield_now().await;
    }
    assert_eq!(session.call("POST", &format!("{path}/cancel"), &Value::Null).await.status, 400);
    let long = format!("{WORKSPACE}/jobs/j2");
    session.emulator.faults().set(Fault::new("GET", "nothing", Action::Reset)).unwrap();
    session.call("PUT", &long, &body).await;
    let canceled = session.call("POST", &format!("{long}/cancel"), &Value::Null).await;
    assert_eq!(canceled.status, 202);
    session.follow(&canceled).await;
    assert_eq!(session.get(&long).await.body["properties"]["status"], "Canceled");
}
