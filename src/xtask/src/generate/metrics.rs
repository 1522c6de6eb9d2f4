//! The table of the operator's metrics, printed by the operator itself.
use std::process::Command;

use anyhow::Context as _;

use super::Output;
use crate::{image, shell};

const HEAD: &str = "# Metrics of the operator\n\nMade by `cargo xtask gen` from what the operator registers; served at `/metrics`.\n\n";

/// The table.
pub(super) fn output() -> anyhow::Result<Output> {
    let programs = image::binary::build(&["mlops-operator"], false)?;
    let operator = programs.first().context("cargo built no operator")?;
    let table = shell::output(Command::new(operator).arg("metrics-table"))?;
    Ok(Output::new("config/metrics.md", format!("{HEAD}{}\n", table.trim())))
}
