//! Spans of requests, as a collector gets them.
use std::sync::{Arc, Mutex};

use http::Response;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::grpc;
use crate::support::{Backend, Behaviour, Gateway, document, serve, until};
use gateway::body::whole;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// A collector, and what it was sent.
async fn collector() -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let got = Arc::<Mutex<Vec<u8>>>::default();
    let kept = Arc::clone(&got);
    serve(listener, move |request| {
        let got = Arc::clone(&kept);
        async move {
            assert_eq!(request.uri().path(), "/v1/traces");
            let body = request.into_body().collect().await.unwrap().to_bytes();
            got.lock().unwrap().extend_from_slice(&body);
            Response::new(whole(""))
        }
    });
    (address, got)
}

/// Sends what is left to the collector.
async fn finish(gateway: &Gateway) {
    let state = Arc::clone(&gateway.state);
    tokio::task::spawn_blocking(move || state.traces.as_ref().unwrap().finish()).await.unwrap();
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|place| u8::from_str_radix(&hex[2 * place..2 * place + 2], 16).unwrap()).collect()
}

/// How often bytes occur.
fn count(all: &[u8], part: &[u8]) -> usize {
    all.windows(part.len()).filter(|window| *window == part).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_continues_its_caller_s_trace_and_its_revision_goes_on_with_it() {
    let (collector, got) = collector().await;
    let backend = Backend::start("first", Behaviour::Echo).await;
    let arguments = [&*format!("--otlp-endpoint={collector}"), "--trace-ratio=0"];
    let gateway = Gateway::with(&document(&[backend.revision("first", 1)], &json!({})), &arguments).await;
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let sent = [("traceparent", &*parent), ("tracestate", "vendor=1"), ("x-request-id", "id-7")];
    let seen = gateway.caller().score(&sent).await.json();
    let passed = seen["headers"]["traceparent"].as_str().unwrap().to_owned();
    let parts: Vec<&str> = passed.split('-').collect();
    assert_eq!((parts[0], parts[1], parts[3]), ("00", TRACE, "01"));
    assert_ne!(parts[2], SPAN, "the revision's parent is the gateway's span");
    assert_eq!(seen["headers"]["tracestate"], "vendor=1");

    let quiet = format!("00-{}-{SPAN}-00", "1".repeat(32));
    let seen = gateway.caller().score(&[("traceparent", &quiet)]).await.json();
    assert_eq!(seen["headers"]["traceparent"], *quiet, "what is not traced goes on as it came");
    assert_eq!(gateway.caller().score(&[]).await.json()["headers"]["traceparent"], Value::Null);
    let lost = gateway.caller().post("/endpoints/team/lost/score", &[("traceparent", &parent)], "").await;
    assert_eq!(lost.status, 404);

    until("all have ended", || gateway.of_revision("requests_in_flight", "first") == 0).await;
    finish(&gateway).await;
    let got = got.lock().unwrap().clone();
    assert_eq!(count(&got, &bytes(TRACE)), 2, "one span for each request that is traced");
    assert_eq!((count(&got, &bytes(SPAN)), count(&got, &bytes(parts[2]))), (2, 1));
    assert_eq!(count(&got, &bytes(&"1".repeat(32))), 0);
    for text in [
        "mlops-gateway",
        "team/churn",
        "mlops.namespace",
        "mlops.endpoint",
        "mlops.revision",
        "first",
        "id-7",
        "mlops.queue_microseconds",
        "mlops.retries",
        "http.response.status_code",
    ] {
        assert!(count(&got, text.as_bytes()) > 0, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_a_trace_get_one_by_chance_and_calls_tell_their_code() {
    let (collector, got) = collector().await;
    let server = grpc::Server::start("a").await;
    let arguments = [&*format!("--otlp-endpoint={collector}"), "--trace-ratio=1"];
    let gateway = Gateway::with(&document(&[server.revision("a", 1)], &json!({})), &arguments).await;
    let caller = grpc::Caller::connect(gateway.address).await;
    let ended = caller.infer(&[("x-fail", "13")], "").await;
    assert_eq!(ended.code, 13);
    let passed = server.calls()[0]["headers"]["traceparent"].as_str().unwrap().to_owned();
    let parts: Vec<&str> = passed.split('-').collect();
    until("it has ended", || gateway.of_revision("requests_in_flight", "a") == 0).await;
    finish(&gateway).await;
    let got = got.lock().unwrap().clone();
    assert_eq!((count(&got, &bytes(parts[1])), count(&got, &bytes(parts[2]))), (1, 1));
    assert!(count(&got, b"rpc.grpc.status_code") == 1);
}
