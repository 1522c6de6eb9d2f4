//! Connections: reads a request, lets faults, tokens and throttling have their say, and writes the answer.
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;

use crate::answer::{Answer, Body, Failure};
use crate::core::Core;
use crate::fault::Action;

mod exchange;

/// Connections beyond this wait.
const CONNECTIONS: usize = 2000;
/// A client has this long to send its headers, and to shake hands.
const PATIENCE: Duration = Duration::from_secs(30);

/// What every connection needs.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) core: Arc<Core>,
    pub(crate) identity_header: Arc<str>,
    pub(crate) tls: Option<TlsAcceptor>,
    /// The authority of links where a request has no `Host`.
    pub(crate) authority: Arc<str>,
}

/// Accepts until the task is dropped.
pub(crate) async fn listen(listener: TcpListener, door: Door) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely; a moment later there may be some.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let door = door.clone();
        connections.spawn(async move {
            // A connection that fails is the client's loss alone.
            let _ = connection(stream, door).await;
            drop(slot);
        });
    }
}

async fn connection(stream: TcpStream, door: Door) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let reset = Arc::new(AtomicBool::new(false));
    let stream = Resettable { stream, reset: Arc::clone(&reset) };
    match door.tls.clone() {
        Some(tls) => {
            let stream = tokio::time::timeout(PATIENCE, tls.accept(stream)).await??;
            serve(TokioIo::new(stream), door, reset).await
        }
        None => serve(TokioIo::new(stream), door, reset).await,
    }
}

async fn serve<S>(stream: TokioIo<S>, door: Door, reset: Arc<AtomicBool>) -> anyhow::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (door, reset) = (door.clone(), Arc::clone(&reset));
        async move {
            let answer = exchange::answer(&door, request).await;
            answer.map_err(|broken| {
                reset.store(broken == Broken::Reset, Ordering::Release);
                io::Error::new(io::ErrorKind::ConnectionAborted, "a fault closes the connection")
            })
        }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(stream, service)
        .await?;
    Ok(())
}

/// How a connection ends without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    Closed,
    Reset,
}

/// A stream that can end in a reset instead of a farewell.
struct Resettable {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Resettable {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Acquire) {
            // A linger of zero makes the kernel send a reset. Where it fails, the connection just closes.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Resettable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Resettable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A body that may break off in the middle.
pub(crate) struct Payload {
    bytes: Option<Bytes>,
    length: u64,
    /// When to break off; by then what was sent has left.
    breaks: Option<Pin<Box<Sleep>>>,
}

/// How long the first half of an answer has to leave before the connection breaks.
const FLUSH: Duration = Duration::from_millis(20);

impl HttpBody for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(bytes) = self.bytes.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        let Some(moment) = &mut self.breaks else { return Poll::Ready(None) };
        let cut = || io::Error::new(io::ErrorKind::ConnectionAborted, "a fault cuts the answer");
        moment.as_mut().poll(context).map(|()| Some(Err(cut())))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none() && self.breaks.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(if self.bytes.is_some() || self.breaks.is_some() { self.length } else { 0 })
    }
}

/// The response that an answer becomes.
pub(crate) fn response(answer: Answer, request_id: &str, truncated: bool) -> Response<Payload> {
    let (content_type, bytes) = match answer.body {
        Body::Empty => (None, Bytes::new()),
        Body::Json(value) => {
            (Some("application/json; charset=utf-8".to_owned()), Bytes::from(value.to_string()))
        }
        Body::Bytes(kind, bytes) => (Some(kind), Bytes::from(bytes)),
    };
    let length = bytes.len() as u64;
    let sent = if truncated { bytes.slice(..bytes.len() / 2) } else { bytes };
    let payload = Payload {
        bytes: Some(sent).filter(|bytes| !bytes.is_empty()),
        length,
        breaks: (truncated && length > 0).then(|| Box::pin(tokio::time::sleep(FLUSH))),
    };
    let mut response = Response::new(payload);
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    let mut put = |name: &str, value: &str| {
        if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(name), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    };
    if let Some(kind) = content_type {
        put("content-type", &kind);
    }
    put("x-ms-request-id", request_id);
    for (name, value) in &answer.headers {
        put(name, value);
    }
    response
}

/// The whole body of a request, if it is not too large.
pub(crate) async fn read(body: Incoming, limit: usize) -> Result<Bytes, Answer> {
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            let message = format!("The request's body exceeds the limit of {limit} bytes.");
            Err(Failure::new(413, "RequestEntityTooLarge", message).answer())
        }
        Err(_) => Err(Failure::new(400, "InvalidRequestContent", "The request's body broke off.").answer()),
    }
}

/// What faults do before service: wait, break, or answer.
pub(crate) async fn before(actions: &[Action]) -> Result<Option<Answer>, Broken> {
    for action in actions {
        match action {
            Action::Delay { milliseconds } => tokio::time::sleep(Duration::from_millis(*milliseconds)).await,
            Action::Stall { milliseconds } => {
                tokio::time::sleep(Duration::from_millis(*milliseconds)).await;
                return Err(Broken::Closed);
            }
            Action::Reset => return Err(Broken::Reset),
            _ => {}
        }
    }
    Ok(actions.iter().find_map(crate::fault::answer))
}

/// How long something took.
pub(crate) fn milliseconds(since: Instant) -> u64 {
    since.elapsed().as_millis() as u64
}
