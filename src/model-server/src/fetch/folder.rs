//! Folders of blobs, and the digest of a folder: that of the list that `sha256sum` prints for its files in the order of
//! their names.
//!
//! Invariant: no file is written outside the folder, whatever a blob's name says.
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use object_store::ObjectMeta;
use object_store::path::Path as BlobPath;

use super::attempt::Attempt;
use super::fetch_failed;
use super::sink::Sink;
use super::transfer::{Remote, transfer};
use crate::azure::store::Store;
use crate::digest::{Digest, Hasher};
use crate::failure::Failure;

/// What is appended to a message about a folder's digest.
pub(crate) const DIGEST_HINT: &str = " (a folder's digest is that of its list: find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum)";

/// The digests of a folder's files, by their paths in it.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    files: BTreeMap<String, Digest>,
    bytes: u64,
}

impl Listing {
    fn add(&mut self, name: String, digest: Digest, bytes: u64) {
        self.files.insert(name, digest);
        self.bytes += bytes;
    }

    /// The digest of the whole, and its size.
    pub(crate) fn finish(self) -> (Digest, u64) {
        let mut hasher = Hasher::default();
        for (name, digest) in &self.files {
            let hexadecimal = digest.to_string();
            let hexadecimal = hexadecimal.trim_start_matches("sha256:");
            hasher.update(format!("{hexadecimal}  {name}\n").as_bytes());
        }
        (hasher.finish(), self.bytes)
    }
}

/// The files of a folder that a list of blobs describes: blobs that only mark a folder are left out.
pub(crate) fn files(blobs: &[ObjectMeta], folder: &BlobPath) -> Result<Vec<(BlobPath, String)>, String> {
    let mut files = Vec::new();
    for blob in blobs {
        let is_mark = blob.size == 0
            && blobs.iter().any(|other| {
                other.location != blob.location && other.location.prefix_matches(&blob.location)
            });
        let Some(parts) = blob.location.prefix_match(folder).filter(|_| !is_mark) else { continue };
        let name = parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/");
        // The folder itself may be marked by a blob of its name.
        if name.is_empty() {
            continue;
        }
        let plain =
            |component: Component<'_>| matches!(component, Component::Normal(part) if part.len() <= 255);
        let control = |letter: char| letter.is_control() || letter == '\\';
        if name.len() > 1024 || name.contains(control) || !Path::new(&name).components().all(plain) {
            return Err(format!("the blob {name:?} has a name that no file can have"));
        }
        files.push((blob.location.clone(), name));
    }
    Ok(files)
}

/// Brings blobs into a folder that is empty.
pub(crate) async fn fetch(
    store: &Store,
    files: &[(BlobPath, String)],
    folder: &Path,
    limit: u64,
) -> Result<Listing, Attempt> {
    let mut listing = Listing::default();
    for (blob, name) in files {
        let target = prepared(folder, name)?;
        let mut sink = Sink::create(&target, limit - listing.bytes.min(limit))?;
        transfer(&Remote::Blob(store, blob), &mut sink).await?;
        let (digest, bytes) = sink.finish(None, name)?;
        listing.add(name.clone(), digest, bytes);
    }
    Ok(listing)
}

/// Copies a folder into another that is empty.
pub(crate) fn copy(from: &Path, to: &Path, limit: u64) -> Result<Listing, Failure> {
    let mut listing = Listing::default();
    let mut pending = vec![PathBuf::new()];
    while let Some(folder) = pending.pop() {
        let unreadable =
            |error| fetch_failed(format!("{} can't be listed: {error}", from.join(&folder).display()));
        for entry in std::fs::read_dir(from.join(&folder)).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let path = folder.join(entry.file_name());
            // A link is followed by nobody.
            if entry.file_type().map_err(unreadable)?.is_dir() {
                pending.push(path);
                continue;
            }
            let name = path.to_string_lossy().into_owned();
            let mut sink = Sink::create(&prepared(to, &name)?, limit - listing.bytes.min(limit))?;
            super::copy(&entry.path(), &mut sink)?;
            let (digest, bytes) = sink.finish(None, &name)?;
            listing.add(name, digest, bytes);
        }
    }
    Ok(listing)
}

/// A file's place in a folder, with the folders above it.
fn prepared(folder: &Path, name: &str) -> Result<PathBuf, Failure> {
    let target = folder.join(name);
    let parent = target.parent().unwrap_or(folder);
    std::fs::create_dir_all(parent)
        .map_err(|error| fetch_failed(format!("the folder {} can't be made: {error}", parent.display())))?;
    Ok(target)
}
