//! Child processes: run one, keep its output, and say in the error what was run and what it printed last.
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// What `cargo run` tells a program about itself. Handed on to another cargo, it makes build scripts run again, and
/// what depends on them compile again.
const ABOUT_ITSELF: [&str; 5] =
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];

/// Cargo in this checkout, as if it were called from a terminal.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(crate::cache::repository());
    for (variable, _) in std::env::vars_os() {
        if ABOUT_ITSELF.iter().any(|prefix| variable.to_string_lossy().starts_with(prefix)) {
            command.env_remove(&variable);
        }
    }
    command
}

/// Runs a command with its output on this terminal.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("failed to start {}", line(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", line(command));
    }
    Ok(())
}

/// Runs a command and returns what it printed on standard output; its standard error is part of the error.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("failed to start {}", line(command)))?;
    if !output.status.success() {
        let printed = String::from_utf8_lossy(&output.stderr);
        let tail: Vec<&str> = printed.lines().rev().take(20).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        bail!("{} ended with {}: {}", line(command), output.status, tail.join("\n"));
    }
    String::from_utf8(output.stdout).context("the output is not UTF-8")
}

/// A command as a person would type it.
pub fn line(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}
