//! The operator as a process: started, killed, started again, asked over its own HTTP port.
use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::wait::{PATIENCE, until};

/// How an operator is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// The kubeconfig that it uses.
    pub kubeconfig: PathBuf,
    /// The file that its output is added to.
    pub log: PathBuf,
    /// The folder of the control plane, whose end is the end of the operator too.
    pub cluster: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its environment, beside the test's own.
    pub environment: Vec<(String, String)>,
}

/// A running operator; killed when dropped.
pub struct Operator {
    options: Options,
    child: Child,
    port: u16,
}

impl Operator {
    /// Starts it and returns at once.
    pub fn start(options: Options) -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = spawn(&options, port)?;
        Ok(Self { options, child, port })
    }

    /// Kills it the hard way.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Kills it the hard way and starts it again.
    pub fn crash(&mut self) -> anyhow::Result<()> {
        self.kill()?;
        self.child = spawn(&self.options, self.port)?;
        Ok(())
    }

    /// Asks it to stop; returns how long that took.
    pub async fn terminate(&mut self) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let done = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status()?;
        ensure!(done.success(), "failed to send SIGTERM");
        let status = until("the end of the operator", PATIENCE, async || {
            Ok(self.child.try_wait()?.ok_or_else(|| "it still runs".to_owned()))
        })
        .await?;
        ensure!(status.success(), "the operator ended with {status}: {}", tail(&self.options.log, 20));
        Ok(started.elapsed())
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Fails when it ended by itself.
    pub fn check_alive(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            Some(status) => anyhow::bail!("the operator ended with {status} (signal {:?})", status.signal()),
            None => Ok(()),
        }
    }

    /// Everything that it wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.options.log).unwrap_or_default()
    }

    /// Asks its own HTTP port; returns the status and the body.
    pub async fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let answer = reqwest::get(format!("http://127.0.0.1:{}{path}", self.port)).await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// Puts to its own HTTP port; returns the status and the body.
    pub async fn put(&self, path: &str, body: &str) -> anyhow::Result<(u16, String)> {
        let request = reqwest::Client::new().put(format!("http://127.0.0.1:{}{path}", self.port));
        let answer = request.body(body.to_owned()).send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// Waits until it says that it is ready.
    pub async fn ready(&self) -> anyhow::Result<()> {
        until("readiness of the operator", PATIENCE, async || {
            Ok(match self.get("/readyz").await {
                Ok((200, _)) => Ok(()),
                Ok((code, body)) => Err(format!("{code} {body}")),
                Err(error) => Err(format!("{error:#}")),
            })
        })
        .await
    }

    /// The value of a metric, its labels included in the name; 0 when it was never set.
    pub async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let (_, text) = self.get("/metrics").await?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.map(str::parse).transpose()?.unwrap_or(0.0))
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.kill();
    }
}

fn spawn(options: &Options, port: u16) -> anyhow::Result<Child> {
    let log = File::options().create(true).append(true).open(&options.log)?;
    let mut command = Command::new(program()?);
    command.args(&options.arguments).arg(format!("--http=127.0.0.1:{port}"));
    command.env("KUBECONFIG", &options.kubeconfig);
    // The identity of whoever runs the tests is not the operator's.
    let inherited = std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with("AZURE_"));
    for name in inherited {
        command.env_remove(name);
    }
    command.envs(options.environment.iter().cloned());
    // The mark by which a later run finds what a killed one left behind.
    command.env("MLOPS_CLUSTER_DIRECTORY", &options.cluster).env("MLOPS_CLUSTER_COMPONENT", "mlops-operator");
    command.env("MLOPS_CLUSTER_OWNER", format!("{}:{}", std::process::id(), start_time()?));
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().context("failed to start the operator")
}

/// When this process started, in clock ticks since boot: with its identifier, what tells it from all others.
fn start_time() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let fields = text.rsplit_once(')').map(|(_, rest)| rest.split_whitespace());
    let field = fields.and_then(|mut fields| fields.nth(19)).context("failed to read /proc/self/stat")?;
    Ok(field.parse()?)
}

/// The operator's program, beside this test's own.
fn program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().and_then(Path::parent).context("the test program has no folder")?;
    let program = folder.join("mlops-operator");
    ensure!(
        program.exists(),
        "{} is missing: run `cargo xtask test`, which builds it, or `cargo build -p operator`",
        program.display()
    );
    Ok(program)
}

/// The last lines of a file.
pub fn tail(path: &Path, lines: usize) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
