//! Leaving without losing a request: not ready at once, answering until everyone knows, then finishing what was begun.
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::state::State;

/// The signals that ask the process to leave.
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

/// Drains: not ready, then still accepting for `period`, then stopping. A second signal skips the rest of the period.
pub async fn drain(state: &Arc<State>, stop: &watch::Sender<bool>, signals: &mut Signals, period: Duration) {
    state.drain();
    tracing::info!(seconds = period.as_secs(), "draining");
    tokio::select! {
        () = tokio::time::sleep(period) => {}
        () = signals.next() => tracing::warn!("a second signal ends the drain"),
    }
    stop.send_replace(true);
}

/// Waits for the word to stop, or for who could give it to go away.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
