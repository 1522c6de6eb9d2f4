//! Bodies on their way: the caller's, lent to one attempt after another, and the revision's, watched to its end.
use std::future::Future as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use tokio::time::Sleep;

use crate::exchange::{Ending, Recording};
use crate::grpc::{Dialect, Messages};
use crate::pool::Received;
use crate::quiet::Quiet;

/// Any error of a body.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
/// The body of an answer.
pub type Answered = UnsyncBoxBody<Bytes, Error>;

/// A whole body.
pub fn whole(bytes: impl Into<Bytes>) -> Answered {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// The body of a caller, and what was seen of it.
pub struct Inbound {
    body: Incoming,
    limit: u64,
    messages: Option<Messages>,
    reader: Option<Reader>,
    /// Bytes that were read.
    pub bytes: u64,
    /// Whether it was too long.
    pub is_too_large: bool,
    /// Whether the caller stopped in the middle.
    pub is_cut: bool,
    /// Its copy.
    pub recording: Option<Recording>,
    /// The waker of the connection that it comes from, where reading it there and sending it on are one task.
    pub quiet: Option<Quiet>,
}

impl Inbound {
    /// The body of a request, of at most so many bytes, or with messages of at most so many. One for a connection that is
    /// shared is read by another task, which outlives the request unless it is told.
    pub fn new(
        body: Incoming,
        limit: u64,
        recording: Option<Recording>,
        dialect: Dialect,
        is_shared: bool,
    ) -> Self {
        let messages = (dialect == Dialect::Grpc).then(Messages::default);
        let reader = is_shared.then(Reader::default);
        let (bytes, is_too_large, is_cut) = (0, false, false);
        let mut inbound =
            Self { body, limit, messages, reader, bytes, is_too_large, is_cut, recording, quiet: None };
        inbound.mark_end();
        inbound
    }

    /// Takes no more from the caller of a request that is over.
    pub fn close(&mut self) {
        if let Some(reader) = &mut self.reader {
            reader.is_over = true;
            reader.task.take().into_iter().for_each(Waker::wake);
        }
    }

    /// Whether the caller has said all that it has to say.
    pub fn is_ended(&self) -> bool {
        self.body.is_end_stream()
    }

    fn mark_end(&mut self) {
        if let Some(recording) = self.recording.as_mut().filter(|_| self.body.is_end_stream()) {
            recording.finish();
        }
    }

    /// With the last part nobody need wake this task to read another one.
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(quiet) = &self.quiet else { return Pin::new(&mut self.body).poll_frame(context) };
        let (frame, has_woken) = quiet.hold(|| Pin::new(&mut self.body).poll_frame(context));
        if has_woken && !(frame.is_ready() && self.body.is_end_stream()) {
            context.waker().wake_by_ref();
        }
        frame
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.reader.as_ref().is_some_and(|reader| reader.is_over) {
            return Poll::Ready(Some(Err("the request is over".into())));
        }
        let Poll::Ready(frame) = self.poll_body(context) else {
            if let Some(reader) = &mut self.reader {
                reader.task = Some(context.waker().clone());
            }
            return Poll::Pending;
        };
        match &frame {
            Some(Ok(frame)) => {
                let data = frame.data_ref().map_or(&[][..], |data| data);
                self.bytes += data.len() as u64;
                let length = self.messages.as_mut().map_or(self.bytes, |messages| messages.longest(data));
                if length > self.limit {
                    self.is_too_large = true;
                    return Poll::Ready(Some(Err("the body is too large".into())));
                }
                if let Some(recording) = &mut self.recording {
                    recording.push(data);
                }
                self.mark_end();
            }
            Some(Err(_)) => self.is_cut = true,
            None => {
                if let Some(recording) = &mut self.recording {
                    recording.finish();
                }
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }
}

/// The task that reads a body for a connection that is shared. The request may end while its caller still sends.
#[derive(Default)]
struct Reader {
    is_over: bool,
    task: Option<Waker>,
}

/// A request's body for one attempt. An attempt that could not connect has read nothing, and the next one gets the same.
pub enum Lent {
    /// What the caller sends.
    Streamed(Arc<Mutex<Inbound>>),
    /// What is there already.
    Whole(Full<Bytes>),
}

/// The body behind its lock, which is never contended: one attempt at a time has it.
pub fn locked(inbound: &Mutex<Inbound>) -> std::sync::MutexGuard<'_, Inbound> {
    inbound.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Body for Lent {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.get_mut() {
            Self::Streamed(inbound) => locked(inbound).poll(context),
            Self::Whole(body) => Pin::new(body).poll_frame(context).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Streamed(inbound) => locked(inbound).body.is_end_stream(),
            Self::Whole(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Streamed(inbound) => locked(inbound).body.size_hint(),
            Self::Whole(body) => body.size_hint(),
        }
    }
}

/// The body of a revision's answer.
pub struct Outgoing {
    body: Received,
    idle: Duration,
    // Most answers arrive with their heads, and need no clock.
    clock: Option<Pin<Box<Sleep>>>,
    ending: Ending,
    is_cut: bool,
}

impl Outgoing {
    /// Watches a body to its end, and gives it up when nothing comes for so long.
    pub fn new(body: Received, idle: Duration, ending: Ending) -> Self {
        Self { body, idle, clock: None, ending, is_cut: false }
    }

    /// The end of an answer that its revision did not end: trailers where they can say so.
    fn cut(&mut self, is_idle: bool, error: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.is_cut = true;
        let trailers = self.ending.fail(is_idle);
        Poll::Ready(Some(trailers.map_or(Err(error), |trailers| Ok(Frame::trailers(trailers)))))
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        if this.is_cut {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else {
            let clock = this.clock.get_or_insert_with(|| Box::pin(tokio::time::sleep(this.idle)));
            ready!(clock.as_mut().poll(context));
            return this.cut(true, "the revision stopped in the middle of its answer".into());
        };
        this.clock = None;
        match frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    this.ending.push(data);
                } else if let Some(trailers) = frame.trailers_ref() {
                    this.ending.note(trailers);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => this.cut(false, error.into()),
            None => {
                this.ending.complete();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_cut || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        // The server does not ask for more when it knows the length.
        if !self.is_cut && self.body.is_end_stream() {
            self.ending.complete();
        }
    }
}
