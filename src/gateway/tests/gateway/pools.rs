//! Connections to revisions: kept, closed meanwhile, and given up.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Gateway, document, until};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

#[derive(Default)]
struct Counts {
    opened: AtomicUsize,
    closed: AtomicUsize,
}

/// A revision that answers so many requests on each connection, and then closes it without a word.
async fn revision(requests: usize) -> (String, Arc<Counts>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let counts = Arc::<Counts>::default();
    let shared = Arc::clone(&counts);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            shared.opened.fetch_add(1, Ordering::SeqCst);
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                answer(stream, requests).await;
                shared.closed.fetch_add(1, Ordering::SeqCst);
            });
        }
    });
    (address, counts)
}

async fn answer(mut stream: TcpStream, requests: usize) {
    for _ in 0..requests {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n{}") {
            if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                return;
            }
        }
        stream.write_all(ANSWER).await.unwrap();
    }
}

async fn gateway(address: &str) -> Gateway {
    let revision = json!({"name": "a", "address": address, "weight": 1});
    Gateway::start(&document(&[revision], &json!({}))).await
}

#[tokio::test]
async fn one_connection_serves_one_request_after_another() {
    let (address, counts) = revision(usize::MAX).await;
    let gateway = gateway(&address).await;
    for _ in 0..20 {
        assert_eq!(gateway.caller().score(&[]).await.status, 200);
    }
    assert_eq!(counts.opened.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_that_its_revision_closed_meanwhile_is_not_used() {
    let (address, counts) = revision(1).await;
    let gateway = gateway(&address).await;
    for round in 1..=20 {
        assert_eq!(gateway.caller().score(&[]).await.status, 200);
        until("it is closed", || counts.closed.load(Ordering::SeqCst) == round).await;
        // A call that leads nowhere: what the network told before it is known after it.
        assert_eq!(gateway.caller().post("/nowhere", &[], "").await.status, 404);
    }
    assert_eq!(counts.opened.load(Ordering::SeqCst), 20);
}

#[tokio::test]
async fn idle_connections_go_with_the_table_that_had_them() {
    let (address, counts) = revision(usize::MAX).await;
    let gateway = gateway(&address).await;
    assert_eq!(gateway.caller().score(&[]).await.status, 200);
    assert_eq!(counts.closed.load(Ordering::SeqCst), 0);
    gateway.put(&document(&[], &json!({})));
    until("it is closed", || counts.closed.load(Ordering::SeqCst) == 1).await;
}
