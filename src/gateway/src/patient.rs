//! The stream of a caller's connection, with an end to patience where the protocols have none: for the first bytes, before
//! it is known which protocol they are, and for a caller that does not take its answer.
use std::future::Future as _;
use std::io::{Error, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// What a connection of HTTP/2 begins with. One of HTTP/1 differs in its first bytes.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream whose other end must begin to speak, and go on listening.
pub struct Patient<S> {
    stream: S,
    time: Duration,
    /// The bytes of the preface that came; nothing once it is known what the connection speaks.
    seen: Option<usize>,
    reading: Option<Pin<Box<Sleep>>>,
    writing: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    /// Waits so long for the first bytes, and each time that no more bytes can be written.
    pub fn new(stream: S, time: Duration) -> Self {
        Self { stream, time, seen: Some(0), reading: None, writing: None }
    }

    /// Takes bytes that came into account.
    fn read(&mut self, bytes: &[u8]) {
        let Some(seen) = self.seen else { return };
        let is_preface = PREFACE.get(seen..).is_some_and(|rest| rest.starts_with(bytes));
        let seen = seen + bytes.len();
        self.seen = (is_preface && !bytes.is_empty() && seen < PREFACE.len()).then_some(seen);
        if self.seen.is_none() {
            self.reading = None;
        }
    }

    /// What came of a write: an error when it has been waiting for too long.
    fn written<T>(
        &mut self,
        result: Poll<Result<T, Error>>,
        context: &mut Context<'_>,
    ) -> Poll<Result<T, Error>> {
        if result.is_ready() {
            self.writing = None;
            return result;
        }
        expired(&mut self.writing, self.time, context)
    }
}

fn expired<T>(
    clock: &mut Option<Pin<Box<Sleep>>>,
    time: Duration,
    context: &mut Context<'_>,
) -> Poll<Result<T, Error>> {
    let clock = clock.get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
    clock.as_mut().poll(context).map(|()| Err(Error::from(ErrorKind::TimedOut)))
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<(), Error>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let result = Pin::new(&mut this.stream).poll_read(context, buffer);
        if this.seen.is_none() {
            return result;
        }
        if result.is_pending() {
            return expired(&mut this.reading, this.time, context);
        }
        this.read(buffer.filled().get(before..).unwrap_or_default());
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, Error>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.written(result, context)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_flush(context);
        this.written(result, context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_shutdown(context);
        this.written(result, context)
    }
}
