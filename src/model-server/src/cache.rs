//! A cache of artefacts on a node, shared by its pods: entries are named by their digests, verified whenever they are
//! used, and the ones used least recently go when there is no room.
//!
//! Invariant: what leaves the cache has the digest that was asked for. Failures of the cache fail no fetch.
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::digest::Digest;
use crate::failure::Failure;
use crate::fetch::sink::{Sink, verify};
use crate::fetch::{self, folder};

/// The age at which what a killed fetch left is removed.
const STALE: Duration = Duration::from_hours(24);

/// A folder of artefacts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// The folder.
    pub folder: PathBuf,
    /// The size that its entries may have together.
    pub max_bytes: u64,
}

impl Cache {
    fn entries(&self) -> PathBuf {
        self.folder.join("sha256")
    }

    fn entry(&self, digest: Digest) -> PathBuf {
        self.entries().join(digest.to_string().trim_start_matches("sha256:"))
    }

    /// Copies an entry to a target and verifies it on the way; an entry that is damaged is removed.
    pub(crate) fn take(&self, digest: Digest, target: &Path, limit: u64) -> Option<u64> {
        let entry = self.entry(digest);
        if !entry.exists() {
            return None;
        }
        match copied(&entry, digest, target, limit) {
            Ok(bytes) => {
                // The time of the last use decides who goes first.
                let now = SystemTime::now();
                let _ = std::fs::File::open(&entry).and_then(|file| file.set_modified(now));
                Some(bytes)
            }
            Err(failure) => {
                tracing::warn!(entry = %entry.display(), cause = failure.message, "an entry of the cache is unusable");
                let _ = remove(&entry);
                None
            }
        }
    }

    /// Adds a verified artefact, and makes room.
    pub(crate) fn put(&self, digest: Digest, artefact: &Path, bytes: u64) {
        if bytes > self.max_bytes {
            return;
        }
        let added = self.add(digest, artefact).and_then(|()| self.make_room(&self.entry(digest)));
        if let Err(error) = added {
            tracing::warn!(folder = %self.folder.display(), %error, "the cache can't be filled");
        }
    }

    fn add(&self, digest: Digest, artefact: &Path) -> io::Result<()> {
        let entry = self.entry(digest);
        if entry.exists() {
            return Ok(());
        }
        std::fs::create_dir_all(self.entries())?;
        let part = tempfile::Builder::new().prefix(".part-").tempdir_in(&self.folder)?;
        let whole = part.path().join("whole");
        copied(artefact, digest, &whole, u64::MAX).map_err(|failure| io::Error::other(failure.message))?;
        match std::fs::rename(&whole, &entry) {
            // Another fetch was first with the same bytes.
            Err(_) if entry.exists() => Ok(()),
            other => other,
        }
    }

    /// Removes entries beyond the size, the least recently used first, and what killed fetches left.
    fn make_room(&self, newest: &Path) -> io::Result<()> {
        for part in std::fs::read_dir(&self.folder)?.filter_map(Result::ok) {
            let is_part = part.file_name().to_string_lossy().starts_with(".part-");
            let age = part.metadata().and_then(|metadata| metadata.modified()).map(|time| time.elapsed());
            if is_part && age.is_ok_and(|age| age.is_ok_and(|age| age > STALE)) {
                remove(&part.path())?;
            }
        }
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(self.entries())?.filter_map(Result::ok) {
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            // Another fetch may have removed it meanwhile.
            if let (Ok(modified), Ok(bytes)) = (modified, size(&entry.path())) {
                entries.push((modified, bytes, entry.path()));
            }
        }
        entries.sort();
        let mut total: u64 = entries.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in entries.iter().filter(|(.., path)| path != newest) {
            if total <= self.max_bytes {
                break;
            }
            remove(path)?;
            total -= bytes;
        }
        Ok(())
    }
}

/// Copies a file or a folder, and fails unless it has the digest; then there is no target.
fn copied(from: &Path, digest: Digest, target: &Path, limit: u64) -> Result<u64, Failure> {
    let shown = from.display().to_string();
    if !from.is_dir() {
        let mut sink = Sink::create(target, limit)?;
        fetch::copy(from, &mut sink)?;
        return sink.finish(Some(digest), &shown).map(|(_, bytes)| bytes);
    }
    let part = fetch::part_beside(target)?;
    let (actual, bytes) = folder::copy(from, part.path(), limit)?.finish();
    verify(Some(digest), actual, &shown, "")?;
    fetch::publish(part, target)?;
    Ok(bytes)
}

fn size(path: &Path) -> io::Result<u64> {
    let metadata = std::fs::symlink_metadata(path)?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    std::fs::read_dir(path)?.map(|entry| size(&entry?.path())).sum()
}

/// Removes an entry. Whoever reads it at that moment has the file still, or finds that the digest is another.
fn remove(path: &Path) -> io::Result<()> {
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    if path.is_dir() { gone(std::fs::remove_dir_all(path)) } else { gone(std::fs::remove_file(path)) }
}
