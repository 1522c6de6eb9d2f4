//! What all calls share: the state, the clock, the faults, the log and the tokens.
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;

use crate::clock::Clock;
use crate::data_plane::{Control, DataPlane, Event};
use crate::fault::Faults;
use crate::log::Log;
use crate::operation;
use crate::settings::Settings;
use crate::state::State;
use crate::throttle::Throttle;
use crate::token::Issuer;

/// Everything behind the listener.
pub(crate) struct Core {
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) faults: Faults,
    pub(crate) log: Log,
    pub(crate) issuer: Issuer,
    pub(crate) throttle: Throttle,
    pub(crate) reads: crate::stale::Reads,
    state: Mutex<State>,
    data_plane: OnceLock<Arc<dyn DataPlane>>,
    /// Woken when an operation begins, so that the ticker looks again.
    wake: Notify,
    dirty: AtomicBool,
    pub(crate) written: Notify,
}

impl Core {
    pub(crate) fn new(settings: Settings, state: State, issuer: Issuer) -> Self {
        let clock = Clock::new(settings.time_scale, (state.time > 0).then_some(state.time));
        Self {
            clock,
            faults: Faults::default(),
            log: Log::new(settings.log_capacity),
            issuer,
            throttle: Throttle::default(),
            reads: crate::stale::Reads::default(),
            state: Mutex::new(state),
            data_plane: OnceLock::new(),
            wake: Notify::new(),
            dirty: AtomicBool::new(true),
            written: Notify::new(),
            settings,
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn data_plane(&self) -> Option<&Arc<dyn DataPlane>> {
        self.data_plane.get()
    }

    pub(crate) fn set_data_plane(&self, data_plane: Arc<dyn DataPlane>) {
        // Only the start sets it, once.
        let _ = self.data_plane.set(data_plane);
    }

    /// The state has changed and wants to be written.
    pub(crate) fn touched(&self) {
        self.dirty.store(true, Ordering::Release);
        self.written.notify_one();
    }

    /// Whether the state has changed since this was asked last.
    pub(crate) fn take_dirty(&self) -> bool {
        self.dirty.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn woken(&self) {
        self.wake.notify_one();
    }
}

impl Core {
    /// Tells the data plane what happened.
    pub(crate) fn tell(self: &Arc<Self>, events: Vec<Event>) {
        if let Some(data_plane) = self.data_plane() {
            for event in events {
                data_plane.observe(event, Control { core: Arc::clone(self) });
            }
        }
    }

    /// Ends operations when their time comes, even when nobody asks.
    pub(crate) async fn tick(self: Arc<Self>) {
        loop {
            let now = self.clock.now();
            let (ended, next) = {
                let mut state = self.state();
                let ended = operation::settle(&mut state, now);
                (ended, operation::next_due(&state))
            };
            if !ended.is_empty() {
                self.touched();
                self.tell(ended.into_iter().filter_map(crate::engine::ended).collect());
            }
            match next {
                Some(due) => {
                    let wait = self.clock.wall_time(due - now).max(std::time::Duration::from_millis(1));
                    // Whichever comes first; both lead to another look.
                    let _ = tokio::time::timeout(wait, self.wake.notified()).await;
                }
                None => self.wake.notified().await,
            }
        }
    }
}
