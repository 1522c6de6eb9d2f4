//! The log of requests: the newest, in a ring of bounded size.
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde_json::Value;

/// Bodies together take at most this much memory.
const BYTES: usize = 64 << 20;

/// One request and what it was answered.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Counts from 1 and never repeats.
    pub sequence: u64,
    /// When it came, by the wall clock, in milliseconds since 1970.
    pub time: i64,
    /// How long the answer took.
    pub milliseconds: u64,
    /// The object id of the caller; empty where no token was needed or good.
    pub principal: String,
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The query, without `api-version`.
    pub query: BTreeMap<String, String>,
    /// The api-version.
    pub api_version: String,
    /// The status; none where the connection was closed instead.
    pub status: Option<u16>,
    /// The request's body, where it is JSON and no request for a token.
    pub body: Option<Value>,
    /// Headers of interest, of the request and of the answer.
    pub headers: BTreeMap<String, String>,
    /// Whether a fault hit it.
    pub fault: bool,
}

#[derive(Debug, Default)]
struct Ring {
    entries: VecDeque<(usize, Entry)>,
    bytes: usize,
    sequence: u64,
}

/// The newest requests.
#[derive(Debug)]
pub struct Log {
    capacity: usize,
    ring: Mutex<Ring>,
}

impl Log {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), ring: Mutex::default() }
    }

    pub(crate) fn push(&self, mut entry: Entry) {
        let size = entry.body.as_ref().map_or(0, |body| body.to_string().len());
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.sequence += 1;
        entry.sequence = ring.sequence;
        ring.bytes += size;
        ring.entries.push_back((size, entry));
        while ring.entries.len() > self.capacity || ring.bytes > BYTES {
            let Some((size, _)) = ring.entries.pop_front() else { break };
            ring.bytes -= size;
        }
    }

    /// Every entry that is still there, oldest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.since(0)
    }

    /// The entries after a sequence number.
    pub fn since(&self, sequence: u64) -> Vec<Entry> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.entries
            .iter()
            .map(|(_, entry)| entry)
            .filter(|entry| entry.sequence > sequence)
            .cloned()
            .collect()
    }

    /// The sequence number of the newest entry.
    pub fn last(&self) -> u64 {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).sequence
    }

    /// Forgets all entries; numbers go on.
    pub fn clear(&self) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.entries.clear();
        ring.bytes = 0;
    }
}
