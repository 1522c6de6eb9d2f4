//! Sessions of one model, lent to one inference at a time, on the right thread.
//!
//! A tiny inference runs where the request was read: handing it to another thread and back costs more processor time
//! than the inference. Anything longer runs on a blocking thread, so that health checks are answered meanwhile.
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ort::session::Session;
use tokio::sync::Semaphore;

use crate::session;
use crate::tensor::Tensor;

/// The longest usual inference that runs on the thread of its request.
const TINY: Duration = Duration::from_micros(500);

/// The sessions.
pub struct Pool {
    sessions: Mutex<Vec<Session>>,
    permits: Semaphore,
    /// A moving average over small requests, in nanoseconds.
    usual: AtomicU64,
}

/// An inference that failed.
#[derive(Debug)]
pub enum InferError {
    /// ONNX Runtime's word.
    Runtime(ort::Error),
    /// The blocking thread ended abruptly, or the server is going away.
    Lost,
}

impl Pool {
    /// A pool over sessions of the same model.
    pub fn new(sessions: Vec<Session>) -> Self {
        let permits = Semaphore::new(sessions.len());
        Self { sessions: Mutex::new(sessions), permits, usual: AtomicU64::new(u64::MAX) }
    }

    /// Runs the inputs through every session once, or twice if that is quick, and learns how long it takes.
    pub fn warm_up(&self, inputs: &[Tensor], places: &[usize]) -> Result<Duration, ort::Error> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let mut usual = Duration::MAX;
        for session in sessions.iter_mut() {
            for _ in 0..2 {
                let started = Instant::now();
                session::infer(session, inputs.to_vec(), places)?;
                usual = usual.min(started.elapsed());
                if usual > Duration::from_millis(100) {
                    break;
                }
            }
        }
        self.usual.store(u64::try_from(usual.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(usual)
    }

    /// Runs one inference; returns the outputs at `places` and how long ONNX Runtime took.
    pub async fn infer(
        self: &Arc<Self>,
        inputs: Vec<Tensor>,
        places: &[usize],
        small: bool,
    ) -> Result<(Vec<Tensor>, Duration), InferError> {
        let permit = self.permits.acquire().await.map_err(|_| InferError::Lost)?;
        if small && u128::from(self.usual.load(Ordering::Relaxed)) <= TINY.as_nanos() {
            let result = self.run(inputs, places, small);
            drop(permit);
            return result;
        }
        // The permit travels with the inference: a client that goes away must not free a busy session.
        permit.forget();
        let (pool, places) = (Arc::clone(self), places.to_vec());
        let blocking = tokio::task::spawn_blocking(move || {
            let _permit = Returned(&pool.permits);
            pool.run(inputs, &places, small)
        });
        blocking.await.map_err(|_| InferError::Lost)?
    }

    /// Takes a session; a permit is held, so that there is one.
    fn run(
        &self,
        inputs: Vec<Tensor>,
        places: &[usize],
        small: bool,
    ) -> Result<(Vec<Tensor>, Duration), InferError> {
        let lent = self.sessions.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut lease = Lease { pool: self, session: lent };
        let session = lease.session.as_mut().ok_or(InferError::Lost)?;
        let started = Instant::now();
        let outputs = session::infer(session, inputs, places).map_err(InferError::Runtime)?;
        let elapsed = started.elapsed();
        if small {
            let sample = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
            let usual = self.usual.load(Ordering::Relaxed);
            self.usual.store(usual / 8 * 7 + sample / 8, Ordering::Relaxed);
        }
        Ok((outputs, elapsed))
    }
}

/// Brings a session back, whatever happens.
struct Lease<'p> {
    pool: &'p Pool,
    session: Option<Session>,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.pool.sessions.lock().unwrap_or_else(PoisonError::into_inner).push(session);
        }
    }
}

struct Returned<'p>(&'p Semaphore);

impl Drop for Returned<'_> {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}
