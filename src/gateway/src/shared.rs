//! Connections of HTTP/2 to one revision, each shared by many requests.
//!
//! A Service gives each connection a pod. So a few are made as soon as requests are in progress at the same time, more as
//! these fill up, and each takes new requests for a minute only: pods that are added get their part.
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri, Version};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::body::Lent;
use crate::pool::Received;
use crate::port::NotAnswered;

/// Connections of which each has a single request before one gets a second.
const FEW: usize = 8;
/// Requests on each connection before there are more than a few.
const FULL: usize = 16;
/// The most connections.
const MOST: usize = 64;
/// How long a connection takes new requests.
const AGE: Duration = Duration::from_mins(1);
/// Requests in a row whose answer never began, after which a connection gets no more: its other end may be gone without
/// a word. Pings would tell, but gRPC servers end a connection that pings them during a long answer.
const SILENT: u32 = 4;
/// What an answer may send ahead of its reader, on a stream and on a connection.
const WINDOWS: (u32, u32) = (256 * 1024, 1024 * 1024);
/// What a request may send ahead of its revision.
const SEND_BUFFER: usize = 256 * 1024;
/// The largest headers of an answer.
const HEADERS: u32 = 64 * 1024;

/// The connections to a revision.
pub struct Shared {
    address: String,
    connect: Duration,
    links: Mutex<Vec<Arc<Link>>>,
    turns: Semaphore,
}

struct Link {
    sender: http2::SendRequest<Lent>,
    authority: Authority,
    made: Instant,
    flows: AtomicUsize,
    silent: AtomicU32,
}

impl Link {
    fn is_usable(&self) -> bool {
        !self.sender.is_closed() && self.made.elapsed() < AGE && self.silent.load(Ordering::Relaxed) < SILENT
    }
}

impl Shared {
    /// The connections to `HOST:PORT`, each of which has so long to be made.
    pub fn new(address: &str, connect: Duration) -> Self {
        Self { address: address.to_owned(), connect, links: Mutex::default(), turns: Semaphore::new(FEW) }
    }

    /// A share of the connection with the fewest requests, which may be a new one.
    pub async fn lease(&self) -> Result<Flow, String> {
        let (flow, wants_more) = self.least();
        let Some(flow) = flow else { return self.in_time(self.first()).await };
        let turn = if wants_more { self.turns.try_acquire().ok() } else { None };
        if turn.is_none() {
            return Ok(flow);
        }
        Ok(self.in_time(self.made()).await.unwrap_or(flow))
    }

    async fn in_time(&self, made: impl Future<Output = Result<Flow, String>>) -> Result<Flow, String> {
        let made = tokio::time::timeout(self.connect, made).await;
        made.unwrap_or_else(|_| Err(format!("no connection within {} ms", self.connect.as_millis())))
    }

    /// A share of whatever is there first: a thousand requests at once do not make a thousand connections.
    async fn first(&self) -> Result<Flow, String> {
        let _turn = self.turns.acquire().await.map_err(|error| error.to_string())?;
        match self.least().0 {
            Some(flow) => Ok(flow),
            None => self.made().await,
        }
    }

    fn links(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A share of the connection with the fewest requests, and whether there should be one more.
    fn least(&self) -> (Option<Flow>, bool) {
        let mut links = self.links();
        links.retain(|link| link.is_usable());
        let number = links.len();
        let flows = |link: &Arc<Link>| link.flows.load(Ordering::Relaxed);
        let Some(link) = links.iter().min_by_key(|link| flows(link)) else { return (None, true) };
        let busy = flows(link);
        (Some(Flow::new(link)), (busy > 0 && number < FEW) || (busy >= FULL && number < MOST))
    }

    async fn made(&self) -> Result<Flow, String> {
        // An address is checked when its document is read.
        let authority = self.address.parse::<Authority>().map_err(|error| error.to_string())?;
        let stream = TcpStream::connect(&self.address).await.map_err(|error| error.to_string())?;
        let _ = stream.set_nodelay(true);
        let made = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOWS.0)
            .initial_connection_window_size(WINDOWS.1)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(HEADERS)
            .handshake(TokioIo::new(stream))
            .await;
        let (sender, connection) = made.map_err(|error| error.to_string())?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a revision ended");
            }
        });
        let (flows, silent) = (AtomicUsize::new(0), AtomicU32::new(0));
        let link = Arc::new(Link { sender, authority, made: Instant::now(), flows, silent });
        let flow = Flow::new(&link);
        self.links().push(link);
        Ok(flow)
    }

    /// Lets connections go that get no more requests; each closes when its last request has ended.
    pub fn sweep(&self) {
        self.links().retain(|link| link.is_usable());
    }
}

/// A request's share of a connection, counted for as long as it lives.
pub struct Flow {
    link: Arc<Link>,
    is_answered: bool,
}

impl Flow {
    fn new(link: &Arc<Link>) -> Self {
        link.flows.fetch_add(1, Ordering::Relaxed);
        Self { link: Arc::clone(link), is_answered: true }
    }

    /// Sends a request, whose address is a path, and waits for the head of its answer.
    pub async fn send(mut self, mut request: Request<Lent>) -> Result<Response<Received>, NotAnswered> {
        let mut address = std::mem::take(request.uri_mut()).into_parts();
        (address.scheme, address.authority) = (Some(Scheme::HTTP), Some(self.link.authority.clone()));
        // A path with an authority is always an address.
        *request.uri_mut() = Uri::from_parts(address).unwrap_or_default();
        *request.version_mut() = Version::HTTP_2;
        let mut sender = self.link.sender.clone();
        self.is_answered = false;
        match sender.try_send_request(request).await {
            Ok(response) => {
                self.is_answered = true;
                self.link.silent.store(0, Ordering::Relaxed);
                Ok(response.map(|body| Received::shared(body, self)))
            }
            Err(mut error) => match error.take_message() {
                Some(request) => Err(NotAnswered::Unsent(Box::new(request))),
                None => Err(NotAnswered::Broken(error.into_error())),
            },
        }
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.link.flows.fetch_sub(1, Ordering::Relaxed);
        if !self.is_answered {
            self.link.silent.fetch_add(1, Ordering::Relaxed);
        }
    }
}
