//! The removal of a cluster: processes, mounts, links, rules, control groups, files. Copes with any half of one.
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::mount::{UnmountFlags, unmount};

use super::{CONTROL_PLANE, NODE, READY, network, node, process};

const HIERARCHIES: &str = "/sys/fs/cgroup";

/// Removes everything of the cluster in this folder, and the folder; its logs are kept beside it.
pub(super) fn tear_down(directory: &Path) -> anyhow::Result<()> {
    remove_file(&directory.join(READY))?;
    let saved = directory.join(network::SAVED);
    // Everything on the machine outside the folder is changed after this file is written, and restored before it goes.
    let has_node = saved.exists();
    stop_processes(directory, has_node)?;
    keep_logs(directory)?;
    unmount_all(directory)?;
    if has_node {
        remove_control_groups()?;
        remove_traces(&directory.join(NODE))?;
        network::tear_down(&saved)?;
    }
    if directory.exists() {
        std::fs::remove_dir_all(directory)
            .with_context(|| format!("failed to remove {}", directory.display()))?;
    }
    Ok(())
}

/// Ends components and containers until none of them is left: what is being started while the first are ended is marked
/// too, or lands in the control group.
fn stop_processes(directory: &Path, has_node: bool) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        let marked = process::within(directory);
        let contained = if has_node { contained() } else { Vec::new() };
        if marked.is_empty() && contained.is_empty() {
            return Ok(());
        }
        if started.elapsed() > Duration::from_secs(30) {
            bail!("processes of the cluster don't end: {contained:?} {marked:?}");
        }
        let (runtime, rest): (Vec<_>, Vec<_>) =
            marked.into_iter().partition(|process| process.component == "containerd");
        process::stop(&rest, Duration::ZERO)?;
        process::kill(&contained);
        process::stop(&runtime, Duration::ZERO)?;
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The processes in the cluster's control groups.
fn contained() -> Vec<i32> {
    let mut pids: Vec<i32> = control_groups()
        .iter()
        .flat_map(|group| folders_below(group))
        .filter_map(|group| std::fs::read_to_string(group.join("cgroup.procs")).ok())
        .flat_map(|list| list.lines().filter_map(|line| line.parse().ok()).collect::<Vec<i32>>())
        // Zero stands for a process of another namespace, which is not ours to end.
        .filter(|pid| *pid > 0)
        .collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// Makes the control group that holds all pods, in every hierarchy: the kubelet wants it to be there.
pub(super) fn make_control_groups() -> anyhow::Result<()> {
    for group in control_groups() {
        std::fs::create_dir_all(&group).with_context(|| format!("failed to make {}", group.display()))?;
    }
    Ok(())
}

/// Whether control groups can be made here; leaves none.
pub(super) fn try_control_groups() -> anyhow::Result<()> {
    let groups = control_groups();
    if groups.is_empty() {
        bail!("{HIERARCHIES} has no hierarchy");
    }
    for group in groups {
        let trial = group.with_extension(format!("trial-{}", std::process::id()));
        std::fs::create_dir(&trial).with_context(|| format!("failed to make {}", trial.display()))?;
        std::fs::remove_dir(&trial)?;
    }
    Ok(())
}

/// The cluster's control group in each hierarchy: one with version 2, one per controller with version 1.
fn control_groups() -> Vec<PathBuf> {
    let root = Path::new(HIERARCHIES);
    if root.join("cgroup.controllers").exists() {
        return vec![root.join(node::CONTROL_GROUP)];
    }
    let Ok(entries) = std::fs::read_dir(root) else { return Vec::new() };
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        // Some hierarchies are reached by links as well (cpu -> cpu,cpuacct).
        .filter(|path| !path.is_symlink() && path.join("cgroup.procs").exists())
        .map(|path| path.join(node::CONTROL_GROUP))
        .collect()
}

fn remove_control_groups() -> anyhow::Result<()> {
    for group in control_groups() {
        for folder in folders_below(&group) {
            // A group is busy for a moment after its last process has ended.
            process::wait_until("the end of a control group", Duration::from_secs(10), || {
                Ok(std::fs::remove_dir(&folder).is_ok() || !folder.exists())
            })
            .with_context(|| format!("failed to remove {}", folder.display()))?;
        }
    }
    Ok(())
}

/// A folder and all below it, the deepest first.
fn folders_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if let Ok(entries) = std::fs::read_dir(folder) {
        for entry in entries.filter_map(Result::ok) {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                found.extend(folders_below(&entry.path()));
            }
        }
        found.push(folder.to_owned());
    }
    found
}

