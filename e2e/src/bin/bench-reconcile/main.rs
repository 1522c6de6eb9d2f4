//! How much the operator costs at N endpoints, on a control plane of its own where a stand-in marks Deployments
//! available: time to all Ready, CPU, memory, API requests by verb, idle writes, restart.

mod audit;
mod stand_in;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use api::{Endpoint, ServingRuntime};
use e2e::bench::{self, NAMESPACE, OPERATOR_NAMESPACE, Operator};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use xtask::cluster::control_plane::{ControlPlane, Options};

use audit::Requests;

/// What was measured.
struct Figures {
    endpoints: usize,
    all_ready: Duration,
    cpu: Duration,
    peak_memory_kib: u64,
    requests: Requests,
    idle: Requests,
    idle_seconds: u64,
    restart: Duration,
    restart_writes: Requests,
    say_so: Vec<Duration>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let number = |position: usize, default: u64| -> anyhow::Result<u64> {
        std::env::args().nth(position).map_or(Ok(default), |text| text.parse().context("expected a number"))
    };
    let (endpoints, idle_seconds) = (number(1, 100)?.try_into()?, number(2, 180)?);
    let figures = measure(endpoints, idle_seconds).await?;
    println!("{}", figures.json());
    eprint!("{}", figures.table());
    Ok(())
}

async fn measure(endpoints: usize, idle_seconds: u64) -> anyhow::Result<Figures> {
    let directory = xtask::cache::root()?.join(format!("bench/reconcile-{}", std::process::id()));
    let options = Options { controller_manager: false, scheduler: false, ..Options::default() };
    let plane = tokio::task::block_in_place(|| ControlPlane::start("bench", &directory, options))?;
    let client = bench::client(&plane.kubeconfig()).await?;
    prepare(&client).await?;
    let user = plane.certificate_for("mlops-operator", &["system:masters"])?;
    let operator = Operator::start(&user)?;
    operator.ready().await?;
    let stand_in = stand_in::start(client.clone());

    let before = Requests::read(&plane.audit_log())?;
    let cpu_before = operator.cpu()?;
    let started = Instant::now();
    let ready = tokio::spawn(all_ready(client.clone(), endpoints));
    create(&client, (0..endpoints).map(|number| format!("model-{number:04}")).collect()).await?;
    let ready_at = ready.await??;
    let all_ready = started.elapsed();
    // The last events of the burst are published after the last status.
    let settled = settle(&plane.audit_log()).await?;
    let (cpu, peak_memory_kib) = (operator.cpu()?.saturating_sub(cpu_before), operator.peak_memory_kib()?);

    eprintln!("idle for {idle_seconds} s");
    tokio::time::sleep(Duration::from_secs(idle_seconds)).await;
    let after_idle = Requests::read(&plane.audit_log())?;

    operator.stop().await?;
    let restarted = Instant::now();
    let operator = Operator::start(&user)?;
    create(&client, vec!["model-next".to_owned()]).await?;
    all_ready_named(&client, "model-next").await?;
    let restart = restarted.elapsed();
    let after_restart = settle(&plane.audit_log()).await?;
    operator.stop().await?;
    let available_at = stand_in.stop();
    let say_so =
        ready_at.iter().filter_map(|(name, at)| Some(at.saturating_duration_since(*available_at.get(name)?)));
    let figures = Figures {
        endpoints,
        all_ready,
        cpu,
        peak_memory_kib,
        requests: settled.since(&before),
        idle: after_idle.since(&settled),
        idle_seconds,
        restart,
        restart_writes: after_restart.since(&after_idle).of_others("model-next"),
        say_so: say_so.collect(),
    };
    plane.stop()?;
    std::fs::remove_dir_all(directory)?;
    Ok(figures)
}

