//! Starts everything, and stops it within five seconds when told to.
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::arguments::Options;
use crate::azure::Azure;
use crate::context::Context;
use crate::execute::Executor;
use crate::gateway::Gateway;
use crate::kinds::KINDS;
use crate::lease::{Elector, Leadership};
use crate::metrics::Metrics;
use crate::monitor::Monitor;
use crate::object::{Item, Lane, Primary};
use crate::reconcile::{Loop, Memory, Work};
use crate::report::Reporter;
use crate::server::{Health, router};
use crate::store::{Source, Store};
use crate::telemetry;
use crate::watch::{Sink, WATCH_SECONDS, start};

/// How long changes of children and pods are collected before their owner is looked at: they come in bursts.
const COLLECT: Duration = Duration::from_millis(50);
/// How often the gateway is asked whose requests wait for a pod.
const WAITING_PERIOD: Duration = Duration::from_secs(1);
/// How long what is being written may take after the word to stop.
const FINISH: Duration = Duration::from_secs(3);

/// Runs the controllers until SIGTERM or SIGINT.
pub async fn run(options: Options) -> anyhow::Result<()> {
    install_tls();
    let telemetry = telemetry::start(&options)?;
    let mut stop_signal = StopSignal::new()?;
    let client = client().await?;
    let metrics = Metrics::new()?;
    let store = Store::new(&options.operator_namespace);
    let identity = options.identity.clone().unwrap_or_else(identity);
    let stop_election = Arc::new(Notify::new());
    let (leadership, election) = elect(&client, &options, &identity, &stop_election);
    let executor = Executor { client: client.clone(), store: store.clone(), leadership: leadership.clone() };
    let azure = Arc::new(Azure::new(&options, &metrics)?);
    let lanes = Lanes::new(store.clone());
    let context = Context {
        store: store.clone(),
        azure,
        gateway: Arc::new(Gateway::new(&options)?),
        monitor: Arc::new(Monitor::new(&options)),
        executor: executor.clone(),
        settings: Arc::new(options.settings()),
    };
    let reporter = Reporter { executor, instance: identity };
    let engine = |lane| Loop {
        kinds: KINDS.into(),
        lane,
        context: context.clone(),
        reporter: reporter.clone(),
        metrics: metrics.clone(),
        work: lanes.work(lane),
        wake: lanes.waker(),
    };
    let engines =
        vec![(engine(Lane::Cluster), options.workers), (engine(Lane::Azure), options.azure_workers)];
    let ready = Arc::new(AtomicBool::new(false));
    let health =
        Health { ready: ready.clone(), metrics: metrics.clone(), log_level: telemetry.log_level.clone() };
    serve(options.http, health).await?;
    if !options.gateway_admin.is_empty() {
        tokio::spawn(wake_waited_for(context.gateway.clone(), lanes.clone(), ready.clone()));
    }
    let sink = Sink::new(store, metrics.clone(), waker(lanes, ready.clone()));
    start(&client, &options, &sink);
    let (stop, stopped) = watch::channel(false);
    let workers = tokio::spawn(lead(engines, sink.synced(), ready, leadership, metrics, stopped));
    stop_signal.wait().await;
    tracing::info!("stopping");
    stop.send_replace(true);
    let _ = tokio::time::timeout(FINISH, workers).await;
    stop_election.notify_one();
    if let Some(election) = election {
        let _ = tokio::time::timeout(Duration::from_secs(1), election).await;
    }
    let flush = tokio::task::spawn_blocking(move || telemetry.flush());
    let _ = tokio::time::timeout(Duration::from_millis(500), flush).await;
    Ok(())
}

/// Asks a health address; an error unless it answers 200.
pub async fn check(url: &str) -> anyhow::Result<()> {
    install_tls();
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
    let answer = client.get(url).send().await.with_context(|| format!("failed to reach {url}"))?;
    let status = answer.status();
    anyhow::ensure!(status.is_success(), "{url} answered {status}: {}", answer.text().await?.trim());
    println!("{url}: ok");
    Ok(())
}

