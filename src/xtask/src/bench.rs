//! `bench`: programs that measure, and print JSON and a table.
use std::process::Command;

use crate::{cache, python, shell, tools};

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
    /// What the model server adds to ONNX Runtime's own time.
    ModelServer,
}

/// Runs one.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match arguments {
        Arguments::Reconcile { endpoints, idle_seconds } => {
            tools::ensure_only(&[tools::Module::Kubernetes, tools::Module::Etcd])?;
            shell::run(cargo().args(["build", "--package", "operator", "--package", "e2e", "--bins"]))?;
            shell::run(
                cargo()
                    .args(["run", "--quiet", "--package", "e2e", "--bin", "bench-reconcile", "--"])
                    .args([endpoints.to_string(), idle_seconds.to_string()]),
            )
        }
        Arguments::ModelServer => {
            let library = python::onnxruntime_library()?;
            shell::run(cargo().env("ORT_DYLIB_PATH", library).args([
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

/// Cargo in this checkout.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(cache::repository());
    command
}
