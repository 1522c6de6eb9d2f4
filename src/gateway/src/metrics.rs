//! Metrics of the gateway in the text format of Prometheus.
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use histogram::AtomicHistogram;
use prometheus::core::Collector;
use prometheus::{
    Error, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};

/// From 250 µs, about what the gateway and a small model take, to 30 s.
const BUCKETS: [f64; 16] =
    [2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Distances between numbers that two revisions answered.
const DISTANCES: [f64; 10] = [0.0, 1e-6, 1e-4, 1e-3, 1e-2, 5e-2, 0.1, 0.5, 1.0, 10.0];
/// The classes of status codes.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Latencies for the operator: each bucket is at most a sixteenth of its bound wide, from 32 µs to 67 s.
const GROUPING_POWER: u8 = 4;
const MICROSECONDS_POWER: u8 = 26;

/// The metrics of the process.
pub struct Metrics {
    registry: Registry,
    latency: histogram::Config,
    requests: Requests,
    copies: Copies,
    /// Documents and certificates that were refused.
    config_errors: IntCounterVec,
    /// Age of the oldest capture of the last batch when it was written, in seconds.
    pub capture_lag: Gauge,
    /// Endpoints in the table.
    pub endpoints: IntGauge,
    /// Tables that came into force.
    pub tables: IntCounter,
    /// Open connections of callers.
    pub connections: IntGauge,
}

struct Requests {
    total: IntCounterVec,
    seconds: HistogramVec,
    in_flight: IntGaugeVec,
    queued: IntGaugeVec,
    bytes: IntCounterVec,
    retries: IntCounterVec,
    circuits: IntCounterVec,
}

struct Copies {
    mirrored: IntCounterVec,
    predictions: IntCounterVec,
    distance: HistogramVec,
    captured: IntCounterVec,
}

/// The metrics of one revision, ready to count with.
pub struct Series {
    classes: [IntCounter; 5],
    seconds: Histogram,
    latency: Latency,
    /// Requests in progress.
    pub in_flight: IntGauge,
    /// Requests that wait for the revision to start, or for room.
    pub queued: IntGauge,
    /// Bytes of requests' bodies.
    pub received: IntCounter,
    /// Bytes of answers' bodies.
    pub sent: IntCounter,
    /// Further attempts to connect.
    pub retries: IntCounter,
    /// How often the circuit opened.
    pub opened: IntCounter,
}

/// Latencies in fine buckets, from the request's head to the answer's last byte.
struct Latency {
    microseconds: AtomicHistogram,
    sum: AtomicU64,
}

impl Latency {
    fn observe(&self, time: Duration) {
        let microseconds = time.as_micros() as u64;
        // The last bucket takes what is longer.
        let _ = self.microseconds.increment(microseconds.min((1 << MICROSECONDS_POWER) - 1));
        self.sum.fetch_add(microseconds, Ordering::Relaxed);
    }
}

/// The metrics of copies for one revision.
pub struct Shadow {
    results: [IntCounter; 5],
    /// Predictions that are the same.
    pub same: IntCounter,
    /// Predictions that differ.
    pub different: IntCounter,
    distance: Histogram,
}

impl Shadow {
    /// Counts a copy.
    pub fn count(&self, result: Mirrored) {
        if let Some(counter) = self.results.get(result as usize) {
            counter.inc();
        }
    }

    /// Copies of which this became.
    pub fn of(&self, result: Mirrored) -> u64 {
        self.results.get(result as usize).map_or(0, IntCounter::get)
    }

    /// Counts what a comparison found.
    pub fn compared(&self, found: &crate::compare::Comparison) {
        self.same.inc_by(found.predictions - found.disagreements);
        self.different.inc_by(found.disagreements);
        if let Some(distance) = found.distance {
            self.distance.observe(distance);
        }
    }
}

impl Series {
    /// Counts the time of an answer.
    pub fn observe(&self, time: Duration) {
        self.seconds.observe(time.as_secs_f64());
        self.latency.observe(time);
    }

    /// Answers with 2xx, 3xx, 4xx and 5xx.
    pub fn answers(&self) -> [u64; 4] {
        let [_, good, redirected, bad, failed] = &self.classes;
        [good, redirected, bad, failed].map(IntCounter::get)
    }

    /// The sum of all times in microseconds, and the buckets that are not empty: the bound in microseconds, which is not
    /// of the bucket, and the number.
    pub fn latency(&self) -> (u64, Vec<(u64, u64)>) {
        let buckets = self.latency.microseconds.load();
        let filled = buckets.iter().filter(|bucket| bucket.count() > 0);
        let filled = filled.map(|bucket| (bucket.end() + 1, bucket.count())).collect();
        (self.latency.sum.load(Ordering::Relaxed), filled)
    }

    /// Counts an answer.
    pub fn count(&self, status: u16) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        if let Some(counter) = self.classes.get(class) {
            counter.inc();
        }
    }
}

