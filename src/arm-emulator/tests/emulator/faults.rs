//! Faults over the wire, set in the process and by the emulator's own interface.
use std::time::{Duration, Instant};

use arm_emulator::{Action, Fault};
use serde_json::{Value, json};

use crate::support::{Session, WORKSPACE, workspace};

#[tokio::test]
async fn an_answer_is_given_instead_of_service() {
    let session = Session::start().await;
    let body = json!({"method": "PUT", "path": "/workspaces/ws1$", "nth": 2,
        "action": {"type": "Answer", "status": 429, "headers": {"Retry-After": "7"}}});
    let set = session.call("POST", "/emulator/faults", &body).await;
    assert_eq!(set.status, 201);
    session.done("PUT", WORKSPACE, &workspace()).await;
    let hit = session.call("PUT", WORKSPACE, &workspace()).await;
    assert_eq!((hit.status, hit.code(), hit.header("retry-after")), (429, "TooManyRequests", "7"));
    assert_eq!(session.call("PUT", WORKSPACE, &workspace()).await.status, 202);
    let log = session.get("/emulator/log").await.body;
    let hits = log["value"].as_array().unwrap().iter().filter(|entry| entry["fault"] == true).count();
    assert_eq!(hits, 1);
    assert_eq!(session.call("DELETE", "/emulator/faults", &Value::Null).await.status, 204);
}

#[tokio::test]
async fn a_lost_response_leaves_the_resource_behind() {
    let session = Session::start().await;
    session.emulator.faults().set(Fault::new("PUT", "/workspaces/ws1$", Action::LoseResponse)).unwrap();
    assert!(session.send("PUT", WORKSPACE, &workspace()).await.is_err());
    assert_eq!(session.get(WORKSPACE).await.status, 200);
    let entries = session.emulator.log().entries();
    let lost = entries.iter().find(|entry| entry.method == "PUT").unwrap();
    assert_eq!((lost.status, lost.fault), (None, true));
}

#[tokio::test]
async fn a_reset_or_a_stall_happens_before_service() {
    let session = Session::start().await;
    for action in [Action::Reset, Action::Stall { milliseconds: 30 }] {
        session.emulator.faults().set(Fault::new("PUT", "/workspaces/ws1$", action)).unwrap();
        assert!(session.send("PUT", WORKSPACE, &workspace()).await.is_err());
        assert_eq!(session.get(WORKSPACE).await.status, 404);
    }
    session.emulator.faults().set(Fault::new("GET", "ws1", Action::Delay { milliseconds: 80 })).unwrap();
    let started = Instant::now();
    session.get(WORKSPACE).await;
    assert!(started.elapsed() >= Duration::from_millis(80));
}

#[tokio::test]
async fn an_answer_can_be_cut_off_or_be_no_json() {
    let session = Session::with_workspace().await;
    session.emulator.faults().set(Fault::new("GET", "ws1", Action::Truncate)).unwrap();
    let cut = session.send("GET", WORKSPACE, &Value::Null).await.unwrap();
    assert_eq!(cut.status(), 200);
    assert!(cut.text().await.is_err());
    session.emulator.faults().set(Fault::new("GET", "ws1", Action::Html { status: 503 })).unwrap();
    let page = session.send("GET", WORKSPACE, &Value::Null).await.unwrap();
    assert_eq!(page.status(), 503);
    assert!(page.text().await.unwrap().starts_with("<html>"));
}

#[tokio::test]
async fn reads_lag_behind_writes() {
    let session = Session::start().await;
    session.emulator.faults().set(Fault::new("PUT", "ws1", Action::HideAfterCreate { reads: 2 })).unwrap();
    session.done("PUT", WORKSPACE, &workspace()).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(session.get(WORKSPACE).await.status);
    }
    assert_eq!(statuses, [404, 404, 200]);
    session.emulator.faults().set(Fault::new("PUT", "ws1", Action::StaleReads { reads: 1 })).unwrap();
    let mut changed = workspace();
    changed["tags"] = json!({"new": "yes"});
    session.done("PUT", WORKSPACE, &changed).await;
    assert_eq!(session.get(WORKSPACE).await.body["tags"], json!({}));
    assert_eq!(session.get(WORKSPACE).await.body["tags"], json!({"new": "yes"}));
}

#[tokio::test]
async fn refusals_of_the_platform_have_their_codes() {
    let session = Session::start().await;
    for (action, status, code) in [
        (Action::AuthorizationFailed, 403, "AuthorizationFailed"),
        (Action::PolicyDenied, 403, "RequestDisallowedByPolicy"),
        (Action::UnregisteredProvider, 409, "MissingSubscriptionRegistration"),
        (Action::AnotherOperationInProgress, 409, "AnotherOperationInProgress"),
        (Action::OutOfQuota, 400, "OutOfQuota"),
    ] {
        session.emulator.faults().set(Fault::new("PUT", "ws1", action)).unwrap();
        let refused = session.call("PUT", WORKSPACE, &workspace()).await;
        assert_eq!((refused.status, refused.code()), (status, code));
    }
}

#[tokio::test]
async fn the_token_endpoint_can_fail_too() {
    let session = Session::start().await;
    session
        .emulator
        .faults()
        .set(Fault::new(
            "POST",
            "/token$",
            Action::Answer { status: 503, body: None, headers: std::collections::BTreeMap::new() },
        ))
        .unwrap();
    let url = format!("{}/{}/oauth2/v2.0/token", session.emulator.url(), arm_emulator::TENANT);
    assert_eq!(session.http.post(url).send().await.unwrap().status(), 503);
}
