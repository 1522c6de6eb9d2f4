//! Logs with spans, a log level that can be changed while running, and traces by OTLP when asked for.
use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracerProvider, Tracer};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use crate::arguments::{LogFormat, Options};

/// Changes the log filter while the process runs.
#[derive(Clone)]
pub(crate) struct LogLevel(reload::Handle<EnvFilter, Registry>);

impl LogLevel {
    /// Sets the filter: a level, or targets with levels.
    pub(crate) fn set(&self, filter: &str) -> anyhow::Result<()> {
        self.0.reload(parse(filter)?).context("failed to change the log filter")
    }
}

/// What must be kept, and flushed at the end.
pub(crate) struct Telemetry {
    pub(crate) log_level: LogLevel,
    traces: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Sends what is left of the traces. Blocks for a moment.
    pub(crate) fn flush(&self) {
        if let Some(traces) = &self.traces
            && let Err(error) = traces.shutdown()
        {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// Starts logs and traces.
pub(crate) fn start(options: &Options) -> anyhow::Result<Telemetry> {
    let (filter, handle) = reload::Layer::new(parse(&options.log_level)?);
    let traces = options.otlp_endpoint.as_deref().map(exporter).transpose()?;
    let spans = traces.as_ref().map(|traces| tracing_opentelemetry::layer().with_tracer(tracer(traces)));
    let lines = match options.log_format {
        LogFormat::Json => tracing_subscriber::fmt::layer().json().flatten_event(true).boxed(),
        LogFormat::Text => tracing_subscriber::fmt::layer().boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).with(spans).try_init()?;
    Ok(Telemetry { log_level: LogLevel(handle), traces })
}

fn parse(filter: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(filter)
        .with_context(|| format!("{filter} is no log filter: use a level such as info, or target=level"))
}

fn tracer(traces: &SdkTracerProvider) -> Tracer {
    traces.tracer("mlops-operator")
}

/// The exporter's client blocks, and may not be made or dropped on a thread of the async runtime.
fn exporter(endpoint: &str) -> anyhow::Result<SdkTracerProvider> {
    let endpoint = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
    let build = move || -> anyhow::Result<SdkTracerProvider> {
        let exporter = SpanExporter::builder().with_http().with_endpoint(endpoint).build()?;
        let resource = Resource::builder().with_service_name("mlops-operator").build();
        Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
    };
    std::thread::spawn(build).join().map_err(|_| anyhow::anyhow!("failed to make the trace exporter"))?
}
