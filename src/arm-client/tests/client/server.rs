//! A server that answers as a test says, and remembers what it was asked.
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arm::{Cloud, Endpoints, ResourceId};
use arm_client::{Client, Config, CredentialSource, Session};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, HeaderName, Request, Response, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A token that no message, log or other host may ever hold.
pub(crate) const TOKEN: &str = "canary-token-7d1f";

/// What the server was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) at: Instant,
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

/// What the server answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
    delay: Duration,
}

impl Reply {
    pub(crate) fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::new(status).text(&body.to_string()).header("content-type", "application/json")
    }

    pub(crate) fn text(mut self, body: &str) -> Self {
        body.clone_into(&mut self.body);
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

/// A running server; it ends with the runtime of its test.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// A server that answers by a function of what it is asked and of how often it was asked before.
    pub(crate) async fn start(
        answer: impl Fn(&Asked, usize) -> Reply + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self { address: listener.local_addr().unwrap(), asked: Arc::default() };
        let log = server.asked.clone();
        let router = Router::new().fallback(move |request: Request<Body>| {
            let (answer, log) = (answer.clone(), log.clone());
            async move {
                let asked = read(request).await;
                let before = {
                    let mut log = log.lock().unwrap();
                    log.push(asked.clone());
                    log.len() - 1
                };
                respond(answer(&asked, before)).await
            }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    /// A server that sends bytes, whatever it is asked, and hangs up.
    pub(crate) async fn raw(bytes: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self { address: listener.local_addr().unwrap(), asked: Arc::default() };
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(bytes).await;
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Methods and targets of all that it was asked.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked().iter().map(|it| format!("{} {}", it.method, it.target)).collect()
    }

    pub(crate) fn config(&self) -> Config {
        let endpoints = Endpoints { resource_manager: self.url(), ..Cloud::AzurePublic.endpoints() };
        Config { cloud: Cloud::Custom(endpoints), loopback_http: true, ..Config::default() }
    }

    pub(crate) fn session(&self) -> Session {
        session(self.config())
    }
}

pub(crate) fn session(config: Config) -> Session {
    Client::new(config).unwrap().with(&CredentialSource::Token(TOKEN.into()))
}

async fn read(request: Request<Body>) -> Asked {
    let (parts, body) = request.into_parts();
    let bytes: Bytes = to_bytes(body, 1 << 20).await.unwrap_or_default();
    Asked {
        at: Instant::now(),
        method: parts.method.to_string(),
        target: parts.uri.to_string(),
        headers: parts.headers,
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
    }
}

async fn respond(reply: Reply) -> Response<Body> {
    tokio::time::sleep(reply.delay).await;
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap();
    for (name, value) in reply.headers {
        response.headers_mut().append(HeaderName::from_static(name), value.parse().unwrap());
    }
    response
}

pub(crate) fn workspace(name: &str) -> ResourceId {
    ResourceId::parse(&format!("{COLLECTION}/{name}")).unwrap()
}

/// The workspaces of a resource group.
pub(crate) const COLLECTION: &str =
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces";
