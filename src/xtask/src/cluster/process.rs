//! The processes of clusters: started with a mark in their environment, found again by it.
//!
//! The mark is what the kernel keeps about a process, so nothing has to be written down after a start: a run that is
//! killed between any two instructions leaves processes that the next one still finds, and a process identifier that was
//! given to somebody else in the meantime carries no mark.
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

const DIRECTORY: &str = "MLOPS_CLUSTER_DIRECTORY";
const COMPONENT: &str = "MLOPS_CLUSTER_COMPONENT";
const OWNER: &str = "MLOPS_CLUSTER_OWNER";

/// How long a started cluster lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Until it is taken down.
    Detached,
    /// As long as the value that started it, and never longer than this process.
    Owned,
}

/// One process that carries a cluster's mark.
#[derive(Debug, Clone)]
pub(super) struct Running {
    pub(super) pid: i32,
    pub(super) component: String,
    pub(super) directory: PathBuf,
    owner: Option<String>,
    pub(super) started: u64,
}

/// Starts a component; its output goes to `logs/COMPONENT.log` in the cluster's folder.
pub(super) fn spawn(
    component: &str,
    directory: &Path,
    lifetime: Lifetime,
    command: &mut Command,
) -> anyhow::Result<Child> {
    use std::os::unix::process::CommandExt as _;
    let logs = directory.join("logs");
    std::fs::create_dir_all(&logs)?;
    let path = log(directory, component);
    let output = std::fs::File::options().create(true).append(true).open(&path)?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    mark(component, directory, command);
    without_proxy(command);
    if lifetime == Lifetime::Owned {
        command.env(OWNER, identity(std::process::id().try_into()?));
    }
    // A group of its own: Ctrl-C on the terminal ends the command, not the cluster.
    command.process_group(0).current_dir(directory);
    command.spawn().with_context(|| format!("failed to start {component}"))
}

/// Lets a command reach the cluster itself: a proxy knows no way to an address of this machine.
pub(super) fn without_proxy(command: &mut Command) {
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
}

/// Marks a command, so that the end of the cluster in this folder is its end too.
pub(super) fn mark(component: &str, directory: &Path, command: &mut Command) {
    command.env(DIRECTORY, directory).env(COMPONENT, component).env_remove(OWNER);
}

/// Where a component writes.
pub(super) fn log(directory: &Path, component: &str) -> PathBuf {
    directory.join("logs").join(format!("{component}.log"))
}

/// The last lines a component wrote, for an error.
pub(super) fn last_words(directory: &Path, component: &str) -> String {
    let text = std::fs::read(log(directory, component)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(8)..].join("\n");
    format!("its last lines:\n{tail}")
}

/// The command that a process was started with.
pub(super) fn command(pid: i32) -> anyhow::Result<Command> {
    let path = format!("/proc/{pid}/cmdline");
    let line = std::fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    let mut words = line.trim_end_matches('\0').split('\0');
    let mut command = Command::new(words.next().filter(|word| !word.is_empty()).context("it has ended")?);
    command.args(words);
    Ok(command)
}

/// Every process with a mark that this user may look at.
pub(super) fn marked() -> Vec<Running> {
    processes().into_iter().filter_map(read).collect()
}

/// The processes of the cluster in this folder.
pub(super) fn of(directory: &Path) -> Vec<Running> {
    marked().into_iter().filter(|process| process.directory == directory).collect()
}

/// The processes of the cluster whose parts have their folders in this one.
pub(super) fn within(directory: &Path) -> Vec<Running> {
    marked().into_iter().filter(|process| process.directory.starts_with(directory)).collect()
}

/// Ends the processes of owned clusters whose owner is gone: what a killed test left behind.
pub(super) fn stop_orphans() -> anyhow::Result<()> {
    let orphans: Vec<Running> = marked()
        .into_iter()
        .filter(|process| {
            process.owner.as_ref().is_some_and(|owner| {
                let pid = owner.split(':').next().and_then(|pid| pid.parse().ok()).unwrap_or(-1);
                identity(pid) != *owner
            })
        })
        .collect();
    stop(&orphans, Duration::ZERO)
}

/// Ends processes: asks first, insists after `grace`, and returns when they are gone.
pub(super) fn stop(processes: &[Running], grace: Duration) -> anyhow::Result<()> {
    let asked = if grace.is_zero() { Signal::KILL } else { Signal::TERM };
    for process in processes {
        process.signal(asked);
    }
    let started = Instant::now();
    let mut insisted = grace.is_zero();
    while let Some(process) = processes.iter().find(|process| process.is_alive()) {
        if !insisted && started.elapsed() > grace {
            insisted = true;
            for process in processes {
                process.signal(Signal::KILL);
            }
        }
        if started.elapsed() > grace + Duration::from_secs(20) {
            bail!("{} (process {}) does not end, even when killed", process.component, process.pid);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Waits until `ready` is true; fails early when the component ends, and after `limit`.
pub(super) fn wait_until(
    what: &str,
    limit: Duration,
    mut ready: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let started = Instant::now();
    while !ready()? {
        if started.elapsed() > limit {
            bail!("{what} did not happen within {} s", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

impl Running {
    /// Whether it is still the same process, and not merely waiting to be collected by its parent.
    fn is_alive(&self) -> bool {
        stat(self.pid).is_some_and(|(state, started)| started == self.started && state != 'Z' && state != 'X')
    }

    fn signal(&self, signal: Signal) {
        if self.is_alive()
            && let Some(pid) = Pid::from_raw(self.pid)
        {
            // It may end between the look and the signal, which is what was wanted.
            let _ = kill_process(pid, signal);
        }
    }
}

/// Ends the processes with these identifiers at once; used for what runs in a cluster's own control groups.
pub(super) fn kill(pids: &[i32]) {
    for pid in pids.iter().filter_map(|pid| Pid::from_raw(*pid)) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

fn processes() -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

fn read(pid: i32) -> Option<Running> {
    use std::os::unix::ffi::OsStrExt as _;
    let (_, started) = stat(pid)?;
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let variables: HashMap<&[u8], &[u8]> = environment
        .split(|byte| *byte == 0)
        .filter_map(|entry| {
            let equals = entry.iter().position(|byte| *byte == b'=')?;
            Some((&entry[..equals], &entry[equals + 1..]))
        })
        .collect();
    let directory = variables.get(DIRECTORY.as_bytes())?;
    let text =
        |name: &str| variables.get(name.as_bytes()).map(|value| String::from_utf8_lossy(value).into_owned());
    Some(Running {
        pid,
        component: text(COMPONENT).unwrap_or_default(),
        directory: PathBuf::from(std::ffi::OsStr::from_bytes(directory)),
        owner: text(OWNER),
        started,
    })
}

/// A process and when it started: what tells it from a later one with the same number.
fn identity(pid: i32) -> String {
    let started = stat(pid).map_or(0, |(_, started)| started);
    format!("{pid}:{started}")
}

/// The state and the start time (clock ticks since boot) of a process.
fn stat(pid: i32) -> Option<(char, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold spaces and parentheses itself; the fields count from the last one.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}
