//! Metrics of the server in the text format of Prometheus.
use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};

/// From 50 µs, where small tabular models are, to 10 s.
const BUCKETS: [f64; 16] =
    [5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The metrics. Only inference requests count; probes and metadata don't.
pub struct Metrics {
    registry: Registry,
    success: IntCounter,
    client_error: IntCounter,
    server_error: IntCounter,
    /// From the request's head to the response's bytes.
    pub request_seconds: Histogram,
    /// Within ONNX Runtime.
    pub inference_seconds: Histogram,
    /// Inference requests that are not answered yet.
    pub in_flight: IntGauge,
    /// Fetching, loading and warming up.
    pub load_seconds: Gauge,
    info: GaugeVec,
    peak_memory: IntGauge,
}

impl Metrics {
    /// Registers every metric.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let requests =
            Opts::new("mlops_model_server_requests_total", "Inference requests by class of status code.");
        let requests = registered(&registry, IntCounterVec::new(requests, &["code"])?)?;
        let histogram = |name: &str, help: &str| {
            let options = HistogramOpts::new(format!("mlops_model_server_{name}"), help);
            registered(&registry, Histogram::with_opts(options.buckets(BUCKETS.to_vec()))?)
        };
        let info = Opts::new("mlops_model_server_info", "The model that is served; always 1.");
        Ok(Self {
            success: requests.with_label_values(&["2xx"]),
            client_error: requests.with_label_values(&["4xx"]),
            server_error: requests.with_label_values(&["5xx"]),
            request_seconds: histogram("request_duration_seconds", "Duration of inference requests.")?,
            inference_seconds: histogram(
                "inference_duration_seconds",
                "Duration of inferences in ONNX Runtime.",
            )?,
            in_flight: registered(
                &registry,
                IntGauge::new("mlops_model_server_requests_in_flight", "Inference requests in progress.")?,
            )?,
            load_seconds: registered(
                &registry,
                Gauge::new("mlops_model_server_model_load_seconds", "Fetch, load and warm-up of the model.")?,
            )?,
            info: registered(&registry, GaugeVec::new(info, &["model", "version", "digest"])?)?,
            peak_memory: registered(
                &registry,
                IntGauge::new(
                    "mlops_model_server_peak_memory_bytes",
                    "The most memory that the process has had in use at once.",
                )?,
            )?,
            registry,
        })
    }

    /// Counts a response.
    pub fn count(&self, status: u16) {
        match status {
            ..400 => self.success.inc(),
            400..500 => self.client_error.inc(),
            500.. => self.server_error.inc(),
        }
    }

    /// Says which model is served.
    pub fn set_info(&self, model: &str, version: Option<&str>, digest: &str) {
        self.info.with_label_values(&[model, version.unwrap_or_default(), digest]).set(1.0);
    }

    /// All metrics as text.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        if let Some(peak) = std::fs::read_to_string("/proc/self/status").ok().as_deref().and_then(peak_memory)
        {
            self.peak_memory.set(peak);
        }
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

/// The peak of the resident memory in bytes, by Linux's status of a process.
fn peak_memory(status: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<i64>().ok().map(|kibibytes| kibibytes * 1024)
}

fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_of_the_memory_is_in_bytes() {
        assert_eq!(peak_memory("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1024 kB\n"), Some(2_097_152));
        assert_eq!(peak_memory("Name:\tx\n"), None);
    }
}
