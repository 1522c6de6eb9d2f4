//! Where requests go, and what of them arrives.
use std::sync::Arc;

use bytes::Bytes;
use gateway::body::Answered;
use http::{Request, Response, Version};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{Backend, Behaviour, Gateway, document, serve};

async fn two(weights: (u32, u32), more: &Value) -> (Gateway, Backend, Backend) {
    let (a, b) = (Backend::start("a", Behaviour::Echo).await, Backend::start("b", Behaviour::Echo).await);
    let gateway =
        Gateway::start(&document(&[a.revision("a", weights.0), b.revision("b", weights.1)], more)).await;
    (gateway, a, b)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_split_by_weight_within_the_binomial_bound_and_are_counted() {
    let (gateway, a, b) = two((3, 1), &json!({})).await;
    let (caller, trials) = (gateway.caller(), 800);
    for _ in 0..trials {
        let answer = caller.score(&[]).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["revision"], answer.header("azureml-model-deployment"));
    }
    assert_eq!(a.hits() + b.hits(), trials);
    // Five deviations around 200: once in two million runs the chance alone fails this.
    assert!((139..=261).contains(&b.hits()), "{}", b.hits());
    let of_b = "mlops_gateway_requests_total{code=\"2xx\",endpoint=\"team/churn\",revision=\"b\"}";
    assert_eq!(gateway.metric(of_b), b.hits() as u64);
    assert_eq!(gateway.of_revision("request_duration_seconds_count", "a"), a.hits() as u64);
    assert_eq!(gateway.of_revision("requests_in_flight", "a"), 0);
}

#[tokio::test]
async fn a_named_revision_answers_and_an_unknown_one_is_told_with_the_known() {
    let (gateway, a, b) = two((100, 0), &json!({})).await;
    let caller = gateway.caller();
    let answer = caller.score(&[("azureml-model-deployment", "b")]).await;
    assert_eq!((answer.status, a.hits(), b.hits()), (200, 0, 1));
    let answer = caller.score(&[("azureml-model-deployment", "c")]).await;
    assert_eq!((answer.status, &*answer.code()), (404, "RevisionNotFound"));
    assert!(answer.json()["error"].as_str().unwrap().contains("a, b"));
}

#[tokio::test]
async fn a_sticky_caller_stays_on_one_revision() {
    let (gateway, a, b) = two((1, 1), &json!({"stickyHeader": "x-user"})).await;
    let caller = gateway.caller();
    for user in ["anna", "ben", "cleo", "dora", "emil", "fay", "gus", "hal"] {
        let first = caller.score(&[("x-user", user)]).await.json()["revision"].clone();
        for _ in 0..5 {
            assert_eq!(caller.score(&[("x-user", user)]).await.json()["revision"], first);
        }
    }
    assert!(a.hits() > 0 && b.hits() > 0, "{} {}", a.hits(), b.hits());
}

#[tokio::test]
async fn requests_arrive_as_they_were_sent_without_what_is_between_neighbours() {
    let more = json!({"hosts": ["churn.example"]});
    let (gateway, _a, _b) = two((1, 0), &more).await;
    let caller = gateway.caller();
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [
        ("x-request-id", "id-1"),
        ("traceparent", trace),
        ("connection", "x-mine"),
        ("x-mine", "1"),
        ("host", "churn.example"),
    ];
    let answer = caller.post("/v2/models/m/infer?x=1", &headers, "payload").await;
    let seen = answer.json();
    assert_eq!((&seen["uri"], &seen["body"]), (&json!("/v2/models/m/infer?x=1"), &json!("payload")));
    assert_eq!(seen["headers"]["x-request-id"], "id-1");
    assert_eq!(seen["headers"]["traceparent"], trace);
    assert_eq!(seen["headers"]["x-forwarded-host"], "churn.example");
    assert_eq!(seen["headers"]["x-forwarded-for"], "127.0.0.1");
    assert_eq!(seen["headers"]["content-length"], "7");
    assert_eq!(seen["headers"]["x-mine"], Value::Null);
    assert_eq!(answer.header("x-request-id"), "id-1");
}

#[tokio::test]
async fn an_unknown_endpoint_is_told_what_to_check() {
    let (gateway, a, _b) = two((1, 0), &json!({})).await;
    let answer = gateway.caller().post("/endpoints/team/chrun/score", &[], "{}").await;
    assert_eq!((answer.status, &*answer.code(), a.hits()), (404, "EndpointNotFound", 0));
    assert!(answer.json()["error"].as_str().unwrap().contains("team/chrun"));
    assert_eq!(answer.header("x-request-id").len(), 32);
}

#[tokio::test]
async fn http_2_is_served_without_encryption_too() {
    let (gateway, a, _b) = two((1, 0), &json!({})).await;
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Full<Bytes>>();
    let uri = format!("http://{}/endpoints/team/churn/score", gateway.address);
    let calls = (0..50).map(|_| {
        let request = Request::post(&uri).body(Full::new(Bytes::from_static(b"{}"))).unwrap();
        client.request(request)
    });
    for answer in futures::future::join_all(calls).await {
        let answer = answer.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
    }
    assert_eq!(a.hits(), 50);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_whether_its_length_is_told_or_not() {
    let (gateway, _a, _b) = two((1, 0), &json!({"limits": {"bodyBytes": 10}})).await;
    let caller = gateway.caller();
    assert_eq!(caller.post("/endpoints/team/churn/score", &[], "0123456789").await.status, 200);
    let answer = caller.post("/endpoints/team/churn/score", &[], "01234567890").await;
    assert_eq!((answer.status, &*answer.code()), (413, "BodyTooLarge"));
    let client = Client::builder(TokioExecutor::new()).build_http();
    let parts = ["01234", "56789", "0"].map(|part| Ok::<_, std::io::Error>(Frame::data(Bytes::from(part))));
    let body = StreamBody::new(futures::stream::iter(parts));
    let uri = format!("http://{}/endpoints/team/churn/score", gateway.address);
    let answer = client.request(Request::post(uri).body(body).unwrap()).await.unwrap();
    assert_eq!(answer.status().as_u16(), 413);
}

#[tokio::test]
async fn an_answer_streams_while_its_revision_still_writes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let more = Arc::new(tokio::sync::Notify::new());
    let given = Arc::clone(&more);
    serve(listener, move |_| {
        let more = Arc::clone(&given);
        async move {
            let parts = futures::stream::unfold(0, move |part| {
                let more = Arc::clone(&more);
                async move {
                    if part == 1 {
                        more.notified().await;
                    }
                    let frame = Frame::data(Bytes::from(format!("part {part}")));
                    (part < 2).then_some((Ok::<_, gateway::body::Error>(frame), part + 1))
                }
            });
            Response::new(Answered::new(StreamBody::new(parts)))
        }
    });
    let revision = json!({"name": "a", "address": address, "weight": 1});
    let gateway = Gateway::start(&document(&[revision], &json!({}))).await;
    let uri = format!("http://{}/endpoints/team/churn/score", gateway.address).parse().unwrap();
    let mut body = gateway.caller().client.get(uri).await.unwrap().into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(&first[..], b"part 0");
    assert_eq!(gateway.of_revision("requests_in_flight", "a"), 1);
    more.notify_one();
    assert_eq!(&body.collect().await.unwrap().to_bytes()[..], b"part 1");
}
