//! The way out: no request is lost between SIGTERM and the end of the process.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{DEADLINE, Server, client, demo, rows};

#[tokio::test(flavor = "multi_thread")]
async fn requests_during_the_drain_are_answered() {
    let path = demo("model-v1.onnx");
    let mut server = Server::ready(path.to_str().unwrap(), &["--drain-seconds", "60"]).await;
    let url = server.url("/v2/models/demo/infer");
    let body = rows()[0]["request"].to_string();
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (stop, answered, client) = (Arc::clone(&stop), Arc::clone(&answered), client());
            let (url, body) = (url.clone(), body.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let response = client.post(&url).body(body.clone()).send().await.unwrap();
                    assert_eq!(response.status(), 200);
                    response.bytes().await.unwrap();
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    server.terminate();
    let started = Instant::now();
    while server.get("/v2/health/ready").await.0 == 200 {
        assert!(started.elapsed() < DEADLINE, "readiness does not go away at once");
    }
    assert_eq!(server.get("/v2/health/live").await.0, 200);
    let response = server.client.post(&url).body(body).send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), response.headers()["connection"].to_str().unwrap()),
        (200, "close")
    );
    let (before, started) = (answered.load(Ordering::SeqCst), Instant::now());
    while answered.load(Ordering::SeqCst) < before + 100 {
        assert!(started.elapsed() < DEADLINE, "requests are not answered during the drain");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    // A second signal ends the drain.
    server.terminate();
    assert_eq!(server.exit_code().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn request_in_progress_is_finished_after_the_listener_closed() {
    let path = demo("model-v1.onnx");
    let mut server = Server::ready(path.to_str().unwrap(), &["--drain-seconds", "0"]).await;
    let body = rows()[0]["request"].to_string();
    let mut connection = TcpStream::connect(server.address).await.unwrap();
    let length = body.len();
    let head = format!("POST /v2/models/demo/infer HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(&body.as_bytes()[..20]).await.unwrap();
    let started = Instant::now();
    while !server.get_text("/metrics").await.1.contains("requests_in_flight 1") {
        assert!(started.elapsed() < DEADLINE, "the request does not arrive");
    }
    server.terminate();
    while TcpStream::connect(server.address).await.is_ok() {
        assert!(started.elapsed() < DEADLINE, "the listener does not close");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    connection.write_all(&body.as_bytes()[20..]).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("probabilities"), "{answer}");
    assert_eq!(server.exit_code().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn signal_before_the_model_is_loaded_ends_at_once() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/a.onnx", silent.local_addr().unwrap());
    let mut server = Server::start(&uri, &[]);
    let (_connection, _) = silent.accept().await.unwrap();
    server.terminate();
    assert_eq!(server.exit_code().await, 0);
    assert_eq!(std::fs::read_to_string(&server.termination).unwrap(), "");
}
