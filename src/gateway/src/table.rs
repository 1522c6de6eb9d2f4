//! The table of endpoints that is in force, with what lives as long as a revision: its pool, room, circuit, numbers.
use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::config::{Protocol, Route};
use crate::grpc::Dialect;
use crate::limit::Limiter;
use crate::metrics::{Metrics, Series, Shadow};
use crate::port::{Port, Settings};

/// The endpoints by their keys and by their hosts.
#[derive(Default)]
pub struct Table {
    /// By `NAMESPACE/NAME`.
    pub endpoints: HashMap<String, Arc<Endpoint>>,
    /// By host name.
    pub hosts: HashMap<String, Arc<Endpoint>>,
}

/// An endpoint.
pub struct Endpoint {
    /// `NAMESPACE/NAME`.
    pub key: Arc<str>,
    /// What its document says.
    pub route: Route,
    /// What lives as long as its revisions, in their order.
    pub targets: Vec<Arc<Target>>,
    /// The buckets of its callers.
    pub limiter: Option<Arc<Limiter>>,
    /// The places of waiting requests.
    pub queue: Arc<Semaphore>,
    /// Requests that wait for a revision that is not ready.
    pub waiting: Arc<AtomicUsize>,
}

/// What lives as long as a revision.
pub struct Target {
    endpoint: Arc<str>,
    /// The revision's name.
    pub revision: String,
    http: Port,
    grpc: Option<Box<Port>>,
    /// Its room.
    pub slots: Arc<Semaphore>,
    numbers: Arc<Numbers>,
}

/// What is counted for as long as a revision is in the route, whatever else changes.
#[derive(Default)]
struct Numbers {
    series: OnceLock<Arc<Series>>,
    shadow: OnceLock<Shadow>,
}

impl Endpoint {
    /// An endpoint that takes over from a former one of the same name what has not changed.
    pub fn new(route: Route, former: Option<&Self>) -> Self {
        let key: Arc<str> = former.map_or_else(|| route.key().into(), |former| Arc::clone(&former.key));
        let targets = route.revisions.iter().map(|revision| {
            let mut target = Target::new(&key, &route, revision);
            let mut former = former.into_iter().flat_map(|former| &former.targets);
            match former.find(|one| one.revision == target.revision) {
                Some(same) if same.is_like(&target) => Arc::clone(same),
                Some(same) => {
                    target.numbers = Arc::clone(&same.numbers);
                    Arc::new(target)
                }
                None => Arc::new(target),
            }
        });
        let targets = targets.collect();
        let limiter = route.rate_limit.as_ref().map(|limit| {
            let same = former.and_then(|former| former.limiter.as_ref()).filter(|one| one.limit() == limit);
            same.map_or_else(|| Arc::new(Limiter::new(limit.clone())), Arc::clone)
        });
        let same = former.filter(|former| former.route.limits.queued == route.limits.queued);
        let queue = same.map_or_else(
            || Arc::new(Semaphore::new(route.limits.queued as usize)),
            |one| Arc::clone(&one.queue),
        );
        let waiting = former.map(|former| Arc::clone(&former.waiting)).unwrap_or_default();
        Self { key, route, targets, limiter, queue, waiting }
    }

    /// Whether a revision can answer at once.
    pub fn is_available(&self, place: usize, dialect: Dialect, now: Instant) -> bool {
        let port = self.targets.get(place).and_then(|target| target.port(dialect));
        self.route.revisions.get(place).is_some_and(|revision| revision.ready)
            && port.is_some_and(|port| !port.circuit.is_open(now))
    }

    /// Whether another revision than this one has a share and can answer at once.
    pub fn has_other(&self, than: usize, dialect: Dialect, now: Instant) -> bool {
        let revisions = self.route.revisions.iter().enumerate();
        let mut others = revisions.filter(|(place, revision)| *place != than && revision.weight > 0);
        others.any(|(place, _)| self.is_available(place, dialect, now))
    }

    /// A revision's place.
    pub fn place(&self, revision: &str) -> Option<usize> {
        self.route.revisions.iter().position(|one| one.name == revision)
    }
}

impl Target {
    fn new(endpoint: &Arc<str>, route: &Route, revision: &crate::config::Revision) -> Self {
        let in_flight = route.limits.in_flight as usize;
        let settings = Settings {
            connect: Duration::from_millis(route.timeouts.connect_milliseconds),
            in_flight,
            circuit: route.circuit.clone(),
        };
        let grpc = revision.grpc_address.as_ref();
        Self {
            endpoint: Arc::clone(endpoint),
            revision: revision.name.clone(),
            grpc: grpc.map(|address| Box::new(Port::new(address, Protocol::H2c, settings.clone()))),
            http: Port::new(&revision.address, revision.protocol, settings),
            slots: Arc::new(Semaphore::new(in_flight)),
            numbers: Arc::default(),
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        let is_like = |one: Option<&Port>, other: Option<&Port>| match (one, other) {
            (Some(one), Some(other)) => one.is_like(other),
            (one, other) => one.is_none() && other.is_none(),
        };
        self.revision == other.revision
            && self.http.is_like(&other.http)
            && is_like(self.grpc.as_deref(), other.grpc.as_deref())
    }

    /// The port that answers what the caller speaks, if one does.
    pub fn port(&self, dialect: Dialect) -> Option<&Port> {
        match dialect {
            Dialect::Http => Some(&self.http),
            Dialect::Grpc => self.grpc.as_deref().or(Some(&self.http).filter(|port| port.is_http_2())),
        }
    }

    /// Closes connections that have been idle for long.
    pub fn sweep(&self) {
        self.http.sweep();
        if let Some(grpc) = &self.grpc {
            grpc.sweep();
        }
    }

    /// Its numbers.
    pub fn series(&self, metrics: &Metrics) -> &Arc<Series> {
        self.numbers.series.get_or_init(|| Arc::new(metrics.series(&self.endpoint, &self.revision)))
    }

    /// Its numbers, if it was ever asked.
    pub fn known_series(&self) -> Option<&Arc<Series>> {
        self.numbers.series.get()
    }

    /// The numbers of copies for it.
    pub fn shadow(&self, metrics: &Metrics) -> &Shadow {
        self.numbers.shadow.get_or_init(|| metrics.shadow(&self.endpoint, &self.revision))
    }

    /// The numbers of copies for it, if there was ever one.
    pub fn known_shadow(&self) -> Option<&Shadow> {
        self.numbers.shadow.get()
    }
}
