//! The client against the emulator of Azure Resource Manager, over HTTPS with tokens that it checks.
use std::collections::BTreeMap;
use std::time::Duration;

use arm::{Cloud, Endpoints, ErrorClass, MetricQuery, Operation, Progress, ResourceId, Seen, Started};
use arm_client::{Client, Config, CredentialSource, Limit, Limits, Session};
use arm_emulator::{Action, Emulator, Fault, Rate, Rates};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::server::{COLLECTION, workspace};

pub(crate) fn config(emulator: &Emulator) -> Config {
    let endpoints = Endpoints {
        resource_manager: emulator.url().to_owned(),
        authority: emulator.url().to_owned(),
        audience: emulator.url().to_owned(),
        ..Cloud::AzurePublic.endpoints()
    };
    Config {
        cloud: Cloud::Custom(endpoints),
        ca: Some(emulator.ca_pem().as_bytes().to_vec()),
        ..Config::default()
    }
}

pub(crate) fn client_secret(secret: &str) -> CredentialSource {
    CredentialSource::ClientSecret {
        tenant_id: arm_emulator::TENANT.to_owned(),
        client_id: arm_emulator::CLIENT.to_owned(),
        client_secret: secret.into(),
    }
}

pub(crate) fn session(config: Config) -> Session {
    Client::new(config).unwrap().with(&client_secret(arm_emulator::SECRET))
}

async fn start() -> Emulator {
    Emulator::builder().operation_duration(100).start().await.unwrap()
}

pub(crate) fn body() -> Value {
    json!({"location": "westeurope", "identity": {"type": "SystemAssigned"}, "properties": {}})
}

