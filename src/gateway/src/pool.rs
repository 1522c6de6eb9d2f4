//! Connections to one revision. Each is driven by the task of the request that has it: no task of its own, no message
//! between tasks, and none of their costs, which are a quarter of what a request costs here.
use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::coop::unconstrained;

use crate::body::Lent;
use crate::quiet::Quiet;
use crate::shared::Flow;

/// The most idle connections to a revision.
const IDLE: usize = 256;
/// How long a connection may be idle: shorter than model servers keep theirs, so that they don't close one that is
/// about to be used.
const IDLE_TIME: Duration = Duration::from_secs(15);

/// The connections to a revision.
pub struct Pool {
    address: String,
    host: HeaderValue,
    connect: Duration,
    most: usize,
    idle: Mutex<Vec<(Instant, Box<Link>)>>,
}

/// A connection, and what sends on it. It is large, and goes from hand to hand in a box.
struct Link {
    sender: http1::SendRequest<Lent>,
    connection: http1::Connection<TokioIo<TcpStream>, Lent>,
    quiet: Quiet,
}

impl Link {
    /// Whether it can take a request. What happened to it while it was idle is seen only now.
    fn is_usable(&mut self) -> bool {
        let polled = Pin::new(&mut self.connection).poll(&mut Context::from_waker(Waker::noop()));
        polled.is_pending() && self.sender.is_ready()
    }
}

impl Pool {
    /// The connections to `HOST:PORT`, each of which has so long to be made; at most so many are in use.
    pub fn new(address: &str, connect: Duration, in_use: usize) -> Arc<Self> {
        // An address is checked when its document is read.
        let host = HeaderValue::from_str(address).unwrap_or(HeaderValue::from_static("revision"));
        let (address, idle) = (address.to_owned(), Mutex::default());
        Arc::new(Self { address, host, connect, most: IDLE.min(in_use), idle })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Instant, Box<Link>)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn taken(&self) -> Option<(Instant, Box<Link>)> {
        self.idle().pop()
    }

    /// A connection: one that is idle, or else a new one.
    pub async fn lease(self: &Arc<Self>) -> Result<Lease, String> {
        // The last one that was used is the least likely to be closed.
        while let Some((since, mut link)) = self.taken() {
            if since.elapsed() < IDLE_TIME && link.is_usable() {
                return Ok(Lease { pool: Arc::clone(self), link });
            }
        }
        let connected = tokio::time::timeout(self.connect, self.connected()).await;
        connected.unwrap_or_else(|_| Err(format!("no connection within {} ms", self.connect.as_millis())))
    }

    async fn connected(self: &Arc<Self>) -> Result<Lease, String> {
        let stream = TcpStream::connect(&self.address).await.map_err(|error| error.to_string())?;
        let _ = stream.set_nodelay(true);
        // One buffer for head and body: bodies are small, and a copy is cheaper than a second piece.
        let made = http1::Builder::new().writev(false).handshake(TokioIo::new(stream)).await;
        let (sender, connection) = made.map_err(|error| error.to_string())?;
        Ok(Lease {
            pool: Arc::clone(self),
            link: Box::new(Link { sender, connection, quiet: Quiet::default() }),
        })
    }

    /// Closes connections that have been idle for long.
    pub fn sweep(&self) {
        self.idle().retain(|(since, _)| since.elapsed() < IDLE_TIME);
    }

    fn put(&self, link: Box<Link>) {
        let mut idle = self.idle();
        if idle.len() < self.most {
            idle.push((Instant::now(), link));
        }
    }
}

/// A connection for one request.
pub struct Lease {
    pool: Arc<Pool>,
    link: Box<Link>,
}

impl Lease {
    /// Sends a request, whose address is a path, and waits for the head of its answer.
    pub async fn send(mut self, mut request: Request<Lent>) -> hyper::Result<Response<Received>> {
        request.headers_mut().insert(HOST, self.pool.host.clone());
        let Link { sender, connection, quiet } = &mut *self.link;
        // Only the connection, which is looked at first, has anything to say: it need not wake who asks it.
        let mut answer = pin!(unconstrained(sender.send_request(request)));
        let mut ended = false;
        let response = poll_fn(|context| {
            if !ended {
                ended = quiet.poll(context, |context| Pin::new(&mut *connection).poll(context)).is_ready();
            }
            answer.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        })
        .await?;
        let lease = (!ended).then_some(self);
        Ok(response.map(|body| Received { body, lease, _flow: None }))
    }
}

/// The body of an answer. Its connection goes back once it is read.
pub struct Received {
    body: Incoming,
    lease: Option<Lease>,
    _flow: Option<Flow>,
}

impl Received {
    /// The body of an answer on a connection that others have as well.
    pub fn shared(body: Incoming, flow: Flow) -> Self {
        Self { body, lease: None, _flow: Some(flow) }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let Some(lease) = &mut this.lease else { return Pin::new(&mut this.body).poll_frame(context) };
        // Who takes a part of the body looks at the connection when there is no other, and need not be woken to.
        let (frame, _) = lease.link.quiet.hold(|| Pin::new(&mut this.body).poll_frame(context));
        if frame.is_ready() {
            return frame;
        }
        let Link { connection, quiet, .. } = &mut *lease.link;
        if quiet.poll(context, |context| Pin::new(connection).poll(context)).is_ready() {
            this.lease = None;
        }
        Pin::new(&mut this.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        // An answer that was not read to its end leaves a connection that can't be used, which closes here.
        if let Some(Lease { pool, mut link }) = self.lease.take()
            && link.is_usable()
        {
            link.quiet.forget();
            pool.put(link);
        }
    }
}
