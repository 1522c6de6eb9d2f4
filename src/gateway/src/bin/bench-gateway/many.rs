//! Ten thousand endpoints, each in a ConfigMap of its own, from an API server that is played: what they take in memory,
//! and how soon a change of one is live.
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use gateway::body::{Answered, Error, whole};
use http::{HeaderValue, Request, Response};
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::Failure;
use crate::load::Target;
use crate::proxies::{Proxy, Scene, gateway};

/// Endpoints beside the one that is called.
const ENDPOINTS: usize = 10_000;
/// Changes that are timed.
const CHANGES: u32 = 10;

/// What was found.
pub(crate) struct Found {
    /// MiB with all of them configured.
    pub(crate) configured: f64,
    /// MiB once each has answered.
    pub(crate) used: f64,
    /// From the event to the first answer by it; the longest.
    pub(crate) change: Duration,
    /// From the start of the process to the first answer.
    pub(crate) start: Duration,
}

#[derive(Default)]
struct Server {
    maps: Vec<String>,
    watches: Mutex<Vec<mpsc::UnboundedSender<Bytes>>>,
}

impl Server {
    async fn start(self: Arc<Self>) -> Result<SocketAddr, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = Arc::clone(&self);
                tokio::spawn(async move {
                    let service = hyper::service::service_fn(|request: Request<Incoming>| {
                        let answer = server.answer(request.uri().query().unwrap_or_default());
                        async move { Ok::<_, Infallible>(answer) }
                    });
                    let builder = hyper::server::conn::http1::Builder::new();
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(address)
    }

    fn answer(&self, query: &str) -> Response<Answered> {
        let parameter = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name));
        let mut response = if parameter("watch=").is_some() {
            let (sender, receiver) = mpsc::unbounded_channel();
            self.watches.lock().map(|mut watches| watches.push(sender)).unwrap_or_default();
            let parts = futures::stream::unfold(receiver, |mut receiver| async move {
                let part: Bytes = receiver.recv().await?;
                Some((Ok::<_, Error>(Frame::data(part)), receiver))
            });
            Response::new(Answered::new(StreamBody::new(parts)))
        } else {
            let number = |name| parameter(name).and_then(|text| text.parse::<usize>().ok());
            let from = number("continue=").unwrap_or(0);
            let page = number("limit=").unwrap_or(self.maps.len());
            let end = (from + page).min(self.maps.len());
            let next = if end < self.maps.len() { end.to_string() } else { String::new() };
            let items = self.maps.get(from..end).unwrap_or_default().join(",");
            Response::new(whole(format!(
                r#"{{"kind":"ConfigMapList","apiVersion":"v1","metadata":{{"resourceVersion":"1","continue":"{next}"}},"items":[{items}]}}"#
            )))
        };
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
        response
    }

    fn tell(&self, map: &Value) {
        let line = format!("{}\n", json!({"type": "MODIFIED", "object": map}));
        if let Ok(watches) = self.watches.lock() {
            for watch in &*watches {
                let _ = watch.send(line.clone().into());
            }
        }
    }
}

fn map(name: &str, version: u32, document: &Value) -> Value {
    json!({
        "kind": "ConfigMap", "apiVersion": "v1", "data": {"route.json": document.to_string()},
        "metadata": {
            "name": format!("route-{name}"), "namespace": "mlops", "resourceVersion": version.to_string(),
            "uid": format!("00000000-0000-4000-8000-{version:012}"), "labels": {"mlops-operator.dev/gateway-route": "true"},
            "managedFields": [{"manager": "mlops-operator", "operation": "Apply", "apiVersion": "v1"}],
        },
    })
}

/// Measures.
pub(crate) async fn measure(scene: &Scene) -> Result<Found, Failure> {
    let names: Vec<String> = (0..ENDPOINTS).map(|number| format!("endpoint-{number}")).collect();
    let of = |name: &str| map(name, 1, &scene.document(name, 10, &json!({}))).to_string();
    let maps = names.iter().map(|name| of(name)).chain([of("churn")]).collect();
    let server = Arc::new(Server { maps, ..Server::default() });
    let address = Arc::clone(&server).start().await?;
    let (proxy, start) = start(scene, address).await?;
    let configured = proxy.memory()?;
    let mut change = Duration::ZERO;
    for version in 0..CHANGES {
        // Every answer comes from the canary, or none does.
        let canary = 100 * (version % 2);
        let wanted = if version % 2 == 1 { "canary" } else { "stable" };
        let begun = Instant::now();
        server.tell(&map("churn", 2 + version, &scene.document("churn", canary, &json!({}))));
        let mut connection = proxy.target.connect().await?;
        let header = format!("azureml-model-deployment: {wanted}");
        let mut at_first = begun;
        // One answer may be by chance what the change makes of all.
        let mut in_a_row = 0;
        while in_a_row < 100 {
            let head = String::from_utf8_lossy(connection.call().await?).to_ascii_lowercase();
            if head.contains(&header) {
                in_a_row += 1;
                if in_a_row == 1 {
                    at_first = Instant::now();
                }
            } else {
                in_a_row = 0;
            }
            if begun.elapsed() > Duration::from_secs(30) {
                return Err("a change does not come into force".into());
            }
        }
        change = change.max(at_first - begun);
    }
    let mut connection = proxy.target.connect().await?;
    for name in &names {
        connection.ask(&Target::new(proxy.target.address, &format!("/endpoints/team/{name}/score")));
        connection.call().await?;
    }
    Ok(Found { configured, used: proxy.memory()?, change, start })
}

async fn start(scene: &Scene, server: SocketAddr) -> Result<(Proxy, Duration), Failure> {
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": {"server": format!("http://{server}")}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench", "namespace": "mlops"}}],
        "users": [{"name": "bench", "user": {}}],
    });
    let path = scene.below("many")?.join("kubeconfig");
    std::fs::write(&path, kubeconfig.to_string())?;
    let begun = Instant::now();
    let proxy = scene.run("many", gateway()?.env("KUBECONFIG", path), "warn").await?;
    Ok((proxy, begun.elapsed()))
}
