//! The cache folder outside the checkout: everything in it can be deleted at any time and is built again.
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

/// The root of the cache: `$MLOPS_CACHE`, else `$XDG_CACHE_HOME/mlops-operator`, else `~/.cache/mlops-operator`.
pub fn root() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("MLOPS_CACHE") {
        return Ok(PathBuf::from(path));
    }
    if let Some(path) = std::env::var_os("XDG_CACHE_HOME") {
        return Ok(PathBuf::from(path).join("mlops-operator"));
    }
    let home =
        std::env::var_os("HOME").context("HOME is not set; set MLOPS_CACHE to a folder for the cache")?;
    Ok(PathBuf::from(home).join(".cache/mlops-operator"))
}

/// The root of this checkout.
pub fn repository() -> PathBuf {
    let mut path = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    path.pop();
    path.pop();
    path
}

/// A short key over files and words: changes when any of them does.
pub fn key(files: &[&Path], words: &[&str]) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    for file in files {
        hash.update(std::fs::read(file).with_context(|| format!("failed to read {}", file.display()))?);
        hash.update([0]);
    }
    for word in words {
        hash.update(word.as_bytes());
        hash.update([0]);
    }
    let digest = hash.finalize();
    Ok(digest.iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// Waits until no other process holds this lock; it is released when the value is dropped or the process ends.
pub fn lock(path: &Path) -> anyhow::Result<std::fs::File> {
    let file = std::fs::File::create(path).with_context(|| format!("failed to open {}", path.display()))?;
    if file.try_lock().is_err() {
        eprintln!("    waiting for another process that holds {}", path.display());
        file.lock().with_context(|| format!("failed to lock {}", path.display()))?;
    }
    Ok(file)
}