/// What became of a copy of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mirrored {
    /// The same prediction.
    Agreed,
    /// Another class, for at least one prediction.
    Disagreed,
    /// No answer in time, or an error.
    Failed,
    /// Answers that can't be compared.
    Incomparable,
    /// Too many copies at once, or too large a body.
    Dropped,
}

impl Mirrored {
    /// All of them, in their order.
    pub const ALL: [Self; 5] =
        [Self::Agreed, Self::Disagreed, Self::Failed, Self::Incomparable, Self::Dropped];

    fn label(self) -> &'static str {
        match self {
            Self::Agreed => "agreed",
            Self::Disagreed => "disagreed",
            Self::Failed => "failed",
            Self::Incomparable => "incomparable",
            Self::Dropped => "dropped",
        }
    }
}

/// What became of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Captured {
    /// Written.
    Written,
    /// No room in the buffer.
    Full,
    /// A body that is too large, cut off, or no JSON, in which no column can be masked.
    Unfit,
    /// The store refused it.
    Failed,
}

/// The labels of most metrics.
const OF: [&str; 2] = ["endpoint", "revision"];

fn options(title: &str, help: &str) -> Opts {
    Opts::new(format!("mlops_gateway_{title}"), help)
}

fn counters(registry: &Registry, title: &str, help: &str, more: &[&str]) -> Result<IntCounterVec, Error> {
    registered(registry, IntCounterVec::new(options(title, help), more)?)
}

fn gauges(registry: &Registry, title: &str, help: &str) -> Result<IntGaugeVec, Error> {
    registered(registry, IntGaugeVec::new(options(title, help), &OF)?)
}

fn histograms(registry: &Registry, title: &str, help: &str, buckets: &[f64]) -> Result<HistogramVec, Error> {
    let options = HistogramOpts::from(options(title, help)).buckets(buckets.to_vec());
    registered(registry, HistogramVec::new(options, &OF)?)
}

impl Requests {
    fn new(registry: &Registry) -> Result<Self, Error> {
        let counters = |title, help, labels: &[&str]| counters(registry, title, help, labels);
        Ok(Self {
            total: counters(
                "requests_total",
                "Requests by class of status code.",
                &["endpoint", "revision", "code"],
            )?,
            seconds: histograms(
                registry,
                "request_duration_seconds",
                "From a request's head to its answer's end.",
                &BUCKETS,
            )?,
            in_flight: gauges(registry, "requests_in_flight", "Requests in progress.")?,
            queued: gauges(
                registry,
                "requests_queued",
                "Requests that wait for a revision to start, or for room.",
            )?,
            bytes: counters("bytes_total", "Bytes of bodies.", &["endpoint", "revision", "direction"])?,
            retries: counters("connect_retries_total", "Further attempts to connect.", &OF)?,
            circuits: counters("circuit_opened_total", "Times that a revision was left alone.", &OF)?,
        })
    }
}

impl Copies {
    fn new(registry: &Registry) -> Result<Self, Error> {
        let counters = |title, help, labels: &[&str]| counters(registry, title, help, labels);
        let same = "Compared predictions by whether the class is the same.";
        let distance = "The largest distance between numbers of two answers.";
        Ok(Self {
            mirrored: counters(
                "mirror_requests_total",
                "Copies of requests.",
                &["endpoint", "revision", "result"],
            )?,
            predictions: counters("mirror_predictions_total", same, &["endpoint", "revision", "same"])?,
            distance: histograms(registry, "mirror_distance", distance, &DISTANCES)?,
            captured: counters(
                "capture_records_total",
                "Captured inputs and outputs.",
                &["endpoint", "result"],
            )?,
        })
    }
}