async fn prepare(client: &Client) -> anyhow::Result<()> {
    bench::install(client).await?;
    let force = PatchParams::apply("bench").force();
    let runtime = json!({
        "apiVersion": "mlops-operator.dev/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": {"name": "onnx"},
        "spec": {
            "supportedFormats": ["ONNX"], "image": "mlops-model-server:bench", "modelDelivery": "Fetched",
            "args": ["--model-uri=$(MODEL_URI)", "--model-name=$(MODEL_NAME)", "--http=0.0.0.0:$(HTTP_PORT)"],
        },
    });
    let runtimes: Api<ServingRuntime> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    // The API server serves a new kind a moment after it calls it established.
    for _ in 0..100 {
        if runtimes.patch("onnx", &force, &Patch::Apply(&runtime)).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("the API server does not serve ServingRuntimes")
}

async fn create(client: &Client, names: Vec<String>) -> anyhow::Result<()> {
    let endpoints: Api<Endpoint> = Api::namespaced(client.clone(), NAMESPACE);
    let create = |name: String| {
        let endpoints = endpoints.clone();
        async move {
            let uri = format!("https://models.example.com/{name}.onnx");
            let body = json!({
                "apiVersion": "mlops-operator.dev/v1alpha1", "kind": "Endpoint", "metadata": {"name": name},
                "spec": {"model": {"uri": uri, "format": "ONNX"}, "scaling": {"replicas": 2}},
            });
            endpoints.create(&PostParams::default(), &serde_json::from_value(body)?).await?;
            anyhow::Ok(())
        }
    };
    futures::stream::iter(names).map(create).buffer_unordered(8).try_collect::<Vec<()>>().await?;
    Ok(())
}

fn is_ready(endpoint: &Endpoint) -> bool {
    let conditions = endpoint.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Waits until `count` endpoints are ready; returns when each was seen so.
async fn all_ready(client: Client, count: usize) -> anyhow::Result<BTreeMap<String, Instant>> {
    let endpoints: Api<Endpoint> = Api::namespaced(client, NAMESPACE);
    let mut events =
        std::pin::pin!(watcher(endpoints, watcher::Config::default()).default_backoff().applied_objects());
    let mut ready = BTreeMap::new();
    while ready.len() < count {
        let endpoint = events.try_next().await?.context("the watch ended")?;
        if is_ready(&endpoint) {
            ready.entry(endpoint.name_any()).or_insert_with(Instant::now);
        }
    }
    Ok(ready)
}

async fn all_ready_named(client: &Client, name: &str) -> anyhow::Result<()> {
    let endpoints: Api<Endpoint> = Api::namespaced(client.clone(), NAMESPACE);
    let ready = |endpoint: Option<&Endpoint>| endpoint.is_some_and(is_ready);
    tokio::time::timeout(
        Duration::from_mins(1),
        kube::runtime::wait::await_condition(endpoints, name, ready),
    )
    .await??;
    Ok(())
}

/// Waits until the audit log shows no further request of the operator's for two seconds.
async fn settle(audit_log: &std::path::Path) -> anyhow::Result<Requests> {
    let mut last = Requests::read(audit_log)?;
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let next = Requests::read(audit_log)?;
        if next.total() == last.total() {
            return Ok(next);
        }
        last = next;
    }
    anyhow::bail!("the operator does not come to rest")
}

impl Figures {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn per_endpoint(&self, count: usize) -> f64 {
        count as f64 / self.endpoints as f64
    }

    fn slowest(&self) -> Duration {
        self.say_so.iter().max().copied().unwrap_or_default()
    }

    fn rows(&self) -> Vec<(&'static str, f64, &'static str)> {
        let cpu_per_endpoint = self.cpu.as_secs_f64() * 1000.0 * self.per_endpoint(1);
        vec![
            ("time to all Ready", self.all_ready.as_secs_f64(), "s"),
            ("CPU per endpoint", cpu_per_endpoint, "ms"),
            ("peak resident memory", self.peak_memory_kib as f64 / 1024.0, "MiB"),
            ("requests per endpoint", self.per_endpoint(self.requests.total()), ""),
            ("writes per endpoint", self.per_endpoint(self.requests.writes()), ""),
            ("idle writes, lease aside", self.idle.writes() as f64, ""),
            ("available to Ready, slowest", self.slowest().as_secs_f64(), "s"),
            ("restart to the next Ready", self.restart.as_secs_f64(), "s"),
            ("writes of a restart to settled objects", self.restart_writes.writes() as f64, ""),
        ]
    }

    fn json(&self) -> Value {
        let rows: BTreeMap<&str, f64> =
            self.rows().into_iter().map(|(name, value, _)| (name, value)).collect();
        json!({
            "endpoints": self.endpoints, "idleSeconds": self.idle_seconds, "figures": rows,
            "requestsByVerb": self.requests.by_verb(),
        })
    }

    fn table(&self) -> String {
        let mut table = format!("\n{} endpoints\n", self.endpoints);
        for (name, value, unit) in self.rows() {
            table += &format!("  {name:<42}{value:>10.2} {unit}\n");
        }
        for (verb, count) in self.requests.by_verb() {
            table += &format!("  {verb:<42}{:>10.2} per endpoint\n", self.per_endpoint(count));
        }
        table
    }
}

/// The writes that leave the world as it is, or change it.
fn is_write(verb: &str) -> bool {
    let reads: BTreeSet<&str> = ["get", "list", "watch"].into();
    !reads.contains(verb)
}
