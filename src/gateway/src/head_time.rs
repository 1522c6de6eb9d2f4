//! The clock for the heads of a connection's requests: set once, and moved on with each request. A clock of its own for
//! each head would be entered into the runtime's wheel and taken out again a moment later.
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

type Clock = Arc<Mutex<Option<Pin<Box<tokio::time::Sleep>>>>>;

/// The clock of one connection of HTTP/1.1, which waits for one head at a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeadTime(Clock);

impl Timer for HeadTime {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Wait { clock: Arc::clone(&self.0), deadline, is_set: false })
    }
}

struct Wait {
    clock: Clock,
    deadline: Instant,
    is_set: bool,
}

impl Sleep for Wait {}

impl Future for Wait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let deadline = tokio::time::Instant::from_std(this.deadline);
        let mut clock = this.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let clock = clock.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if !std::mem::replace(&mut this.is_set, true) {
            clock.as_mut().reset(deadline);
        }
        clock.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_wait_ends_at_its_own_deadline_whatever_was_waited_for_before() {
        let time = HeadTime::default();
        for milliseconds in [10, 30, 1] {
            let begun = Instant::now();
            let long = time.sleep_until(begun + Duration::from_hours(1));
            assert!(tokio::time::timeout(Duration::from_millis(1), long).await.is_err());
            let deadline = begun + Duration::from_millis(milliseconds);
            let ended = tokio::time::timeout(Duration::from_mins(1), time.sleep_until(deadline)).await;
            assert!(ended.is_ok() && Instant::now() >= deadline);
        }
    }
}
