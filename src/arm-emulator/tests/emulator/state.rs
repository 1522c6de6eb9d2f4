//! A state file, and what it brings back.
use arm_emulator::Emulator;
use serde_json::{Value, json};

use crate::support::{Session, WORKSPACE, endpoint, workspace};

#[tokio::test]
async fn a_restart_changes_nothing_for_a_client() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.json");
    let builder = || Emulator::builder().operation_duration(20).rates(None).state(&file);
    let session = Session::of(builder()).await;
    session.done("PUT", WORKSPACE, &workspace()).await;
    let before = session.get(WORKSPACE).await.body;
    let keys = session.call("POST", &format!("{WORKSPACE}/listKeys"), &Value::Null).await.body;
    let (token, authority) = (session.token.clone(), session.emulator.ca_pem().to_owned());
    session.emulator.stop().await.unwrap();
    let mut again = Session::of(builder()).await;
    assert_eq!(again.emulator.ca_pem(), authority);
    again.token = token;
    let mut after = again.get(WORKSPACE).await.body;
    // The address that the client uses is another now.
    after["properties"]["discoveryUrl"] = before["properties"]["discoveryUrl"].clone();
    assert_eq!(after, before);
    assert_eq!(again.call("POST", &format!("{WORKSPACE}/listKeys"), &Value::Null).await.body, keys);
    again.done("DELETE", WORKSPACE, &Value::Null).await;
    again.emulator.stop().await.unwrap();
    let third = Session::of(builder()).await;
    assert_eq!(third.call("PUT", WORKSPACE, &workspace()).await.status, 400);
}

#[tokio::test]
async fn an_operation_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.json");
    let builder = || Emulator::builder().operation_duration(20).rates(None).state(&file);
    let session = Session::of(builder().operation_duration_of("onlineEndpoints", 300)).await;
    session.done("PUT", WORKSPACE, &workspace()).await;
    let path = format!("{WORKSPACE}/onlineEndpoints/churn");
    let begun = session.call("PUT", &path, &endpoint()).await;
    assert_eq!(begun.status, 201);
    let url = begun.header("azure-asyncoperation").replace(session.emulator.url(), "");
    session.emulator.stop().await.unwrap();
    let again = Session::of(builder()).await;
    assert_eq!(again.get(&url).await.body["status"], "InProgress");
    while again.get(&url).await.body["status"] != "Succeeded" {
        tokio::task::yield_now().await;
    }
    assert_eq!(again.get(&path).await.body["properties"]["provisioningState"], "Succeeded");
}

#[tokio::test]
async fn the_file_is_written_while_it_runs_and_only_its_owner_reads_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.json");
    let session = Session::of(Emulator::builder().operation_duration(20).rates(None).state(&file)).await;
    session.done("PUT", WORKSPACE, &workspace()).await;
    loop {
        let saved: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        if saved.to_string().contains("workspaces/ws1") {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_broken_file_is_an_error_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.json");
    std::fs::write(&file, "{").unwrap();
    let error = Emulator::builder().state(&file).start().await.err().unwrap();
    assert!(format!("{error:#}").contains("failed to understand"), "{error:#}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{");
}

#[tokio::test]
async fn a_reset_forgets_resources() {
    let session = Session::with_workspace().await;
    assert_eq!(session.call("POST", "/emulator/reset", &json!({})).await.status, 204);
    assert_eq!(session.get(WORKSPACE).await.status, 404);
}
