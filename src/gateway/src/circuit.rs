//! The circuit of a revision: left alone after failures to connect, one after another, and tried again by one request.
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The circuit. Times are milliseconds since it was made.
#[derive(Debug)]
pub struct Circuit {
    threshold: u32,
    open_milliseconds: u64,
    made: Instant,
    failures: AtomicU32,
    closed_from: AtomicU64,
}

impl Circuit {
    /// A closed circuit.
    pub fn new(threshold: u32, open: Duration) -> Self {
        Self {
            threshold,
            open_milliseconds: open.as_millis() as u64,
            made: Instant::now(),
            failures: AtomicU32::new(0),
            closed_from: AtomicU64::new(0),
        }
    }

    fn at(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.made).as_millis() as u64
    }

    /// Whether requests are held back for now.
    pub fn is_open(&self, now: Instant) -> bool {
        self.failures.load(Ordering::Acquire) >= self.threshold
            && self.at(now) < self.closed_from.load(Ordering::Acquire)
    }

    /// Whether a request may try. Once the time is over, one request may, and the others wait for what it finds.
    pub fn admit(&self, now: Instant) -> bool {
        if self.failures.load(Ordering::Acquire) < self.threshold {
            return true;
        }
        let (now, until) = (self.at(now), self.closed_from.load(Ordering::Acquire));
        let next = now + self.open_milliseconds;
        now >= until
            && self.closed_from.compare_exchange(until, next, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The revision was reached.
    pub fn succeeded(&self) {
        // A store for each request would make processors fight over the line.
        if self.failures.load(Ordering::Acquire) != 0 {
            self.failures.store(0, Ordering::Release);
        }
    }

    /// The revision was not reached. Returns whether that opened the circuit.
    pub fn failed(&self, now: Instant) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::AcqRel).saturating_add(1);
        if failures < self.threshold {
            return false;
        }
        self.closed_from.store(self.at(now) + self.open_milliseconds, Ordering::Release);
        // The counter can't overflow back to a closed circuit.
        self.failures.store(self.threshold, Ordering::Release);
        failures == self.threshold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_failures_in_a_row_tries_once_and_closes_on_success() {
        let circuit = Circuit::new(2, Duration::from_secs(5));
        let start = Instant::now();
        assert!(!circuit.failed(start));
        circuit.succeeded();
        assert!(!circuit.failed(start) && !circuit.is_open(start));
        assert!(circuit.failed(start) && circuit.is_open(start) && !circuit.admit(start));
        let later = start + Duration::from_secs(6);
        assert!(!circuit.is_open(later));
        assert!(circuit.admit(later), "one request tries");
        assert!(!circuit.admit(later), "the others wait for what it finds");
        assert!(!circuit.failed(later), "it was open already");
        let last = later + Duration::from_secs(6);
        assert!(circuit.admit(last));
        circuit.succeeded();
        assert!(circuit.admit(last) && circuit.admit(last));
    }
}
