//! What the inference gateway, or Azure Monitor, measured of the revisions of an Endpoint, over one span of time.
use std::collections::BTreeMap;

use jiff::Timestamp;

/// What was measured since a step's shares have been in force.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Since when.
    pub since: Timestamp,
    /// What each revision did.
    pub revisions: BTreeMap<String, Sample>,
    /// What the queries of Prometheus answered, by name: a number, or why there is none.
    pub queries: BTreeMap<String, Result<f64, String>>,
    /// Why nothing is known of what was measured, in a sentence, when nothing is.
    pub unavailable: Option<String>,
}

/// What one revision did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// Answers to callers with status 1xx to 3xx.
    pub good: u64,
    /// Answers to callers with status 4xx.
    pub refused: u64,
    /// Answers to callers with status 5xx, those of the gateway for a revision that could not be reached included.
    pub failed: u64,
    /// How many answers to callers took how long: the upper bounds in seconds of ascending buckets, and how many fell
    /// into each.
    pub latency: Vec<(f64, u64)>,
    /// In place of that, where Azure measured: the 95th percentile of each interval, in seconds, and of how many answers.
    pub percentiles: Vec<(f64, u64)>,
    /// The sum of the latencies, in seconds.
    pub latency_sum: f64,
    /// Requests in progress.
    pub in_flight: u64,
    /// Requests that wait for the revision.
    pub queued: u64,
    /// What its answers to copies of requests were like.
    pub mirror: MirrorSample,
}

/// What the answers to copies of requests were like.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct MirrorSample {
    /// Answers with the same predictions as the stable revision's.
    pub agreed: u64,
    /// Answers with at least one other prediction.
    pub disagreed: u64,
    /// Errors, or no answer in time.
    pub failed: u64,
    /// Answers that can't be compared.
    pub incomparable: u64,
    /// Copies that were not sent, since too many were under way.
    pub dropped: u64,
    /// Predictions that are the same.
    pub same_predictions: u64,
    /// Predictions that differ.
    pub different_predictions: u64,
}

impl Sample {
    /// How many answers callers got.
    pub fn answers(&self) -> u64 {
        self.good + self.refused + self.failed
    }
}

impl MirrorSample {
    /// How many copies came to an end.
    pub fn answers(&self) -> u64 {
        self.agreed + self.disagreed + self.failed + self.incomparable
    }
}
