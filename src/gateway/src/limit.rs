//! Token buckets, one for each caller, bounded in number.
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::RateLimit;

/// The most callers that are remembered. Beyond it those whose bucket is full are forgotten, which changes nothing for
/// them; should there be none, all are.
const CALLERS: usize = 10_000;

/// The limiter of an endpoint.
#[derive(Debug)]
pub struct Limiter {
    limit: RateLimit,
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Limiter {
    /// A limiter that has seen nobody.
    pub fn new(limit: RateLimit) -> Self {
        Self { limit, buckets: Mutex::default() }
    }

    /// What it was made from.
    pub fn limit(&self) -> &RateLimit {
        &self.limit
    }

    /// Takes a token, or says how long until there is one.
    pub fn take(&self, caller: &str, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let (rate, burst) = (self.limit.requests_per_second, f64::from(self.limit.burst));
        let filled = |bucket: &Bucket| {
            (bucket.tokens + now.saturating_duration_since(bucket.at).as_secs_f64() * rate).min(burst)
        };
        if buckets.len() >= CALLERS && !buckets.contains_key(caller) {
            buckets.retain(|_, bucket| filled(bucket) < burst);
            if buckets.len() >= CALLERS {
                buckets.clear();
            }
        }
        let full = Bucket { tokens: burst, at: now };
        if !buckets.contains_key(caller) {
            buckets.insert(caller.to_owned(), full);
        }
        let Some(bucket) = buckets.get_mut(caller) else { return Ok(()) };
        *bucket = Bucket { tokens: filled(bucket), at: now };
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        // A rate next to nothing would make a time that no Duration holds.
        Err(Duration::from_secs_f64(((1.0 - bucket.tokens) / rate).min(86_400.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_burst_passes_then_the_rate_for_each_caller_by_itself() {
        let limiter = Limiter::new(RateLimit { requests_per_second: 2.0, burst: 3 });
        let start = Instant::now();
        assert!((0..3).all(|_| limiter.take("a", start).is_ok()));
        let wait = limiter.take("a", start).unwrap_err();
        assert_eq!(wait, Duration::from_millis(500));
        assert!(limiter.take("b", start).is_ok());
        assert!(limiter.take("a", start + wait).is_ok());
        assert!(limiter.take("a", start + wait).is_err());
    }

    #[test]
    fn any_number_of_callers_stays_bounded() {
        let limiter = Limiter::new(RateLimit { requests_per_second: 1.0, burst: 1 });
        let start = Instant::now();
        for caller in 0..3 * CALLERS {
            assert!(limiter.take(&caller.to_string(), start).is_ok());
        }
        assert!(limiter.buckets.lock().unwrap().len() <= CALLERS);
    }
}
