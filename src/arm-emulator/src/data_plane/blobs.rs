//! Where blobs lie: in a blob service such as Azurite, or in a folder of this machine laid out in the same way.
//!
//! Invariant: no name leads out of its container, and nothing is read or written beyond a limit.
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, bail, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt as _;
use http_body_util::BodyExt as _;
use object_store::azure::{MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};
use object_store::path::Path as BlobPath;
use object_store::{ClientOptions, ObjectStore as _, ObjectStoreExt as _};
use tokio::io::AsyncWriteExt as _;

use super::signature;

/// The most blobs of one folder.
const MOST_BLOBS: usize = 10_000;

/// The blob service that holds all accounts' containers.
#[derive(Clone)]
pub struct Service {
    /// The address of the account, `http://127.0.0.1:10000/devstoreaccount1` say.
    pub endpoint: String,
    /// The account's name.
    pub account: String,
    /// Its key in base64.
    pub key: String,
}

/// What holds the blobs.
#[derive(Clone)]
pub enum Storage {
    /// A folder with `ACCOUNT/CONTAINER/BLOB` below it.
    Folder(PathBuf),
    /// A blob service. All accounts are the one that it has.
    Service(Service),
}

/// A blob, or all blobs below a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) account: String,
    pub(crate) container: String,
    pub(crate) path: String,
}

impl Place {
    pub(crate) fn child(&self, name: &str) -> Self {
        let path = format!("{}/{name}", self.path.trim_end_matches('/'));
        Self { path: path.trim_start_matches('/').to_owned(), ..self.clone() }
    }

    fn name(&self) -> anyhow::Result<BlobPath> {
        let path = BlobPath::parse(self.path.trim_matches('/'))
            .with_context(|| format!("failed to read the blob name '{}'", self.path))?;
        for part in [&self.account, &self.container] {
            let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_$".contains(letter);
            ensure!(
                !part.is_empty() && part.chars().all(plain),
                "'{part}' is no name of an account or container"
            );
        }
        Ok(path)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}/{}", self.account, self.container, self.path)
    }
}

/// Reads and writes blobs.
pub(crate) struct Blobs {
    storage: Storage,
    http: reqwest::Client,
    made: Mutex<HashSet<String>>,
}

impl Blobs {
    pub(crate) fn new(storage: Storage, http: reqwest::Client) -> Self {
        Self { storage, http, made: Mutex::default() }
    }

    /// The address of the account, where blobs lie in a service.
    pub(crate) fn endpoint(&self) -> Option<&str> {
        match &self.storage {
            Storage::Folder(_) => None,
            Storage::Service(service) => Some(service.endpoint.trim_end_matches('/')),
        }
    }

    fn container(&self, service: &Service, place: &Place) -> anyhow::Result<MicrosoftAzure> {
        let built = MicrosoftAzureBuilder::new()
            .with_account(&service.account)
            .with_access_key(&service.key)
            .with_container_name(&place.container)
            .with_endpoint(service.endpoint.trim_end_matches('/').to_owned())
            .with_allow_http(true)
            .with_http_connector(Connector(self.http.clone()))
            .build();
        built.context("failed to open the blob service")
    }

    /// The names and sizes of the blobs at or below a place, relative to it; a single blob has the empty name.
    pub(crate) async fn list(&self, place: &Place) -> anyhow::Result<Vec<(String, u64)>> {
        let name = place.name()?;
        let mut found: Vec<(String, u64)> = match &self.storage {
            Storage::Folder(folder) => {
                let root = folder.join(&place.account).join(&place.container).join(name.as_ref());
                tokio::task::spawn_blocking(move || files(&root)).await??
            }
            Storage::Service(service) => {
                let container = self.container(service, place)?;
                if let Ok(one) = container.head(&name).await.map(|meta| meta.size)
                    && !name.as_ref().is_empty()
                {
                    return Ok(vec![(String::new(), one)]);
                }
                let prefix = (!name.as_ref().is_empty()).then_some(&name);
                let listed: Result<Vec<_>, _> = container.list(prefix).try_collect().await;
                let listed = match listed {
                    Err(object_store::Error::NotFound { .. }) => Vec::new(),
                    other => other.with_context(|| format!("failed to list {place}"))?,
                };
                let relative = |location: &BlobPath| {
                    let rest = location.as_ref().strip_prefix(name.as_ref()).unwrap_or(location.as_ref());
                    rest.trim_start_matches('/').to_owned()
                };
                listed.iter().map(|meta| (relative(&meta.location), meta.size)).collect()
            }
        };
        ensure!(found.len() <= MOST_BLOBS, "{place} has more than {MOST_BLOBS} blobs");
        found.sort();
        Ok(found)
    }

    /// One blob into a file.
    async fn fetch(&self, place: &Place, file: &Path) -> anyhow::Result<()> {
        let name = place.name()?;
        if let Some(folder) = file.parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        match &self.storage {
            Storage::Folder(folder) => {
                let source = folder.join(&place.account).join(&place.container).join(name.as_ref());
                tokio::fs::copy(&source, file).await.with_context(|| format!("failed to read {place}"))?;
            }
            Storage::Service(service) => {
                let container = self.container(service, place)?;
                let mut stream = container.get(&name).await?.into_stream();
                let mut target = tokio::fs::File::create(file).await?;
                while let Some(bytes) =
                    stream.try_next().await.with_context(|| format!("failed to read {place}"))?
                {
                    target.write_all(&bytes).await?;
                }
                target.flush().await?;
            }
        }
        Ok(())
    }

