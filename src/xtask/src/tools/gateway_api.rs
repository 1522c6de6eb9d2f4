//! The definitions of the Gateway API's standard channel, out of its Go module, for tests: no cluster brings them.
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::{cache, progress, shell};

const MODULE: &str = "sigs.k8s.io/gateway-api";
/// The newest whose module needs no newer Go than the other tools.
const VERSION: &str = "v1.6.3";
/// What the module's files must add up to, as go.sum has it.
const SUM: &str = "h1:lKpJa5bGlraC/QeACvCpsHLdmO6y0iKfzVl6gzaFEYc=";
/// Where in the module the definitions lie.
const STANDARD: &str = "config/crd/standard";

/// The folder with the definitions, one YAML file for each kind; fetched the first time.
pub fn ensure() -> anyhow::Result<PathBuf> {
    let parent = cache::root()?.join("tools");
    let folder = parent.join(format!("gateway-api-{}", cache::key(&[], &[VERSION, SUM])?));
    if folder.is_dir() {
        return Ok(folder);
    }
    std::fs::create_dir_all(&parent)?;
    let _lock = cache::lock(&parent.join("gateway-api.lock"))?;
    if !folder.is_dir() {
        progress::step("fetch the definitions of the Gateway API", || fetch(&folder))?;
    }
    Ok(folder)
}

/// Copies beside the final folder and renames, so that a killed run leaves nothing that looks finished.
fn fetch(folder: &std::path::Path) -> anyhow::Result<()> {
    let part = folder.with_extension("part");
    if part.exists() {
        std::fs::remove_dir_all(&part)?;
    }
    std::fs::create_dir_all(&part)?;
    let mut command = Command::new(super::go()?);
    // Away from every go.mod, whose requirements would count otherwise.
    command.current_dir(&part).env_remove("GOFLAGS").env("GOWORK", "off");
    command.args(["mod", "download", "-json", &format!("{MODULE}@{VERSION}")]);
    let told: Value = serde_json::from_str(&shell::output(&mut command)?)?;
    ensure!(told["Sum"] == SUM, "{MODULE} {VERSION} adds up to {}, not to {SUM}", told["Sum"]);
    let module = PathBuf::from(told["Dir"].as_str().context("go tells no folder of the module")?);
    let mut count = 0;
    for entry in std::fs::read_dir(module.join(STANDARD))? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        if path.extension().is_some_and(|extension| extension == "yaml") {
            // Modules are kept read-only, and a copy would inherit that.
            std::fs::write(part.join(name), std::fs::read(path)?)?;
            count += 1;
        }
    }
    ensure!(count > 0, "{MODULE} {VERSION} has no definitions in {STANDARD}");
    std::fs::rename(&part, folder)?;
    Ok(())
}
