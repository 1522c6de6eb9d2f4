//! The API server of a cluster that an earlier command started: killed the hard way, and started again as it was.
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::control_plane::API_SERVER;
use super::process::{self, Lifetime};
use crate::shell;

/// Kills the API server of the control plane in a folder, starts it again after a while, and waits until it is ready.
pub(super) fn api_server(
    directory: &Path,
    away: Duration,
    kubectl: impl Fn() -> Command,
) -> anyhow::Result<()> {
    let running = process::of(directory).into_iter().find(|process| process.component == API_SERVER);
    let running = running.with_context(|| format!("no API server runs in {}", directory.display()))?;
    let mut command = process::command(running.pid)?;
    process::stop(&[running], Duration::ZERO)?;
    std::thread::sleep(away);
    // It belongs to the cluster, and outlives who started it again.
    process::spawn(API_SERVER, directory, Lifetime::Detached, &mut command)?;
    process::wait_until("readiness of the API server", Duration::from_mins(2), || {
        Ok(shell::output(kubectl().args(["get", "--raw", "/readyz", "--request-timeout=5s"])).is_ok())
    })
}
