//! What the operator reads from the port of probes.
use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{Backend, Behaviour, Caller, Gateway, document, until};

const OF_CHURN: &str = "/stats?endpoint=team/churn";

async fn admin(gateway: &Gateway) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(gateway::admin::serve(listener, Arc::clone(&gateway.state)));
    address
}

async fn read(caller: &Caller, admin: SocketAddr, path: &str) -> Value {
    let answer = caller.client.get(format!("http://{admin}{path}").parse().unwrap()).await.unwrap();
    assert_eq!(answer.status().as_u16(), 200, "{path}");
    assert_eq!(answer.headers()["content-type"], "application/json");
    serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

#[tokio::test]
async fn answers_and_latencies_are_those_of_callers_and_survive_changes_of_the_route() {
    let (a, b) = (Backend::start("a", Behaviour::Echo).await, Backend::start("b", Behaviour::Fails).await);
    let revisions = [a.revision("a", 1), b.revision("b", 0)];
    let gateway = Gateway::start(&document(&revisions, &json!({}))).await;
    let (caller, admin) = (gateway.caller(), admin(&gateway).await);
    for _ in 0..3 {
        caller.score(&[]).await;
    }
    caller.score(&[("azureml-model-deployment", "b")]).await;
    caller.score(&[("azureml-model-deployment", "c")]).await;
    gateway.put(&document(&revisions, &json!({"limits": {"inFlight": 7}})));
    caller.score(&[]).await;
    let mut stats = Value::Null;
    for (revision, class, number) in [("a", "2xx", 4), ("b", "5xx", 1)] {
        stats = read(&caller, admin, OF_CHURN).await;
        let of = &stats["revisions"][revision];
        let mut answers = json!({"2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0});
        answers[class] = json!(number);
        assert_eq!(of["answers"], answers, "{stats}");
        let latency = &of["latency"];
        let buckets: Vec<(f64, u64)> = serde_json::from_value(latency["buckets"].clone()).unwrap();
        assert_eq!(
            (buckets.iter().map(|(_, count)| count).sum::<u64>(), &latency["count"]),
            (number, &json!(number))
        );
        assert!(buckets.is_sorted_by(|left, right| left.0 < right.0), "{latency}");
        let most: f64 = buckets.iter().map(|(bound, count)| bound * *count as f64).sum();
        let sum = latency["sumSeconds"].as_f64().unwrap();
        assert!(sum <= most && sum > most * 0.9, "{latency}");
        assert_eq!((&of["inFlight"], &of["queued"]), (&json!(0), &json!(0)));
    }
    assert_eq!(stats["instance"].as_str().unwrap().len(), 32);
    assert!(stats["uptimeMilliseconds"].is_u64());
    let escaped = read(&caller, admin, "/stats?endpoint=team%2Fchurn").await;
    assert_eq!(escaped["revisions"], stats["revisions"]);
    let unknown = read(&caller, admin, "/stats?endpoint=team/other").await;
    assert_eq!((&unknown["revisions"], &unknown["instance"]), (&json!({}), &stats["instance"]));
}

#[tokio::test]
async fn copies_count_under_mirror_alone() {
    let stable = Backend::start("stable", Behaviour::Says(json!(["yes", "no"]))).await;
    let shadow = Backend::start("shadow", Behaviour::Says(json!(["yes", "yes"]))).await;
    let more = json!({"mirror": {"revision": "shadow", "percent": 100}});
    let revisions = [stable.revision("stable", 1), shadow.revision("shadow", 0)];
    let gateway = Gateway::start(&document(&revisions, &more)).await;
    let (caller, admin) = (gateway.caller(), admin(&gateway).await);
    caller.score(&[]).await;
    until("the copies disagree", || gateway.mirrored("shadow", "disagreed") == 1).await;
    shadow.behaviour.lock().unwrap().clone_from(&Behaviour::Fails);
    caller.score(&[]).await;
    until("the copy failed", || gateway.mirrored("shadow", "failed") == 1).await;
    let stats = read(&caller, admin, OF_CHURN).await;
    let expected = json!({
        "agreed": 0, "disagreed": 1, "failed": 1, "incomparable": 0, "dropped": 0,
        "samePredictions": 1, "differentPredictions": 1,
    });
    let shadow = &stats["revisions"]["shadow"];
    assert_eq!(shadow["mirror"], expected);
    assert_eq!(shadow["answers"], json!({"2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0}));
    assert_eq!(shadow["latency"], json!({"count": 0, "sumSeconds": 0.0, "buckets": []}));
    assert_eq!(stats["revisions"]["stable"]["answers"]["2xx"], 2);
}

#[tokio::test]
async fn answers_in_place_of_a_revision_count_as_its_failures() {
    let revision = json!({"name": "a", "address": "127.0.0.1:1", "weight": 1});
    let more = json!({"retries": 0, "circuit": {"failures": 1, "openMilliseconds": 60_000}});
    let gateway = Gateway::start(&document(&[revision], &more)).await;
    let (caller, admin) = (gateway.caller(), admin(&gateway).await);
    assert_eq!(caller.score(&[]).await.code(), "RevisionUnreachable");
    assert_eq!(caller.score(&[]).await.code(), "CircuitOpen");
    let of = read(&caller, admin, OF_CHURN).await["revisions"]["a"].clone();
    assert_eq!((&of["answers"]["5xx"], &of["latency"]["count"]), (&json!(2), &json!(1)));
    assert!(!gateway.metrics().contains("revision=\"\""), "each is counted once");
}

#[tokio::test]
async fn endpoints_with_requests_that_wait_for_a_revision_to_start_are_told() {
    let backend = Backend::start("a", Behaviour::Never).await;
    let table = |name: &str, is_ready: bool| {
        let mut revision = backend.revision("a", 1);
        revision["ready"] = json!(is_ready);
        document(&[revision], &json!({"name": name, "limits": {"inFlight": 1}}))
    };
    let gateway = Gateway::start(&table("churn", false)).await;
    gateway.put(&table("busy", true));
    let (caller, admin) = (gateway.caller(), admin(&gateway).await);
    let post = |name: &str| {
        let (caller, path) = (gateway.caller(), format!("/endpoints/team/{name}/score"));
        tokio::spawn(async move { caller.post(&path, &[], "{}").await })
    };
    // One is answered, one waits for room, and two for a revision that has to start.
    let waiting = [post("busy"), post("busy"), post("churn"), post("churn")];
    let queued = |name: &str| {
        gateway.metric(&format!("mlops_gateway_requests_queued{{endpoint=\"team/{name}\",revision=\"a\"}}"))
    };
    until("three wait", || queued("busy") == 1 && queued("churn") == 2).await;
    let told = read(&caller, admin, "/stats/waiting").await;
    assert_eq!(told["waiting"], json!({"team/churn": 2}));
    let of = read(&caller, admin, OF_CHURN).await["revisions"]["a"].clone();
    assert_eq!((&of["queued"], &of["inFlight"]), (&json!(2), &json!(0)));
    gateway.put(&table("churn", true));
    until("one is on its way", || queued("churn") == 1).await;
    assert_eq!(read(&caller, admin, "/stats/waiting").await["waiting"], json!({}));
    for waiting in waiting {
        waiting.abort();
    }
    until("nobody waits", || queued("churn") + queued("busy") == 0).await;
}