impl Metrics {
    /// Registers every metric.
    pub fn new() -> Result<Self, Error> {
        let registry = Registry::new();
        let gauge = |title, help| registered(&registry, IntGauge::with_opts(options(title, help))?);
        let lag = options("capture_lag_seconds", "Age of the oldest capture when it was written.");
        let tables = options("tables_total", "Tables that came into force.");
        let refused = "Documents and certificates that were refused.";
        let latency = histogram::Config::new(GROUPING_POWER, MICROSECONDS_POWER);
        Ok(Self {
            latency: latency.map_err(|error| Error::Msg(error.to_string()))?,
            requests: Requests::new(&registry)?,
            copies: Copies::new(&registry)?,
            config_errors: counters(&registry, "config_errors_total", refused, &["kind"])?,
            capture_lag: registered(&registry, Gauge::with_opts(lag)?)?,
            endpoints: gauge("endpoints", "Endpoints in the table.")?,
            tables: registered(&registry, IntCounter::with_opts(tables)?)?,
            connections: gauge("connections", "Open connections of callers.")?,
            registry,
        })
    }

    /// The metrics of a revision; of none for answers of the gateway itself.
    pub fn series(&self, endpoint: &str, revision: &str) -> Series {
        let of = [endpoint, revision];
        let direction = |direction| self.requests.bytes.with_label_values(&[endpoint, revision, direction]);
        Series {
            classes: CLASSES.map(|class| self.requests.total.with_label_values(&[endpoint, revision, class])),
            seconds: self.requests.seconds.with_label_values(&of),
            latency: Latency {
                microseconds: AtomicHistogram::with_config(&self.latency),
                sum: AtomicU64::new(0),
            },
            in_flight: self.requests.in_flight.with_label_values(&of),
            queued: self.requests.queued.with_label_values(&of),
            received: direction("in"),
            sent: direction("out"),
            retries: self.requests.retries.with_label_values(&of),
            opened: self.requests.circuits.with_label_values(&of),
        }
    }

    /// Counts an answer of the gateway itself.
    pub fn refused(&self, endpoint: &str, status: u16) {
        let class = CLASSES.get(usize::from(status / 100).clamp(1, 5) - 1).copied().unwrap_or("5xx");
        self.requests.total.with_label_values(&[endpoint, "", class]).inc();
    }

    /// The metrics of copies for a revision.
    pub fn shadow(&self, endpoint: &str, revision: &str) -> Shadow {
        let copies = &self.copies;
        let predictions = |same| copies.predictions.with_label_values(&[endpoint, revision, same]);
        Shadow {
            results: Mirrored::ALL
                .map(|result| copies.mirrored.with_label_values(&[endpoint, revision, result.label()])),
            same: predictions("true"),
            different: predictions("false"),
            distance: copies.distance.with_label_values(&[endpoint, revision]),
        }
    }

    /// Counts captures.
    pub fn captured(&self, endpoint: &str, result: Captured, number: u64) {
        let result = format!("{result:?}").to_lowercase();
        self.copies.captured.with_label_values(&[endpoint, &result]).inc_by(number);
    }

    /// Counts a refused document or certificate.
    pub fn config_error(&self, kind: &str) {
        self.config_errors.with_label_values(&[kind]).inc();
    }

    /// Drops what is known of an endpoint that is gone.
    pub fn forget_endpoint(&self, endpoint: &str) {
        self.forget(endpoint, "");
        for result in ["written", "full", "unfit", "failed"] {
            let _ = self.copies.captured.remove_label_values(&[endpoint, result]);
        }
    }

    /// Drops what is known of a revision that is gone, so that the number of series stays bounded.
    pub fn forget(&self, endpoint: &str, revision: &str) {
        for class in CLASSES {
            let _ = self.requests.total.remove_label_values(&[endpoint, revision, class]);
        }
        for direction in ["in", "out"] {
            let _ = self.requests.bytes.remove_label_values(&[endpoint, revision, direction]);
        }
        for same in ["true", "false"] {
            let _ = self.copies.predictions.remove_label_values(&[endpoint, revision, same]);
        }
        for result in Mirrored::ALL {
            let _ = self.copies.mirrored.remove_label_values(&[endpoint, revision, result.label()]);
        }
        let of = [endpoint, revision];
        let _ =
            (self.requests.seconds.remove_label_values(&of), self.copies.distance.remove_label_values(&of));
        let _ =
            (self.requests.in_flight.remove_label_values(&of), self.requests.queued.remove_label_values(&of));
        let _ =
            (self.requests.retries.remove_label_values(&of), self.requests.circuits.remove_label_values(&of));
    }

    /// All metrics as text.
    pub fn text(&self) -> Result<String, Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}
