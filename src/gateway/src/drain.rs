//! Leaving without losing a request: not ready at once, answering until everyone knows, then finishing what was begun.
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::source::Source;
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

/// How often the source is asked while the process is leaving.
const LOOK: Duration = Duration::from_millis(500);
/// The longest wait for a source that does not answer.
const LONGEST: Duration = Duration::from_mins(1);

/// Drains: not ready, then still accepting for `period`, then stopping. A second signal skips the rest of the period.
///
/// A node that has not heard that this pod leaves goes on sending connections here, and they would be refused. So the
/// period begins anew with each look that finds that connections have come since the last one, or that the API server,
/// from which nodes hear, does not answer; for a minute at most.
pub async fn drain(
    state: &Arc<State>,
    stop: &watch::Sender<bool>,
    signals: &mut Signals,
    period: Duration,
    source: &Source,
) {
    state.drain();
    tracing::info!(seconds = period.as_secs(), "draining");
    let seen = Cell::new(state.arrivals());
    let answers = async || {
        let arrivals = state.arrivals();
        if seen.replace(arrivals) != arrivals {
            tracing::debug!("connections go on coming: not every node knows yet that this pod leaves");
            return false;
        }
        let answers = source.answers().await;
        if !answers {
            tracing::warn!("the source of routes does not answer: nobody may know yet that this pod leaves");
        }
        answers
    };
    tokio::select! {
        () = heard(period, LONGEST, LOOK, answers) => {}
        () = signals.next() => tracing::warn!("a second signal ends the drain"),
    }
    stop.send_replace(true);
}

/// Waits until everyone `has_heard` for a `period`, and at most for the `longest` time beyond it.
async fn heard(period: Duration, longest: Duration, look: Duration, has_heard: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    let mut since = begun;
    while since.elapsed() < period && begun.elapsed() < period + longest {
        tokio::time::sleep(look.min(period.saturating_sub(since.elapsed()))).await;
        if !has_heard().await {
            since = Instant::now();
        }
    }
}

/// Waits for the word to stop, or for who could give it to go away.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_millis(40);
    const BRIEF: Duration = Duration::from_millis(2);

    #[tokio::test]
    async fn it_stays_until_everyone_has_heard_for_a_whole_period() {
        let (failures, failed) = (Cell::new(10_u32), Cell::new(Instant::now()));
        let answers = async || {
            let left = failures.get();
            failures.set(left.saturating_sub(1));
            if left > 0 {
                failed.set(Instant::now());
            }
            left == 0
        };
        heard(PERIOD, Duration::from_mins(1), BRIEF, answers).await;
        assert_eq!(failures.get(), 0);
        assert!(failed.get().elapsed() >= PERIOD, "{:?}", failed.get().elapsed());
    }

    #[tokio::test]
    async fn who_never_hears_holds_it_up_for_a_bounded_time() {
        let (begun, longest) = (Instant::now(), Duration::from_millis(100));
        heard(PERIOD, longest, BRIEF, async || false).await;
        assert!(begun.elapsed() >= PERIOD + longest);
    }

    #[tokio::test]
    async fn without_a_period_it_leaves_at_once() {
        heard(Duration::ZERO, LONGEST, LOOK, async || false).await;
    }
}
