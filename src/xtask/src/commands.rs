//! The command line: verbs, their options, and the one closing line that says `ok` or what failed.
use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{cluster, generate};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, tests and shows the mlops-operator.", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Write every file that is made from code, or check that all are up to date.
    Gen(generate::Arguments),
    /// Start, stop or show a real Kubernetes cluster on this machine.
    #[command(subcommand)]
    Cluster(cluster::Command),
}

/// Runs one verb and prints the closing line; the exit code is 0 for `ok`, 1 for a failure, 2 for wrong usage.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let started = std::time::Instant::now();
    let (name, result) = match arguments.verb {
        Verb::Gen(arguments) => ("gen", generate::run(&arguments)),
        Verb::Cluster(command) => ("cluster", cluster::run(command)),
    };
    let elapsed = crate::progress::seconds(started.elapsed());
    match result {
        Ok(()) => {
            eprintln!("{name}: ok ({elapsed})");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{name}: failed after {elapsed}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
