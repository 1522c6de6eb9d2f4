//! How a stranger's command is run: limited, without a network, without rights, and gone as a whole when it is over.
//!
//! What the machine allows is found out once. Where it allows less, the limits and the process group remain.
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::local::helper;

/// The address space of each process.
const MEMORY: u64 = 4 << 30;
/// The largest file.
pub(crate) const FILE: u64 = 256 << 20;
/// Open files of each process.
const FILES: u64 = 1024;
/// Processes of the commands' user.
const PROCESSES: u64 = 512;
/// The user that commands run as where the emulator is root: `nobody`.
const NOBODY: u32 = 65534;

/// What is put in front of a command.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sandbox {
    before: Vec<String>,
    is_nobody: bool,
}

impl Sandbox {
    /// Tries what the machine allows, the strictest first.
    pub(crate) fn find() -> Self {
        let is_root = rustix::process::geteuid().is_root();
        let mut before = Vec::new();
        if let Some(program) = helper("prlimit") {
            before.push(program);
            before.extend([("as", MEMORY), ("fsize", FILE), ("nofile", FILES), ("core", 0)].map(limit));
            if is_root {
                before.push(limit(("nproc", PROCESSES)));
            }
        }
        let spaces: [&[&str]; 2] = [
            &["--net", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"],
            &[
                "--user",
                "--map-root-user",
                "--net",
                "--ipc",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
            ],
        ];
        if let Some(program) = helper("unshare") {
            let words = |flags: &[&str]| {
                std::iter::once(program.clone()).chain(flags.iter().map(|flag| (*flag).to_owned())).collect()
            };
            let allowed = spaces.iter().map(|flags| words(flags)).find(|words: &Vec<String>| works(words));
            before.extend(allowed.unwrap_or_default());
        }
        let mut is_nobody = false;
        if let Some(program) = helper("setpriv") {
            let mut words =
                vec![program, "--pdeathsig".to_owned(), "KILL".to_owned(), "--no-new-privs".to_owned()];
            if is_root {
                words.extend([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")]);
                words.extend(["--clear-groups", "--bounding-set=-all"].map(str::to_owned));
            }
            if works(&words) {
                is_nobody = is_root;
                before.extend(words);
            }
        }
        Self { before, is_nobody }
    }

    /// The command that runs a text in a folder; its environment is empty.
    pub(crate) fn command(&self, text: &str, folder: &Path) -> Command {
        let mut words = self.before.iter().map(String::as_str).chain(["/bin/sh", "-c", text]);
        let mut command = Command::new(words.next().unwrap_or("/bin/sh"));
        command.args(words).current_dir(folder).env_clear();
        command.stdin(Stdio::null()).kill_on_drop(true).process_group(0);
        command
    }

    /// Gives everything in a folder to whom commands run as.
    pub(crate) fn give(&self, folder: &Path) -> anyhow::Result<()> {
        if !self.is_nobody {
            return Ok(());
        }
        let mut paths = vec![folder.to_owned()];
        while let Some(path) = paths.pop() {
            std::os::unix::fs::lchown(&path, Some(NOBODY), Some(NOBODY))?;
            if std::fs::symlink_metadata(&path)?.is_dir() {
                for entry in std::fs::read_dir(&path)? {
                    paths.push(entry?.path());
                }
            }
        }
        Ok(())
    }
}

fn limit((name, most): (&str, u64)) -> String {
    format!("--{name}={most}")
}

/// Whether the words can be put in front of a program here.
fn works(words: &[String]) -> bool {
    let mut command = std::process::Command::new(&words[0]);
    command.args(&words[1..]).arg("/bin/true");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
