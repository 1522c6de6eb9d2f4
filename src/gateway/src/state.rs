//! What every request shares: the table in force, the numbers, and the bounds of what is kept aside.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::capture::Captures;
use crate::exchange::Budget;
use crate::metrics::Metrics;
use crate::mirror::Mirrors;
use crate::table::Table;
use crate::token::Issuers;
use crate::traces::Traces;

/// How often idle connections are looked at.
const SWEEP: Duration = Duration::from_secs(5);

/// What is bounded for the whole process.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of bodies that are kept aside for mirrors and captures.
    pub kept_bytes: usize,
    /// Copies of requests that are under way.
    pub mirrored: usize,
    /// How long a connection may be idle, or take for a request's head.
    pub head: Duration,
}

/// The state of the process.
pub struct State {
    table: ArcSwap<Table>,
    version: watch::Sender<u64>,
    has_table: AtomicBool,
    is_draining: AtomicBool,
    arrivals: AtomicU64,
    /// Tells this process from any other, also from a former one of the same pod.
    pub instance: String,
    /// When it started.
    pub started: Instant,
    /// The numbers.
    pub metrics: Metrics,
    /// How long a connection may be idle, or take for a request's head.
    pub head: Duration,
    /// The bound of bytes kept aside for mirrors and captures.
    pub budget: Arc<Budget>,
    /// The copies under way.
    pub mirrors: Mirrors,
    /// The buffer of captures.
    pub captures: Captures,
    /// The public keys of issuers of tokens.
    pub issuers: Issuers,
    /// What makes spans, if any are wanted.
    pub traces: Option<Traces>,
}

impl State {
    /// A state with an empty table.
    pub fn new(metrics: Metrics, captures: Captures, issuers: Issuers, bounds: Bounds) -> Self {
        Self {
            table: ArcSwap::default(),
            version: watch::Sender::new(0),
            has_table: AtomicBool::new(false),
            is_draining: AtomicBool::new(false),
            arrivals: AtomicU64::new(0),
            instance: format!("{:032x}", fastrand::u128(..)),
            started: Instant::now(),
            metrics,
            head: bounds.head,
            budget: Arc::new(Budget::new(bounds.kept_bytes)),
            mirrors: Mirrors::new(bounds.mirrored),
            captures,
            issuers,
            traces: None,
        }
    }

    /// The table in force.
    pub fn table(&self) -> arc_swap::Guard<Arc<Table>> {
        self.table.load()
    }

    /// Puts a table into force; requests that have begun go on with what they have.
    pub fn put(&self, table: Table) {
        self.metrics.endpoints.set(i64::try_from(table.endpoints.len()).unwrap_or(i64::MAX));
        self.metrics.tables.inc();
        let former = self.table.swap(Arc::new(table));
        self.has_table.store(true, Ordering::Release);
        self.version.send_modify(|version| *version += 1);
        let now = self.table.load();
        for (key, endpoint) in &former.endpoints {
            let after = now.endpoints.get(key);
            if after.is_some_and(|after| Arc::ptr_eq(after, endpoint)) {
                continue;
            }
            let names = |route: &crate::config::Route| -> BTreeSet<String> {
                route.revisions.iter().map(|revision| revision.name.clone()).collect()
            };
            if after.is_none() {
                self.metrics.forget_endpoint(key);
            }
            let after = after.map(|after| names(&after.route)).unwrap_or_default();
            for revision in names(&endpoint.route).difference(&after) {
                self.metrics.forget(key, revision);
            }
        }
    }

    /// Closes connections to revisions that have been idle for long, for as long as the process lives.
    pub async fn sweep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(SWEEP).await;
            for endpoint in self.table.load_full().endpoints.values() {
                endpoint.targets.iter().for_each(|target| target.sweep());
            }
        }
    }

    /// Tells of every further table.
    pub fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Whether the source has been read once.
    pub fn has_table(&self) -> bool {
        self.has_table.load(Ordering::Acquire)
    }

    /// Not ready from now on.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Release);
    }

    /// Whether the process is leaving.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    /// Notes that a connection has come.
    pub fn arrived(&self) {
        self.arrivals.fetch_add(1, Ordering::Relaxed);
    }

    /// How many connections have come.
    pub fn arrivals(&self) -> u64 {
        self.arrivals.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let (captures, _) = Captures::new(16);
        let issuers = Issuers::new(crate::start::client().unwrap());
        let bounds = Bounds { kept_bytes: 1 << 20, mirrored: 4, head: Duration::from_secs(75) };
        Self::new(Metrics::new().unwrap(), captures, issuers, bounds)
    }
}
