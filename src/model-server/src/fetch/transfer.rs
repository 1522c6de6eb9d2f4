//! A transfer that survives breaks: it goes on where it ended while the other side has the same version, and begins
//! anew when it has another.
//!
//! Invariant: the bytes of one file are all of one version.
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use object_store::path::Path as BlobPath;
use reqwest::{Client, Url};

use super::attempt::{Again, Attempt};
use super::http;
use super::sink::Sink;
use crate::azure::store::Store;

/// Attempts after the first that bring nothing at all.
const RETRIES: usize = 4;
/// Attempts after the first, however much they bring.
const MOST_RETRIES: usize = 100;
/// How often a file may change while it is fetched.
const MOST_RESTARTS: usize = 3;

/// Where to go on, and with which version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The bytes that are there.
    pub offset: u64,
    /// The entity tag of the version they are of.
    pub version: Option<String>,
}

/// An answer whose bytes are still to come.
pub struct Opened {
    /// Where the bytes begin.
    pub offset: u64,
    /// The size of the whole, if it is known.
    pub total: Option<u64>,
    /// The entity tag, if it is a strong one.
    pub version: Option<String>,
    /// The bytes.
    pub bytes: BoxStream<'static, Result<bytes::Bytes, Attempt>>,
}

/// A file elsewhere.
pub(crate) enum Remote<'a> {
    /// At an address.
    Address(&'a Client, &'a Url),
    /// In a container of a storage account.
    Blob(&'a Store, &'a BlobPath),
}

impl Remote<'_> {
    async fn open(&self, position: &Position) -> Result<Opened, Attempt> {
        match self {
            Self::Address(client, url) => http::open(client, url, position).await,
            Self::Blob(store, path) => store.get(path, position).await,
        }
    }
}

/// The pauses between attempts.
pub(crate) fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(250))
        .with_max_delay(Duration::from_secs(8))
        .with_max_times(RETRIES)
        .with_jitter()
        .build()
}

/// Tries again what fails in passing.
pub(crate) async fn persistently<T>(what: impl AsyncFn() -> Result<T, Attempt>) -> Result<T, Attempt> {
    let mut pauses = pauses();
    loop {
        match what().await {
            Err(attempt) if attempt.again != Again::Never => pause(pauses.next(), attempt).await?,
            other => return other,
        }
    }
}

/// Brings a whole file into a sink.
pub(crate) async fn transfer(remote: &Remote<'_>, sink: &mut Sink) -> Result<(), Attempt> {
    let (mut position, mut breaks, mut restarts) = (Position::default(), pauses(), 0);
    for _ in 0..MOST_RETRIES {
        let before = sink.bytes();
        let Err(attempt) = part(remote, &mut position, sink).await else { return Ok(()) };
        if sink.bytes() > before {
            breaks = pauses();
        }
        match attempt.again {
            Again::Never => return Err(attempt),
            Again::Resume => {}
            Again::Restart => {
                restarts += 1;
                if restarts > MOST_RESTARTS {
                    return Err(attempt);
                }
                position = Position::default();
                sink.restart()?;
            }
        }
        pause(breaks.next(), attempt).await?;
    }
    Err(Attempt::last("the connection broke too often; fetch from a place nearer by".to_owned()))
}

async fn pause(delay: Option<Duration>, attempt: Attempt) -> Result<(), Attempt> {
    let Some(delay) = delay else { return Err(attempt) };
    tracing::warn!(cause = attempt.failure.message, ?delay, "fetching the model failed, trying again");
    tokio::time::sleep(delay).await;
    Ok(())
}

/// One answer's bytes, as far as they come.
async fn part(remote: &Remote<'_>, position: &mut Position, sink: &mut Sink) -> Result<(), Attempt> {
    // Without a version there is no telling whether what follows belongs to what is there.
    position.offset = if position.version.is_some() { sink.bytes() } else { 0 };
    let mut opened = remote.open(position).await?;
    if opened.offset != sink.bytes() || (opened.offset > 0 && opened.version != position.version) {
        if opened.offset > 0 {
            return Err(Attempt {
                again: Again::Restart,
                ..Attempt::last("the other side sent another part".to_owned())
            });
        }
        sink.restart()?;
    }
    position.version.clone_from(&opened.version);
    sink.expect(opened.total.unwrap_or(0))?;
    while let Some(chunk) = opened.bytes.next().await {
        sink.take(&chunk?)?;
    }
    match opened.total.filter(|total| *total != sink.bytes()) {
        None => Ok(()),
        Some(total) => {
            Err(Attempt::transient(format!("the connection ended after {} of {total} bytes", sink.bytes())))
        }
    }
}
