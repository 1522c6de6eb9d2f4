//! How fast and at what cost N workspaces and N models get ready in an emulated Azure with the limits of the real one,
//! and what a settled period costs afterwards. Each N has a control plane, an emulator and an operator of its own.

mod calls;
mod objects;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use arm_emulator::{Emulator, Rates, Settings};
use e2e::Azure;
use e2e::bench::{self, Operator};
use serde_json::{Value, json};
use xtask::cluster::control_plane::{ControlPlane, Options};

use calls::{Calls, Minimum};

/// The resources in Azure of one MLWorkspace and one Model: a workspace, a model, a version.
const RESOURCES: u32 = 3;

/// How everything is measured.
#[derive(Clone, Copy)]
struct Scene {
    sync: Duration,
    operation: Duration,
    /// Whether one period is watched after all are ready.
    idle: bool,
}

/// What one settled period cost.
struct Idle {
    calls: Calls,
    cpu: Duration,
    peak_memory_kib: u64,
}

/// What was measured.
struct Figures {
    pairs: u32,
    scene: Scene,
    ready: Vec<Duration>,
    minimum: Minimum,
    calls: Calls,
    timeline: Value,
    cpu: Duration,
    peak_memory_kib: u64,
    idle: Option<Idle>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = || arguments.next().context("run it by cargo xtask bench azure");
    let numbers: Vec<u32> = argument()?.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let scene = Scene {
        sync: Duration::from_secs(argument()?.parse()?),
        operation: Duration::from_secs_f64(argument()?.parse()?),
        idle: argument()?.parse()?,
    };
    for pairs in numbers {
        let figures = measure(pairs, scene).await?;
        println!("{}", figures.json());
        eprint!("{}", figures.table());
    }
    Ok(())
}

async fn measure(pairs: u32, scene: Scene) -> anyhow::Result<Figures> {
    let directory = xtask::cache::root()?.join(format!("bench/azure-{}", std::process::id()));
    let options = Options { controller_manager: false, scheduler: false, ..Options::default() };
    let plane = tokio::task::block_in_place(|| ControlPlane::start("bench", &directory, options))?;
    let client = bench::client(&plane.kubeconfig()).await?;
    bench::install(&client).await?;
    let azure = Azure::start_at(plane.directory().join("azure-ca.pem"), emulator(scene)).await?;
    let user = plane.certificate_for("mlops-operator", &["system:masters"])?;
    let arguments = [azure.trust(), format!("--azure-sync-seconds={}", scene.sync.as_secs())];
    let operator = Operator::start_with(&user, &arguments, &azure.environment())?;
    operator.ready().await?;
    objects::accepted(&client).await?;

    let minimum = Minimum::of(pairs, scene.operation);
    let limit = minimum.time() * 4 + Duration::from_mins(2);
    let cpu_before = operator.cpu()?;
    let started = Instant::now();
    let ready = tokio::spawn(objects::all_ready(client.clone(), pairs, started, limit));
    objects::create(&client, pairs).await?;
    let ready = ready.await??;
    let entries = azure.calls(0);
    let (cpu, peak_memory_kib) = (operator.cpu()?, operator.peak_memory_kib()?);

    eprintln!("all are ready after {:.1} s", started.elapsed().as_secs_f64());
    let idle = if scene.idle { Some(watch_period(&azure, &operator, scene.sync).await?) } else { None };
    let figures = Figures {
        pairs,
        scene,
        ready,
        minimum,
        calls: Calls::of(&entries),
        timeline: calls::timeline(&entries),
        cpu: cpu.saturating_sub(cpu_before),
        peak_memory_kib,
        idle,
    };
    operator.stop().await?;
    azure.emulator.stop().await?;
    plane.stop()?;
    std::fs::remove_dir_all(directory)?;
    Ok(figures)
}

