//! Brings a model's artefact to a local file, within a size, and verifies its digest while it streams by.
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use reqwest::{Client, Url, redirect};

use crate::digest::{Digest, Hasher};
use crate::failure::{Failure, Reason};
use crate::source::{self, Source};

const REDIRECTS: usize = 5;
const RETRIES: usize = 4;

/// What an artefact must fulfil.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// The digest that it must have.
    pub digest: Option<Digest>,
    /// The largest size.
    pub max_bytes: u64,
    /// Certificates to trust besides the system's.
    pub ca_file: Option<PathBuf>,
}

/// A local, verified artefact.
#[derive(Clone, Debug)]
pub struct Artefact {
    /// The file.
    pub path: PathBuf,
    /// Its digest.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
}

/// An attempt that failed, and whether another may succeed.
#[derive(Debug)]
struct Attempt {
    failure: Failure,
    transient: bool,
}

impl Attempt {
    fn last(message: String) -> Self {
        Self { failure: Failure::new(Reason::ModelFetchFailed, message), transient: false }
    }

    fn transient(message: String) -> Self {
        Self { failure: Failure::new(Reason::ModelFetchFailed, message), transient: true }
    }
}

impl Fetch {
    /// Verifies a local artefact where it is, or downloads a remote one into `folder`.
    pub async fn fetch(&self, source: &Source, folder: &Path) -> Result<Artefact, Failure> {
        match source {
            Source::Local(path) => self.local(path, None),
            Source::Remote(url) => self.remote(url, &folder.join(source.file_name())).await,
        }
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
        match source {
            Source::Local(path) => {
                let path = source::model_file(path).map_err(fetch_failed)?;
                let own = Source::Local(path.clone()).file_name();
                self.local(&path, Some(folder.join(name.unwrap_or(&own))))
            }
            Source::Remote(url) => {
                let own = source.file_name();
                self.remote(url, &folder.join(name.unwrap_or(&own))).await
            }
        }
    }

    /// Hashes a local artefact, and copies it if a target is given.
    fn local(&self, path: &Path, target: Option<PathBuf>) -> Result<Artefact, Failure> {
        let path = source::model_file(path).map_err(fetch_failed)?;
        let unreadable = |error| fetch_failed(format!("{} can't be read: {error}", path.display()));
        let mut file = std::fs::File::open(&path).map_err(unreadable)?;
        let mut sink = target.as_deref().map(|target| Sink::create(target, self.max_bytes));
        let mut check = Sink::check(self.max_bytes);
        let mut buffer = vec![0; 1 << 16];
        loop {
            let length = file.read(&mut buffer).map_err(unreadable)?;
            if length == 0 {
                break;
            }
            match &mut sink {
                Some(Ok(sink)) => sink.take(&buffer[..length]),
                Some(Err(failure)) => return Err(failure.clone()),
                None => check.take(&buffer[..length]),
            }?;
        }
        let sink = match sink {
            Some(sink) => sink?,
            None => check,
        };
        let (digest, bytes) = sink.finish(self.digest, &path.display().to_string())?;
        Ok(Artefact { path: target.unwrap_or(path), digest, bytes })
    }

    async fn remote(&self, url: &Url, target: &Path) -> Result<Artefact, Failure> {
        let client = self.client(url)?;
        let back_off = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(250))
            .with_max_delay(Duration::from_secs(8))
            .with_max_times(RETRIES)
            .with_jitter();
        (|| self.download(&client, url, target))
            .retry(back_off)
            .when(|attempt: &Attempt| attempt.transient)
            .notify(|attempt, delay| {
                tracing::warn!(
                    cause = attempt.failure.message,
                    ?delay,
                    "fetching the model failed, trying again"
                );
            })
            .await
            .map_err(|attempt| attempt.failure)
    }

    async fn download(&self, client: &Client, url: &Url, target: &Path) -> Result<Artefact, Attempt> {
        let shown = source::shown(url);
        let mut response =
            client.get(url.clone()).send().await.map_err(|error| request_failed(&shown, &error))?;
        let status = response.status();
        if !status.is_success() {
            let again = status.is_server_error() || status == 408 || status == 429;
            let message =
                format!("{shown} answered {status}; check that the address is right and may be read");
            return Err(if again { Attempt::transient(message) } else { Attempt::last(message) });
        }
        let last = |failure| Attempt { failure, transient: false };
        let mut sink = Sink::create(target, self.max_bytes).map_err(last)?;
        sink.expect(response.content_length().unwrap_or(0)).map_err(last)?;
        while let Some(chunk) = response.chunk().await.map_err(|error| request_failed(&shown, &error))? {
            sink.take(&chunk).map_err(last)?;
        }
        let (digest, bytes) = sink.finish(self.digest, &shown).map_err(last)?;
        Ok(Artefact { path: target.to_owned(), digest, bytes })
    }

    fn client(&self, url: &Url) -> Result<Client, Failure> {
        // An error means that a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(concat!("mlops-model-server/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(Duration::from_secs(30))
            .redirect(redirect::Policy::custom(follow));
        if let Some(path) = &self.ca_file {
            let unusable = |error: &dyn std::fmt::Display| {
                fetch_failed(format!("the certificates in {} can't be used: {error}", path.display()))
            };
            let bundle = std::fs::read(path).map_err(|error| unusable(&error))?;
            let bundle = reqwest::Certificate::from_pem_bundle(&bundle).map_err(|error| unusable(&error))?;
            builder = builder.tls_certs_merge(bundle);
        } else if url.scheme() == "http" {
            // An image without certificates can still fetch over http; a redirect to https then needs --ca-file.
            builder = match builder.build() {
                Ok(client) => return Ok(client),
                Err(_) => Client::builder().tls_certs_only([]).redirect(redirect::Policy::custom(follow)),
            };
        }
        builder.build().map_err(|error| {
            let hint = "set SSL_CERT_FILE or --ca-file to a file of certificates";
            fetch_failed(format!("TLS can't be set up: {}; {hint}", causes(&error)))
        })
    }
}

