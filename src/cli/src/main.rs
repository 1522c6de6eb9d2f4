//! `kubectl-mlops`: shows, explains and plans what the mlops-operator does; it reads and never writes.
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os())
}
