//! What deployments answered, second by second: the raw numbers behind their metrics.
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Served;
use super::deployments::at_or_below;
use crate::clock::{Milliseconds, wall};

/// For how long numbers are kept, in milliseconds.
const KEPT: Milliseconds = 3 * 60 * 60 * 1000;
/// One entry, in milliseconds.
const SECOND: Milliseconds = 1000;
/// Latencies of one entry; of further requests only the number is known.
const LATENCIES: usize = 1000;

/// What the requests of one entry have in common: when they were answered, by which status, and by which of the model.
type Key = (Milliseconds, u16, u16);

/// What deployments answered, by their ids in lower case.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<HashMap<String, BTreeMap<Key, Entry>>>);

#[derive(Default)]
struct Entry {
    count: u64,
    /// In milliseconds.
    latencies: Vec<f64>,
}

impl Ledger {
    fn locked(&self) -> MutexGuard<'_, HashMap<String, BTreeMap<Key, Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request that a deployment answered now; `statuses` are that of the answer and that of the model.
    pub(crate) fn count(&self, deployment: &str, statuses: (u16, u16), latency: std::time::Duration) {
        let now = wall();
        let mut ledger = self.locked();
        let entries = ledger.entry(deployment.to_ascii_lowercase()).or_default();
        while let Some(oldest) = entries.first_entry().filter(|oldest| oldest.key().0 < now - KEPT) {
            oldest.remove();
        }
        let entry = entries.entry((now - now.rem_euclid(SECOND), statuses.0, statuses.1)).or_default();
        entry.count += 1;
        if entry.latencies.len() < LATENCIES {
            entry.latencies.push(latency.as_secs_f64() * 1000.0);
        }
    }

    /// What the deployments of an endpoint answered from one time until before another.
    pub(crate) fn served(&self, endpoint: &str, (from, to): (Milliseconds, Milliseconds)) -> Vec<Served> {
        let below = format!("{}/deployments/", endpoint.to_ascii_lowercase());
        let ledger = self.locked();
        let ours = ledger.iter().filter_map(|(id, entries)| Some((id.strip_prefix(&below)?, entries)));
        ours.flat_map(|(name, entries)| {
            let there = entries.range((from, 0, 0)..(to.max(from), 0, 0));
            there.map(|(&(at, status, model_status), entry)| Served {
                at,
                deployment: name.to_owned(),
                status,
                model_status,
                count: entry.count,
                latencies: entry.latencies.clone(),
            })
        })
        .collect()
    }

    /// Forgets what is at an id or below it.
    pub(crate) fn remove(&self, id: &str) {
        self.locked().retain(|key, _| !at_or_below(id, key));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn requests_are_told_by_deployment_and_status_within_the_time_asked_for() {
        let (ledger, before) = (Ledger::default(), wall());
        for status in [200, 200, 424] {
            ledger.count(
                "/w/onlineEndpoints/Churn/deployments/blue",
                (status, 200),
                Duration::from_millis(5),
            );
        }
        ledger.count("/w/onlineEndpoints/churn2/deployments/blue", (200, 200), Duration::ZERO);
        let span = (before - SECOND, wall() + SECOND);
        let mut counts: Vec<(u16, u64)> = Vec::new();
        for served in ledger.served("/w/onlineEndpoints/churn", span) {
            assert_eq!((served.deployment.as_str(), served.latencies.len() as u64), ("blue", served.count));
            counts.push((served.status, served.count));
        }
        let sum = |status| counts.iter().filter(|it| it.0 == status).map(|it| it.1).sum::<u64>();
        assert_eq!((sum(200), sum(424)), (2, 1));
        assert!(ledger.served("/w/onlineEndpoints/churn", (0, before - SECOND)).is_empty());
        ledger.remove("/w/onlineEndpoints/churn");
        assert!(ledger.served("/w/onlineEndpoints/churn", span).is_empty());
    }
}
