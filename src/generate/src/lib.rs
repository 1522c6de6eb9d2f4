//! Every committed file that is made from code: definitions, chart, samples, references.
//!
//! Invariant: the same sources give the same bytes, so that a check fails only when a source changed.
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Parser;
use serde_json::Value;

mod chart;
mod crds;
mod metrics;
mod rbac;
mod reference;
mod samples;
#[cfg(test)]
mod tests;

/// The folders in which every file is generated: a file that nothing generates any more is stale.
const OWNED_FOLDERS: [&str; 5] = [
    "crds",
    "config/samples",
    "charts/mlops-operator/files",
    "charts/mlops-operator/templates/crds",
    "charts/mlops-operator-crds/templates",
];

/// Writes every file that is made from code.
#[derive(Parser)]
struct Arguments {
    /// The root of the repository.
    root: PathBuf,
    /// The operator, which prints the table of its metrics.
    operator: PathBuf,
    /// Write nothing; fail when a file is not what would be written.
    #[arg(long)]
    check: bool,
}

/// A generated file.
#[derive(Debug)]
struct Output {
    /// The path from the root of the repository.
    path: PathBuf,
    contents: String,
}

impl Output {
    fn new(path: impl Into<PathBuf>, contents: String) -> Self {
        Self { path: path.into(), contents }
    }
}

/// Runs the program with its arguments.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match write_or_check(&Arguments::parse_from(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("    {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn write_or_check(arguments: &Arguments) -> anyhow::Result<()> {
    let root = &arguments.root;
    let mut outputs = outputs(root)?;
    outputs.push(metrics::output(&arguments.operator)?);
    let stale = stale(root, &outputs)?;
    if arguments.check && !stale.is_empty() {
        let names: Vec<String> = stale.iter().map(|path| path.display().to_string()).collect();
        bail!("out of date: {}; run `cargo xtask gen` and commit the result", names.join(", "));
    }
    for path in &stale {
        let written = outputs.iter().find(|output| output.path == *path);
        match written {
            Some(output) => write(root, output)?,
            None => std::fs::remove_file(root.join(path))?,
        }
        let word = if written.is_some() { "wrote" } else { "removed" };
        eprintln!("    {word} {}", path.display());
    }
    Ok(())
}

fn outputs(root: &Path) -> anyhow::Result<Vec<Output>> {
    let kinds = crds::all()?;
    let mut outputs = crds::outputs(&kinds)?;
    outputs.extend(crds::policies()?);
    outputs.push(reference::output(&kinds));
    outputs.push(rbac::output(&kinds));
    let samples = samples::outputs(root, &kinds)?;
    outputs.extend(chart::outputs(&kinds, &samples)?);
    outputs.extend(chart::copies(root)?);
    outputs.extend(samples);
    outputs.push(argo_cd(root)?);
    Ok(outputs)
}

/// What Argo CD must be told, as a part of its ConfigMap: how it finds out the health of every kind.
fn argo_cd(root: &Path) -> anyhow::Result<Output> {
    let script = root.join("config/argocd/health.lua");
    let script =
        std::fs::read_to_string(&script).with_context(|| format!("failed to read {}", script.display()))?;
    let text = format!(
        "# Made by `cargo xtask gen` from health.lua. Merge it into Argo CD's own ConfigMap, in its namespace. Where\n\
         # resource.customizations is set already, add the entry to it; else:\n\
         #   kubectl -n argocd patch configmap argocd-cm --patch-file config/argocd/argocd-cm.yaml\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: argocd-cm\ndata:\n  resource.customizations: |\n    \
         {}/*:\n      health.lua: |\n{}",
        api::GROUP,
        indented(&script, 8)
    );
    Ok(Output::new("config/argocd/argocd-cm.yaml", text))
}

/// The paths that differ from what would be written, or that nothing would write.
fn stale(root: &Path, outputs: &[Output]) -> anyhow::Result<BTreeSet<PathBuf>> {
    let mut stale = BTreeSet::new();
    for output in outputs {
        if std::fs::read(root.join(&output.path)).ok().as_deref() != Some(output.contents.as_bytes()) {
            stale.insert(output.path.clone());
        }
    }
    for folder in OWNED_FOLDERS {
        let Ok(entries) = std::fs::read_dir(root.join(folder)) else { continue };
        for entry in entries {
            let path = Path::new(folder).join(entry?.file_name());
            if !outputs.iter().any(|output| output.path == path) {
                stale.insert(path);
            }
        }
    }
    Ok(stale)
}

fn write(root: &Path, output: &Output) -> anyhow::Result<()> {
    let path = root.join(&output.path);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("failed to create {}", parent.display()))?;
    }
    std::fs::write(&path, &output.contents).with_context(|| format!("failed to write {}", path.display()))
}

/// A value as YAML, with a newline at its end.
fn yaml(value: &Value) -> anyhow::Result<String> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let mut text = serde_saphyr::to_string_with_options(value, options).context("failed to write YAML")?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// Every line moved to the right.
fn indented(text: &str, spaces: usize) -> String {
    let lines = text.lines().map(|line| match line {
        "" => "\n".to_owned(),
        line => format!("{:spaces$}{line}\n", ""),
    });
    lines.collect()
}

/// A text broken into lines of at most `width` characters.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