/// Follows few redirects, never from https to http, and never to an address with a password.
fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    if attempt.previous().len() > REDIRECTS {
        return attempt.error("too many redirects");
    }
    if attempt.previous().iter().any(|url| url.scheme() == "https") && attempt.url().scheme() != "https" {
        return attempt.error("redirected from https to http");
    }
    if source::refuse_credentials(attempt.url()).is_err() {
        return attempt.error("redirected to an address with a password");
    }
    attempt.follow()
}

fn fetch_failed(message: String) -> Failure {
    Failure::new(Reason::ModelFetchFailed, message)
}

fn request_failed(shown: &str, error: &reqwest::Error) -> Attempt {
    let causes = causes(error);
    let message = format!("{shown} can't be fetched: {causes}");
    if causes.contains("invalid peer certificate") {
        return Attempt::last(format!(
            "{message}; if it is right, trust its authority with --ca-file or SSL_CERT_FILE"
        ));
    }
    if error.is_redirect() || error.is_builder() {
        Attempt::last(message)
    } else {
        Attempt::transient(message)
    }
}

/// The causes of an error without the address that reqwest puts into its own message.
fn causes(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    if causes.is_empty() {
        let kind = if error.is_timeout() { "the time is over" } else { "the request failed" };
        causes.push(kind.to_owned());
    }
    causes.dedup();
    causes.join(": ")
}

/// Takes an artefact's bytes: counts, hashes and, if it has a target, writes them beside it until they are verified.
struct Sink {
    hasher: Hasher,
    bytes: u64,
    limit: u64,
    file: Option<(std::fs::File, tempfile::TempPath, Arc<Path>)>,
}

impl Sink {
    fn check(limit: u64) -> Self {
        Self { hasher: Hasher::default(), bytes: 0, limit, file: None }
    }

    fn create(target: &Path, limit: u64) -> Result<Self, Failure> {
        let folder = target.parent().unwrap_or(Path::new("."));
        let file = tempfile::Builder::new().prefix(".fetch-").tempfile_in(folder).map_err(|error| {
            fetch_failed(format!("the folder {} can't be written: {error}", folder.display()))
        })?;
        let (file, path) = file.into_parts();
        Ok(Self { file: Some((file, path, Arc::from(target))), ..Self::check(limit) })
    }

    fn expect(&self, bytes: u64) -> Result<(), Failure> {
        if bytes <= self.limit {
            return Ok(());
        }
        let limit = self.limit;
        Err(fetch_failed(format!(
            "the artefact has more than {limit} bytes; raise --max-model-bytes or its memory"
        )))
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
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

    /// Verifies the digest; only then the file gets its name, readable by other users' servers.
    fn finish(self, expected: Option<Digest>, shown: &str) -> Result<(Digest, u64), Failure> {
        use std::os::unix::fs::PermissionsExt as _;
        let actual = self.hasher.finish();
        if let Some(expected) = expected.filter(|expected| *expected != actual) {
            return Err(Failure::new(
                Reason::DigestMismatch,
                format!(
                    "{shown} has digest {actual}, expected {expected}; correct the digest, or the artefact if it was replaced"
                ),
            ));
        }
        if let Some((file, path, target)) = self.file {
            file.set_permissions(std::fs::Permissions::from_mode(0o644))
                .and_then(|()| path.persist(&target).map_err(|error| error.error))
                .map_err(|error| fetch_failed(format!("{} can't be written: {error}", target.display())))?;
        }
        Ok((actual, self.bytes))
    }
}
