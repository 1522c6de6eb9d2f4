//! The emulator's time: the wall clock, or a faster one that starts with it.
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;

/// Milliseconds since 1970 of the emulator's time.
pub(crate) type Milliseconds = i64;

/// Runs `scale` times as fast as the wall clock, from the moment it is made.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    origin: Instant,
    base: Milliseconds,
    scale: f64,
}

impl Clock {
    /// `base` is the time to go on from: the wall clock, or the last time of the state that was loaded.
    pub(crate) fn new(scale: f64, base: Option<Milliseconds>) -> Self {
        let wall = wall();
        Self {
            origin: Instant::now(),
            base: base.map_or(wall, |base| base.max(wall)),
            scale: scale.max(0.001),
        }
    }

    pub(crate) fn now(&self) -> Milliseconds {
        self.base + (self.origin.elapsed().as_secs_f64() * self.scale * 1000.0) as Milliseconds
    }

    /// How long a wait of the emulator's time lasts on the wall clock.
    pub(crate) fn wall_time(&self, milliseconds: Milliseconds) -> Duration {
        Duration::from_secs_f64((milliseconds.max(0) as f64) / 1000.0 / self.scale)
    }

    /// The same wait in whole seconds, never less than one: what `Retry-After` can say.
    pub(crate) fn retry_after(&self, milliseconds: Milliseconds) -> u64 {
        (self.wall_time(milliseconds).as_secs_f64().ceil() as u64).max(1)
    }
}

/// The wall clock, which tokens and the request log go by.
pub(crate) fn wall() -> Milliseconds {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as Milliseconds
}

/// As ARM writes times.
pub(crate) fn rfc3339(at: Milliseconds) -> String {
    Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

/// As HTTP writes times: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) fn http_date(at: Milliseconds) -> String {
    let timestamp = Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
    timestamp.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
