//! Python in the cache: ONNX Runtime's shared library out of its wheel, and virtual environments from lock files.
//!
//! Every package is pinned by version and hash in `src/xtask/tools/python`.
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::{cache, progress, shell};

/// The version of ONNX Runtime that the model server is tested and shipped with.
pub const ONNXRUNTIME_VERSION: &str = "1.31.1";

const HINT: &str =
    "install Python 3.11 or newer with pip and venv (Debian: apt-get install python3-pip python3-venv)";

/// A Python interpreter in a virtual environment of the cache.
#[derive(Clone, Debug)]
pub struct Python {
    /// The folder of the virtual environment.
    pub root: PathBuf,
}

impl Python {
    /// The interpreter.
    pub fn executable(&self) -> PathBuf {
        self.root.join("bin/python")
    }

    /// A command that runs this interpreter, independent of the user's own packages.
    pub fn command(&self) -> Command {
        let mut command = Command::new(self.executable());
        command.arg("-s").env_remove("PYTHONPATH").env_remove("PYTHONHOME");
        command
    }
}

/// ONNX Runtime's shared library, fetched once: `onnxruntime-VERSION/libonnxruntime.so.VERSION` in the cache.
pub fn onnxruntime_library() -> anyhow::Result<PathBuf> {
    let folder = cache::root()?.join(format!("onnxruntime-{ONNXRUNTIME_VERSION}"));
    let name = format!("libonnxruntime.so.{ONNXRUNTIME_VERSION}");
    let library = folder.join(&name);
    if library.is_file() {
        return Ok(library);
    }
    progress::step(&format!("fetch ONNX Runtime {ONNXRUNTIME_VERSION} (a 20 MB wheel)"), || {
        let work = fresh_folder(&folder)?;
        let mut download = Command::new("python3");
        download.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
        download.args(["--only-binary", ":all:", "--require-hashes", "-d"]).arg(&work);
        download.arg("-r").arg(lock_file("onnxruntime"));
        shell::output(&mut download).context(HINT)?;
        let wheel = only_wheel(&work)?;
        let unpacked = work.join("unpacked");
        shell::output(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&unpacked))?;
        let packed = unpacked.join("onnxruntime/capi").join(&name);
        let ready = work.join("ready");
        std::fs::create_dir(&ready)?;
        std::fs::rename(&packed, ready.join(&name))
            .with_context(|| format!("the wheel has no onnxruntime/capi/{name}; is this Linux?"))?;
        publish(&ready, &folder)?;
        std::fs::remove_dir_all(&work).context("failed to remove the work folder")
    })?;
    Ok(library)
}

/// The virtual environment of a lock file in `src/xtask/tools/python`, made once for each content of that file.
pub fn environment(name: &str) -> anyhow::Result<Python> {
    let lock = lock_file(name);
    let version = shell::output(Command::new("python3").arg("--version")).context(HINT)?;
    let key = cache::key(&[&lock], &[version.trim()])?;
    let python = Python { root: cache::root()?.join(format!("python-{name}-{key}")) };
    // A virtual environment can't be moved, so that this mark, written last, tells a whole one from a broken one.
    let mark = python.root.join("complete");
    if mark.is_file() {
        return Ok(python);
    }
    progress::step(&format!("make the Python environment {name}"), || {
        if python.root.exists() {
            std::fs::remove_dir_all(&python.root)?;
        }
        shell::output(Command::new("python3").args(["-m", "venv"]).arg(&python.root)).context(HINT)?;
        let mut install = python.command();
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]);
        install.args(["--only-binary", ":all:", "-r"]).arg(&lock);
        shell::output(&mut install)?;
        std::fs::write(&mark, version).context("failed to mark the environment as complete")
    })?;
    Ok(python)
}

fn lock_file(name: &str) -> PathBuf {
    cache::repository().join("src/xtask/tools/python").join(format!("{name}.txt"))
}

/// An empty folder beside `target`, on the same file system, private to this process.
fn fresh_folder(target: &Path) -> anyhow::Result<PathBuf> {
    let folder = target.with_extension(format!("work-{}", std::process::id()));
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
    Ok(folder)
}

/// Moves a finished folder into place; a folder that another process finished meanwhile is as good.
fn publish(ready: &Path, target: &Path) -> anyhow::Result<()> {
    match std::fs::rename(ready, target) {
        Ok(()) => Ok(()),
        Err(_) if target.is_dir() => Ok(()),
        Err(error) => Err(error).with_context(|| format!("failed to move a folder to {}", target.display())),
    }
}

fn only_wheel(folder: &Path) -> anyhow::Result<PathBuf> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "whl") {
            return Ok(path);
        }
    }
    bail!("pip left no wheel in {}", folder.display())
}
