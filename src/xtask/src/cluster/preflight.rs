//! Whether this machine can run a cluster, said in one sentence when it can't.
use std::path::{Path, PathBuf};

use anyhow::bail;

use super::{network, node, process, teardown};

const INSTEAD: &str = "use --control-plane-only, or --context NAME for a cluster that exists";

/// What a control plane needs.
pub(super) fn control_plane() -> anyhow::Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("the cluster's programs run on Linux only; use --context NAME for a cluster that exists");
    }
    Ok(())
}

/// What a node needs.
pub(super) fn full(directory: &Path) -> anyhow::Result<()> {
    control_plane()?;
    if !rustix::process::geteuid().is_root() {
        bail!("a node needs root for its links, mounts and control groups; {INSTEAD}");
    }
    let socket = directory.join("node/containerd.sock.ttrpc");
    if socket.as_os_str().len() > 107 {
        bail!("the path {} is too long for a socket; set MLOPS_CACHE to a shorter folder", socket.display());
    }
    if let Err(error) = teardown::try_control_groups() {
        bail!("a node needs control groups that it may write to ({error:#}); {INSTEAD}");
    }
    let overlay = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !overlay.lines().any(|line| line.ends_with("\toverlay"))
        && crate::shell::output(std::process::Command::new("modprobe").arg("overlay")).is_err()
    {
        bail!("the kernel has no overlay file system, which images need; {INSTEAD}");
    }
    if let Some(other) = other_node(directory) {
        bail!(
            "this machine has, or had until it was killed, the node of another cluster in {}; take that down first \
             (cargo xtask cluster down --name {}), or {INSTEAD}",
            other.display(),
            other.file_name().unwrap_or_default().display()
        );
    }
    Ok(())
}

/// Whether something that is not ours is in the way, once nothing of ours is left.
pub(super) fn free_of_others() -> anyhow::Result<()> {
    if network::has_service_rules() {
        bail!("this machine is a node of another Kubernetes (its kube-proxy's rules are here); {INSTEAD}");
    }
    if let Some(route) = network::taken_network()? {
        bail!("the networks 10.231.0.0 to 10.233.255.255 are in use on this machine ({route}); {INSTEAD}");
    }
    Ok(())
}

/// The folder of another cluster that has a node: there is one set of packet filter rules for all.
fn other_node(directory: &Path) -> Option<PathBuf> {
    let left = std::fs::read_dir(directory.parent()?).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let running = process::marked()
        .into_iter()
        .filter(|process| node::COMPONENTS.contains(&process.component.as_str()))
        .filter_map(|process| Some(process.directory.parent()?.to_owned()));
    left.filter(|folder| folder.join(network::SAVED).exists())
        .chain(running)
        .find(|folder| folder != directory)
}
