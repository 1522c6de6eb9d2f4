//! The table of the operator's metrics, printed by the operator itself.
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::Output;

const HEAD: &str = "# Metrics of the operator\n\nMade by `cargo xtask gen` from what the operator registers; served at `/metrics`.\n\n";

/// The table.
pub(super) fn output(operator: &Path) -> anyhow::Result<Output> {
    let printed = Command::new(operator).arg("metrics-table").output();
    let printed = printed.with_context(|| format!("failed to start {}", operator.display()))?;
    ensure!(printed.status.success(), "{} ended with {}", operator.display(), printed.status);
    let table = String::from_utf8(printed.stdout).context("the table of metrics is not UTF-8")?;
    Ok(Output::new("config/metrics.md", format!("{HEAD}{}\n", table.trim())))
}
