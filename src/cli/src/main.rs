//! `kubectl-mlops`: shows, explains, plans and steers what the mlops-operator does.
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os())
}