/// Moves the logs out of the folder, for whoever wants to know why a run failed.
fn keep_logs(directory: &Path) -> anyhow::Result<()> {
    let kept = directory.with_extension("logs");
    let logs: Vec<(&str, PathBuf)> = [CONTROL_PLANE, NODE]
        .into_iter()
        .map(|part| (part, directory.join(part).join("logs")))
        .filter(|(_, logs)| logs.is_dir())
        .collect();
    if logs.is_empty() {
        return Ok(());
    }
    if kept.exists() {
        std::fs::remove_dir_all(&kept)?;
    }
    std::fs::create_dir_all(&kept)?;
    for (part, logs) in logs {
        std::fs::rename(logs, kept.join(part))?;
    }
    Ok(())
}

/// Unmounts whatever is mounted in the folder: root file systems, volumes, network namespaces.
fn unmount_all(directory: &Path) -> anyhow::Result<()> {
    let Ok(table) = std::fs::read_to_string("/proc/self/mountinfo") else { return Ok(()) };
    let mounted = table.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape);
    let mut points: Vec<PathBuf> =
        mounted.map(PathBuf::from).filter(|point| point.starts_with(directory)).collect();
    points.reverse();
    for point in points {
        unmount(&point, UnmountFlags::DETACH)
            .with_context(|| format!("failed to unmount {}", point.display()))?;
    }
    Ok(())
}

/// The mount table writes a space as `\040`, and three other characters alike.
pub(super) fn unescape(field: &str) -> String {
    let replaced = field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n");
    replaced.replace("\\134", "\\")
}

/// Removes what containerd, the kubelet and the network plugins keep at fixed places outside the folder.
fn remove_traces(directory: &Path) -> anyhow::Result<()> {
    let tasks = directory.join("run/io.containerd.runtime.v2.task/k8s.io");
    for task in entries(&tasks) {
        let address = std::fs::read_to_string(task.join("address")).unwrap_or_default();
        if let Some(socket) =
            address.trim().strip_prefix("unix://").filter(|path| path.starts_with("/run/containerd/"))
        {
            remove_file(Path::new(socket))?;
        }
    }
    for link in entries(Path::new("/var/log/containers")) {
        if std::fs::read_link(&link).is_ok_and(|target| target.starts_with(directory)) {
            remove_file(&link)?;
        }
    }
    for result in entries(Path::new("/var/lib/cni/results")) {
        let text = std::fs::read_to_string(&result).unwrap_or_default();
        let ours = directory.display().to_string();
        let name = result.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(&format!("{}-", network::POD_NETWORK_NAME)) || text.contains(&ours) {
            remove_file(&result)?;
        }
    }
    // The kubelet listens here whatever its root folder is; nobody does any more.
    remove_file(Path::new("/var/lib/kubelet/device-plugins/kubelet.sock"))?;
    for folder in [
        "/run/containerd/s",
        "/run/containerd/fifo",
        "/run/containerd",
        "/var/log/containers",
        "/var/lib/cni/results",
        "/var/lib/cni/cache",
        "/var/lib/cni",
        "/var/lib/kubelet/device-plugins",
        "/var/lib/kubelet",
    ] {
        // Only when empty: others may have something there.
        let _ = std::fs::remove_dir(folder);
    }
    Ok(())
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn remove_file(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
