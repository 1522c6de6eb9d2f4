//! `faults`: the rows of faults at full size, by the same cases that the tests run small.
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::progress::step;
use crate::test::TestProgram;
use crate::{cluster, demo, shell, test, tools};

/// The environment variable that says how large the cases are.
pub const SIZE: &str = "MLOPS_E2E_SIZE";
/// Its value for the full size.
pub const FULL: &str = "full";
/// The environment variable that says how many rollouts there are at full size.
pub const ROLLOUTS: &str = "MLOPS_E2E_ROLLOUTS";
/// The journey with the rollouts.
const JOURNEY: &str = "rollouts_go_on_while";

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
    /// Faults between the operator and the API server, the way from one spec to another, and tenants that disturb
    /// others: rows R and S.
    Kubernetes {
        /// Parts of the names of cases; all without any.
        cases: Vec<String>,
    },
    /// Rollouts under load on a cluster with pods, while pods of the gateway and of the operator go, the API server is
    /// killed, and models that can't be loaded are rolled out in the middle: no request may fail. Half a minute each.
    Rollouts {
        /// How many are to be promoted.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        rollouts: u32,
    },
}

/// Runs the cases; each tells its figures, and those of rows are all told again in the end.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match arguments {
        Arguments::Azure { rows } => azure(rows),
        Arguments::Kubernetes { cases } => kubernetes(cases),
        Arguments::Rollouts { rollouts } => on_cluster(*rollouts),
    }
}

fn azure(rows: &[String]) -> anyhow::Result<()> {
    tools::ensure_only(&[tools::Module::Kubernetes, tools::Module::Etcd])?;
    let program = program(test::build()?, "azure_resources")?;
    let wanted = |number: &u8| rows.is_empty() || rows.contains(&format!("z{number}"));
    // Modules are named like rows.
    let filters: Vec<String> = ROWS.filter(wanted).map(|number| format!("z{number}::")).collect();
    ensure!(!filters.is_empty(), "no row is to be run");
    shell::run(full(&program).args(filters))
}

fn kubernetes(cases: &[String]) -> anyhow::Result<()> {
    tools::ensure_only(&[tools::Module::Kubernetes, tools::Module::Etcd])?;
    let programs = test::build()?;
    let ours = programs.iter().filter(|it| ["reliability", "control_plane"].contains(&it.name.as_str()));
    ours.into_iter().try_for_each(|program| shell::run(full(program).args(cases)))
}

/// Runs the journey with so many rollouts. A cluster that was up before stays up.
fn on_cluster(rollouts: u32) -> anyhow::Result<()> {
    // The images hold what it needs of the other programs.
    let program = program(test::compile(&["--test", "journeys"])?, "journeys")?;
    let options = cluster::Options::default();
    let was_up = cluster::is_up(&options)?;
    let result = step("a cluster", || cluster::up(&options)).and_then(|cluster| {
        demo::install::install(&cluster)?;
        demo::store::load(&cluster)?;
        let mut command = full(&program);
        command.env(ROLLOUTS, rollouts.to_string()).env("MLOPS_E2E_KUBECONFIG", cluster.kubeconfig());
        shell::run(command.arg(JOURNEY))
    });
    if !was_up {
        cluster::down(&options.name)?;
    }
    result
}

fn program(programs: Vec<TestProgram>, name: &str) -> anyhow::Result<TestProgram> {
    let program = programs.into_iter().find(|program| program.name == name);
    program.with_context(|| format!("cargo built no test program {name}"))
}

/// A test program at full size.
fn full(program: &TestProgram) -> Command {
    let mut command = Command::new(&program.executable);
    command.current_dir(&program.package).env("CARGO_MANIFEST_DIR", &program.package).env(SIZE, FULL);
    command
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
