//! Reads that lag behind writes, as the caches of ARM make them.
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// What a lagging read shows.
#[derive(Clone, Debug)]
pub(crate) enum Shown {
    /// The resource is not there yet.
    Nothing,
    /// The resource as it was.
    Old(Value),
}

/// What the next reads of a resource answer instead of what is stored: an old body, or 404.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    lagging: Mutex<HashMap<String, (u32, Shown)>>,
}

impl Reads {
    /// The next `reads` of `key` show `old`.
    pub(crate) fn lag(&self, key: String, reads: u32, old: Shown) {
        self.lagging.lock().unwrap_or_else(PoisonError::into_inner).insert(key, (reads, old));
    }

    /// What a read shows, if it lags.
    pub(crate) fn take(&self, key: &str) -> Option<Shown> {
        let mut lagging = self.lagging.lock().unwrap_or_else(PoisonError::into_inner);
        let (reads, old) = lagging.get_mut(key)?;
        let shown = old.clone();
        *reads = reads.saturating_sub(1);
        if *reads == 0 {
            lagging.remove(key);
        }
        Some(shown)
    }

    pub(crate) fn clear(&self) {
        self.lagging.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
