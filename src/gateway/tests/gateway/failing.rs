//! Revisions that can't be reached, break, or take too long.
use http_body_util::BodyExt as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::{Backend, Behaviour, Gateway, document, until};

#[tokio::test]
async fn a_circuit_opens_after_failures_to_connect_and_closes_once_the_revision_is_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let revision = json!({"name": "a", "address": address.to_string(), "weight": 1});
    let circuit = |milliseconds: u64| {
        let more = json!({"retries": 0, "circuit": {"failures": 2, "openMilliseconds": milliseconds}});
        document(std::slice::from_ref(&revision), &more)
    };
    let gateway = Gateway::start(&circuit(60_000)).await;
    let caller = gateway.caller();
    for _ in 0..2 {
        assert_eq!(caller.score(&[]).await.code(), "RevisionUnreachable");
    }
    let answer = caller.score(&[]).await;
    assert_eq!((answer.status, &*answer.code(), answer.header("retry-after")), (503, "CircuitOpen", "60"));
    assert_eq!(gateway.of_revision("circuit_opened_total", "a"), 1);

    gateway.put(&circuit(20));
    for _ in 0..2 {
        assert_eq!(caller.score(&[]).await.code(), "RevisionUnreachable");
    }
    let backend = Backend::listen("a", Behaviour::Echo, TcpListener::bind(address).await.unwrap());
    // Requests find out by themselves that it is back.
    while caller.score(&[]).await.status != 200 {
        tokio::task::yield_now().await;
    }
    for _ in 0..10 {
        assert_eq!(caller.score(&[]).await.status, 200);
    }
    assert_eq!(backend.hits(), 11);
}

#[tokio::test]
async fn a_request_that_could_not_connect_is_tried_again_with_its_whole_body() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let revision = json!({"name": "a", "address": address.to_string(), "weight": 1});
    let gateway =
        Gateway::start(&document(&[revision], &json!({"retries": 9, "circuit": {"failures": 100}}))).await;
    let caller = gateway.caller();
    let path = "/endpoints/team/churn/score";
    let waiting = tokio::spawn(async move { caller.post(path, &[], "the body").await });
    until("an attempt failed", || gateway.of_revision("connect_retries_total", "a") >= 1).await;
    let backend = Backend::listen("a", Behaviour::Echo, TcpListener::bind(address).await.unwrap());
    let answer = waiting.await.unwrap();
    assert_eq!((answer.status, &answer.json()["body"], backend.hits()), (200, &json!("the body"), 1));
}

#[tokio::test]
async fn a_request_that_could_not_connect_goes_to_another_revision_and_counts_for_the_first() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let gone = |weight: u32| json!({"name": "gone", "address": address.to_string(), "weight": weight});
    let backend = Backend::start("b", Behaviour::Echo).await;
    let more = json!({"retries": 0, "circuit": {"failures": 1_000}});
    let gateway = Gateway::start(&document(&[gone(50), backend.revision("b", 50)], &more)).await;
    let caller = gateway.caller();
    for _ in 0..40 {
        let answer = caller.post("/endpoints/team/churn/score", &[], "the body").await;
        assert_eq!((answer.status, &answer.json()["body"]), (200, &json!("the body")));
        assert_eq!(answer.header(gateway::pick::CHOSEN), "b");
    }
    let of = |revision: &str, class: &str| {
        let labels = format!("code=\"{class}\",endpoint=\"team/churn\",revision=\"{revision}\"");
        gateway.metric(&format!("mlops_gateway_requests_total{{{labels}}}"))
    };
    until("all are counted", || of("b", "2xx") == 40).await;
    let failed = of("gone", "5xx");
    assert!((5..=35).contains(&failed), "{failed} of 40 came to the one that is gone first");
    assert_eq!((gateway.of_revision("requests_in_flight", "gone"), backend.hits()), (0, 40));

    // Who names a revision gets no other, and one without a share is no way out.
    let named = [(gateway::pick::CHOSEN, "gone")];
    assert_eq!(caller.score(&named).await.code(), "RevisionUnreachable");
    gateway.put(&document(&[gone(100), backend.revision("b", 0)], &more));
    assert_eq!(caller.score(&[]).await.code(), "RevisionUnreachable");
    assert_eq!(backend.hits(), 40);
}

#[tokio::test]
async fn a_request_of_which_a_byte_was_sent_is_never_repeated() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let revision = json!({"name": "a", "address": listener.local_addr().unwrap().to_string(), "weight": 1});
    let accepted = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 16];
        stream.read_exact(&mut head).await.unwrap();
        drop(stream);
        listener
    });
    let gateway = Gateway::start(&document(&[revision], &json!({}))).await;
    let answer = gateway.caller().score(&[]).await;
    assert_eq!((answer.status, &*answer.code()), (502, "RevisionFailed"));
    assert_eq!(gateway.of_revision("connect_retries_total", "a"), 0);
    accepted.await.unwrap();
}

#[tokio::test]
async fn a_revision_that_takes_too_long_is_given_up_and_told() {
    let backend = Backend::start("a", Behaviour::Never).await;
    let more = json!({"timeouts": {"requestMilliseconds": 30}});
    let gateway = Gateway::start(&document(&[backend.revision("a", 1)], &more)).await;
    let answer = gateway.caller().score(&[]).await;
    assert_eq!((answer.status, &*answer.code(), backend.hits()), (504, "RevisionTimeout", 1));
    let of_a = "mlops_gateway_requests_total{code=\"5xx\",endpoint=\"team/churn\",revision=\"a\"}";
    assert_eq!(gateway.metric(of_a), 1);
    assert!(!gateway.metrics().contains("revision=\"\""), "it is counted once");
    assert_eq!(gateway.of_revision("requests_in_flight", "a"), 0);
}

#[tokio::test]
async fn an_error_of_the_revision_is_passed_on_as_it_is() {
    let backend = Backend::start("a", Behaviour::Fails).await;
    let gateway = Gateway::start(&document(&[backend.revision("a", 1)], &json!({}))).await;
    let answer = gateway.caller().score(&[]).await;
    assert_eq!((answer.status, &answer.body[..]), (500, &b"{}"[..]));
}

#[tokio::test]
async fn an_answer_that_its_revision_cuts_off_is_a_failure_and_a_caller_that_goes_away_is_none() {
    for is_cut in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let revision = json!({"name": "a", "address": address, "weight": 1});
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_exact(&mut [0; 16]).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n01234").await.unwrap();
            (!is_cut).then_some((listener, stream))
        });
        let gateway = Gateway::start(&document(&[revision], &json!({}))).await;
        let uri = format!("http://{}/endpoints/team/churn/score", gateway.address).parse().unwrap();
        let answer = gateway.caller().client.get(uri).await;
        match answer {
            Ok(answer) if is_cut => {
                assert!(answer.into_body().collect().await.is_err(), "the caller must notice");
            }
            // What was cut off before the head was on its way ends the connection.
            Err(_) if is_cut => {}
            answer => drop(answer.unwrap()),
        }
        let count = |class: &str| {
            let labels = format!("code=\"{class}\",endpoint=\"team/churn\",revision=\"a\"");
            gateway.metric(&format!("mlops_gateway_requests_total{{{labels}}}"))
        };
        until("it is counted", || count("2xx") + count("5xx") == 1).await;
        assert_eq!(count("5xx"), u64::from(is_cut));
        drop(server.await.unwrap());
    }
}
