//! A waker for what a task drives itself, beside other things that talk to it in the same task.
//!
//! Such neighbours wake each other: who takes a part of a body wakes who sends it. Where both are one task, which looks
//! at both in any case, it would be run once more for nothing, and that is a tenth of what a request costs here.
use std::cell::Cell;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;

thread_local! {
    /// Whose wakes are held back on this thread, and whether there were any.
    static HELD: Cell<(usize, bool)> = const { Cell::new((0, false)) };
}

/// A waker that passes on what wakes it, unless its own task does so while it is held.
#[derive(Clone, Debug)]
pub struct Quiet {
    shared: Arc<Shared>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct Shared(AtomicWaker);

impl Shared {
    fn place(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if HELD.get().0 == self.place() {
            HELD.set((self.place(), true));
        } else {
            self.0.wake();
        }
    }
}

impl Default for Quiet {
    fn default() -> Self {
        let shared = Arc::<Shared>::default();
        let waker = Waker::from(Arc::clone(&shared));
        Self { shared, waker }
    }
}

impl Quiet {
    /// Polls something that is to wake the task through this waker.
    pub fn poll<T>(
        &self,
        context: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.shared.0.register(context.waker());
        poll(&mut Context::from_waker(&self.waker))
    }

    /// Lets go of the task that polled last.
    pub fn forget(&self) {
        drop(self.shared.0.take());
    }

    /// Does something without being woken by it. Returns whether it would have been. What wakes it on another thread
    /// meanwhile is passed on.
    pub fn hold<T>(&self, act: impl FnOnce() -> T) -> (T, bool) {
        let _held = Held { before: HELD.replace((self.shared.place(), false)) };
        let result = act();
        (result, HELD.get().1)
    }
}

/// Puts back what was held before, also on the way out of a panic.
struct Held {
    before: (usize, bool),
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.set(self.before);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn only_wakes_of_its_own_thread_are_held_back_and_only_meanwhile() {
        let count = Arc::<Count>::default();
        let task = Waker::from(Arc::clone(&count));
        let woken = || count.0.load(Ordering::SeqCst);
        let (quiet, other) = (Quiet::default(), Quiet::default());
        let mut wakers = Vec::new();
        for quiet in [&quiet, &other] {
            let polled: Poll<()> = quiet.poll(&mut Context::from_waker(&task), |context| {
                wakers.push(context.waker().clone());
                Poll::Pending
            });
            assert!(polled.is_pending());
        }
        assert!(quiet.hold(|| wakers[0].wake_by_ref()).1);
        assert_eq!(woken(), 0);
        assert!(!quiet.hold(|| ()).1, "what was held before is over");
        assert!(!quiet.hold(|| wakers[1].wake_by_ref()).1);
        assert_eq!(woken(), 1, "another one is not held");
        let waker = wakers[0].clone();
        let ((), has_woken) = quiet.hold(|| std::thread::spawn(move || waker.wake()).join().unwrap());
        assert_eq!((has_woken, woken()), (false, 2));
        let _: Poll<()> = quiet.poll(&mut Context::from_waker(&task), |_| Poll::Pending);
        wakers[0].wake_by_ref();
        assert_eq!(woken(), 3);
    }
}
