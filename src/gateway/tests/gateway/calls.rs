//! Calls of gRPC: where they go, what of them arrives, how they end, and what is counted.
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::SinkExt as _;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;

use crate::grpc::{Caller, Ended, INFER, STREAM, Server, ended, message};
use crate::support::{Backend, Behaviour, Gateway, document, until};

async fn one(more: &Value) -> (Gateway, Server, Caller) {
    let server = Server::start("a").await;
    let gateway = Gateway::start(&document(&[server.revision("a", 1)], more)).await;
    let caller = Caller::connect(gateway.address).await;
    (gateway, server, caller)
}

fn answers(gateway: &Gateway, class: &str) -> u64 {
    let labels = format!("code=\"{class}\",endpoint=\"team/churn\",revision=\"a\"");
    gateway.metric(&format!("mlops_gateway_requests_total{{{labels}}}"))
}

#[tokio::test]
async fn a_call_arrives_by_host_and_by_metadata_as_it_was_sent_and_ends_with_its_trailers() {
    let (gateway, server, caller) = one(&json!({"hosts": ["churn.example"]})).await;
    for how in [("host", "churn.example"), ("mlops-endpoint", "team/churn")] {
        let ended = caller.infer(&[how, ("x-request-id", "id-1"), ("x-mine", "1")], "the rows").await;
        assert_eq!(
            (ended.status, ended.code, &ended.trailers["x-served-by"]),
            (200, 0, &"model".parse().unwrap())
        );
        assert_eq!(ended.headers["azureml-model-deployment"], "a");
        assert_eq!(ended.headers["content-type"], "application/grpc");
        let said = ended.json();
        assert_eq!((&said["path"], &said["messages"]), (&json!(INFER), &json!(["the rows"])));
        assert_eq!(said["version"], "HTTP/2.0");
        let headers = &said["headers"];
        assert_eq!(
            (&headers["te"], &headers["content-type"]),
            (&json!("trailers"), &json!("application/grpc"))
        );
        assert_eq!((&headers["x-mine"], &headers["x-request-id"]), (&json!("1"), &json!("id-1")));
    }
    until("both are counted", || answers(&gateway, "2xx") == 2).await;
    assert_eq!(server.connections(), 1, "one call after another needs one connection");
}

#[tokio::test]
async fn messages_pass_both_ways_while_the_call_goes_on() {
    let (gateway, server, caller) = one(&json!({"limits": {"bodyBytes": 10}})).await;
    let (mut sending, response) = caller.begin(STREAM, &[("mlops-endpoint", "team/churn")]);
    sending.send(message("one")).await.unwrap();
    let mut body = response.await.unwrap().into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, message("one"), "the answer begins while the caller still sends");
    assert_eq!(gateway.of_revision("requests_in_flight", "a"), 1);
    for text in ["two", "three", "four", "ten bytes.", ""] {
        sending.send(message(text)).await.unwrap();
        let next = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(next, message(text), "the limit is of a message, not of the call");
    }
    drop(sending);
    let trailers = body.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    assert!(body.frame().await.is_none());
    until("it is counted", || answers(&gateway, "2xx") == 1).await;
    assert_eq!(server.seen.open.load(Ordering::SeqCst), 0);
}

fn refused(ended: &Ended) -> (u16, u16, &str) {
    assert_eq!(ended.headers["content-type"], "application/grpc");
    (ended.status, ended.code, ended.headers["mlops-code"].to_str().unwrap())
}

