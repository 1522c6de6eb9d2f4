//! Brings a model's artefact to a local file or folder, within a size, and verifies its digest while it streams by.
use std::io::Read as _;
use std::path::{Path, PathBuf};

use object_store::path::Path as BlobPath;
use reqwest::Url;

use crate::azure::store::{Clients, Store};
use crate::azure::{self, Blob};
use crate::cache::Cache;
use crate::digest::Digest;
use crate::failure::{Failure, Reason};
use crate::guard::Guard;
use crate::source::{self, Source};

pub mod attempt;
pub(crate) mod folder;
pub(crate) mod http;
pub(crate) mod sink;
pub mod transfer;

use attempt::Attempt;
use sink::{Sink, verify};
use transfer::{Remote, persistently, transfer};

/// What an artefact must fulfil, and how it may be brought.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// The digest that it must have.
    pub digest: Option<Digest>,
    /// The largest size.
    pub max_bytes: u64,
    /// Certificates to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Which hosts may be asked.
    pub guard: Guard,
    /// What the environment says about Azure.
    pub azure: azure::Settings,
    /// A cache of this node, used for artefacts whose digest is given.
    pub cache: Option<Cache>,
}

/// A local, verified artefact.
#[derive(Clone, Debug)]
pub struct Artefact {
    /// The file, or the folder.
    pub path: PathBuf,
    /// Its digest.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
}

/// What is at a blob's path.
enum Found {
    File,
    Folder(Vec<(BlobPath, String)>),
}

impl Fetch {
    /// Verifies a local artefact where it is, or downloads a remote one into `folder`.
    pub async fn fetch(&self, source: &Source, folder: &Path) -> Result<Artefact, Failure> {
        if let Source::Local(path) = source {
            return self.local(path, None);
        }
        let artefact = self.remote(source, &folder.join(source.file_name())).await?;
        let path = source::model_file(&artefact.path).map_err(fetch_failed)?;
        Ok(Artefact { path, ..artefact })
    }

    /// Puts a local or a remote artefact into `folder`, under its own name if no other is given.
    pub async fn fetch_into(
        &self,
        source: &Source,
        folder: &Path,
        name: Option<&str>,
    ) -> Result<Artefact, Failure> {
        std::fs::create_dir_all(folder).map_err(|error| {
            fetch_failed(format!("the folder {} can't be made: {error}", folder.display()))
        })?;
        if let Source::Local(path) = source {
            let path = source::model_file(path).map_err(fetch_failed)?;
            let own = Source::Local(path.clone()).file_name();
            return self.local(&path, Some(&folder.join(name.unwrap_or(&own))));
        }
        let own = source.file_name();
        self.remote(source, &folder.join(name.unwrap_or(&own))).await
    }

    /// Hashes a local artefact, and copies it if a target is given.
    fn local(&self, path: &Path, target: Option<&Path>) -> Result<Artefact, Failure> {
        let path = source::model_file(path).map_err(fetch_failed)?;
        let mut sink = match target {
            Some(target) => Sink::create(target, self.max_bytes)?,
            None => Sink::check(self.max_bytes),
        };
        copy(&path, &mut sink)?;
        let (digest, bytes) = sink.finish(self.digest, &path.display().to_string())?;
        Ok(Artefact { path: target.map_or(path, Path::to_owned), digest, bytes })
    }

    /// Takes an artefact from the cache, or from where it is and into the cache.
    async fn remote(&self, source: &Source, target: &Path) -> Result<Artefact, Failure> {
        let cache = self.cache.as_ref().zip(self.digest);
        if let Some((cache, digest)) = cache
            && let Some(bytes) = cache.take(digest, target, self.max_bytes)
        {
            tracing::info!(%digest, folder = %cache.folder.display(), "taken from the cache");
            return Ok(Artefact { path: target.to_owned(), digest, bytes });
        }
        let brought = match source {
            Source::Remote(url) => self.address(url, target).await,
            Source::Blob(blob) => self.blob(blob, target).await,
            Source::Local(path) => return self.local(path, Some(target)),
        };
        let (digest, bytes) = brought.map_err(|attempt| attempt.failure)?;
        if let Some((cache, digest)) = cache {
            cache.put(digest, target, bytes);
        }
        Ok(Artefact { path: target.to_owned(), digest, bytes })
    }

