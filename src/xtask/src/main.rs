//! `cargo xtask VERB`: the one entry for people, hooks and CI.
use std::process::ExitCode;

fn main() -> ExitCode {
    xtask::run(std::env::args_os())
}