    /// Everything at or below a place into a folder, at most `limit` bytes; the path of the file, or of the folder.
    pub(crate) async fn download(&self, place: &Place, to: &Path, limit: u64) -> anyhow::Result<PathBuf> {
        let found = self.list(place).await?;
        ensure!(!found.is_empty(), "there is no blob at {place}");
        let size: u64 = found.iter().map(|(_, size)| size).sum();
        ensure!(size <= limit, "{place} has {size} bytes, which is more than {limit}");
        if let [(name, _)] = found.as_slice()
            && name.is_empty()
        {
            let file = to.join(place.path.trim_end_matches('/').rsplit('/').next().unwrap_or("blob"));
            self.fetch(place, &file).await?;
            return Ok(file);
        }
        for (name, _) in &found {
            self.fetch(&place.child(name), &to.join(name)).await?;
        }
        Ok(to.to_owned())
    }

    /// Writes one blob.
    pub(crate) async fn write(&self, place: &Place, bytes: Bytes) -> anyhow::Result<()> {
        let name = place.name()?;
        ensure!(!name.as_ref().is_empty(), "a blob needs a name");
        self.ensure_container(place).await?;
        match &self.storage {
            Storage::Folder(folder) => {
                let file = folder.join(&place.account).join(&place.container).join(name.as_ref());
                if let Some(folder) = file.parent() {
                    tokio::fs::create_dir_all(folder).await?;
                }
                tokio::fs::write(&file, &bytes).await?;
            }
            Storage::Service(service) => {
                let put = self.container(service, place)?.put(&name, bytes.into()).await;
                put.with_context(|| format!("failed to write {place}"))?;
            }
        }
        Ok(())
    }

    /// Writes all files of a folder below a place, or one file at it; at most `limit` bytes.
    pub(crate) async fn upload(&self, from: &Path, place: &Place, limit: u64) -> anyhow::Result<usize> {
        let root = from.to_owned();
        let found = tokio::task::spawn_blocking(move || files(&root)).await??;
        ensure!(found.len() <= MOST_BLOBS, "there are more than {MOST_BLOBS} files");
        let size: u64 = found.iter().map(|(_, size)| size).sum();
        ensure!(size <= limit, "there are {size} bytes of output, which is more than {limit}");
        for (name, _) in &found {
            let (source, target) = match name.as_str() {
                "" => (from.to_owned(), place.clone()),
                name => (from.join(name), place.child(name)),
            };
            self.write(&target, tokio::fs::read(&source).await?.into()).await?;
        }
        Ok(found.len())
    }

    /// Makes the container unless it was made or seen before.
    pub(crate) async fn ensure_container(&self, place: &Place) -> anyhow::Result<()> {
        let Storage::Service(service) = &self.storage else { return Ok(()) };
        if !self.made.lock().unwrap_or_else(PoisonError::into_inner).insert(place.container.clone()) {
            return Ok(());
        }
        let query = signature::of_account(&service.account, &service.key, "rwlc")?;
        let endpoint = service.endpoint.trim_end_matches('/');
        let address = format!("{endpoint}/{}?restype=container&{query}", place.container);
        let sent = self.http.put(address).header("content-length", "0").send().await;
        let status = sent.map(|answer| answer.status().as_u16()).map_err(reqwest::Error::without_url);
        match status {
            // 409: it is there.
            Ok(201 | 409) => Ok(()),
            other => {
                self.made.lock().unwrap_or_else(PoisonError::into_inner).remove(&place.container);
                match other {
                    Ok(status) => bail!("failed to make the container {}: status {status}", place.container),
                    Err(error) => Err(error).context("failed to reach the blob service"),
                }
            }
        }
    }
}

/// All regular files below a path with their sizes; links are left out, so that none leads elsewhere.
pub(crate) fn files(root: &Path) -> anyhow::Result<Vec<(String, u64)>> {
    let Ok(metadata) = std::fs::symlink_metadata(root) else { return Ok(Vec::new()) };
    if metadata.is_file() {
        return Ok(vec![(String::new(), metadata.len())]);
    }
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            // A file may be gone by now: whoever wrote it is still running.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if metadata.is_file() {
                let path = entry.path();
                let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
                found.push((name, metadata.len()));
            }
            ensure!(
                found.len() + folders.len() <= 10 * MOST_BLOBS,
                "there are too many files below {}",
                root.display()
            );
        }
    }
    found.sort();
    Ok(found)
}

/// Gives `object_store` the one HTTP client.
#[derive(Clone, Debug)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Connector {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let unknown = |error| HttpError::new(HttpErrorKind::Unknown, error);
        let url = reqwest::Url::parse(&parts.uri.to_string()).map_err(unknown)?;
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        let bytes = match body.as_bytes() {
            Some(bytes) => bytes.clone(),
            None => body.collect().await?.to_bytes(),
        };
        *request.body_mut() = Some(bytes.into());
        let response = self.0.execute(request).await.map_err(broken)?;
        let (parts, body) = http::Response::<reqwest::Body>::from(response).into_parts();
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body.map_err(broken))))
    }
}

/// Without the address, which may hold a signature.
fn broken(error: reqwest::Error) -> HttpError {
    let kind = if error.is_timeout() { HttpErrorKind::Timeout } else { HttpErrorKind::Request };
    HttpError::new(kind, error.without_url())
}
