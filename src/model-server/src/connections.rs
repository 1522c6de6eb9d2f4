//! Connections: bounded in number and in patience, and closed without losing a request when the server leaves.
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, header};
use hyper::service::Service as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::drain::Phase;
use crate::state::State;

/// The most connections; more wait in the kernel's queue.
const CONNECTIONS: u32 = 4096;
/// How long a connection may be idle, or take for a request's head.
const HEAD_TIME: Duration = Duration::from_secs(75);
/// How long requests in progress get once the server no longer accepts any; with a drain of 5 s it ends before the
/// 30 s that Kubernetes waits.
const FINISH_TIME: Duration = Duration::from_secs(20);

/// Accepts and serves connections until the phase says to stop, then waits for those that have a request in progress.
/// Returns whether all of them ended in time.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    state: Arc<State>,
    mut phase: watch::Receiver<Phase>,
) -> bool {
    let slots = Arc::new(Semaphore::new(CONNECTIONS as usize));
    loop {
        let next = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        let accepted = tokio::select! {
            accepted = next => accepted,
            () = stopping(&mut phase) => break,
        };
        match accepted {
            (Ok(slot), Ok((stream, _))) => {
                let connection =
                    Connection { stream, slot, router: router.clone(), state: Arc::clone(&state) };
                tokio::spawn(connection.serve(phase.clone()));
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

/// Waits for the phase to say stop, or for its owner to go away.
async fn stopping(phase: &mut watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase == Phase::Stopping).await;
}

struct Connection {
    stream: TcpStream,
    slot: OwnedSemaphorePermit,
    router: Router,
    state: Arc<State>,
}

impl Connection {
    async fn serve(self, mut phase: watch::Receiver<Phase>) {
        let Self { stream, slot, router, state } = self;
        let _ = stream.set_nodelay(true);
        let router = TowerToHyperService::new(router);
        let service = hyper::service::service_fn(move |request| {
            let response = router.call(request);
            let state = Arc::clone(&state);
            async move {
                let mut response = response.await?;
                // A client that is told so opens its next connection to a server that stays; one that is not may send
                // a request at the moment in which this one closes an idle connection.
                if state.is_draining() {
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, std::convert::Infallible>(response)
            }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(64 * 1024)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopping(&mut phase) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended");
        }
        drop(slot);
    }
}
