//! Changes of the table while requests are under way.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gateway::registry::Change;
use gateway::source::Source;
use serde_json::json;

use crate::support::{Backend, Behaviour, Gateway, document, until};

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_requests_pass_while_the_table_changes() {
    const CALLERS: usize = 16;
    const REQUESTS: usize = 5_008;
    let (a, b) = (Backend::start("a", Behaviour::Echo).await, Backend::start("b", Behaviour::Echo).await);
    let table = |step: usize| {
        // Weights, names, addresses and limits all change, and a revision comes and goes.
        let mut revisions = vec![a.revision(&format!("r{}", step % 3), 1 + (step % 5) as u32)];
        if step.is_multiple_of(2) {
            revisions.push(b.revision("other", 3));
        }
        document(&revisions, &json!({"limits": {"inFlight": 100 + step % 7}}))
    };
    let gateway = Gateway::start(&table(0)).await;
    let (failed, done) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    for _ in 0..CALLERS {
        let (caller, failed, done) = (gateway.caller(), Arc::clone(&failed), Arc::clone(&done));
        tokio::spawn(async move {
            for _ in 0..REQUESTS / CALLERS {
                let answer = caller.score(&[]).await;
                failed.fetch_add(usize::from(answer.status != 200), Ordering::SeqCst);
                done.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    let mut step = 0;
    until("all requests are answered", || {
        step += 1;
        gateway.put(&table(step));
        done.load(Ordering::SeqCst) == REQUESTS
    })
    .await;
    assert_eq!(failed.load(Ordering::SeqCst), 0);
    assert_eq!(a.hits() + b.hits(), REQUESTS);
    assert!(step > 10, "{step}");
}

#[tokio::test]
async fn a_request_waits_for_the_revision_that_starts() {
    let backend = Backend::start("a", Behaviour::Echo).await;
    let table = |is_ready: bool| {
        let mut revision = backend.revision("a", 1);
        revision["ready"] = json!(is_ready);
        document(&[revision], &json!({}))
    };
    let gateway = Gateway::start(&table(false)).await;
    let caller = gateway.caller();
    let waiting = tokio::spawn(async move { caller.score(&[]).await });
    until("the request waits", || gateway.of_revision("requests_queued", "a") == 1).await;
    assert_eq!(backend.hits(), 0);
    gateway.put(&table(true));
    assert_eq!(waiting.await.unwrap().status, 200);
    assert_eq!(gateway.of_revision("requests_queued", "a"), 0);
}

#[tokio::test]
async fn a_request_waits_no_longer_than_it_may_and_a_full_queue_refuses_at_once() {
    let revision = json!({"name": "a", "address": "127.0.0.1:1", "weight": 1, "ready": false});
    let table = |milliseconds: u64| {
        let more = json!({"timeouts": {"queueMilliseconds": milliseconds}, "limits": {"queued": 1}});
        document(std::slice::from_ref(&revision), &more)
    };
    let gateway = Gateway::start(&table(1)).await;
    let answer = gateway.caller().score(&[]).await;
    assert_eq!((answer.status, &*answer.code(), answer.header("retry-after")), (503, "NoReadyRevision", "1"));

    gateway.put(&table(60_000));
    let caller = gateway.caller();
    let waiting = tokio::spawn(async move { caller.score(&[]).await });
    until("the request waits", || gateway.of_revision("requests_queued", "a") == 1).await;
    assert_eq!(gateway.caller().score(&[]).await.code(), "QueueFull");
    // Who waits for an endpoint that goes learns it at once.
    gateway.apply(Change::All(Vec::new()));
    assert_eq!(waiting.await.unwrap().status, 404);
}

#[tokio::test]
async fn a_revision_that_is_not_ready_gets_nothing_while_another_is() {
    let (a, b) = (Backend::start("a", Behaviour::Echo).await, Backend::start("b", Behaviour::Echo).await);
    let mut starting = b.revision("b", 99);
    starting["ready"] = json!(false);
    let gateway = Gateway::start(&document(&[a.revision("a", 1), starting], &json!({}))).await;
    for _ in 0..20 {
        assert_eq!(gateway.caller().score(&[]).await.status, 200);
    }
    assert_eq!((a.hits(), b.hits()), (20, 0));
}

#[tokio::test]
async fn requests_beyond_the_room_wait_their_turn() {
    let backend = Backend::start("a", Behaviour::Never).await;
    let more = json!({"limits": {"inFlight": 1}, "timeouts": {"requestMilliseconds": 200}});
    let gateway = Gateway::start(&document(&[backend.revision("a", 1)], &more)).await;
    let caller = gateway.caller();
    let first = tokio::spawn({
        let caller = caller.clone();
        async move { caller.score(&[]).await }
    });
    until("the first is on its way", || backend.hits() == 1).await;
    *backend.behaviour.lock().unwrap() = Behaviour::Echo;
    assert_eq!(caller.score(&[]).await.status, 200);
    assert_eq!(first.await.unwrap().status, 504, "the second waited for the first to end");
}

#[tokio::test]
async fn a_request_that_waited_for_its_revision_may_wait_for_room_too() {
    let backend = Backend::start("a", Behaviour::Never).await;
    let table = |is_ready: bool| {
        let mut revision = backend.revision("a", 1);
        revision["ready"] = json!(is_ready);
        let more = json!({
            "limits": {"inFlight": 1, "queued": 1}, "timeouts": {"requestMilliseconds": 200},
        });
        document(&[revision], &more)
    };
    let gateway = Gateway::start(&table(true)).await;
    let score = || {
        let caller = gateway.caller();
        tokio::spawn(async move { caller.score(&[]).await })
    };
    let first = score();
    until("the first is on its way", || backend.hits() == 1).await;
    gateway.put(&table(false));
    let second = score();
    until("the second waits", || gateway.of_revision("requests_queued", "a") == 1).await;
    *backend.behaviour.lock().unwrap() = Behaviour::Echo;
    gateway.put(&table(true));
    assert_eq!((first.await.unwrap().status, second.await.unwrap().status), (504, 200));
}

#[tokio::test]
async fn documents_of_a_folder_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Backend::start("a", Behaviour::Echo).await;
    let gateway = Gateway::start(&document(&[], &json!({"name": "former"}))).await;
    tokio::spawn(Source::Folder(folder.path().to_owned()).run(Arc::clone(&gateway.state)));
    let has = |name: &str| gateway.state.table().endpoints.contains_key(name);
    until("the folder is in force", || !has("team/former")).await;
    let path = folder.path().join("churn.json");
    std::fs::write(&path, document(&[backend.revision("a", 1)], &json!({})).to_string()).unwrap();
    until("the endpoint comes", || has("team/churn")).await;
    assert_eq!(gateway.caller().score(&[]).await.status, 200);
    let errors = "mlops_gateway_config_errors_total{kind=\"route\"}";
    std::fs::write(&path, "{").unwrap();
    until("the error is counted", || gateway.metric(errors) == 1).await;
    assert_eq!(gateway.caller().score(&[]).await.status, 200, "the predecessor stays");
    std::fs::remove_file(&path).unwrap();
    until("the endpoint goes", || !has("team/churn")).await;
    assert!(!gateway.metrics().contains("revision=\"a\""), "the numbers of what is gone go too");
}

#[tokio::test]
async fn a_request_in_progress_is_answered_while_the_gateway_leaves() {
    let backend = Backend::start("a", Behaviour::Never).await;
    let more = json!({"timeouts": {"requestMilliseconds": 300}});
    let gateway = Gateway::start(&document(&[backend.revision("a", 1)], &more)).await;
    let caller = gateway.caller();
    let waiting = tokio::spawn(async move { caller.score(&[]).await });
    until("the request is on its way", || backend.hits() == 1).await;
    gateway.state.drain();
    gateway.stop.send_replace(true);
    assert!(gateway.served.await.unwrap(), "all requests ended in time");
    let answer = waiting.await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (504, "close"));
}
