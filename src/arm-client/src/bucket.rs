//! Token buckets like those of Azure Resource Manager, so that the server has no reason to throttle.
//!
//! `governor` has no queue, can't be closed for as long as a server says, and can't be lowered to what a server says is
//! left; all three are what this is for, and the arithmetic is a few lines.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::{Limit, Limits};

#[cfg(test)]
mod tests;

/// How many times as fast as it fills a bucket flows after a silence, as long as what it held lasts.
const RECOVERY: f64 = 1.6;

/// What a bucket counts.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Kind {
    Read,
    Write,
    Delete,
}

/// All buckets of a client: one for each principal, subscription and kind of call.
pub(crate) struct Buckets {
    limits: Limits,
    buckets: Mutex<HashMap<(String, String, Kind), Arc<Bucket>>>,
}

impl Buckets {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, buckets: Mutex::default() }
    }

    pub(crate) fn get(&self, principal: &str, subscription: &str, kind: Kind) -> Arc<Bucket> {
        let limit = match kind {
            Kind::Read => self.limits.reads,
            Kind::Write => self.limits.writes,
            Kind::Delete => self.limits.deletes,
        };
        let key = (principal.to_owned(), subscription.to_ascii_lowercase(), kind);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.entry(key).or_insert_with(|| Arc::new(Bucket::new(limit))).clone()
    }
}

/// One bucket. Who comes first is served first.
pub(crate) struct Bucket {
    /// Held by whoever is next; tokio's mutex is a fair queue.
    queue: tokio::sync::Mutex<()>,
    level: Mutex<Level>,
}

struct Level {
    limit: Limit,
    tokens: f64,
    /// What the bucket held before a silence, and gives out little by little.
    reserve: f64,
    at: Instant,
    closed_until: Option<Instant>,
    /// Whether the last call was not answered.
    silent: bool,
}

/// The bucket stays closed for longer than the caller waits.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Closed(pub(crate) Duration);

impl Bucket {
    fn new(limit: Limit) -> Self {
        let tokens = f64::from(limit.burst.max(1));
        let level = Mutex::new(Level {
            limit,
            tokens,
            reserve: 0.0,
            at: Instant::now(),
            closed_until: None,
            silent: false,
        });
        Self { queue: tokio::sync::Mutex::default(), level }
    }

    /// Takes a token, waiting for it in turn; gives how long that took.
    pub(crate) async fn acquire(&self, patience: Duration) -> Result<Duration, Closed> {
        let begun = Instant::now();
        self.refuse(patience)?;
        let _turn = self.queue.lock().await;
        loop {
            self.refuse(patience)?;
            let Some(wait) = self.level().take() else { return Ok(begun.elapsed()) };
            tokio::time::sleep(wait).await;
        }
    }

    /// Gives a token back that was not used.
    pub(crate) fn give_back(&self) {
        let mut level = self.level();
        level.tokens = (level.tokens + 1.0).min(f64::from(level.limit.burst.max(1)));
    }

    /// Lets no call pass for a while, as the server asks. Afterwards calls flow as fast as the bucket fills, not at
    /// once; the jitter keeps several operators apart.
    pub(crate) fn close(&self, wait: Duration) {
        let jitter = wait.min(Duration::from_secs(10)).mul_f64(0.1 * fastrand::f64());
        let until = Instant::now() + wait + jitter;
        let mut level = self.level();
        level.closed_until = Some(level.closed_until.map_or(until, |other| other.max(until)));
        level.tokens = 0.0;
        level.reserve = 0.0;
        level.at = level.at.max(until);
    }

    /// A call was not answered, or by a server in trouble. When that is over, calls flow little faster than the bucket
    /// fills: all that have waited would otherwise come at once.
    pub(crate) fn unanswered(&self) {
        let mut level = self.level();
        level.silent = true;
        level.drain();
    }

    /// A call was answered.
    pub(crate) fn answered(&self) {
        let mut level = self.level();
        if std::mem::take(&mut level.silent) {
            level.drain();
        }
    }

    /// Takes the server's word for how few calls are left.
    pub(crate) fn lower_to(&self, left: f64) {
        let mut level = self.level();
        level.fill();
        level.tokens = level.tokens.min(left);
        level.reserve = level.reserve.min((left - level.tokens).max(0.0));
    }

    fn refuse(&self, patience: Duration) -> Result<(), Closed> {
        let wait = self.level().closed_for();
        if wait > patience { Err(Closed(wait)) } else { Ok(()) }
    }

    fn level(&self) -> MutexGuard<'_, Level> {
        self.level.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Level {
    fn closed_for(&self) -> Duration {
        self.closed_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    fn drain(&mut self) {
        self.fill();
        self.reserve = (self.reserve + self.tokens).min(self.burst());
        self.tokens = 0.0;
    }

    fn burst(&self) -> f64 {
        f64::from(self.limit.burst.max(1))
    }

    /// How many tokens flow in a second.
    fn rate(&self) -> f64 {
        self.limit.per_second * if self.reserve > 0.0 { RECOVERY } else { 1.0 }
    }

    fn fill(&mut self) {
        let now = Instant::now();
        // While the bucket is closed, `at` lies ahead, and nothing flows in.
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        let held = (self.tokens + self.reserve + passed * self.limit.per_second).min(self.burst());
        self.tokens = (self.tokens + passed * self.rate()).min(held);
        self.reserve = held - self.tokens;
        self.at = self.at.max(now);
    }

    /// Takes a token, or gives the time after which to try again.
    fn take(&mut self) -> Option<Duration> {
        let closed = self.closed_for();
        if !closed.is_zero() {
            return Some(closed);
        }
        self.fill();
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return None;
        }
        let missing = (1.0 - self.tokens) / self.rate().max(0.001);
        Some(Duration::from_secs_f64(missing).max(Duration::from_millis(1)))
    }
}
