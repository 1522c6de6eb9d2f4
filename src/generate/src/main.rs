//! `generate`: writes or checks the committed files that are made from code; `cargo xtask gen` runs it.
use std::process::ExitCode;

fn main() -> ExitCode {
    generate::run(std::env::args_os())
}
