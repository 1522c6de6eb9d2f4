//! The command line: verbs, their options, and the one closing line that says `ok` or what failed.
use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{bench, cluster, demo, faults, generate, image, lint, test, tidy};

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
    /// Check files and dependencies by the rules of the repository; compiles nothing.
    Tidy,
    /// Check formatting, clippy, documentation, charts and dependencies.
    Lint,
    /// Start, stop or show a real Kubernetes cluster on this machine.
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// Write an OCI archive of each component, without a container engine.
    Image(image::Arguments),
    /// Serve a model on a real cluster, score it, and roll a new version out under load.
    Demo(demo::Arguments),
    /// Run everything that CI runs.
    Test(test::Arguments),
    /// Measure, and print JSON and a table.
    #[command(subcommand)]
    Bench(bench::Arguments),
    /// Run the rows of faults at full size.
    #[command(subcommand)]
    Faults(faults::Arguments),
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
        Verb::Tidy => ("tidy", tidy::run()),
        Verb::Lint => ("lint", lint::run()),
        Verb::Cluster(command) => ("cluster", cluster::run(command)),
        Verb::Image(arguments) => ("image", image::run(&arguments)),
        Verb::Demo(arguments) => ("demo", demo::run(&arguments)),
        Verb::Test(arguments) => ("test", test::run(&arguments)),
        Verb::Bench(arguments) => ("bench", bench::run(&arguments)),
        Verb::Faults(arguments) => ("faults", faults::run(&arguments)),
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
