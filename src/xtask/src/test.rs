//! `test`: everything that CI runs, in the order in which a mistake shows soonest.
//!
//! The workspace is compiled once, as a whole: with one package at a time, features differ and most dependencies
//! compile again.
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::progress::step;
use crate::{azure, azurite, cluster, demo, generate, lint, python, readme, shell, tidy, tools};

/// The programs that take longest.
const LONGEST: [&str; 6] =
    ["control_plane", "azure_resources", "reliability", "endpoint", "packages", "server"];

/// Which part to run.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Part {
    /// Rules, formatting, lints, generated files.
    Lint,
    /// Tests of one crate at a time.
    Unit,
    /// Tests on a real API server, without pods.
    ControlPlane,
    /// Official clients of Azure against the emulator.
    Azure,
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
    if arguments.parts == [Part::Lint] {
        return Ok(());
    }
    let programs = step("build the programs and their tests", build)?;
    let library = python::onnxruntime_library()?;
    let of = |part: Part| programs.iter().filter(|program| program.part() == part).collect::<Vec<_>>();
    let run = |part: Part, environment: &[(&str, &Path)]| -> anyhow::Result<()> {
        let programs = of(part);
        ensure!(!programs.is_empty(), "no test program belongs to this part");
        programs.into_iter().try_for_each(|program| program.run(environment))
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let (mut together, mut workers) = (Vec::new(), processors);
    if wanted(Part::Unit) {
        tools::ensure_only(&[tools::Module::Helm])?;
        azurite::ensure()?;
        python::environment("statistics")?;
        together.extend(of(Part::Unit));
    }
    if wanted(Part::ControlPlane) {
        use tools::Module::{ArgoHealth, AzureClients, Etcd, Kubernetes};
        tools::ensure_only(&[Kubernetes, Etcd, AzureClients, ArgoHealth])?;
        tools::gateway_api::ensure()?;
        together.extend(of(Part::ControlPlane));
        // Each of these has a control plane of its own, and waits for most of its time.
        workers += processors;
    }
    if !together.is_empty() {
        let tests = || side_by_side(&together, workers, &[("ORT_DYLIB_PATH", &library)]);
        step("unit and property tests, tests on a real API server", tests)?;
    }
    if wanted(Part::Azure) {
        let tests = |environment: &[(&str, &Path)]| run(Part::Azure, environment);
        step("official clients of Azure against the emulator", || azure::run(tests))?;
    }
    if wanted(Part::Cluster) {
        let journeys =
            |cluster: &Cluster| run(Part::Cluster, &[("MLOPS_E2E_KUBECONFIG", cluster.kubeconfig())]);
        step("the demo and the journeys", || on_cluster(journeys))?;
    }
    Ok(())
}

/// A compiled test program.
pub(crate) struct TestProgram {
    pub(crate) package: PathBuf,
    pub(crate) name: String,
    pub(crate) executable: PathBuf,
}

impl TestProgram {
    fn part(&self) -> Part {
        match self.name.as_str() {
            "azure_resources" | "control_plane" | "reliability" => Part::ControlPlane,
            "journeys" => Part::Cluster,
            "go_fake" => Part::Azure,
            _ => Part::Unit,
        }
    }

    fn command(&self, environment: &[(&str, &Path)]) -> Command {
        let mut command = Command::new(&self.executable);
        command.current_dir(&self.package).env("CARGO_MANIFEST_DIR", &self.package);
        command.envs(environment.iter().copied());
        command
    }

    fn run(&self, environment: &[(&str, &Path)]) -> anyhow::Result<()> {
        eprintln!("    tests of {}: {}", self.package.display(), self.name);
        shell::run(&mut self.command(environment))
    }

    /// Runs it and tells in one piece what it said, so that the words of several don't mix.
    fn run_beside(&self, environment: &[(&str, &Path)]) -> anyhow::Result<()> {
        let output = self.command(environment).output()?;
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        eprint!("    tests of {}: {}\n{said}", self.package.display(), self.name);
        ensure!(output.status.success(), "{} ended with {}", self.executable.display(), output.status);
        Ok(())
    }
}

/// Runs so many programs at once; those that are left when one fails don't run.
fn side_by_side(
    programs: &[&TestProgram],
    workers: usize,
    environment: &[(&str, &Path)],
) -> anyhow::Result<()> {
    ensure!(!programs.is_empty(), "no test program belongs to this part");
    let mut waiting = programs.to_vec();
    // The longest begin first, so that none runs alone in the end.
    waiting.sort_by_key(|program| LONGEST.iter().rev().position(|name| *name == program.name));
    let (waiting, failure) = (Mutex::new(waiting), Mutex::new(None));
    let has_failed = || failure.lock().map_or(true, |failure| failure.is_some());
    let work = || {
        while !has_failed() {
            let Some(program) = waiting.lock().ok().and_then(|mut waiting| waiting.pop()) else { return };
            if let Err(error) = program.run_beside(environment)
                && let Ok(mut failure) = failure.lock()
            {
                failure.get_or_insert(error);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    failure.into_inner().ok().flatten().map_or(Ok(()), Err)
}

/// Builds every program and every test of the workspace.
pub(crate) fn build() -> anyhow::Result<Vec<TestProgram>> {
    shell::run(shell::cargo().args(["build", "--workspace", "--bins"]))?;
    compile(&[])
}

/// Builds tests; without arguments, all of the workspace.
pub(crate) fn compile(arguments: &[&str]) -> anyhow::Result<Vec<TestProgram>> {
    let mut command = shell::cargo();
    command.args(["test", "--workspace", "--no-run", "--message-format=json-render-diagnostics"]);
    command.args(arguments);
    let output = command.stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{} ended with {}", shell::line(&command), output.status);
    let mut programs = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let message: Value = serde_json::from_str(line).with_context(|| format!("cargo said {line}"))?;
        if message["reason"] == "compiler-artifact"
            && message["profile"]["test"] == true
            && let Some(executable) = message["executable"].as_str()
        {
            let manifest = PathBuf::from(message["manifest_path"].as_str().unwrap_or_default());
            programs.push(TestProgram {
                package: manifest.parent().context("a manifest without a folder")?.to_owned(),
                name: message["target"]["name"].as_str().unwrap_or_default().to_owned(),
                executable: executable.into(),
            });
        }
    }
    Ok(programs)
}

/// The README's commands, demo first, then the journeys on the cluster that they leave. A cluster that was up before
/// stays up.
fn on_cluster(journeys: impl Fn(&Cluster) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let options = cluster::Options::default();
    let was_up = cluster::is_up(&options)?;
    let result = demo::run(&demo::Arguments::default()).and_then(|()| {
        let cluster = cluster::up(&options)?;
        step("the README's commands", || readme::run("Install", &cluster))?;
        journeys(&cluster)
    });
    if !was_up {
        cluster::down(&options.name)?;
    }
    result
}
