//! `bench`: programs that measure, and print JSON and a table.
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
    /// What the model server adds to ONNX Runtime's own time.
    ModelServer,
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
