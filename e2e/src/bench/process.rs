//! The operator as a process: started, measured, stopped.
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::{OPERATOR_NAMESPACE, binary};

/// A running operator; it ends with this value.
pub struct Operator {
    child: Child,
    port: u16,
}

impl Operator {
    /// Starts one with a kubeconfig.
    pub fn start(kubeconfig: &Path) -> anyhow::Result<Self> {
        Self::start_with(kubeconfig, &[], &[])
    }

    /// Starts one with a kubeconfig, and arguments and an environment beside the usual ones.
    pub fn start_with(
        kubeconfig: &Path,
        arguments: &[String],
        environment: &[(String, String)],
    ) -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = Command::new(binary("mlops-operator")?)
            .env("KUBECONFIG", kubeconfig)
            .envs(environment.iter().cloned())
            .arg(format!("--http=127.0.0.1:{port}"))
            .args(["--operator-namespace", OPERATOR_NAMESPACE, "--log-level", "warn"])
            .args(arguments)
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self { child, port })
    }

    /// Waits until its watches have listed everything.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let url = format!("http://127.0.0.1:{}/readyz", self.port);
        for _ in 0..300 {
            let check = Command::new(binary("mlops-operator")?)
                .args(["check", "--url", &url])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()?;
            if check.success() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::bail!("the operator did not become ready")
    }

    /// CPU used so far, in user and kernel mode.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let after_name = stat.rsplit_once(')').context("an odd /proc stat")?.1;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        // The kernel counts in hundredths of a second on every platform that this runs on.
        Ok(Duration::from_millis(ticks * 10))
    }

    /// The most memory that was resident at once, in KiB.
    pub fn peak_memory_kib(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse()?)
    }

    /// Tells it to stop, and waits for its end.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let status = Command::new("kill").arg(self.child.id().to_string()).status()?;
        ensure!(status.success(), "failed to signal the operator");
        for _ in 0..100 {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("the operator did not stop within 5 s")
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
