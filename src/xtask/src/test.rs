//! `test`: everything that CI runs, in the order in which a mistake shows soonest.
use std::path::Path;

use crate::bench::cargo;
use crate::progress::step;
use crate::{cluster, demo, generate, lint, python, readme, shell, tidy, tools};

/// Which part to run.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Part {
    /// Rules, formatting, lints, generated files.
    Lint,
    /// Tests of one crate at a time.
    Unit,
    /// Tests on a real API server, without pods.
    ControlPlane,
    /// The demo and the journeys, on a real cluster with pods.
    Cluster,
}

/// What to run.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The parts to run; all without any.
    #[arg(value_enum)]
    parts: Vec<Part>,
}

/// Runs the tests; stops at the first part that fails.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let wanted = |part| arguments.parts.is_empty() || arguments.parts.contains(&part);
    if wanted(Part::Lint) {
        step("check files and dependencies", tidy::run)?;
        step("check generated files", generate::check)?;
        step("lint", lint::run)?;
    }
    let library = python::onnxruntime_library()?;
    if wanted(Part::Unit) {
        step("build the workspace", || shell::run(cargo().args(["build", "--workspace", "--bins"])))?;
        step("unit and property tests", || unit(&library))?;
    }
    if wanted(Part::ControlPlane) {
        tools::ensure_only(&[tools::Module::Kubernetes, tools::Module::Etcd])?;
        shell::run(cargo().args(["build", "--workspace", "--bins"]))?;
        let suites = ["--test", "control_plane", "--test", "reliability"];
        step("tests on a real API server", || {
            shell::run(cargo().args(["test", "--package", "e2e"]).args(suites))
        })?;
    }
    if wanted(Part::Cluster) {
        step("the demo and the journeys", journeys)?;
    }
    Ok(())
}

fn unit(library: &Path) -> anyhow::Result<()> {
    let mut command = cargo();
    command.env("ORT_DYLIB_PATH", library).args(["test", "--workspace", "--exclude", "e2e"]);
    shell::run(&mut command)
}

/// The README's demo, then the journeys on the cluster that it leaves. A cluster that was up before stays up.
fn journeys() -> anyhow::Result<()> {
    let options = cluster::Options::default();
    let was_up = cluster::is_up(&options)?;
    let result = demo::run(&demo::Arguments::default()).and_then(|()| {
        let cluster = cluster::up(&options)?;
        step("the README's commands", || readme::run("Install", &cluster))?;
        let mut command = cargo();
        command.env("MLOPS_E2E_KUBECONFIG", cluster.kubeconfig());
        shell::run(command.args(["test", "--package", "e2e", "--test", "journeys"]))
    });
    if !was_up {
        cluster::down(&options.name)?;
    }
    result
}