/// Watches one period in which nothing changes.
async fn watch_period(azure: &Azure, operator: &Operator, sync: Duration) -> anyhow::Result<Idle> {
    // Each object is read again after the period, a tenth earlier or later; none comes twice within this time.
    let period = sync.mul_f64(1.1) + Duration::from_secs(5);
    eprintln!("idle for {} s", period.as_secs());
    let (since, cpu) = (azure.emulator.log().last(), operator.cpu()?);
    tokio::time::sleep(period).await;
    Ok(Idle {
        calls: Calls::of(&azure.calls(since)),
        cpu: operator.cpu()?.saturating_sub(cpu),
        peak_memory_kib: operator.peak_memory_kib()?,
    })
}

/// An Azure with the limits of the real one, whose log has room for every call.
fn emulator(scene: Scene) -> arm_emulator::Builder {
    let settings = Settings {
        rates: Some(Rates::default()),
        operation_duration: scene.operation.as_millis().try_into().unwrap_or(i64::MAX),
        log_capacity: 1_000_000,
        ..Settings::default()
    };
    Emulator::builder().settings(settings)
}

impl Figures {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn rows(&self) -> Vec<(&'static str, f64, &'static str)> {
        let resources = f64::from(self.pairs * RESOURCES);
        let per_resource = |count: usize| count as f64 / resources;
        let mebibytes = |kib: u64| kib as f64 / 1024.0;
        let slowest = self.ready.last().copied().unwrap_or_default().as_secs_f64();
        let median = self.ready.get(self.ready.len() / 2).copied().unwrap_or_default().as_secs_f64();
        let calls = &self.calls;
        let mut rows = vec![
            ("time to all Ready", slowest, "s"),
            ("time to half of them Ready", median, "s"),
            ("least time for the reads", self.minimum.reads.as_secs_f64(), "s"),
            ("least time for the writes", self.minimum.writes.as_secs_f64(), "s"),
            ("least time for an operation", self.minimum.operation.as_secs_f64(), "s"),
            ("time to all Ready / longest least time", slowest / self.minimum.time().as_secs_f64(), ""),
            ("calls per resource", per_resource(calls.total()), ""),
            ("reads per resource", per_resource(calls.gets), ""),
            ("lists per resource", per_resource(calls.lists), ""),
            ("polls per resource", per_resource(calls.polls), ""),
            ("writes per resource", per_resource(calls.writes + calls.deletes), ""),
            ("calls answered by 429", calls.throttled as f64, ""),
            ("CPU", self.cpu.as_secs_f64(), "s"),
            ("CPU per resource", self.cpu.as_secs_f64() * 1000.0 / resources, "ms"),
            ("peak resident memory", mebibytes(self.peak_memory_kib), "MiB"),
        ];
        if let Some(idle) = &self.idle {
            rows.extend([
                ("idle: writes", (idle.calls.writes + idle.calls.deletes) as f64, ""),
                ("idle: reads per resource", per_resource(idle.calls.reads()), ""),
                ("idle: calls answered by 429", idle.calls.throttled as f64, ""),
                ("idle: CPU", idle.cpu.as_secs_f64(), "s"),
                ("idle: peak resident memory", mebibytes(idle.peak_memory_kib), "MiB"),
            ]);
        }
        rows
    }

    fn json(&self) -> Value {
        let rows: BTreeMap<&str, f64> =
            self.rows().into_iter().map(|(name, value, _)| (name, value)).collect();
        json!({
            "workspaces": self.pairs, "models": self.pairs, "resources": self.pairs * RESOURCES,
            "syncSeconds": self.scene.sync.as_secs(), "operationSeconds": self.scene.operation.as_secs_f64(),
            "figures": rows, "timeline": self.timeline,
        })
    }

    fn table(&self) -> String {
        let mut table = format!(
            "\n{0} workspaces and {0} models: {1} resources in Azure\n",
            self.pairs,
            self.pairs * RESOURCES
        );
        for (name, value, unit) in self.rows() {
            table += &format!("  {name:<42}{value:>10.2} {unit}\n");
        }
        table
    }
}
