//! The table of the operator's metrics, printed by the operator itself.
use std::path::Path;
use std::process::Command;

use super::Output;
use crate::shell;

const HEAD: &str = "# Metrics of the operator\n\nMade by `cargo xtask gen` from what the operator registers; served at `/metrics`.\n\n";

/// The table.
pub(super) fn output(root: &Path) -> anyhow::Result<Output> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).args(["run", "--quiet", "--package", "operator", "--", "metrics-table"]);
    let table = shell::output(&mut command)?;
    Ok(Output::new("config/metrics.md", format!("{HEAD}{}\n", table.trim())))
}
