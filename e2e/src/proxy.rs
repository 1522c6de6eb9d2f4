//! An HTTPS proxy in front of the API server that does to requests and watches what a bad network does.
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, BodyStream, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Answer = Response<UnsyncBoxBody<Bytes, Failure>>;
type Rule = Box<dyn FnMut(&Seen) -> Fault + Send>;

/// One request as the proxy sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    /// `get`, `list`, `watch`, `create`, `apply`, `update` or `delete`.
    pub verb: &'static str,
    /// The plural, with a subresource behind a slash.
    pub resource: String,
    /// The name, empty for lists, watches and creates.
    pub name: String,
}

impl Seen {
    /// Whether it writes anything but the lease.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb, "get" | "list" | "watch") && self.resource != "leases"
    }
}

/// What to do to a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Nothing.
    Pass,
    /// Answer with a status, a message and the seconds to wait, 0 for none, without asking the API server.
    Answer(u16, &'static str, u32),
    /// Keep it, and never answer.
    HoldRequest,
    /// Do as asked, but keep the answer for ever.
    HoldAnswer,
    /// Close the connection instead of asking.
    DropRequest,
    /// Do as asked, but close the connection instead of answering.
    DropAnswer,
}

struct State {
    client: Client,
    rule: Mutex<Rule>,
    seen: Mutex<Vec<Seen>>,
    held: AtomicUsize,
    partitioned: AtomicBool,
    /// Milliseconds that each event of a watch is late.
    watch_delay: AtomicU64,
    watches: AtomicU64,
    /// Watches with a lower number say nothing any more.
    silent_below: AtomicU64,
}

/// A proxy; it ends when dropped.
pub struct Proxy {
    state: Arc<State>,
    kubeconfig: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Starts one that asks the API server with the rights of `client`; its kubeconfig is written into `folder`.
    pub async fn start(client: Client, folder: &Path, name: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let authority = folder.join(format!("proxy-{name}.crt"));
        let acceptor = certificate(&authority)?;
        let kubeconfig = folder.join(format!("proxy-{name}.kubeconfig"));
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
            "clusters": [{"name": "proxy", "cluster": {
                "server": format!("https://127.0.0.1:{}", address.port()), "certificate-authority": authority,
            }}],
            "users": [{"name": "proxy", "user": {}}],
        });
        std::fs::write(&kubeconfig, config.to_string())?;
        let state = Arc::new(State {
            client,
            rule: Mutex::new(Box::new(|_| Fault::Pass)),
            seen: Mutex::default(),
            held: AtomicUsize::new(0),
            partitioned: AtomicBool::new(false),
            watch_delay: AtomicU64::new(0),
            watches: AtomicU64::new(1),
            silent_below: AtomicU64::new(0),
        });
        let task = tokio::spawn(accept(listener, acceptor, Arc::clone(&state)));
        Ok(Self { state, kubeconfig, task })
    }

    /// The kubeconfig that leads through the proxy.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Asks this of each request from now on; requests seen before are forgotten.
    pub fn set_rule(&self, rule: impl FnMut(&Seen) -> Fault + Send + 'static) {
        *lock(&self.state.rule) = Box::new(rule);
        lock(&self.state.seen).clear();
        self.state.held.store(0, Ordering::SeqCst);
    }

    /// Lets every request pass from now on.
    pub fn clear_rule(&self) {
        self.set_rule(|_| Fault::Pass);
    }

    /// The requests since the rule was set.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.state.seen).clone()
    }

    /// How many requests or answers were held since the rule was set.
    pub fn held(&self) -> usize {
        self.state.held.load(Ordering::SeqCst)
    }

    /// Makes each event of each watch late.
    pub fn delay_watches(&self, delay: Duration) {
        let milliseconds = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.state.watch_delay.store(milliseconds, Ordering::SeqCst);
    }

    /// The watches that are open now say nothing more, although their connections stay; later ones are not concerned.
    pub fn silence_watches(&self) {
        self.state.silent_below.store(self.state.watches.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Holds every request and every event from now on, or no longer. What is held stays held.
    pub fn partition(&self, partitioned: bool) {
        self.state.partitioned.store(partitioned, Ordering::SeqCst);
        if partitioned {
            self.silence_watches();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn certificate(path: &Path) -> anyhow::Result<TlsAcceptor> {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])?;
    std::fs::write(path, made.cert.pem())?;
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
    let key = key.map_err(|error| anyhow::anyhow!("failed to use the proxy's key: {error}"))?;
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, state: Arc<State>) {
    // The connections end with the proxy.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(connection(stream, acceptor.clone(), Arc::clone(&state)));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, state: Arc<State>) {
    // A client that goes away in the middle is part of the tests.
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(move |request| answer(request, Arc::clone(&state)));
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, state: Arc<State>) -> Result<Answer, Failure> {
    let seen = look(&request);
    if state.partitioned.load(Ordering::SeqCst) {
        return hold().await;
    }
    lock(&state.seen).push(seen.clone());
    let fault = (lock(&state.rule))(&seen);
    match fault {
        Fault::Answer(code, reason, wait) => return Ok(refusal(code, reason, wait)),
        Fault::DropRequest => return Err("the request is dropped".into()),
        Fault::HoldRequest => {
            state.held.fetch_add(1, Ordering::SeqCst);
            return hold().await;
        }
        Fault::Pass | Fault::HoldAnswer | Fault::DropAnswer => {}
    }
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    for name in ["host", "connection", "content-length", "authorization"] {
        parts.headers.remove(name);
    }
    let answered = state.client.send(Request::from_parts(parts, body.into())).await?;
    let (mut parts, body) = answered.into_parts();
    for name in ["connection", "transfer-encoding", "content-length"] {
        parts.headers.remove(name);
    }
    if seen.verb == "watch" {
        return Ok(Response::from_parts(parts, events(body, &state)));
    }
    let body = body.collect_bytes().await?;
    match fault {
        Fault::HoldAnswer => {
            state.held.fetch_add(1, Ordering::SeqCst);
            hold().await
        }
        Fault::DropAnswer => Err("the answer is dropped".into()),
        _ => Ok(Response::from_parts(parts, whole(body))),
    }
}

async fn hold() -> Result<Answer, Failure> {
    std::future::pending::<()>().await;
    Err("held".into())
}

fn whole(body: Bytes) -> UnsyncBoxBody<Bytes, Failure> {
    Full::new(body).map_err(|never: Infallible| match never {}).boxed_unsync()
}

fn refusal(code: u16, message: &str, wait: u32) -> Answer {
    let reason = match code {
        403 => "Forbidden",
        409 => "Conflict",
        422 => "Invalid",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
        "message": message, "reason": reason, "details": {"retryAfterSeconds": wait},
    });
    let mut answer = Response::new(whole(Bytes::from(status.to_string())));
    *answer.status_mut() = http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::BAD_GATEWAY);
    answer.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    if wait > 0 {
        answer.headers_mut().insert("retry-after", http::HeaderValue::from(wait));
    }
    answer
}

