//! What every request sees: the model once it is ready, whether the server drains, limits, and metrics.
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::Semaphore;

use crate::metrics::Metrics;
use crate::pool::Pool;
use crate::protocol::Model;

/// A kibibyte: the unit in which memory for bodies is counted.
pub const UNIT: usize = 1024;

/// The state of one server.
pub struct State {
    /// The model's name, known before the model is.
    pub model_name: String,
    /// The model's version, if it has one.
    pub model_version: Option<String>,
    /// The largest body.
    pub max_body_bytes: usize,
    /// Room for the bodies of requests in progress, in units.
    pub bodies: Semaphore,
    /// The metrics.
    pub metrics: Metrics,
    serving: OnceLock<Serving>,
    draining: AtomicBool,
}

/// A model that has answered its warm-up.
pub struct Serving {
    /// What requests are checked against.
    pub model: Model,
    /// What answers them.
    pub pool: Arc<Pool>,
}

impl State {
    /// A server that has no model yet.
    pub fn new(
        model: (String, Option<String>),
        max_body_bytes: usize,
        bodies: usize,
        metrics: Metrics,
    ) -> Self {
        Self {
            model_name: model.0,
            model_version: model.1,
            max_body_bytes,
            bodies: Semaphore::new(bodies.max(max_body_bytes).div_ceil(UNIT).min(Semaphore::MAX_PERMITS)),
            metrics,
            serving: OnceLock::new(),
            draining: AtomicBool::new(false),
        }
    }

    /// The model, once it is warm; it stays until the process ends, so that requests are answered during the drain.
    pub fn serving(&self) -> Option<&Serving> {
        self.serving.get()
    }

    /// Opens the server for inference.
    pub fn serve(&self, serving: Serving) {
        let _ = self.serving.set(serving);
    }

    /// Whether a load balancer should send requests here.
    pub fn is_ready(&self) -> bool {
        self.serving.get().is_some() && !self.is_draining()
    }

    /// Whether the server is about to leave.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Makes the server not ready, for good.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}
