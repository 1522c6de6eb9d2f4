//! Plays the part of a replica of the inference gateway that tells what it measured, and of a Prometheus.
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What a revision does of every hundred requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    /// Answers with status 500.
    pub errors: u64,
    /// Predictions on copies that differ from those of the stable revision.
    pub disagreements: u64,
}

/// A replica of the gateway whose every answer counts a hundred requests more for each revision; it ends when dropped.
pub struct Measured {
    address: String,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

struct State {
    started: Instant,
    looks: Mutex<BTreeMap<String, u64>>,
    rates: Mutex<BTreeMap<String, Rates>>,
    revisions: Mutex<Vec<String>>,
    /// What Prometheus answers, and what it was asked.
    metric: Mutex<Option<f64>>,
    queries: Mutex<Vec<String>>,
}

impl Measured {
    /// Starts it; it knows of no revision.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let state = Arc::new(State {
            started: Instant::now(),
            looks: Mutex::default(),
            rates: Mutex::default(),
            revisions: Mutex::default(),
            metric: Mutex::default(),
            queries: Mutex::default(),
        });
        let task = tokio::spawn(serve(listener, Arc::clone(&state)));
        Ok(Self { address, state, task })
    }

    /// Its address, as the operator's argument `--gateway-admin`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// From now on, this revision gets requests, and answers them like this.
    pub fn set(&self, revision: &str, rates: Rates) {
        lock(&self.state.rates).insert(revision.to_owned(), rates);
        let mut revisions = lock(&self.state.revisions);
        if !revisions.iter().any(|it| it == revision) {
            revisions.push(revision.to_owned());
        }
    }

    /// From now on, every query of Prometheus has this result, or none.
    pub fn set_metric(&self, metric: Option<f64>) {
        *lock(&self.state.metric) = metric;
    }

    /// What Prometheus was asked, as it stands in the address.
    pub fn queries(&self) -> Vec<String> {
        lock(&self.state.queries).clone()
    }

    /// How often an Endpoint was asked about, given as `NAMESPACE/NAME`.
    pub fn looks(&self, endpoint: &str) -> u64 {
        lock(&self.state.looks).get(endpoint).copied().unwrap_or(0)
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let query = request.uri().query().unwrap_or_default();
                let body = match request.uri().path() {
                    "/api/v1/query" if query.contains("revision") => state.share_of_errors(query),
                    "/api/v1/query" => state.number(query),
                    _ => state.answer(query),
                };
                let answer = Response::builder().header("content-type", "application/json");
                let answer = answer.body(Full::new(Bytes::from(body.to_string())));
                async move { Ok::<_, Infallible>(answer.unwrap_or_default()) }
            });
            // Whoever asked may go away.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

impl State {
    fn number(&self, query: &str) -> Value {
        lock(&self.queries).push(query.to_owned());
        let metric = *lock(&self.metric);
        let result: Vec<Value> =
            metric.iter().map(|it| json!({"metric": {}, "value": [0, it.to_string()]})).collect();
        json!({"status": "success", "data": {"resultType": "vector", "result": result}})
    }

    /// What Prometheus answers to any query that names a revision.
    fn share_of_errors(&self, query: &str) -> Value {
        let rates = lock(&self.rates);
        let named = rates.iter().find(|(name, _)| query.contains(name.as_str()));
        let share = named.map_or(0.0, |(_, rates)| rates.errors as f64 / 100.0);
        json!({"status": "success", "data": {"resultType": "scalar", "result": [0, share.to_string()]}})
    }

    fn answer(&self, query: &str) -> Value {
        let endpoint = query.trim_start_matches("endpoint=").replace("%2F", "/");
        let looks = {
            let mut looks = lock(&self.looks);
            let looks = looks.entry(endpoint).or_default();
            *looks += 1;
            *looks
        };
        let rates = lock(&self.rates).clone();
        let told = |name: &String| {
            let rates = rates.get(name).copied().unwrap_or_default();
            let requests = looks * 100;
            let (errors, different) = (looks * rates.errors, looks * rates.disagreements);
            let body = json!({
                "answers": {"2xx": requests - errors, "5xx": errors},
                "latency": {"count": requests, "sumSeconds": 0.01 * requests as f64, "buckets": [[0.01, requests]]},
                "inFlight": 0, "queued": 0,
                "mirror": {"agreed": requests - different, "disagreed": different, "failed": 0, "incomparable": 0,
                    "dropped": 0, "samePredictions": requests - different, "differentPredictions": different},
            });
            (name.clone(), body)
        };
        let revisions: serde_json::Map<String, Value> = lock(&self.revisions).iter().map(told).collect();
        json!({
            "instance": "one",
            "uptimeMilliseconds": self.started.elapsed().as_millis() as u64,
            "revisions": revisions,
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