/// The events of a watch, late or lost as the state says.
fn events(body: kube::client::Body, state: &Arc<State>) -> UnsyncBoxBody<Bytes, Failure> {
    let number = state.watches.fetch_add(1, Ordering::SeqCst);
    let (sender, receiver) = futures::channel::mpsc::unbounded();
    // Reads at once, so that only the hand-over is late, not the next event too.
    let reader = tokio::spawn(async move {
        let mut frames = BodyStream::new(body);
        while let Some(frame) = frames.next().await {
            if sender.unbounded_send((Instant::now(), frame)).is_err() {
                return;
            }
        }
    });
    let state = Arc::clone(state);
    let guard = AbortOnDrop(reader);
    let late = receiver.then(move |(seen, frame)| {
        let (state, _guard) = (Arc::clone(&state), &guard);
        let delay = Duration::from_millis(state.watch_delay.load(Ordering::SeqCst));
        async move {
            tokio::time::sleep_until(seen + delay).await;
            if number < state.silent_below.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            let frame: Frame<Bytes> = frame.map_err(Failure::from)?;
            Ok(frame)
        }
    });
    StreamBody::new(late).boxed_unsync()
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a request asks for: `/api/v1/...` or `/apis/GROUP/VERSION/...`, below a namespace or not.
fn look<B>(request: &Request<B>) -> Seen {
    let path = request.uri().path();
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let skip = if parts.first() == Some(&"api") { 2 } else { 3 };
    parts.drain(..skip.min(parts.len()));
    if parts.first() == Some(&"namespaces") && parts.len() > 2 {
        parts.drain(..2);
    }
    let part = |index: usize| parts.get(index).copied().unwrap_or_default();
    let (resource, name, subresource) = (part(0), part(1), part(2));
    let watches =
        request.uri().query().is_some_and(|query| query.contains("watch=true") || query.contains("watch=1"));
    let verb = match *request.method() {
        http::Method::GET if watches => "watch",
        http::Method::GET if name.is_empty() => "list",
        http::Method::GET => "get",
        http::Method::POST => "create",
        http::Method::PATCH => "apply",
        http::Method::PUT => "update",
        _ => "delete",
    };
    let resource =
        if subresource.is_empty() { resource.to_owned() } else { format!("{resource}/{subresource}") };
    Seen { verb, resource, name: name.to_owned() }
}
