//! Throttling as ARM does it: token buckets for reads, writes and deletes of one principal in one subscription.
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::clock::Milliseconds;

/// More principals and subscriptions than this share the buckets of the first.
const BUCKETS: usize = 10_000;

/// The size of a bucket and how many tokens come back in a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// How many calls can be made at once.
    pub size: f64,
    /// How many more every second.
    pub refill: f64,
}

/// The rates of the three kinds of call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// GET and HEAD.
    pub reads: Rate,
    /// PUT, PATCH and POST.
    pub writes: Rate,
    /// DELETE.
    pub deletes: Rate,
}

impl Default for Rates {
    fn default() -> Self {
        let slow = Rate { size: 200.0, refill: 10.0 };
        Self { reads: Rate { size: 250.0, refill: 25.0 }, writes: slow, deletes: slow }
    }
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Milliseconds,
}

/// All buckets.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    buckets: Mutex<HashMap<(String, String, &'static str), Bucket>>,
}

/// What a bucket said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Passed; so many calls are left.
    Passed(u64),
    /// Refused; a token is there after so many milliseconds of the emulator's time.
    Refused(Milliseconds),
}

/// `reads`, `writes` or `deletes`: what a method counts as.
pub(crate) fn class(method: &str) -> &'static str {
    match method {
        "GET" | "HEAD" => "reads",
        "DELETE" => "deletes",
        _ => "writes",
    }
}

impl Throttle {
    /// Takes a token for one call.
    pub(crate) fn take(&self, rates: &Rates, who: (&str, &str), method: &str, now: Milliseconds) -> Verdict {
        let class = class(method);
        let rate = match class {
            "reads" => rates.reads,
            "deletes" => rates.deletes,
            _ => rates.writes,
        };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (who.0.to_ascii_lowercase(), who.1.to_ascii_lowercase(), class);
        if buckets.len() >= BUCKETS && !buckets.contains_key(&key) {
            key = (String::new(), String::new(), class);
        }
        let bucket = buckets.entry(key).or_insert(Bucket { tokens: rate.size, at: now });
        let passed = (now - bucket.at).max(0) as f64 / 1000.0;
        bucket.tokens = (bucket.tokens + passed * rate.refill).min(rate.size);
        bucket.at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Verdict::Passed(bucket.tokens as u64);
        }
        Verdict::Refused(((1.0 - bucket.tokens) / rate.refill.max(0.001) * 1000.0).ceil() as Milliseconds)
    }

    /// Fills all buckets again.
    pub(crate) fn clear(&self) {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests;