fn install_tls() {
    // It fails only when a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

async fn client() -> anyhow::Result<Client> {
    let mut config =
        Config::infer().await.context("found neither a kubeconfig nor a pod's service account")?;
    config.connect_timeout = Some(Duration::from_secs(5));
    // Above the time after which the server ends a watch by itself, so that only a dead connection runs into it.
    config.read_timeout = Some(Duration::from_secs(u64::from(WATCH_SECONDS) + 10));
    // One error policy decides on retries; a second one below it would hide what the server says.
    config.default_retry = false;
    Client::try_from(config).context("failed to make a client of the API server")
}

fn identity() -> String {
    let name = std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME"));
    name.unwrap_or_else(|_| format!("mlops-operator-{}", std::process::id()))
}

fn elect(
    client: &Client,
    options: &Options,
    identity: &str,
    stop: &Arc<Notify>,
) -> (Leadership, Option<tokio::task::JoinHandle<()>>) {
    if !options.leader_election {
        return (Leadership::always(), None);
    }
    let (elector, leadership) =
        Elector::new(client.clone(), &options.operator_namespace, identity.to_owned());
    (leadership, Some(tokio::spawn(elector.run(stop.clone()))))
}

async fn serve(address: SocketAddr, health: Health) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("failed to listen on {address}"))?;
    let service = router(health).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, service).await {
            tracing::error!(%error, "the health server ended");
        }
    });
    Ok(())
}

/// Looks at Endpoints whose requests wait in the gateway for a pod, as long as they do.
async fn wake_waited_for(gateway: Arc<Gateway>, lanes: Lanes, ready: Arc<AtomicBool>) {
    let mut look = tokio::time::interval(WAITING_PERIOD);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        if !ready.load(Ordering::SeqCst) {
            continue;
        }
        let waited_for = gateway.waiting().await.into_iter();
        let known = waited_for.filter_map(|name| lanes.store.known(Primary::Endpoint, name));
        for (lane, items) in lanes.sort(known.collect()) {
            lanes.work(lane).push_first(items, Instant::now());
        }
    }
}

/// Puts what the watches saw into the queue: nothing before all of them have listed, for a plan from half a world
/// would write.
fn waker(lanes: Lanes, ready: Arc<AtomicBool>) -> Arc<dyn Fn(Source, Vec<Item>) + Send + Sync> {
    Arc::new(move |source, items| {
        if ready.load(Ordering::SeqCst) {
            let now = Instant::now();
            tracing::debug!(?source, concerned = items.len(), "news");
            for (lane, items) in lanes.sort(items) {
                match source {
                    Source::Primary(_) => lanes.work(lane).push(items, now),
                    Source::Child(_) | Source::Pods | Source::CheckPods | Source::Autoscalers => {
                        lanes.work(lane).push_first(items, now + COLLECT);
                    }
                }
            }
        }
    })
}

/// One queue for each sort of workers.
#[derive(Clone)]
struct Lanes {
    store: Store,
    cluster: Arc<Work>,
    azure: Arc<Work>,
}

impl Lanes {
    fn new(store: Store) -> Self {
        Self { store, cluster: Arc::default(), azure: Arc::default() }
    }

    fn work(&self, lane: Lane) -> Arc<Work> {
        match lane {
            Lane::Cluster => self.cluster.clone(),
            Lane::Azure => self.azure.clone(),
        }
    }

    fn sort(&self, items: Vec<Item>) -> [(Lane, Vec<Item>); 2] {
        let (azure, cluster) = items.into_iter().partition(|item| self.store.lane(item) == Lane::Azure);
        [(Lane::Cluster, cluster), (Lane::Azure, azure)]
    }

    /// Puts objects into the queues of the workers that they are for.
    fn waker(&self) -> Arc<dyn Fn(Vec<Item>) + Send + Sync> {
        let lanes = self.clone();
        Arc::new(move |items| {
            for (lane, items) in lanes.sort(items) {
                lanes.work(lane).push(items, Instant::now());
            }
        })
    }
}

/// Works whenever this replica leads; looks at everything anew each time it begins to.
async fn lead(
    engines: Vec<(Loop, u16)>,
    mut synced: watch::Receiver<bool>,
    ready: Arc<AtomicBool>,
    mut leadership: Leadership,
    metrics: Metrics,
    mut stopped: watch::Receiver<bool>,
) {
    let memory = Arc::new(Mutex::new(Memory::default()));
    if synced.wait_for(|synced| *synced).await.is_err() {
        return;
    }
    ready.store(true, Ordering::SeqCst);
    let start = |engine: &Loop| tokio::spawn(engine.clone().work(memory.clone(), stopped.clone()));
    let tasks: Vec<_> = engines
        .iter()
        .flat_map(|(engine, workers)| (0..*workers).map(|_| start(engine)).collect::<Vec<_>>())
        .collect();
    let follow = async {
        loop {
            leadership.acquired().await;
            metrics.leads(true);
            for (engine, _) in &engines {
                engine.push_all();
            }
            leadership.lost().await;
            metrics.leads(false);
        }
    };
    tokio::select! { () = follow => {}, _ = stopped.wait_for(|stop| *stop) => {} }
    for task in tasks {
        let _ = task.await;
    }
}

/// SIGTERM and SIGINT.
struct StopSignal {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl StopSignal {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) {
        tokio::select! { _ = self.terminate.recv() => {}, _ = self.interrupt.recv() => {} }
    }
}
