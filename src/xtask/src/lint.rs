//! `cargo xtask lint`: formatting, clippy, documentation, charts, licences and duplicate dependencies.
use std::path::PathBuf;
use std::process::Command;

use anyhow::bail;

use crate::tools::{self, Module};
use crate::{cache, progress, shell};

/// Built from source in two minutes on two cores; with its defaults it would bring Git along for registries that are
/// not used here.
const CARGO_DENY_VERSION: &str = "0.20.2";

type Check = fn() -> anyhow::Result<()>;

const CHECKS: [(&str, Check); 5] = [
    ("formatting", formatting),
    ("clippy", clippy),
    ("documentation", documentation),
    ("charts", charts),
    ("licences, duplicates and sources of dependencies", dependencies),
];

/// Runs every check, also after one has failed, so that one run shows all.
pub fn run() -> anyhow::Result<()> {
    let mut failed = Vec::new();
    for (title, check) in CHECKS {
        if let Err(error) = progress::step(title, check) {
            eprintln!("    {error:#}");
            failed.push(title);
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join("; "));
    }
    Ok(())
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = shell::cargo();
    command.args(arguments);
    command
}

fn formatting() -> anyhow::Result<()> {
    shell::run(&mut cargo(&["fmt", "--all", "--check"]))
}

fn clippy() -> anyhow::Result<()> {
    shell::run(&mut cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
}

/// Links between items must lead somewhere, those of private items too.
fn documentation() -> anyhow::Result<()> {
    let mut command = cargo(&["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items"]);
    // Private items are documented for the reader of the source, who can follow a link to one.
    command.env("RUSTDOCFLAGS", "--deny warnings --allow rustdoc::private_intra_doc_links");
    shell::run(&mut command)
}

fn charts() -> anyhow::Result<()> {
    let tools = tools::ensure_only(&[Module::Helm])?;
    let mut command = Command::new(tools.helm());
    command.current_dir(cache::repository()).args(["lint", "--strict", "--quiet"]);
    shell::run(command.args(["charts/mlops-operator", "charts/mlops-operator-crds"]))
}

/// `.cargo/deny.toml` says what is allowed, and why advisories are left out.
fn dependencies() -> anyhow::Result<()> {
    let mut command = Command::new(cargo_deny()?);
    command.current_dir(cache::repository());
    shell::run(command.args(["--locked", "--log-level", "error", "check", "bans", "licenses", "sources"]))
}

/// cargo-deny, built into the cache once.
fn cargo_deny() -> anyhow::Result<PathBuf> {
    let root = cache::root()?.join(format!("cargo-deny-{CARGO_DENY_VERSION}"));
    let program = root.join("bin/cargo-deny");
    if program.is_file() {
        return Ok(program);
    }
    std::fs::create_dir_all(&root)?;
    let _lock = cache::lock(&root.join("lock"))?;
    if program.is_file() {
        return Ok(program);
    }
    let title = format!("build cargo-deny {CARGO_DENY_VERSION} (about 2 minutes the first time)");
    progress::step(&title, || {
        let version = format!("={CARGO_DENY_VERSION}");
        let mut command = cargo(&["install", "--quiet", "--locked", "--debug", "--no-default-features"]);
        command.args(["cargo-deny", "--version", &version, "--root"]).arg(&root);
        // A target folder of its own, removed afterwards: nothing of it is shared with the workspace.
        let target = root.join("target");
        shell::output(command.env("CARGO_TARGET_DIR", &target))?;
        std::fs::remove_dir_all(&target)?;
        Ok(())
    })?;
    Ok(program)
}
