//! Spans of requests, sent by OTLP where a collector is named. Without one nothing of this runs.
//!
//! A request is traced when its caller's trace is, or by chance when it has none. The revision gets the span as the parent
//! of its own.
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId,
    TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span};

/// The caller's span, and ours for the revision, as the W3C has it.
pub const PARENT: HeaderName = HeaderName::from_static("traceparent");
/// How long the last spans may take to be sent.
const LAST: Duration = Duration::from_secs(3);

/// What makes spans, and sends them.
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    ratio: f64,
}

/// The span of one request.
pub struct Trace(Mutex<Span>);

impl Traces {
    /// Spans for a collector such as `http://collector:4318`, of such a part of the requests whose callers do not say.
    pub fn new(endpoint: &str, ratio: f64) -> Result<Self, String> {
        let endpoint = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
        let build = move || {
            let exporter = SpanExporter::builder().with_http().with_endpoint(endpoint).build()?;
            let resource = Resource::builder().with_service_name("mlops-gateway").build();
            let builder = SdkTracerProvider::builder().with_batch_exporter(exporter);
            Ok(builder.with_resource(resource).build())
        };
        // The exporter's client blocks, and may not be made on a thread of the async runtime.
        let built: Result<SdkTracerProvider, opentelemetry_otlp::ExporterBuildError> =
            std::thread::spawn(build).join().map_err(|_| "failed to make the trace exporter".to_owned())?;
        let provider = built.map_err(|error| format!("failed to make the trace exporter: {error}"))?;
        let tracer = provider.tracer("mlops-gateway");
        Ok(Self { provider, tracer, ratio })
    }

    /// The span of a request, if it is traced.
    pub fn begin(&self, headers: &HeaderMap, method: &Method, path: &str) -> Option<Arc<Trace>> {
        let parent = headers.get(PARENT).and_then(|value| parent(value.to_str().ok()?));
        let is_traced = parent.as_ref().map_or_else(|| fastrand::f64() < self.ratio, SpanContext::is_sampled);
        if !is_traced {
            return None;
        }
        let attributes = [
            KeyValue::new("http.request.method", method.as_str().to_owned()),
            KeyValue::new("url.path", path.chars().take(512).collect::<String>()),
        ];
        let builder =
            SpanBuilder::from_name("request").with_kind(SpanKind::Server).with_attributes(attributes);
        let context =
            parent.map_or_else(Context::new, |parent| Context::new().with_remote_span_context(parent));
        Some(Arc::new(Trace(Mutex::new(self.tracer.build_with_context(builder, &context)))))
    }

    /// Sends what is left. Blocks for a moment.
    pub fn finish(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(LAST) {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

impl Trace {
    fn with(&self, change: impl FnOnce(&mut Span)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The span as the parent of the revision's.
    pub fn parent(&self) -> HeaderValue {
        let span = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let context = span.span_context();
        let text = format!("00-{}-{}-01", context.trace_id(), context.span_id());
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
    }

    /// Which endpoint the request is for.
    pub fn name(&self, namespace: &str, name: &str, request_id: &str) {
        self.with(|span| {
            span.update_name(format!("{namespace}/{name}"));
            span.set_attribute(KeyValue::new("mlops.namespace", namespace.to_owned()));
            span.set_attribute(KeyValue::new("mlops.endpoint", name.to_owned()));
            span.set_attribute(KeyValue::new("mlops.request_id", request_id.to_owned()));
        });
    }

    /// Which revision answers, and how long the request waited for it.
    pub fn choose(&self, revision: &str, waited: Duration) {
        let waited = i64::try_from(waited.as_micros()).unwrap_or(i64::MAX);
        self.with(|span| {
            span.set_attribute(KeyValue::new("mlops.revision", revision.to_owned()));
            span.set_attribute(KeyValue::new("mlops.queue_microseconds", waited));
        });
    }

    /// How many further attempts it took to connect.
    pub fn retried(&self, attempts: u32) {
        self.with(|span| span.set_attribute(KeyValue::new("mlops.retries", i64::from(attempts))));
    }

    /// How the request ended: the status of HTTP, the code of gRPC, and whether the revision or the gateway failed.
    pub fn end(&self, status: u16, code: Option<u16>, is_failure: bool) {
        self.with(|span| {
            span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
            if let Some(code) = code {
                span.set_attribute(KeyValue::new("rpc.grpc.status_code", i64::from(code)));
            }
            if is_failure {
                span.set_status(Status::error(""));
            }
            span.end();
        });
    }
}

/// The caller's span, from `00-TRACE-SPAN-FLAGS`.
fn parent(text: &str) -> Option<SpanContext> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|letter| matches!(letter, b'0'..=b'9' | b'a'..=b'f'))
    };
    // Later versions may have more parts; these four they all have.
    let fits = is_hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
    if !fits || !is_hex(trace, 32) || !is_hex(span, 16) || !is_hex(flags, 2) {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let context = SpanContext::new(trace, span, flags, true, TraceState::NONE);
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_parent_as_the_w3c_has_it_counts() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let read = parent(good).unwrap();
        assert_eq!(read.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!((read.span_id().to_string().as_str(), read.is_sampled()), ("b7ad6b7169203331", true));
        assert!(!parent(&good.replace("-01", "-00")).unwrap().is_sampled());
        assert!(parent(&good.replacen("00-", "01-", 1).replace("-01", "-01-more")).is_some());
        let zeros = "0".repeat(32);
        for wrong in [
            "",
            "00",
            &good[..54],
            &format!("{good}-x"),
            &good.replacen("00", "ff", 1),
            &good.replace("0af7", "0AF7"),
            &good.replace("0af7651916cd43dd8448eb211c80319c", &zeros),
        ] {
            assert_eq!(parent(wrong), None, "{wrong}");
        }
    }
}
