//! Leaving without losing a request: not ready at once, answering until everyone knows, then finishing what was begun.
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::state::State;

/// Where the server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Loading or serving.
    Running,
    /// Accepts nothing new and finishes what was begun.
    Stopping,
}

/// The signals that ask the server to leave.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the signals over from the system's default, which ends the process at once.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Drains: not ready, then still answering for `period`, then stopping. A second signal skips the rest of the period.
pub async fn drain(
    state: &Arc<State>,
    phase: &watch::Sender<Phase>,
    signals: &mut Signals,
    period: Duration,
) {
    state.drain();
    tracing::info!(seconds = period.as_secs(), "draining");
    tokio::select! {
        () = tokio::time::sleep(period) => {}
        () = signals.next() => tracing::warn!("a second signal ends the drain"),
    }
    phase.send_replace(Phase::Stopping);
}
