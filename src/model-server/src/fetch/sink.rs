//! Takes an artefact's bytes: counts, hashes and, if it has a target, writes them beside it until they are verified.
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::fetch_failed;
use crate::digest::{Digest, Hasher};
use crate::failure::{Failure, Reason};

/// Takes an artefact's bytes.
pub(crate) struct Sink {
    hasher: Hasher,
    bytes: u64,
    limit: u64,
    file: Option<(std::fs::File, tempfile::TempPath, PathBuf)>,
}

impl Sink {
    /// Only counts and hashes.
    pub(crate) fn check(limit: u64) -> Self {
        Self { hasher: Hasher::default(), bytes: 0, limit, file: None }
    }

    /// Writes to a file beside the target.
    pub(crate) fn create(target: &Path, limit: u64) -> Result<Self, Failure> {
        let folder = target.parent().unwrap_or(Path::new("."));
        let file = tempfile::Builder::new().prefix(".fetch-").tempfile_in(folder).map_err(|error| {
            fetch_failed(format!("the folder {} can't be written: {error}", folder.display()))
        })?;
        let (file, path) = file.into_parts();
        Ok(Self { file: Some((file, path, target.to_owned())), ..Self::check(limit) })
    }

    /// The number of bytes taken.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Refuses a size beyond the limit before the bytes come.
    pub(crate) fn expect(&self, bytes: u64) -> Result<(), Failure> {
        if bytes <= self.limit {
            return Ok(());
        }
        let limit = self.limit;
        Err(fetch_failed(format!(
            "the artefact has more than {limit} bytes; raise --max-model-bytes or its memory"
        )))
    }

    /// Takes the next bytes.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.bytes += bytes.len() as u64;
        self.expect(self.bytes)?;
        self.hasher.update(bytes);
        match &mut self.file {
            None => Ok(()),
            Some((file, _, target)) => file.write_all(bytes).map_err(|error| {
                fetch_failed(format!("{} can't be written: {error}; is there room?", target.display()))
            }),
        }
    }

    /// Forgets all bytes, to begin anew.
    pub(crate) fn restart(&mut self) -> Result<(), Failure> {
        (self.hasher, self.bytes) = (Hasher::default(), 0);
        match &mut self.file {
            None => Ok(()),
            Some((file, _, target)) => file
                .set_len(0)
                .and_then(|()| file.rewind())
                .map_err(|error| fetch_failed(format!("{} can't be written: {error}", target.display()))),
        }
    }

    /// Verifies the digest; only then the file gets its name, readable by other users' servers.
    pub(crate) fn finish(self, expected: Option<Digest>, shown: &str) -> Result<(Digest, u64), Failure> {
        use std::os::unix::fs::PermissionsExt as _;
        let actual = self.hasher.finish();
        verify(expected, actual, shown, "")?;
        if let Some((file, path, target)) = self.file {
            file.set_permissions(std::fs::Permissions::from_mode(0o644))
                .and_then(|()| path.persist(&target).map_err(|error| error.error))
                .map_err(|error| fetch_failed(format!("{} can't be written: {error}", target.display())))?;
        }
        Ok((actual, self.bytes))
    }
}

/// Compares digests; `more` explains what was hashed, if that is not plain.
pub(crate) fn verify(
    expected: Option<Digest>,
    actual: Digest,
    shown: &str,
    more: &str,
) -> Result<(), Failure> {
    match expected.filter(|expected| *expected != actual) {
        None => Ok(()),
        Some(expected) => Err(Failure::new(
            Reason::DigestMismatch,
            format!(
                "{shown} has digest {actual}, expected {expected}{more}; correct the digest, or the artefact if it was replaced"
            ),
        )),
    }
}
