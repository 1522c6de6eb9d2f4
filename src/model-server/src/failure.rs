//! Why the server could not start: one reason, one sentence for people, one exit code, and the termination message
//! that Kubernetes copies into the pod's status.
use std::io::Write as _;
use std::path::Path;

use serde::Serialize;

/// The longest message, in characters.
const MESSAGE_LIMIT: usize = 1000;

/// The cause of a failed start, as one word for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Reason {
    /// The command line, or the address to listen on, can't be used.
    InvalidArguments,
    /// The artefact could not be read or downloaded.
    ModelFetchFailed,
    /// The artefact is not the one that was asked for.
    DigestMismatch,
    /// ONNX Runtime does not accept the artefact, or could not be loaded itself.
    ModelLoadFailed,
    /// The model is loaded and fails at its first inference.
    WarmUpFailed,
}

impl Reason {
    /// The exit code of the process.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::InvalidArguments => 2,
            Self::ModelFetchFailed => 10,
            Self::DigestMismatch => 11,
            Self::ModelLoadFailed => 12,
            Self::WarmUpFailed => 13,
        }
    }
}

/// A failed start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// One word for machines.
    pub reason: Reason,
    /// The cause, and what to change.
    pub message: String,
}

impl Failure {
    /// A failure with a message of at most 1000 characters.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        let message: String = message.into();
        let message = match message.char_indices().nth(MESSAGE_LIMIT) {
            None => message,
            Some(_) => message.chars().take(MESSAGE_LIMIT - 1).chain(['…']).collect(),
        };
        Self { reason, message }
    }

    /// Writes the failure as one JSON line to the termination message file, if Kubernetes made that file.
    pub fn write(&self, path: &Path) {
        let line = serde_json::to_string(self).unwrap_or_default();
        overwrite(path, &format!("{line}\n"));
    }
}

/// Empties the termination message file, if it exists.
pub fn clear(path: &Path) {
    overwrite(path, "");
}

/// A file that can't be written is not a second failure: the log has the same message.
fn overwrite(path: &Path, text: &str) {
    let file = std::fs::OpenOptions::new().write(true).truncate(true).open(path);
    if let Ok(mut file) = file {
        let _ = file.write_all(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_is_cut_at_a_character_and_ends_with_an_ellipsis() {
        let failure = Failure::new(Reason::ModelLoadFailed, "ä".repeat(2000));
        assert_eq!(failure.message.chars().count(), 1000);
        assert!(failure.message.ends_with('…'));
        assert_eq!(Failure::new(Reason::ModelLoadFailed, "ä".repeat(1000)).message, "ä".repeat(1000));
    }

    #[test]
    fn termination_message_replaces_what_was_there_and_needs_the_file_to_exist() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("termination-log");
        Failure::new(Reason::DigestMismatch, "no").write(&path);
        assert!(!path.exists());
        std::fs::write(
            &path,
            "something much longer than the failure, left by an earlier start of this container",
        )
        .unwrap();
        Failure::new(Reason::DigestMismatch, "no").write(&path);
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "{\"reason\":\"DigestMismatch\",\"message\":\"no\"}\n"
        );
        clear(&path);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
    }
}
