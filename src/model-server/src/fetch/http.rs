//! Files at addresses: the client that keeps within bounds, and one request of a transfer.
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, IF_MATCH, RANGE};
use reqwest::{Client, ClientBuilder, StatusCode, Url, redirect};

use super::attempt::Attempt;
use super::fetch_failed;
use super::transfer::{Opened, Position};
use crate::failure::Failure;
use crate::guard::{Guard, Refused};
use crate::source;

const REDIRECTS: usize = 5;

/// A client that reaches allowed hosts alone, and follows few redirects or none.
pub(crate) fn client(
    guard: &Guard,
    ca_file: Option<&Path>,
    is_plain: bool,
    redirects: bool,
) -> Result<Client, Failure> {
    // An error means that a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = || {
        let judge = guard.clone();
        let policy = if redirects {
            redirect::Policy::custom(move |attempt| follow(&judge, attempt))
        } else {
            redirect::Policy::none()
        };
        bounded().redirect(policy).dns_resolver(Arc::new(guard.clone()))
    };
    let built = match ca_file {
        Some(path) => builder().tls_certs_merge(certificates(path)?).build(),
        // An image without certificates can still fetch over http; a redirect to https then needs --ca-file.
        None if is_plain => builder().build().or_else(|_| builder().tls_certs_only([]).build()),
        None => builder().build(),
    };
    built.map_err(|error| {
        let hint = "set SSL_CERT_FILE or --ca-file to a file of certificates";
        fetch_failed(format!("TLS can't be set up: {}; {hint}", causes(&error)))
    })
}

/// The client for the token of the machine, which is asked directly and over http.
pub(crate) fn metadata_client() -> Result<Client, Failure> {
    let builder = bounded().no_proxy().tls_certs_only([]).redirect(redirect::Policy::none());
    builder.build().map_err(|error| fetch_failed(format!("no client can be made: {}", causes(&error))))
}

fn bounded() -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("mlops-model-server/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(Duration::from_secs(30))
}

fn certificates(path: &Path) -> Result<Vec<reqwest::Certificate>, Failure> {
    let unusable = |error: &dyn std::fmt::Display| {
        fetch_failed(format!("the certificates in {} can't be used: {error}", path.display()))
    };
    let bundle = std::fs::read(path).map_err(|error| unusable(&error))?;
    reqwest::Certificate::from_pem_bundle(&bundle).map_err(|error| unusable(&error))
}

/// Follows few redirects, never from https to http, never to an address with a password, and to allowed hosts alone.
fn follow(guard: &Guard, attempt: redirect::Attempt<'_>) -> redirect::Action {
    if attempt.previous().len() > REDIRECTS {
        return attempt.error("too many redirects");
    }
    if attempt.previous().iter().any(|url| url.scheme() == "https") && attempt.url().scheme() != "https" {
        return attempt.error("redirected from https to http");
    }
    if source::refuse_credentials(attempt.url()).is_err() {
        return attempt.error("redirected to an address with a password");
    }
    match guard.check(attempt.url()) {
        Ok(()) => attempt.follow(),
        Err(refused) => attempt.error(refused),
    }
}

/// Asks for a file from a position on.
pub(crate) async fn open(client: &Client, url: &Url, position: &Position) -> Result<Opened, Attempt> {
    let shown = source::shown(url);
    let mut request = client.get(url.clone()).header(ACCEPT_ENCODING, "identity");
    if let (Some(version), 1..) = (&position.version, position.offset) {
        request = request.header(RANGE, format!("bytes={}-", position.offset)).header(IF_MATCH, version);
    }
    let response = request.send().await.map_err(|error| request_failed(&shown, &error))?;
    let (offset, total) = match response.status() {
        StatusCode::PARTIAL_CONTENT => {
            content_range(response.headers()).ok_or_else(|| Attempt::changed(&shown))?
        }
        StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE if position.offset > 0 => {
            return Err(Attempt::changed(&shown));
        }
        status if status.is_success() => (0, response.content_length()),
        status => {
            let again = status.is_server_error() || status == 408 || status == 429;
            let message =
                format!("{shown} answered {status}; check that the address is right and may be read");
            return Err(if again { Attempt::transient(message) } else { Attempt::last(message) });
        }
    };
    let version = version(response.headers());
    let bytes =
        response.bytes_stream().map(move |chunk| chunk.map_err(|error| request_failed(&shown, &error)));
    Ok(Opened { offset, total, version, bytes: bytes.boxed() })
}

/// The entity tag, unless it is a weak one, which two versions may share.
fn version(headers: &HeaderMap) -> Option<String> {
    headers.get(ETAG)?.to_str().ok().filter(|tag| tag.starts_with('"')).map(str::to_owned)
}

/// The start of a part, and the size of the whole.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let (range, total) =
        headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, total.parse().ok()))
}

fn request_failed(shown: &str, error: &reqwest::Error) -> Attempt {
    let causes = causes(error);
    let message = format!("{shown} can't be fetched: {causes}");
    if causes.contains("invalid peer certificate") {
        return Attempt::last(format!(
            "{message}; if it is right, trust its authority with --ca-file or SSL_CERT_FILE"
        ));
    }
    if error.is_redirect() || error.is_builder() || is_refused(error) {
        Attempt::last(message)
    } else {
        Attempt::transient(message)
    }
}

fn is_refused(error: &reqwest::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.is::<Refused>() {
            return true;
        }
        cause = error.source();
    }
    false
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
