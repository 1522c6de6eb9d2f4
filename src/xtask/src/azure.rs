//! The suites of `e2e/azure`: clients of Azure that nobody here wrote, against the emulator.
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, anyhow, bail, ensure};
use serde_json::Value;

use crate::progress::seconds;
use crate::python::Python;
use crate::tools::{Module, Tools};
use crate::{cache, python, shell, tools};

mod servers;

pub use servers::Servers;

/// What is known about the suites before they run.
struct Suites {
    python: Python,
    tools: Tools,
    /// Where logs and bodies go; it stays where something failed.
    work: PathBuf,
}

/// One child process that judges the emulator.
struct Suite {
    name: &'static str,
    child: Child,
    log: PathBuf,
    started: Instant,
}

/// The modules of Python that share a process. Each process takes about as long as the others.
const MODULES: [(&str, &[&str]); 4] = [
    ("statuses of every operation (Python)", &["test_statuses"]),
    (
        "access, extensions, alerts, Go's fake server (Python)",
        &["test_access", "test_neighbors", "test_fake"],
    ),
    ("assets and jobs (MLClient)", &["test_mlclient_assets", "test_mlclient_jobs"]),
    ("endpoints (MLClient)", &["test_mlclient_endpoints"]),
];

/// What the judge of bodies must not let pass.
const MISSPELT: &str = r#"{"type": "OnlineDeployment", "body": {"properties": {"endpointComputeType": "Managed", "instanceTyp": "x"}}}"#;

/// Runs every suite, at the same time, against one emulator of its own. `tests` runs those of the workspace, which are
/// told the same as the suites.
pub fn run(tests: impl Fn(&[(&str, &Path)]) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let work = cache::root()?.join("work").join(format!("azure-{}", std::process::id()));
    std::fs::create_dir_all(&work)?;
    let suites = Suites {
        python: python::environment("azure")?,
        tools: tools::ensure_only(&[Module::AzureClients])?,
        work,
    };
    let servers = Servers::start(&suites.tools, &suites.work)?;
    let environment = servers.environment();
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, Path::new(value))).collect();
    tests(&environment)?;
    suites.run(&servers).with_context(|| format!("the logs are in {}", suites.work.display()))?;
    drop(servers);
    std::fs::remove_dir_all(&suites.work).context("failed to remove the work folder")
}

impl Suites {
    fn run(&self, servers: &Servers) -> anyhow::Result<()> {
        let mut running = MODULES
            .iter()
            .map(|(name, modules)| self.start(name, self.python(modules), servers))
            .collect::<anyhow::Result<Vec<_>>>()?;
        running.push(self.start(
            "workspaces to registries (Go)",
            Command::new(self.tools.azure_client()),
            servers,
        )?);
        let waiting: Vec<_> = running.into_iter().map(|suite| std::thread::spawn(|| suite.end())).collect();
        let ended = waiting
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a suite was not waited for"))?);
        let mut results: Vec<_> = ended.collect();
        results.push(self.judge_answers());
        let failed: Vec<_> = results.into_iter().filter_map(Result::err).collect();
        for error in &failed {
            eprintln!("    FAILED: {error:#}");
        }
        ensure!(failed.is_empty(), "{} of the suites failed, see above", failed.len());
        Ok(())
    }

    fn python(&self, modules: &[&str]) -> Command {
        let mut command = self.python.command();
        command.args(["-W", "ignore", "-m", "unittest"]).args(modules);
        command.current_dir(cache::repository().join("e2e/azure/python"));
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    fn start(&self, name: &'static str, mut command: Command, servers: &Servers) -> anyhow::Result<Suite> {
        let log =
            self.work.join(format!("{}.log", name.replace(|letter: char| !letter.is_alphanumeric(), "-")));
        let output = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        command.envs(servers.environment()).env("BODIES_OUT", self.bodies());
        let child = command.spawn().with_context(|| format!("failed to start {}", shell::line(&command)))?;
        Ok(Suite { name, child, log, started: Instant::now() })
    }

    /// Where the suites leave what the emulator answered.
    fn bodies(&self) -> PathBuf {
        self.work.join("bodies.jsonl")
    }

    /// Passes every resource that the emulator answered through the Go models: what vanishes there is misspelt.
    fn judge_answers(&self) -> anyhow::Result<()> {
        let started = Instant::now();
        let misspelt = self.work.join("misspelt.jsonl");
        std::fs::write(&misspelt, MISSPELT)?;
        let program = self.tools.azure_bodies();
        ensure!(judge(&program, &misspelt).is_err(), "the Go models keep a misspelt key: they judge nothing");
        let found = judge(&program, &self.bodies())?;
        eprintln!(
            "    ok in {}: {} answers keep every key in the Go models",
            seconds(started.elapsed()),
            found["bodies"]
        );
        Ok(())
    }
}

impl Suite {
    fn end(mut self) -> anyhow::Result<()> {
        let status = self.child.wait()?;
        let printed = std::fs::read_to_string(&self.log)?;
        let elapsed = seconds(self.started.elapsed());
        if !status.success() {
            bail!("{} in {elapsed}\n{printed}", self.name);
        }
        let last = printed.lines().rev().find(|line| line.contains(" passed") || line.starts_with("Ran "));
        eprintln!("    ok in {elapsed}: {}: {}", self.name, last.unwrap_or("no summary").trim());
        Ok(())
    }
}

/// Runs the program that passes bodies through the Go models, and returns its summary.
pub fn judge(program: &Path, bodies: &Path) -> anyhow::Result<Value> {
    let mut command = Command::new(program);
    command.stdin(File::open(bodies).with_context(|| format!("failed to open {}", bodies.display()))?);
    let output = command.output().with_context(|| format!("failed to start {}", program.display()))?;
    let printed = String::from_utf8(output.stdout)?;
    let mut lines: Vec<&str> = printed.lines().collect();
    let summary = lines.pop().with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    ensure!(output.status.success(), "the Go models do not keep every key:\n{}", unique(&lines).join("\n"));
    Ok(serde_json::from_str(summary)?)
}

/// The findings without repetition: one misspelt key is in many answers.
fn unique<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let mut seen = std::collections::BTreeSet::new();
    let is_new = |line: &&str| {
        let finding: Value = serde_json::from_str(line).unwrap_or_default();
        seen.insert((finding["type"].to_string(), finding["path"].to_string()))
    };
    lines.iter().copied().filter(is_new).collect()
}