#[tokio::test]
async fn refusals_are_errors_that_a_grpc_client_understands() {
    let digest = format!("{:x}", Sha256::digest("key"));
    let more = json!({
        "auth": {"mode": "Key", "digests": [digest]}, "limits": {"bodyBytes": 10},
        "rateLimit": {"requestsPerSecond": 0.001, "burst": 5},
    });
    let (_gateway, server, caller) = one(&more).await;
    let key = ("authorization", "Bearer key");
    let nobody = caller.infer(&[], "").await;
    assert_eq!(refused(&nobody), (200, 16, "Unauthorized"));
    assert!(nobody.message.contains("Authorization: Bearer KEY"), "{}", nobody.message);
    let unknown = caller.infer(&[("mlops-endpoint", "team/chrun")], "").await;
    assert_eq!(refused(&unknown), (200, 5, "EndpointNotFound"));
    assert!(unknown.message.contains("team/chrun"), "{}", unknown.message);
    let unnamed = caller.infer(&[("host", "gateway")], "").await;
    assert_eq!(refused(&unnamed), (200, 5, "EndpointNotFound"));
    assert!(unnamed.message.contains("mlops-endpoint"), "{}", unnamed.message);
    let revision = caller.infer(&[key, ("azureml-model-deployment", "b")], "").await;
    assert_eq!(refused(&revision), (200, 5, "RevisionNotFound"));
    let late = caller.infer(&[key, ("x-hang", "1"), ("grpc-timeout", "30m")], "").await;
    assert_eq!(refused(&late), (200, 4, "RevisionTimeout"));
    let large = caller.infer(&[key], "eleven byte").await;
    assert_eq!(refused(&large), (200, 8, "BodyTooLarge"));
    assert_eq!(caller.infer(&[key], "ten bytes.").await.code, 0);
    assert_eq!(caller.infer(&[key], "").await.code, 0);
    let often = caller.infer(&[key], "").await;
    assert_eq!(refused(&often), (200, 8, "TooManyRequests"));
    assert!(often.headers["grpc-retry-pushback-ms"].to_str().unwrap().parse::<u64>().unwrap() > 100_000);
    let seen = server.calls();
    assert!(seen.iter().all(|call| call["headers"]["authorization"] == Value::Null), "keys go no further");
}

#[tokio::test]
async fn codes_count_as_the_failure_of_who_brought_them_about() {
    let (gateway, _server, caller) = one(&json!({})).await;
    for (code, class) in
        [("13", "5xx"), ("14", "5xx"), ("2", "5xx"), ("3", "4xx"), ("12", "4xx"), ("5", "4xx")]
    {
        let before = answers(&gateway, class);
        let ended = caller.infer(&[("x-fail", code)], "").await;
        assert_eq!((ended.status, ended.code), (200, code.parse().unwrap()), "passed on as it is");
        until(code, || answers(&gateway, class) == before + 1).await;
    }
    let (mut sending, response) = caller.begin(STREAM, &[("mlops-endpoint", "team/churn"), ("x-fail", "15")]);
    sending.send(message("one")).await.unwrap();
    drop(sending);
    assert_eq!(ended(response.await.unwrap()).await.code, 15);
    until("a code in the trailers counts too", || answers(&gateway, "5xx") == 4).await;
    assert_eq!(caller.infer(&[("x-mute", "1")], "").await.code, u16::MAX);
    until("an answer without a code is a failure", || answers(&gateway, "5xx") == 5).await;
    let broken = caller.infer(&[("x-break", "1")], "").await;
    assert_eq!(broken.code, 14);
    until("and so is one that was cut off", || answers(&gateway, "5xx") == 6).await;
    assert_eq!(answers(&gateway, "2xx"), 0);
}

