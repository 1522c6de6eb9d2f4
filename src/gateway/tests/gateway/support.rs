//! A gateway, model servers that do what a test needs, and a caller.
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use clap::Parser as _;
use gateway::arguments::Arguments;
use gateway::body::{Answered, whole};
use gateway::capture::Writer;
use gateway::registry::{Change, Registry};
use gateway::state::State;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Waits for a condition, which has to come true in any case.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), waiting).await.is_ok(), "never: {what}");
}

/// What a model server does.
#[derive(Clone)]
pub(crate) enum Behaviour {
    /// Says what it got.
    Echo,
    /// Answers this JSON.
    Says(Value),
    /// Fails.
    Fails,
    /// Takes the request and never answers.
    Never,
}

/// A model server.
pub(crate) struct Backend {
    pub(crate) address: String,
    pub(crate) hits: Arc<AtomicUsize>,
    pub(crate) behaviour: Arc<Mutex<Behaviour>>,
    /// What was answered as an echo.
    pub(crate) seen: Arc<Mutex<Vec<Value>>>,
}

impl Backend {
    pub(crate) async fn start(name: &str, behaviour: Behaviour) -> Self {
        Self::listen(name, behaviour, TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn listen(name: &str, behaviour: Behaviour, listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap().to_string();
        let (name, hits) = (name.to_owned(), Arc::<AtomicUsize>::default());
        let behaviour = Arc::new(Mutex::new(behaviour));
        let seen = Arc::<Mutex<Vec<Value>>>::default();
        let kept = Arc::clone(&seen);
        let (counter, current) = (Arc::clone(&hits), Arc::clone(&behaviour));
        serve(listener, move |request| {
            counter.fetch_add(1, Ordering::SeqCst);
            let seen = Arc::clone(&kept);
            let (name, behaviour) = (name.clone(), current.lock().unwrap().clone());
            async move {
                match behaviour {
                    Behaviour::Echo => echo(&name, request, &seen).await,
                    Behaviour::Says(answer) => Response::new(whole(answer.to_string())),
                    Behaviour::Fails => {
                        let mut response = Response::new(whole("{}"));
                        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                        response
                    }
                    Behaviour::Never => std::future::pending().await,
                }
            }
        });
        Self { address, hits, behaviour, seen }
    }

    pub(crate) fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }

    pub(crate) fn revision(&self, name: &str, weight: u32) -> Value {
        json!({"name": name, "address": self.address, "weight": weight})
    }
}

/// Answers every request of a listener.
pub(crate) fn serve<F>(
    listener: TcpListener,
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
) where
    F: Future<Output = Response<Answered>> + Send + 'static,
{
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let service = hyper::service::service_fn(move |request| {
                    let answer = answer(request);
                    async move { Ok::<_, std::convert::Infallible>(answer.await) }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                let _ = connection.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
}

async fn echo(name: &str, request: Request<Incoming>, seen: &Mutex<Vec<Value>>) -> Response<Answered> {
    let (parts, body) = request.into_parts();
    let headers: serde_json::Map<String, Value> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap())))
        .collect();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let answer = json!({
        "revision": name, "uri": parts.uri.to_string(), "headers": headers,
        "body": String::from_utf8_lossy(&body),
    });
    seen.lock().unwrap().push(answer.clone());
    Response::new(whole(answer.to_string()))
}

/// A document of the endpoint `team/churn`.
pub(crate) fn document(revisions: &[Value], more: &Value) -> Value {
    let mut document = json!({"namespace": "team", "name": "churn", "revisions": revisions});
    for (field, value) in more.as_object().into_iter().flatten() {
        document[field] = value.clone();
    }
    document
}

/// A gateway whose documents a test gives.
pub(crate) struct Gateway {
    pub(crate) state: Arc<State>,
    pub(crate) address: SocketAddr,
    pub(crate) writer: Option<Writer>,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) served: tokio::task::JoinHandle<bool>,
    registry: Mutex<Registry>,
}

impl Gateway {
    pub(crate) async fn start(document: &Value) -> Self {
        Self::with(document, &[]).await
    }

    pub(crate) async fn with(document: &Value, arguments: &[&str]) -> Self {
        let arguments =
            ["mlops-gateway", "--capture-milliseconds=1", "--instance=one"].iter().chain(arguments);
        let (state, writer) = gateway::start::state(&Arguments::parse_from(arguments)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let served = tokio::spawn(gateway::connections::serve(listener, None, Arc::clone(&state), stopped));
        let registry = Mutex::new(Registry::new(Arc::clone(&state)));
        let gateway = Self { state, address, writer: Some(writer), stop, served, registry };
        gateway.put(document);
        gateway
    }

    pub(crate) fn put(&self, document: &Value) {
        let name = format!("{}.json", document["name"]);
        self.apply(Change::Put(name, document.to_string()));
    }

    pub(crate) fn apply(&self, change: Change) {
        self.registry.lock().unwrap().apply(vec![change]);
    }

    pub(crate) fn metrics(&self) -> String {
        self.state.metrics.text().unwrap()
    }

    /// The value of a metric by its whole name with labels; 0 when there is none.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let metrics = self.metrics();
        let line =
            metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
        line.map_or(0, |value| value.parse::<f64>().unwrap() as u64)
    }

    pub(crate) fn mirrored(&self, revision: &str, result: &str) -> u64 {
        let labels = format!("endpoint=\"team/churn\",result=\"{result}\",revision=\"{revision}\"");
        self.metric(&format!("mlops_gateway_mirror_requests_total{{{labels}}}"))
    }

    pub(crate) fn captured(&self, result: &str) -> u64 {
        let labels = format!("endpoint=\"team/churn\",result=\"{result}\"");
        self.metric(&format!("mlops_gateway_capture_records_total{{{labels}}}"))
    }

    pub(crate) fn of_revision(&self, metric: &str, revision: &str) -> u64 {
        self.metric(&format!("mlops_gateway_{metric}{{endpoint=\"team/churn\",revision=\"{revision}\"}}"))
    }

    pub(crate) fn caller(&self) -> Caller {
        Caller { client: Client::builder(TokioExecutor::new()).build_http(), address: self.address }
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A caller with a pool of connections.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) client: Client<HttpConnector, Full<Bytes>>,
    pub(crate) address: SocketAddr,
}

impl Caller {
    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let mut request =
            Request::builder().method(Method::POST).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.client.request(request.body(Full::new(body.into())).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// Scores `{}`.
    pub(crate) async fn score(&self, headers: &[(&str, &str)]) -> Answer {
        self.post("/endpoints/team/churn/score", headers, "{}").await
    }
}
