//! `mlops-checker`: does one check of a promotion, and reports what it found.
use std::process::ExitCode;

fn main() -> ExitCode {
    checker::run(std::env::args_os())
}
