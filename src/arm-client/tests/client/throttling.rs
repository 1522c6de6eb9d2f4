//! Throttling: no call before the server wants one.
use std::time::{Duration, Instant};

use arm::ErrorClass;
use arm_client::{Config, Limit, Limits};
use futures::future::join_all;
use serde_json::json;

use crate::server::{Reply, Server, session, workspace};

fn throttled() -> Reply {
    let error = json!({"error": {"code": "SubscriptionRequestsThrottled", "message": "slow down"}});
    Reply::json(429, &error).header("retry-after-ms", "400")
}

#[tokio::test]
async fn a_closed_bucket_makes_no_call_before_the_server_s_time() {
    let server = Server::start(|_, before| match before {
        0 => throttled(),
        _ => Reply::json(200, &json!({})),
    })
    .await;
    let session = server.session();
    let error = session.get(&workspace("first")).await.unwrap_err();
    assert_eq!((error.class, error.retry_after), (ErrorClass::Throttled, Some(Duration::from_millis(400))));
    join_all(["a", "b"].map(|name| {
        let (session, id) = (session.clone(), workspace(name));
        async move { session.get(&id).await.unwrap() }
    }))
    .await;
    let asked = server.asked();
    let reads: Vec<Instant> = asked.iter().filter(|it| it.method == "GET").map(|it| it.at).collect();
    assert!(reads[1..].iter().all(|at| *at >= reads[0] + Duration::from_millis(400)));
    assert_eq!(reads.len(), 3);
}

/// A server that asks for longer than any test takes.
fn closed() -> Reply {
    let error = json!({"error": {"code": "SubscriptionRequestsThrottled", "message": "slow down"}});
    Reply::json(429, &error).header("retry-after", "600")
}

#[tokio::test]
async fn writes_have_a_bucket_of_their_own() {
    let server = Server::start(|_, before| match before {
        0 => closed(),
        _ => Reply::json(200, &json!({})),
    })
    .await;
    let session = server.session();
    session.get(&workspace("first")).await.unwrap_err();
    session.put(&workspace("w"), &json!({})).await.unwrap();
}

#[tokio::test]
async fn a_wait_that_is_too_long_is_handed_to_the_caller() {
    let server = Server::start(|_, _| closed()).await;
    let config = Config { patience: Duration::from_millis(100), ..server.config() };
    let session = session(config);
    session.get(&workspace("w")).await.unwrap_err();
    let error = session.get(&workspace("w")).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Throttled);
    assert!(error.retry_after.unwrap() > Duration::from_millis(100), "{error}");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_busy_resource_does_not_hold_up_the_others() {
    let server = Server::start(|_, before| match before {
        0 => {
            let code = "RetryableErrorDueToAnotherOperation";
            Reply::json(429, &json!({"error": {"code": code, "message": "busy"}})).header("retry-after", "60")
        }
        _ => Reply::json(200, &json!({})),
    })
    .await;
    let session = server.session();
    let error = session.put(&workspace("w"), &json!({})).await.unwrap_err();
    assert_eq!((error.class, error.retry_after), (ErrorClass::Busy, Some(Duration::from_mins(1))));
    session.put(&workspace("other"), &json!({})).await.unwrap();
}

#[tokio::test]
async fn calls_keep_to_the_bucket() {
    let server = Server::start(|_, _| Reply::json(200, &json!({}))).await;
    let reads = Limit { burst: 5, per_second: 50.0 };
    let limits = Limits { reads, ..Limits::default() };
    let session = session(Config { limits, coalesce: false, ..server.config() });
    let begun = Instant::now();
    let names: Vec<String> = (0..20).map(|number| format!("w{number}")).collect();
    join_all(names.iter().map(|name| {
        let (session, id) = (session.clone(), workspace(name));
        async move { session.get(&id).await.unwrap() }
    }))
    .await;
    assert!(begun.elapsed() >= Duration::from_millis(290), "{:?}", begun.elapsed());
    assert_eq!(server.asked().len(), 20);
}

#[tokio::test]
async fn the_headers_of_the_server_lower_the_bucket() {
    let server = Server::start(|_, _| {
        Reply::json(200, &json!({})).header("x-ms-ratelimit-remaining-subscription-reads", "0")
    })
    .await;
    let reads = Limit { burst: 100, per_second: 4.0 };
    let limits = Limits { reads, ..Limits::default() };
    let session = session(Config { limits, ..server.config() });
    session.get(&workspace("a")).await.unwrap();
    let begun = Instant::now();
    session.get(&workspace("b")).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
}
