//! Long-running operations, from start to end, and taken up by another process.
use arm::{ErrorClass, Operation, Progress, Started};
use serde_json::json;

use crate::server::{Reply, Server, workspace};

/// Polls until an operation ends, each time by a client that knows only what a status holds.
async fn follow(server: &Server, mut operation: Operation) -> Progress {
    for _ in 0..20 {
        let kept = serde_json::to_string(&operation).unwrap();
        let operation_of_status: Operation = serde_json::from_str(&kept).unwrap();
        match server.session().poll(&operation_of_status).await.unwrap() {
            Progress::Running(next) => operation = next,
            ended => return ended,
        }
    }
    panic!("it never ends")
}

fn running(started: Started) -> Operation {
    match started {
        Started::Running(operation) => operation,
        Started::Done(_) => panic!("it is done"),
    }
}

#[tokio::test]
async fn an_operation_with_a_status_of_its_own_is_followed() {
    let server = Server::start(|asked, before| {
        let status =
            format!("http://{}/status?token={}", asked.headers["host"].to_str().unwrap(), "x".repeat(5000));
        match (asked.method.as_str(), before) {
            ("PUT", _) => Reply::json(201, &json!({"properties": {"provisioningState": "Creating"}}))
                .header("azure-asyncoperation", status)
                .header("x-ms-async-operation-timeout", "PT1H"),
            (_, 1..3) => Reply::json(200, &json!({"status": "InProgress"})),
            _ => Reply::json(200, &json!({"status": "Succeeded"})),
        }
    })
    .await;
    let operation = running(server.session().put(&workspace("w"), &json!({})).await.unwrap());
    assert!(operation.url.len() > 5000 && operation.deadline.is_some());
    assert_eq!(follow(&server, operation).await, Progress::Succeeded(None));
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test]
async fn an_operation_with_a_location_is_followed_where_it_moves() {
    let server = Server::start(|asked, _| {
        if asked.method == "POST" {
            return Reply::new(202).header("location", "/one");
        }
        match asked.target.as_str() {
            "/one" => Reply::new(202).header("location", "/two").header("retry-after-ms", "100"),
            _ => Reply::json(200, &json!({"value": {"code": "ok"}})),
        }
    })
    .await;
    let operation = running(server.session().post(&workspace("w"), "diagnose", None).await.unwrap());
    let result = json!({"value": {"code": "ok"}});
    assert_eq!(follow(&server, operation).await, Progress::Succeeded(Some(result)));
}

#[tokio::test]
async fn an_operation_without_headers_is_followed_by_the_resource() {
    let server = Server::start(|asked, before| {
        let state = if asked.method == "PUT" || before < 3 { "Creating" } else { "Failed" };
        Reply::json(200, &json!({"properties": {"provisioningState": state}}))
    })
    .await;
    let operation = running(server.session().put(&workspace("w"), &json!({})).await.unwrap());
    assert!(matches!(follow(&server, operation).await, Progress::Failed(_)));
    assert!(server.lines()[1..].iter().all(|line| line.starts_with("GET ") && line.contains("api-version=")));
}

#[tokio::test]
async fn an_operation_that_the_server_forgot_is_lost() {
    let server = Server::start(|asked, _| match asked.method.as_str() {
        "PUT" => Reply::new(202).header("location", "/one"),
        _ => Reply::json(404, &json!({"error": {"code": "NotFound", "message": "no such operation"}})),
    })
    .await;
    let operation = running(server.session().put(&workspace("w"), &json!({})).await.unwrap());
    assert_eq!(follow(&server, operation).await, Progress::Lost);
}

#[tokio::test]
async fn trouble_of_the_service_does_not_end_an_operation() {
    let cases = [(503, ErrorClass::Unreachable), (429, ErrorClass::Throttled), (403, ErrorClass::Forbidden)];
    for (status, class) in cases {
        let server = Server::start(move |asked, _| match asked.method.as_str() {
            "DELETE" => Reply::new(202).header("location", "/one"),
            _ => Reply::new(status),
        })
        .await;
        let operation = running(server.session().delete(&workspace("w"), "").await.unwrap());
        let error = server.session().poll(&operation).await.unwrap_err();
        assert_eq!(error.class, class);
    }
}
