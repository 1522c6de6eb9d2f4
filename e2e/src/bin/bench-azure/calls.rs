//! The operator's calls of Azure, sorted, and the time that the limits of Azure leave for them.
use std::time::Duration;

use arm_emulator::{Entry, Rate, Rates};
use serde_json::{Value, json};

/// What making one MLWorkspace and one Model with one version takes where every write follows a read: a look at each. Lists
/// can tell of many workspaces how far they are.
const READS: u32 = 3;
/// The workspace, the model, the version.
const WRITES: u32 = 3;
/// About how many steps the timeline has.
const STEPS: i64 = 30;

/// Calls by what they are for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Calls {
    /// Reads of one resource.
    pub(crate) gets: usize,
    /// Reads of a page of a collection.
    pub(crate) lists: usize,
    /// Questions about an operation.
    pub(crate) polls: usize,
    /// PUT, PATCH and POST.
    pub(crate) writes: usize,
    /// DELETE.
    pub(crate) deletes: usize,
    /// Those of all these that were answered by 429.
    pub(crate) throttled: usize,
}

impl Calls {
    /// Sorts what an emulator was asked.
    pub(crate) fn of(entries: &[Entry]) -> Self {
        let mut calls = Self::default();
        for entry in entries {
            let path = entry.path.to_ascii_lowercase();
            let is_poll = path.contains("operationsstatus/") || path.contains("operationresults/");
            // Types and names alternate, so that a collection has one part less than its members.
            let is_list = path.split('/').skip(1).count() % 2 == 1;
            let count = match entry.method.as_str() {
                "GET" if is_poll => &mut calls.polls,
                "GET" if is_list => &mut calls.lists,
                "GET" => &mut calls.gets,
                "DELETE" => &mut calls.deletes,
                _ => &mut calls.writes,
            };
            *count += 1;
            calls.throttled += usize::from(entry.status == Some(429));
        }
        calls
    }

    /// Everything that the bucket of reads counts.
    pub(crate) fn reads(&self) -> usize {
        self.gets + self.lists + self.polls
    }

    /// All calls.
    pub(crate) fn total(&self) -> usize {
        self.reads() + self.writes + self.deletes
    }
}

/// The calls in steps of some seconds, to see what the time went into.
pub(crate) fn timeline(entries: &[Entry]) -> Value {
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return json!([]) };
    let length = ((last.time - first.time) / STEPS / 1000).max(1) * 1000;
    let step = |entry: &Entry| (entry.time - first.time) / length;
    let row = |entries: &[Entry]| {
        let calls = Calls::of(entries);
        json!({
            "seconds": step(&entries[0]) * length / 1000,
            "reads": calls.gets, "lists": calls.lists, "polls": calls.polls, "writes": calls.writes,
        })
    };
    entries.chunk_by(|one, next| step(one) == step(next)).map(row).collect()
}

/// What the limits of Azure allow at best for a number of pairs of an MLWorkspace and a Model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Minimum {
    /// Until the bucket of reads has let the necessary ones pass.
    pub(crate) reads: Duration,
    /// The same for writes.
    pub(crate) writes: Duration,
    /// How long the operation of one workspace takes.
    pub(crate) operation: Duration,
}

impl Minimum {
    /// The formula: for each bucket (necessary calls - burst) / rate. Operations run meanwhile, so that they count only
    /// where the buckets take less time than one of them.
    pub(crate) fn of(pairs: u32, operation: Duration) -> Self {
        let rates = Rates::default();
        let time = |calls: u32, rate: Rate| {
            Duration::from_secs_f64((f64::from(calls * pairs) - rate.size).max(0.0) / rate.refill)
        };
        Self { reads: time(READS, rates.reads), writes: time(WRITES, rates.writes), operation }
    }

    /// The shortest time in which all can be ready.
    pub(crate) fn time(&self) -> Duration {
        self.reads.max(self.writes).max(self.operation)
    }
}
