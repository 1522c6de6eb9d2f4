//! `bench`: programs that measure, and print JSON and a table.
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

use crate::{image, python, shell, tools};

/// What to measure.
#[derive(Debug, clap::Subcommand)]
pub enum Arguments {
    /// The operator's cost at a number of endpoints, on a control plane of its own.
    Reconcile {
        /// How many endpoints.
        #[arg(long, default_value_t = 100)]
        endpoints: u32,
        /// For how long no write may happen once all are ready.
        #[arg(long, default_value_t = 180)]
        idle_seconds: u32,
    },
    /// What N workspaces and N models cost in an emulated Azure with the limits of the real one: time to Ready against
    /// the least that the limits allow, calls, CPU, memory, and one settled period.
    Azure {
        /// Numbers of MLWorkspaces, one after the other; each MLWorkspace has a Model with one version beside it.
        #[arg(long, value_delimiter = ',', default_values_t = [50, 200, 1000])]
        resources: Vec<u32>,
        /// How often the operator reads everything again; one such period is watched once all are ready.
        #[arg(long, default_value_t = 900)]
        sync_seconds: u32,
        /// How long Azure takes to make a workspace.
        #[arg(long, default_value_t = 10.0)]
        operation_seconds: f64,
        /// End each run when all are ready.
        #[arg(long)]
        without_idle: bool,
    },
    /// What the model server adds to ONNX Runtime's own time.
    ModelServer,
    /// The gateway beside haproxy and nginx: requests for a second of a processor, time added at half load, the cost of
    /// mirror and capture, memory with ten thousand endpoints. Built as for a release, which takes some minutes.
    Gateway {
        /// How often each is measured, in turn: forth and back, so that other work on the machine hits all alike.
        #[arg(long, default_value_t = 11)]
        rounds: u32,
        /// How long each measurement takes.
        #[arg(long, default_value_t = 1.0)]
        seconds: f64,
        /// Only compare requests for a second of a processor.
        #[arg(long)]
        brief: bool,
        /// A program to measure beside them, run as `PROGRAM LISTEN STABLE CANARY KEY`: it listens at the first address,
        /// wants the key as a bearer token, and sends nine requests of ten to the second address, one to the third.
        #[arg(long, value_name = "PROGRAM")]
        peer: Option<PathBuf>,
    },
}

/// Runs one.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match arguments {
        Arguments::Reconcile { endpoints, idle_seconds } => {
            tools::ensure_only(&[tools::Module::Kubernetes, tools::Module::Etcd])?;
            let programs = image::binary::build(&["bench-reconcile", "mlops-operator"], false)?;
            let bench = programs.first().context("cargo built no bench")?;
            shell::run(Command::new(bench).args([endpoints.to_string(), idle_seconds.to_string()]))
        }
        Arguments::Azure { resources, sync_seconds, operation_seconds, without_idle } => {
            tools::ensure_only(&[tools::Module::Kubernetes, tools::Module::Etcd])?;
            let programs = image::binary::build(&["bench-azure", "mlops-operator"], false)?;
            let bench = programs.first().context("cargo built no bench")?;
            let numbers: Vec<String> = resources.iter().map(u32::to_string).collect();
            let arguments = [
                numbers.join(","),
                sync_seconds.to_string(),
                operation_seconds.to_string(),
                (!without_idle).to_string(),
            ];
            shell::run(Command::new(bench).args(arguments))
        }
        Arguments::Gateway { rounds, seconds, brief, peer } => {
            let programs = image::binary::build(&["bench-gateway", "mlops-gateway"], true)?;
            let bench = programs.first().context("cargo built no bench")?;
            let arguments = [rounds.to_string(), seconds.to_string(), brief.to_string()];
            // The proxies get the first processor.
            shell::run(
                Command::new("taskset").args(["--cpu-list", "1"]).arg(bench).args(arguments).args(peer),
            )
        }
        Arguments::ModelServer => {
            let library = python::onnxruntime_library()?;
            shell::run(shell::cargo().env("ORT_DYLIB_PATH", library).args([
                "run",
                "--quiet",
                "--package",
                "model-server",
                "--example",
                "overhead",
            ]))
        }
    }
}
