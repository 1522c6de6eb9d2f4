//! Whether this machine can run a cluster, said in one sentence when it can't.
use std::path::Path;

use anyhow::bail;

use super::{network, process, teardown};

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
    if let Err(error) = teardown::make_control_groups() {
        bail!("a node needs control groups that it may write to ({error:#}); {INSTEAD}");
    }
    let overlay = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !overlay.lines().any(|line| line.ends_with("\toverlay"))
        && crate::shell::output(std::process::Command::new("modprobe").arg("overlay")).is_err()
    {
        bail!("the kernel has no overlay file system, which images need; {INSTEAD}");
    }
    if let Some(other) = process::marked()
        .into_iter()
        .find(|process| process.component == "kubelet" && !process.directory.starts_with(directory))
    {
        let folder = other.directory.parent().unwrap_or(&other.directory);
        bail!(
            "this machine runs the node of another cluster in {}; take that down first, or {INSTEAD}",
            folder.display()
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