/// Follows an operation to its end, as an operator does that was restarted between all polls.
pub(crate) async fn finish(session: &Session, started: Started) -> Progress {
    let Started::Running(mut operation) = started else { return Progress::Succeeded(None) };
    for _ in 0..100 {
        let kept: Operation = serde_json::from_str(&serde_json::to_string(&operation).unwrap()).unwrap();
        match session.poll(&kept).await.unwrap() {
            Progress::Running(next) => operation = next,
            ended => return ended,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it never ends")
}

async fn create(session: &Session, name: &str) {
    let started = session.put(&workspace(name), &body()).await.unwrap();
    assert!(matches!(finish(session, started).await, Progress::Succeeded(_)));
}

fn present(seen: Seen) -> Value {
    match seen {
        Seen::Present(body) => body,
        Seen::Absent => panic!("it is absent"),
    }
}

#[tokio::test]
async fn resources_are_created_read_listed_and_deleted_with_real_operations() {
    let emulator = start().await;
    let session = session(config(&emulator));
    let id = workspace("workspace");
    assert_eq!(session.get(&id).await.unwrap(), Seen::Absent);
    create(&session, "workspace").await;
    assert_eq!(present(session.get(&id).await.unwrap())["properties"]["provisioningState"], "Succeeded");

    let compute = id.child("computes", "cpu").unwrap();
    let cluster = json!({"location": "westeurope", "properties": {"computeType": "AmlCompute", "properties": {
        "vmSize": "Standard_DS3_v2", "scaleSettings": {"minNodeCount": 0, "maxNodeCount": 1}}}});
    let started = session.put(&compute, &cluster).await.unwrap();
    assert!(matches!(&started, Started::Running(it) if it.shape == arm::OperationShape::AzureAsyncOperation));
    assert!(matches!(finish(&session, started).await, Progress::Succeeded(_)));
    let computes = session.list(&format!("{id}/computes")).await.unwrap();
    assert_eq!(computes.len(), 1);
    let started = session.delete(&compute, "underlyingResourceAction=Delete").await.unwrap();
    assert!(matches!(finish(&session, started).await, Progress::Succeeded(_)));
    assert_eq!(session.get(&compute).await.unwrap(), Seen::Absent);

    let Started::Done(Some(keys)) = session.post(&id, "listKeys", None).await.unwrap() else {
        panic!("keys come at once")
    };
    assert!(keys.is_object());
    let started = session.delete(&id, "").await.unwrap();
    assert!(matches!(started, Started::Running(_)));
    assert!(matches!(finish(&session, started).await, Progress::Succeeded(_)));
    assert_eq!(session.get(&id).await.unwrap(), Seen::Absent);
    let error = session.put(&id, &body()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::SoftDeleted, "{error}");
}

#[tokio::test]
async fn lists_have_all_their_pages() {
    let settings =
        arm_emulator::Settings { page_size: 2, operation_duration: 1, ..arm_emulator::Settings::default() };
    let emulator = Emulator::builder().settings(settings).start().await.unwrap();
    let session = session(config(&emulator));
    for name in ["ws-1", "ws-2", "ws-3", "ws-4", "ws-5"] {
        create(&session, name).await;
    }
    let before = emulator.log().last();
    assert_eq!(session.list(COLLECTION).await.unwrap().len(), 5);
    assert_eq!(emulator.log().since(before).len(), 3);
}

#[tokio::test]
async fn operations_that_end_otherwise_are_told() {
    let emulator = start().await;
    let session = session(config(&emulator));
    let fails = Action::OperationFails { code: "OutOfQuota".to_owned(), message: "no cores".to_owned() };
    let cases = [
        (fails, "Failed OutOfQuota: no cores"),
        (Action::OperationCanceled, "Canceled"),
        (Action::OperationUrlGone, "Lost"),
    ];
    for (index, (action, expected)) in cases.into_iter().enumerate() {
        let id = workspace(&format!("ws-{index}"));
        emulator.faults().set(Fault::new("PUT", id.as_str(), action)).unwrap();
        let started = session.put(&id, &body()).await.unwrap();
        let found = match finish(&session, started).await {
            Progress::Failed(error) => format!("Failed {error}"),
            Progress::Canceled(_) => "Canceled".to_owned(),
            other => format!("{other:?}"),
        };
        assert!(found.starts_with(expected), "{found}");
    }
}

#[tokio::test]
async fn every_fault_has_its_class() {
    let emulator = start().await;
    let session = session(Config { timeout: Duration::from_secs(1), ..config(&emulator) });
    let answer = |status| Action::Answer { status, body: None, headers: BTreeMap::new() };
    let cases = [
        (answer(500), ErrorClass::Unreachable),
        (answer(502), ErrorClass::Unreachable),
        (answer(503), ErrorClass::Unreachable),
        (answer(412), ErrorClass::Conflict),
        (Action::Reset, ErrorClass::Unreachable),
        (Action::LoseResponse, ErrorClass::Unreachable),
        (Action::Stall { milliseconds: 60_000 }, ErrorClass::Unreachable),
        (Action::Truncate, ErrorClass::Unreachable),
        (Action::Html { status: 200 }, ErrorClass::InvalidResponse),
        (Action::Html { status: 502 }, ErrorClass::Unreachable),
        (Action::AuthorizationFailed, ErrorClass::Forbidden),
        (Action::PolicyDenied, ErrorClass::PolicyDenied),
        (Action::UnregisteredProvider, ErrorClass::NotRegistered),
        (Action::AnotherOperationInProgress, ErrorClass::Busy),
        (Action::OutOfQuota, ErrorClass::Quota),
    ];
    for (index, (action, class)) in cases.into_iter().enumerate() {
        let id = workspace(&format!("fault{index}"));
        let before = emulator.log().last();
        emulator.faults().set(Fault::new("PUT", id.as_str(), action.clone())).unwrap();
        let error = session.put(&id, &body()).await.unwrap_err();
        assert_eq!(error.class, class, "{action:?}: {error}");
        let puts = emulator.log().since(before).iter().filter(|it| it.method == "PUT").count();
        assert!(puts <= 1, "{action:?} is tried once");
        if action == Action::LoseResponse {
            assert!(session.get(&id).await.unwrap().body().is_some(), "it was executed");
        }
    }
    emulator.faults().clear();
}

/// Reads that came before the time that the last throttled one was told.
fn too_early(emulator: &Emulator) -> usize {
    let mut open_at = 0;
    let mut early = 0;
    for entry in emulator.log().entries().iter().filter(|it| it.method == "GET") {
        early += usize::from(entry.time < open_at);
        if entry.status == Some(429) {
            let header = |name: &str| {
                entry.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
            };
            let seconds: i64 = header("retry-after").unwrap().parse().unwrap();
            open_at = open_at.max(entry.time + seconds * 1000);
        }
    }
    early
}

async fn read_all(session: &Session, reads: usize) -> usize {
    let id = workspace("w");
    let read = |session: Session, id: ResourceId| async move {
        let mut failures = 0;
        while session.get(&id).await.is_err() {
            failures += 1;
        }
        failures
    };
    join_all((0..reads).map(|_| read(session.clone(), id.clone()))).await.into_iter().sum()
}

#[tokio::test]
async fn a_client_with_the_server_s_buckets_is_never_throttled() {
    let slow = Rate { size: 10.0, refill: 50.0 };
    let rates = Rates { reads: slow, writes: slow, deletes: slow };
    let emulator = Emulator::builder().rates(Some(rates)).start().await.unwrap();
    let reads = Limit { burst: 10, per_second: 50.0 };
    let limits = Limits { reads, writes: reads, deletes: reads };
    let session = session(Config { limits, coalesce: false, ..config(&emulator) });
    assert_eq!(read_all(&session, 60).await, 0);
    assert!(emulator.log().entries().iter().all(|it| it.status != Some(429)));
}

#[tokio::test]
async fn a_client_that_knows_the_buckets_badly_keeps_to_retry_after() {
    let slow = Rate { size: 5.0, refill: 10.0 };
    let rates = Rates { reads: slow, writes: slow, deletes: slow };
    let emulator = Emulator::builder().rates(Some(rates)).start().await.unwrap();
    let reads = Limit { burst: 1, per_second: 40.0 };
    let limits = Limits { reads, ..Limits::default() };
    let session = session(Config { limits, coalesce: false, ..config(&emulator) });
    let throttled = read_all(&session, 25).await;
    assert!(throttled > 0, "the test has to meet the server's limit");
    assert_eq!(too_early(&emulator), 0);
}

#[tokio::test]
async fn metrics_are_read_and_whoever_may_not_is_told() {
    let emulator = start().await;
    let session = session(config(&emulator));
    let workspace = workspace("dev");
    let endpoint = workspace.child("onlineEndpoints", "churn").unwrap();
    for (id, body) in [
        (&workspace, body()),
        (
            &endpoint,
            json!({"location": "westeurope", "identity": {"type": "SystemAssigned"}, "properties": {"authMode": "Key"}}),
        ),
    ] {
        let started = session.put(id, &body).await.unwrap();
        assert!(matches!(finish(&session, started).await, Progress::Succeeded(_)));
    }
    let query = MetricQuery {
        name: "RequestsPerMinute",
        dimensions: &["deployment", "statusCodeClass"],
        from: "2026-03-01T10:00:00Z".parse().unwrap(),
        to: "2026-03-01T10:05:00Z".parse().unwrap(),
        interval: jiff::SignedDuration::from_mins(1),
    };
    assert_eq!(session.metric(&endpoint, &query).await.unwrap(), []);
    let entry = emulator.log().since(0).pop().unwrap();
    assert_eq!(entry.api_version, arm::METRICS_API_VERSION);
    assert_eq!(entry.query["$filter"], "deployment eq '*' and statusCodeClass eq '*'");
    let throttled = Action::Answer { status: 429, body: None, headers: BTreeMap::new() };
    let html = Action::Html { status: 200 };
    for (action, class) in [
        (Action::AuthorizationFailed, ErrorClass::Forbidden),
        (html, ErrorClass::InvalidResponse),
        (throttled, ErrorClass::Throttled),
    ] {
        let fault = Fault::new("GET", "/providers/Microsoft.Insights/metrics$", action);
        emulator.faults().set(fault).unwrap();
        assert_eq!(session.metric(&endpoint, &query).await.unwrap_err().class, class);
    }
}
