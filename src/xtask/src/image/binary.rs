//! The programs of this workspace, compiled by Cargo.
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::{shell, tools};

/// What Cargo says of each thing it built.
#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    executable: Option<PathBuf>,
}

/// Compiles programs and returns their paths in the same order.
///
/// The whole workspace is selected, so that its libraries are compiled with the features that the tests compile them
/// with, and compile once.
pub fn build(names: &[&str], release: bool) -> anyhow::Result<Vec<PathBuf>> {
    let mut command = shell::cargo();
    command.args(["build", "--quiet", "--workspace", "--message-format=json-render-diagnostics"]);
    if release {
        command.arg("--release");
    }
    for name in names {
        command.args(["--bin", name]);
    }
    let output = command.stderr(Stdio::inherit()).output().context("failed to start cargo")?;
    if !output.status.success() {
        bail!("{} ended with {}", shell::line(&command), output.status);
    }
    let printed = String::from_utf8(output.stdout).context("the output of cargo is not UTF-8")?;
    names.iter().map(|name| executable(&printed, name)).collect()
}

/// The path of a program in the lines that Cargo printed.
pub(super) fn executable(printed: &str, name: &str) -> anyhow::Result<PathBuf> {
    printed
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok()?.executable)
        .find(|path| path.file_name().is_some_and(|file| file == name))
        .with_context(|| format!("cargo built no program {name}"))
}

/// Copies a program without its symbols, or as it is where there is no `strip`.
pub(super) fn strip(binary: &Path, target: &Path) -> anyhow::Result<PathBuf> {
    if let Some(folder) = target.parent() {
        std::fs::create_dir_all(folder)?;
    }
    if tools::packages::on_path("strip").is_some() {
        shell::output(Command::new("strip").arg("-o").arg(target).arg(binary))?;
    } else {
        std::fs::copy(binary, target)
            .with_context(|| format!("failed to copy {} to {}", binary.display(), target.display()))?;
    }
    Ok(target.to_owned())
}
