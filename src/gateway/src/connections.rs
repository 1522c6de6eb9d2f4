//! Connections of callers, HTTP/1.1 and HTTP/2, plain or over TLS: bounded in number and patience, and closed without
//! losing a request.
use std::future::{Future as _, poll_fn};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, Version, header};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::drain::stopped;
use crate::head_time::HeadTime;
use crate::patient::Patient;
use crate::proxy::{self, Origin};
use crate::quiet::Quiet;
use crate::state::State;

/// The most connections; more wait in the kernel's queue.
const CONNECTIONS: u32 = 16_384;
/// How long a handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// How long requests in progress get once no connection is accepted; with a drain of 5 s it ends before the 30 s that
/// Kubernetes waits.
const FINISH_TIME: Duration = Duration::from_secs(20);
/// Requests at once on one connection of HTTP/2.
const STREAMS: u32 = 256;
/// Requests on one connection of HTTP/2 that their caller took back before they were looked at: beyond it the caller is
/// taken for one that means to tire us, and loses its connection.
const TAKEN_BACK: usize = 20;
/// The same for requests that broke the protocol.
const MALFORMED: usize = 128;
/// The largest head of a request.
const HEAD: usize = 64 * 1024;
/// What a caller may send ahead of its revision, for a request and on a connection, and an answer ahead of its caller.
const WINDOW: u32 = 1024 * 1024;
const SEND_BUFFER: usize = 256 * 1024;

/// Accepts and serves connections until told to stop, then waits for those that have a request in progress. Returns
/// whether all of them ended in time.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    state: Arc<State>,
    mut stop: watch::Receiver<bool>,
) -> bool {
    let slots = Arc::new(Semaphore::new(CONNECTIONS as usize));
    let acceptor = tls.map(TlsAcceptor::from);
    loop {
        let next = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        let accepted = tokio::select! {
            accepted = next => accepted,
            () = stopped(&mut stop) => break,
        };
        match accepted {
            (Ok(slot), Ok((stream, peer))) => {
                state.arrived();
                let connection = Connection { state: Arc::clone(&state), peer, stop: stop.clone() };
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    connection.state.metrics.connections.inc();
                    connection.accept(stream, acceptor).await;
                    connection.state.metrics.connections.dec();
                    drop(slot);
                });
            }
            (_, Err(error)) => {
                tracing::warn!(%error, "a connection can't be accepted");
                // Usually too many open files: trying at once would only burn the processor.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            (Err(_), _) => break,
        }
    }
    drop(listener);
    tokio::time::timeout(FINISH_TIME, slots.acquire_many(CONNECTIONS)).await.is_ok()
}

struct Connection {
    state: Arc<State>,
    peer: SocketAddr,
    stop: watch::Receiver<bool>,
}

impl Connection {
    async fn accept(&self, stream: TcpStream, acceptor: Option<TlsAcceptor>) {
        let _ = stream.set_nodelay(true);
        let Some(acceptor) = acceptor else { return self.serve(stream, false).await };
        match tokio::time::timeout(HANDSHAKE_TIME, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => self.serve(stream, true).await,
            Ok(Err(error)) => tracing::debug!(%error, "a handshake failed"),
            Err(_) => tracing::debug!("a handshake took too long"),
        }
    }

    async fn serve<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(&self, stream: S, is_encrypted: bool) {
        let origin = Origin::new(self.peer.ip().to_canonical(), is_encrypted);
        let quiet = Quiet::default();
        let service = hyper::service::service_fn(|request: Request<Incoming>| {
            let version = request.version();
            let (state, mut origin) = (Arc::clone(&self.state), origin.clone());
            // Requests of HTTP/2 are tasks of their own.
            origin.quiet = (version <= Version::HTTP_11).then(|| quiet.clone());
            async move {
                let mut response = proxy::handle(&state, origin, request).await;
                // A caller that is told so opens its next connection to a gateway that stays. HTTP/2 has a frame for it.
                if state.is_draining() && version <= Version::HTTP_11 {
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, std::convert::Infallible>(response)
            }
        });
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(HeadTime::default())
            .header_read_timeout(self.state.head)
            .max_buf_size(HEAD)
            .writev(false)
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(self.state.head)
            .max_concurrent_streams(STREAMS)
            .max_pending_accept_reset_streams(TAKEN_BACK)
            .max_local_error_reset_streams(MALFORMED)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(32 * 1024);
        let stream = TokioIo::new(Patient::new(stream, self.state.head));
        let connection = builder.serve_connection(stream, service);
        let mut connection = std::pin::pin!(connection);
        let mut stop = self.stop.clone();
        let ended = tokio::select! {
            ended = poll_fn(|context| quiet.poll(context, |context| connection.as_mut().poll(context))) => ended,
            () = stopped(&mut stop) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(error, "a connection ended");
        }
    }
}
