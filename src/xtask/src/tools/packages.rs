//! Debian packages that a node needs, installed when they are missing.
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;

use crate::{progress, shell};

/// What a node runs, and the package that brings it.
const NEEDED: [(&str, &str); 9] = [
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
    ("iptables", "iptables"),
    ("ip", "iproute2"),
    ("conntrack", "conntrack"),
    ("ipset", "ipset"),
    ("socat", "socat"),
    ("/bin/busybox", "busybox-static"),
];

/// Installs what is missing; instant when all is there.
pub fn ensure() -> anyhow::Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if on_path("apt-get").is_none() {
        bail!(
            "a node needs the programs of these Debian packages: {list}; install them by your system's own means, \
             or use --control-plane-only or --context NAME"
        );
    }
    progress::step(&format!("install {list}"), || {
        shell::output(Command::new("apt-get").args(["update", "-q"]))?;
        let mut install = Command::new("apt-get");
        install.env("DEBIAN_FRONTEND", "noninteractive");
        install.args(["install", "-q", "-y", "--no-install-recommends"]).args(&missing);
        shell::output(&mut install)
    })?;
    Ok(())
}

fn missing() -> Vec<&'static str> {
    NEEDED
        .iter()
        .filter(|(program, _)| match program.strip_prefix('/') {
            Some(_) => !Path::new(program).exists() && !Path::new("/usr").join(&program[1..]).exists(),
            None => on_path(program).is_none(),
        })
        .map(|(_, package)| *package)
        .collect()
}

/// Where a program is: on the search path, or where the system keeps its own.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/sbin", "/usr/bin"].map(PathBuf::from));
    folders.into_iter().map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}