#[tokio::test]
async fn a_message_that_grows_too_large_in_the_middle_ends_the_call_as_its_caller_s_error() {
    let (gateway, server, caller) = one(&json!({"limits": {"bodyBytes": 10}})).await;
    let (mut sending, response) = caller.begin(STREAM, &[("mlops-endpoint", "team/churn")]);
    sending.send(message("one")).await.unwrap();
    let mut body = response.await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    sending.send(message("eleven byte")).await.unwrap();
    let trailers = body.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(trailers["grpc-status"], "8");
    until("it is counted", || answers(&gateway, "4xx") == 1).await;
    until("the revision is rid of it", || server.seen.open.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn a_caller_that_goes_away_is_no_failure_and_frees_the_revision() {
    let (gateway, server, caller) = one(&json!({})).await;
    let (mut sending, response) = caller.begin(STREAM, &[("mlops-endpoint", "team/churn")]);
    sending.send(message("one")).await.unwrap();
    let mut body = response.await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    assert_eq!(server.seen.open.load(Ordering::SeqCst), 1);
    drop((body, sending, caller));
    until("the revision is rid of it", || server.seen.open.load(Ordering::SeqCst) == 0).await;
    until("so is the gateway", || gateway.of_revision("requests_in_flight", "a") == 0).await;
    assert_eq!(answers(&gateway, "5xx"), 0);
}

#[tokio::test]
async fn silence_ends_a_call_and_is_the_revision_s_failure_only_when_it_was_its_turn() {
    let (gateway, _server, caller) = one(&json!({"timeouts": {"idleMilliseconds": 30}})).await;
    let (mut sending, response) = caller.begin(STREAM, &[("mlops-endpoint", "team/churn")]);
    sending.send(message("one")).await.unwrap();
    let ended = ended(response.await.unwrap()).await;
    assert_eq!((ended.code, &*ended.messages), (4, &["one".to_owned()][..]));
    until("it is counted as nobody's failure", || answers(&gateway, "4xx") == 1).await;
    assert_eq!(answers(&gateway, "5xx"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_share_a_few_connections_and_split_by_weight() {
    let (a, b) = (Server::start("a").await, Server::start("b").await);
    let gateway = Gateway::start(&document(&[a.revision("a", 3), b.revision("b", 1)], &json!({}))).await;
    let caller = Caller::connect(gateway.address).await;
    for _ in 0..10 {
        let calls = futures::future::join_all((0..80).map(|_| caller.infer(&[], "{}"))).await;
        assert!(calls.iter().all(|ended| ended.code == 0), "{calls:?}");
        assert!(
            calls.iter().all(|ended| ended.json()["revision"]
                == ended.headers["azureml-model-deployment"].to_str().unwrap())
        );
    }
    assert_eq!(a.calls().len() + b.calls().len(), 800);
    // Five deviations around 200: once in two million runs the chance alone fails this.
    assert!((139..=261).contains(&b.calls().len()), "{}", b.calls().len());
    assert!(a.connections() <= 16 && b.connections() <= 16, "{} {}", a.connections(), b.connections());
    let forced = caller.infer(&[("azureml-model-deployment", "b")], "").await;
    assert_eq!(forced.json()["revision"], "b");
}

#[tokio::test]
async fn a_connection_that_its_revision_closes_costs_no_call() {
    let (gateway, server, caller) = one(&json!({})).await;
    for _ in 0..50 {
        assert_eq!(caller.infer(&[("x-leave", "1")], "").await.code, 0);
    }
    assert!(server.connections() > 1);
    until("all are counted", || answers(&gateway, "2xx") == 50).await;
    assert_eq!(answers(&gateway, "5xx"), 0);
}

#[tokio::test]
async fn a_call_waits_for_a_revision_that_starts() {
    let server = Server::start("a").await;
    let mut asleep = server.revision("a", 1);
    asleep["ready"] = json!(false);
    let gateway = Gateway::start(&document(&[asleep], &json!({}))).await;
    let caller = Caller::connect(gateway.address).await;
    let waiting = tokio::spawn(async move { caller.infer(&[], "").await });
    until("it waits", || gateway.of_revision("requests_queued", "a") == 1).await;
    gateway.put(&document(&[server.revision("a", 1)], &json!({})));
    assert_eq!(waiting.await.unwrap().code, 0);
}

#[tokio::test]
async fn the_ports_of_a_revision_fail_each_by_itself() {
    let http = Backend::start("a", Behaviour::Echo).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let revision =
        json!({"name": "a", "address": http.address, "grpcAddress": address.to_string(), "weight": 1});
    let more = json!({"retries": 0, "circuit": {"failures": 2, "openMilliseconds": 60_000}});
    let gateway = Gateway::start(&document(std::slice::from_ref(&revision), &more)).await;
    let caller = Caller::connect(gateway.address).await;
    for _ in 0..2 {
        assert_eq!(refused(&caller.infer(&[], "").await), (200, 14, "RevisionUnreachable"));
    }
    assert_eq!(refused(&caller.infer(&[], "").await), (200, 14, "CircuitOpen"));
    assert_eq!(gateway.caller().score(&[]).await.status, 200);
    // It is back, and what it is asked after has not changed.
    let server = Server::listen("a", TcpListener::bind(address).await.unwrap());
    let more = json!({"retries": 0, "circuit": {"failures": 2, "openMilliseconds": 10}});
    gateway.put(&document(&[revision], &more));
    assert_eq!(caller.infer(&[], "").await.code, 0);
    assert_eq!((server.calls().len(), http.hits()), (1, 1));
}

#[tokio::test]
async fn an_endpoint_without_grpc_says_so_and_one_that_begins_to_has_it_answered_there() {
    let (http, server) = (Backend::start("a", Behaviour::Echo).await, Server::start("b").await);
    let gateway = Gateway::start(&document(&[http.revision("a", 1)], &json!({}))).await;
    let caller = Caller::connect(gateway.address).await;
    assert_eq!(refused(&caller.infer(&[], "").await), (200, 12, "NoGrpc"));
    assert_eq!((answers(&gateway, "4xx"), answers(&gateway, "5xx")), (1, 0));
    gateway.put(&document(&[http.revision("a", 90), server.revision("b", 10)], &json!({})));
    for _ in 0..20 {
        assert_eq!(caller.infer(&[], "").await.json()["revision"], "b");
    }
}

#[tokio::test]
async fn calls_in_progress_end_when_the_gateway_leaves() {
    let (mut gateway, _server, caller) = one(&json!({})).await;
    let (mut sending, response) = caller.begin(STREAM, &[("mlops-endpoint", "team/churn")]);
    sending.send(message("one")).await.unwrap();
    let mut body = response.await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    gateway.state.drain();
    gateway.stop.send_replace(true);
    let address = gateway.address;
    loop {
        if tokio::net::TcpStream::connect(address).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    sending.send(message("two")).await.unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), message("two"));
    drop(sending);
    assert_eq!(body.frame().await.unwrap().unwrap().into_trailers().unwrap()["grpc-status"], "0");
    drop((body, caller));
    assert!((&mut gateway.served).await.unwrap(), "nothing was cut off");
}

#[tokio::test]
async fn calls_are_mirrored_but_not_compared_and_not_captured_which_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (stable, shadow) = (Server::start("stable").await, Server::start("shadow").await);
    let more = json!({
        "mirror": {"revision": "shadow", "percent": 100},
        "capture": {"percent": 100, "store": {"folder": folder.path()}},
    });
    let revisions = [stable.revision("stable", 1), shadow.revision("shadow", 0)];
    let gateway = Gateway::start(&document(&revisions, &more)).await;
    let caller = Caller::connect(gateway.address).await;
    assert_eq!(caller.infer(&[("x-request-id", "id-1")], "the rows").await.json()["revision"], "stable");
    until("the copy is counted", || gateway.mirrored("shadow", "incomparable") == 1).await;
    let copy = shadow.calls().remove(0);
    assert_eq!((&copy["path"], &copy["messages"]), (&json!(INFER), &json!(["the rows"])));
    assert_eq!(copy["headers"]["x-mlops-mirrored"], "true");
    assert_eq!(copy["headers"]["te"], "trailers");
    assert_eq!(gateway.captured("unfit"), 1);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn requests_reach_a_revision_that_speaks_http_2() {
    let server = Server::start("a").await;
    let revision = json!({"name": "a", "address": server.address, "protocol": "H2C", "weight": 1});
    let gateway = Gateway::start(&document(&[revision], &json!({}))).await;
    let answer = gateway.caller().post("/endpoints/team/churn/v2/models/m/infer", &[], message("{}")).await;
    assert_eq!((answer.status, answer.header("azureml-model-deployment")), (200, "a"));
    let call = server.calls().remove(0);
    assert_eq!((&call["version"], &call["path"]), (&json!("HTTP/2.0"), &json!("/v2/models/m/infer")));
    assert_eq!(call["headers"]["content-length"], "7");
    let caller = Caller::connect(gateway.address).await;
    assert_eq!(caller.infer(&[], "").await.code, 0, "such a port answers gRPC as well");
    assert_eq!(server.connections(), 1);
}
