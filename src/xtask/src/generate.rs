//! `cargo xtask gen`: runs the program that makes files from code, which knows the API; this one compiles without it.
use std::process::Command;

use anyhow::Context as _;

use crate::{cache, image, shell};

/// Options of `cargo xtask gen`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Write nothing; fail when a file is not what would be written.
    #[arg(long)]
    check: bool,
}

/// Fails when a generated file is not what would be written.
pub fn check() -> anyhow::Result<()> {
    run(&Arguments { check: true })
}

/// Writes or checks all generated files.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let programs = image::binary::build(&["generate", "mlops-operator"], false)?;
    let [generate, operator] = &programs[..] else { anyhow::bail!("cargo built other programs") };
    let mut command = Command::new(generate);
    command.arg(cache::repository()).arg(operator).args(arguments.check.then_some("--check"));
    shell::run(&mut command).context("failed to make files from code")
}
