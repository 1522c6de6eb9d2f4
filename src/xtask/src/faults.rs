//! `faults`: the rows of faults at full size, by the same cases that the tests run small.
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::{shell, test, tools};

/// The environment variable that says how large the cases are.
pub const SIZE: &str = "MLOPS_E2E_SIZE";
/// Its value for the full size.
pub const FULL: &str = "full";

/// The rows about Azure.
const ROWS: std::ops::RangeInclusive<u8> = 1..=10;

/// What to run.
#[derive(Debug, clap::Subcommand)]
pub enum Arguments {
    /// Faults between the operator and Azure, rows Z1 to Z10: about an hour in all.
    Azure {
        /// A row, such as Z3; repeat for several, and leave it out for all.
        #[arg(long = "row", value_parser = row)]
        rows: Vec<String>,
    },
}

/// Runs the cases of the rows; each tells its figures, and all are told again in the end.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments::Azure { rows } = arguments;
    tools::ensure_only(&[tools::Module::Kubernetes, tools::Module::Etcd])?;
    let programs = test::build()?;
    let program = programs.iter().find(|program| program.name == "azure_resources");
    let program = program.context("cargo built no test program azure_resources")?;
    let mut command = Command::new(&program.executable);
    command.current_dir(&program.package).env("CARGO_MANIFEST_DIR", &program.package).env(SIZE, FULL);
    let wanted = |number: &u8| rows.is_empty() || rows.contains(&format!("z{number}"));
    // Modules are named like rows.
    let filters: Vec<String> = ROWS.filter(wanted).map(|number| format!("z{number}::")).collect();
    ensure!(!filters.is_empty(), "no row is to be run");
    shell::run(command.args(filters))
}

fn row(text: &str) -> Result<String, String> {
    let row = text.to_lowercase();
    let known = ROWS.map(|number| format!("z{number}")).any(|known| known == row);
    if known { Ok(row) } else { Err("rows are Z1 to Z10".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_known_in_either_case() {
        assert_eq!(row("Z10"), Ok("z10".to_owned()));
        assert_eq!(row("z1"), Ok("z1".to_owned()));
        assert!(row("Z11").is_err() && row("R1").is_err() && row("").is_err());
    }
}
