//! The operator's own HTTP: health, readiness, metrics, and the log level.
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::routing::{get, put};

use crate::metrics::Metrics;
use crate::telemetry::LogLevel;

/// What the answers depend on.
#[derive(Clone)]
pub(crate) struct Health {
    /// Whether the watches have listed everything once.
    pub(crate) ready: Arc<AtomicBool>,
    pub(crate) metrics: Metrics,
    pub(crate) log_level: LogLevel,
}

/// The routes.
pub(crate) fn router(health: Health) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/log-level", put(log_level))
        .with_state(health)
}

async fn readyz(State(health): State<Health>) -> (StatusCode, &'static str) {
    if health.ready.load(Ordering::SeqCst) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not all watches have listed their objects yet\n")
    }
}

async fn metrics(State(health): State<Health>) -> (StatusCode, String) {
    match health.metrics.text() {
        Ok(text) => (StatusCode::OK, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

/// From this host only, so that `kubectl port-forward`, which needs a right, is the way in.
async fn log_level(
    State(health): State<Health>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    filter: String,
) -> (StatusCode, String) {
    if !peer.ip().is_loopback() {
        return (StatusCode::FORBIDDEN, "only from this host: use kubectl port-forward\n".to_owned());
    }
    match health.log_level.set(filter.trim()) {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")),
    }
}
