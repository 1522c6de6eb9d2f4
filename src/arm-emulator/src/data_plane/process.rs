//! Child processes that leave nothing behind: groups that are ended as a whole, and the tail of what they said.
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};
use tokio::process::Child;

/// A longer line is cut.
const LINE: u64 = 16 * 1024;
/// How long a process may take to end when asked.
const PATIENCE: Duration = Duration::from_secs(3);

/// The newest of what a process wrote.
#[derive(Debug)]
pub(crate) struct Tail {
    lines: Mutex<(VecDeque<String>, usize)>,
    limit: usize,
}

impl Tail {
    /// Keeps at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { lines: Mutex::default(), limit }
    }

    pub(crate) fn push(&self, line: &str) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.1 += line.len() + 1;
        lines.0.push_back(line.to_owned());
        while lines.1 > self.limit {
            let Some(oldest) = lines.0.pop_front() else { break };
            lines.1 -= oldest.len() + 1;
        }
    }

    /// The newest lines.
    pub(crate) fn last(&self, count: usize) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = lines.0.len().saturating_sub(count);
        lines.0.iter().skip(skipped).fold(String::new(), |text, line| text + line + "\n")
    }
}

/// Reads lines until the end, and shows each to `each`.
pub(crate) async fn lines(mut from: impl AsyncBufRead + Unpin, mut each: impl FnMut(&str)) {
    loop {
        let mut line = Vec::new();
        let read = (&mut from).take(LINE).read_until(b'\n', &mut line).await;
        match read {
            Ok(0) | Err(_) => return,
            Ok(_) => each(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r'])),
        }
    }
}

fn signal(id: u32, signal: Signal) {
    if let Some(id) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        // The group may be gone, and that is what is wanted.
        let _ = rustix::process::kill_process_group(id, signal);
    }
}

/// Ends a group at once.
pub(crate) fn kill(id: u32) {
    signal(id, Signal::KILL);
}

/// Asks the group to end, and ends it when it doesn't.
pub(crate) async fn end(child: &mut Child) {
    let Some(id) = child.id() else { return };
    signal(id, Signal::TERM);
    let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
    kill(id);
    if ended.is_err() {
        // It is killed: this can't take long.
        let _ = child.wait().await;
    }
}

/// A program of the path, if it is there.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}
