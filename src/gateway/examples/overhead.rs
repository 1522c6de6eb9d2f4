//! What the gateway adds to a call: the same calls directly and through it, in turn, in one run; prints JSON.
//!
//! `cargo run -p gateway --release --example overhead -- [CALLERS] [SECONDS]`
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser as _;
use gateway::arguments::Arguments;
use gateway::body::whole;
use gateway::registry::{Change, Registry};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::watch;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const ANSWER: &str = r#"{"outputs":[{"name":"label","datatype":"INT64","shape":[1],"data":[1]}]}"#;
const REQUEST: &str = r#"{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":[1,2,3,4]}]}"#;
/// Endpoints beside the one that is called.
const ENDPOINTS: usize = 10_000;
const ROUNDS: usize = 3;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let callers = arguments.next().map_or(Ok(8), |text| text.parse())?;
    let seconds = arguments.next().map_or(Ok(3), |text| text.parse())?;
    let model = model().await?;
    let (gateway, changed) = gateway(model).await?;
    let time = Duration::from_secs(seconds);
    let (mut direct, mut through) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        direct.extend(load(format!("http://{model}/score"), callers, time).await?);
        through.extend(load(format!("http://{gateway}/endpoints/team/churn/score"), callers, time).await?);
    }
    let of = |mut taken: Vec<Duration>| {
        taken.sort_unstable();
        let at = |share: f64| taken.get((taken.len() as f64 * share) as usize).map_or(0, Duration::as_micros);
        let rate = taken.len() as f64 / (time.as_secs_f64() * ROUNDS as f64);
        (rate.round(), at(0.5) as u64, at(0.99) as u64)
    };
    let (direct, through) = (of(direct), of(through));
    let shown =
        |(rate, p50, p99): (f64, u64, u64)| json!({"perSecond": rate, "p50Micros": p50, "p99Micros": p99});
    let report = json!({
        "callers": callers, "direct": shown(direct), "gateway": shown(through),
        "addedP50Micros": through.1.cast_signed() - direct.1.cast_signed(), "addedP99Micros": through.2.cast_signed() - direct.2.cast_signed(),
        "rateRatio": through.0 / direct.0,
        "endpoints": ENDPOINTS, "residentMebibytes": resident()? / 1024, "changeMicros": changed.as_micros() as u64,
    });
    println!("{report}");
    Ok(())
}

/// A server that answers at once.
async fn model() -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            tokio::spawn(async move {
                let service =
                    hyper::service::service_fn(|request: Request<hyper::body::Incoming>| async move {
                        request.into_body().collect().await?;
                        Ok::<_, hyper::Error>(Response::new(whole(ANSWER)))
                    });
                let server = hyper::server::conn::http1::Builder::new();
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Ok(address)
}

/// A gateway with keys, a split and many endpoints, and how long a change among them takes.
async fn gateway(model: SocketAddr) -> Result<(SocketAddr, Duration), Failure> {
    let (state, _writer) = gateway::start::state(&Arguments::parse_from(["mlops-gateway"]))?;
    let mut registry = Registry::new(Arc::clone(&state));
    let digest = format!("{:x}", Sha256::digest("secret"));
    let document = |name: &str, weight: u32| {
        json!({
            "namespace": "team", "name": name, "auth": {"mode": "Key", "digests": [digest]},
            "revisions": [
                {"name": "stable", "address": model.to_string(), "weight": weight},
                {"name": "canary", "address": model.to_string(), "weight": 10},
            ],
        })
        .to_string()
    };
    let mut documents: Vec<_> = (0..ENDPOINTS).map(|number| format!("e{number}")).collect();
    documents.push("churn".to_owned());
    let documents = documents.into_iter().map(|name| (format!("{name}.json"), document(&name, 90))).collect();
    registry.apply(vec![Change::All(documents)]);
    let started = Instant::now();
    registry.apply(vec![Change::Put("e7.json".to_owned(), document("e7", 80))]);
    let changed = started.elapsed();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        let _stop = stop;
        let _registry = registry;
        gateway::connections::serve(listener, None, state, stopped).await
    });
    Ok((address, changed))
}

/// Calls one after another from each caller, and how long each took.
async fn load(uri: String, callers: usize, time: Duration) -> Result<Vec<Duration>, Failure> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let until = Instant::now() + time;
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (client, uri) = (client.clone(), uri.clone());
            tokio::spawn(async move {
                let mut taken = Vec::new();
                while Instant::now() < until {
                    let request = Request::post(&uri).header("authorization", "Bearer secret");
                    let started = Instant::now();
                    let answer = client
                        .request(request.body(Full::new(Bytes::from_static(REQUEST.as_bytes())))?)
                        .await?;
                    if answer.status() != 200 {
                        return Err(Failure::from(format!("{uri} answered {}", answer.status())));
                    }
                    answer.into_body().collect().await?;
                    taken.push(started.elapsed());
                }
                Ok(taken)
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await??);
    }
    Ok(all)
}

/// The memory of this process in KiB: the gateway, the model and the callers together.
fn resident() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