    async fn address(&self, url: &Url, target: &Path) -> Result<(Digest, u64), Attempt> {
        let shown = source::shown(url);
        self.guard
            .check(url)
            .map_err(|refused| Attempt::last(format!("{shown} can't be fetched: {refused}")))?;
        let client = http::client(&self.guard, self.ca_file.as_deref(), url.scheme() == "http", true)?;
        self.file(&Remote::Address(&client, url), target, &shown).await
    }

    async fn file(&self, remote: &Remote<'_>, target: &Path, shown: &str) -> Result<(Digest, u64), Attempt> {
        let mut sink = Sink::create(target, self.max_bytes)?;
        transfer(remote, &mut sink).await?;
        Ok(sink.finish(self.digest, shown)?)
    }

    async fn blob(&self, blob: &Blob, target: &Path) -> Result<(Digest, u64), Attempt> {
        let is_plain = self.azure.endpoint.as_ref().is_some_and(|endpoint| endpoint.scheme() == "http");
        let clients = Clients {
            guarded: http::client(&self.guard, self.ca_file.as_deref(), is_plain, false)?,
            metadata: http::metadata_client()?,
            guard: self.guard.clone(),
        };
        let unusable = |message| Attempt::last(format!("{} can't be fetched: {message}", blob.uri));
        let store = Store::open(blob, &self.azure, clients).map_err(unusable)?;
        match persistently(async || self.find(&store, blob).await).await? {
            Found::File => self.file(&Remote::Blob(&store, &blob.path), target, &blob.uri).await,
            Found::Folder(files) => {
                let part = part_beside(target)?;
                let listing = folder::fetch(&store, &files, part.path(), self.max_bytes).await?;
                let (digest, bytes) = listing.finish();
                verify(self.digest, digest, &blob.uri, folder::DIGEST_HINT)?;
                publish(part, target)?;
                Ok((digest, bytes))
            }
        }
    }

    /// A path with a slash at its end is a folder; any other is a file, or a folder when no such file has bytes.
    async fn find(&self, store: &Store, blob: &Blob) -> Result<Found, Attempt> {
        let file = if blob.is_folder { None } else { store.find(&blob.path).await? };
        if file.as_ref().is_some_and(|file| file.size > 0) {
            return Ok(Found::File);
        }
        let blobs = store.list(&blob.path).await?;
        let files = folder::files(&blobs, &blob.path)
            .map_err(|message| Attempt::last(format!("{} can't be fetched: {message}", blob.uri)))?;
        if files.is_empty() {
            let message = format!("{} does not exist; check the container and the path", blob.uri);
            return if file.is_some() { Ok(Found::File) } else { Err(Attempt::last(message)) };
        }
        let total: u64 = blobs.iter().map(|blob| blob.size).sum();
        Sink::check(self.max_bytes).expect(total)?;
        Ok(Found::Folder(files))
    }
}

/// A folder to fill beside a target, on the same file system.
pub(crate) fn part_beside(target: &Path) -> Result<tempfile::TempDir, Failure> {
    let parent = target.parent().unwrap_or(Path::new("."));
    tempfile::Builder::new()
        .prefix(".fetch-")
        .tempdir_in(parent)
        .map_err(|error| fetch_failed(format!("the folder {} can't be written: {error}", parent.display())))
}

/// Gives a verified folder its name, in place of what an earlier start left, readable by other users' servers.
pub(crate) fn publish(part: tempfile::TempDir, target: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = part.keep();
    let left = if target.is_dir() { std::fs::remove_dir_all(target) } else { Ok(()) };
    left.and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)))
        .and_then(|()| std::fs::rename(&path, target))
        .map_err(|error| {
            let _ = std::fs::remove_dir_all(&path);
            fetch_failed(format!("{} can't be written: {error}", target.display()))
        })
}

/// Copies a local file into a sink.
pub(crate) fn copy(path: &Path, sink: &mut Sink) -> Result<(), Failure> {
    let unreadable = |error| fetch_failed(format!("{} can't be read: {error}", path.display()));
    let mut file = std::fs::File::open(path).map_err(unreadable)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = file.read(&mut buffer).map_err(unreadable)?;
        if length == 0 {
            return Ok(());
        }
        sink.take(&buffer[..length])?;
    }
}

fn fetch_failed(message: String) -> Failure {
    Failure::new(Reason::ModelFetchFailed, message)
}
