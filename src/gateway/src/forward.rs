//! A request's way to its revision: the headers that go on, the attempts, and what went wrong.
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::header::{self, HeaderMap, HeaderName};
use http::{Method, Request, Response, Uri, Version};

use crate::body::{Inbound, Lent, locked};
use crate::metrics::Series;
use crate::pool::Received;
use crate::port::{Lease, NotAnswered, Port};

/// Whether a header is one between two neighbours, which no proxy passes on, or one that is made anew.
fn is_between_neighbours(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "expect"
            | "host"
    )
}

/// The pause before the second attempt; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(25);

/// What every attempt sends.
#[derive(Clone, Debug)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// The path and query.
    pub uri: Uri,
    /// The headers, without those between neighbours.
    pub headers: HeaderMap,
}

impl Head {
    /// The request.
    pub fn request(self, body: Lent) -> Request<Lent> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = self.headers;
        request
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Trouble {
    /// No connection, and so nothing was sent.
    Unreachable(String),
    /// A connection that ended before the answer.
    Broken(String),
    /// The caller's body is longer than it may be.
    TooLarge,
    /// The caller stopped in the middle of its body.
    Cut,
}

/// Removes the headers between two neighbours, and those that `Connection` names.
pub fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in &named {
        headers.remove(name);
    }
    // There are hardly any: to look at every header once is cheaper than to look every name up.
    while let Some(name) = headers.keys().find(|name| is_between_neighbours(name)).cloned() {
        headers.remove(name);
    }
}

/// How often a request may be tried again, and was.
pub struct Attempts<'s> {
    /// The numbers of the revision.
    pub series: &'s Series,
    /// The most further attempts.
    pub most: u32,
    /// The further attempts.
    pub made: AtomicU32,
}

impl Attempts<'_> {
    fn again(&self) {
        self.series.retries.inc();
        self.made.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sends a request over a connection. It is tried again over another one only when not a byte was sent, and the body was
/// not read.
pub async fn send(
    port: &Port,
    attempts: &Attempts<'_>,
    lease: Lease,
    head: Head,
    inbound: &Arc<Mutex<Inbound>>,
) -> Result<Response<Received>, Trouble> {
    let mut request = head.request(Lent::Streamed(Arc::clone(inbound)));
    let (mut lease, mut attempt) = (lease, 0);
    let error = loop {
        match lease.send(request).await {
            Ok(response) => {
                port.circuit.succeeded();
                return Ok(response);
            }
            Err(NotAnswered::Broken(error)) => break error,
            Err(NotAnswered::Unsent(_)) if attempt > attempts.most => {
                return Err(Trouble::Unreachable("its connections close at once".to_owned()));
            }
            Err(NotAnswered::Unsent(unsent)) => request = *unsent,
        }
        attempt += 1;
        attempts.again();
        lease = connect(port, attempts).await?;
    };
    let inbound = locked(inbound);
    Err(match (inbound.is_too_large, inbound.is_cut) {
        (true, _) => Trouble::TooLarge,
        (_, true) => Trouble::Cut,
        _ => Trouble::Broken(deepest(&error)),
    })
}

/// Connects; tried again after pauses.
pub async fn connect(port: &Port, attempts: &Attempts<'_>) -> Result<Lease, Trouble> {
    let mut attempt = 0;
    loop {
        let error = match port.lease().await {
            Ok(lease) => return Ok(lease),
            Err(error) => error,
        };
        if port.circuit.failed(Instant::now()) {
            attempts.series.opened.inc();
            tracing::warn!(address = port.address(), error, "a revision can't be reached and is left alone");
        }
        if attempt == attempts.most || port.circuit.is_open(Instant::now()) {
            return Err(Trouble::Unreachable(error));
        }
        tokio::time::sleep(PAUSE * 2_u32.pow(attempt)).await;
        attempt += 1;
        attempts.again();
    }
}

/// The cause without what is around it.
pub fn deepest(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    deepest.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_between_neighbours_are_removed_with_those_that_connection_names() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("connection", "close, X-Mine"), ("x-mine", "1"), ("te", "trailers"), ("x-other", "2")]
        {
            headers.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        strip(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-other"]);
    }
}
