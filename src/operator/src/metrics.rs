//! What the operator counts. No label is ever an object's name.
use std::io::Write;
use std::sync::Arc;

use plan::{ChildKind, Step};
use prometheus::core::Collector;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::store::Source;

/// The metrics, shared by all tasks.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    reconciliations: IntCounterVec,
    duration: HistogramVec,
    steps: IntCounterVec,
    panics: IntCounterVec,
    watch_restarts: IntCounterVec,
    objects: IntGaugeVec,
    leader: IntGauge,
    arm_calls: IntCounterVec,
    arm_duration: HistogramVec,
    arm_wait: HistogramVec,
}

/// Reconciles take 0.3 ms without a write and 30 ms with six; an API server in trouble answers within seconds.
const BUCKETS: [f64; 10] = [0.000_5, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0];

/// Azure Resource Manager takes tens of milliseconds to seconds; a full bucket makes a call wait for minutes.
const ARM_BUCKETS: [f64; 8] = [0.01, 0.05, 0.25, 1.0, 5.0, 20.0, 60.0, 300.0];

impl arm_client::Observer for Metrics {
    fn on_call(&self, call: &arm_client::Call<'_>) {
        self.0.arm_calls.with_label_values(&[call.method, call.resource_type, call.outcome]).inc();
        self.0.arm_duration.with_label_values(&[call.method]).observe(call.duration.as_secs_f64());
        self.0.arm_wait.with_label_values(&[call.method]).observe(call.waited.as_secs_f64());
    }
}

impl Metrics {
    /// Every metric, at zero.
    pub fn new() -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(format!("mlops_operator_{name}"), help), labels)
        };
        let seconds = |name: &str, help: &str| {
            let options = HistogramOpts::new(format!("mlops_operator_{name}"), help);
            HistogramVec::new(options.buckets(ARM_BUCKETS.to_vec()), &["method"])
        };
        let inner = Inner {
            registry: Registry::new(),
            reconciliations: counter(
                "reconciliations_total",
                "Objects reconciled, by outcome: unchanged, changed, failed or panicked",
                &["controller", "outcome"],
            )?,
            duration: HistogramVec::new(
                HistogramOpts::new(
                    "mlops_operator_reconcile_duration_seconds",
                    "Time of one reconcile, writes included",
                )
                .buckets(BUCKETS.to_vec()),
                &["controller"],
            )?,
            steps: counter(
                "steps_total",
                "Writes, by kind of step and outcome: done or failed",
                &["controller", "step", "outcome"],
            )?,
            panics: counter("panics_total", "Reconciles that panicked; the others go on", &["controller"])?,
            watch_restarts: counter(
                "watch_restarts_total",
                "Watches that ended with an error and were started again",
                &["kind"],
            )?,
            objects: IntGaugeVec::new(
                Opts::new("mlops_operator_objects", "Objects, by whether they are ready"),
                &["controller", "ready"],
            )?,
            leader: IntGauge::new("mlops_operator_leader", "1 while this replica works, else 0")?,
            arm_calls: counter(
                "arm_calls_total",
                "Calls of Azure Resource Manager, by method, resource type and status, or why there was none",
                &["method", "type", "outcome"],
            )?,
            arm_duration: seconds("arm_call_duration_seconds", "Time until Azure Resource Manager answered")?,
            arm_wait: seconds(
                "arm_call_wait_seconds",
                "Time that a call waited for its turn, so that Azure's limits are kept",
            )?,
        };
        for collector in inner.collectors() {
            inner.registry.register(collector)?;
        }
        Ok(Self(Arc::new(inner)))
    }

    pub(crate) fn reconciled(&self, controller: &str, outcome: &str, seconds: f64) {
        self.0.reconciliations.with_label_values(&[controller, outcome]).inc();
        self.0.duration.with_label_values(&[controller]).observe(seconds);
    }

    pub(crate) fn step(&self, controller: &str, step: &Step, done: bool) {
        let step = match step {
            Step::Apply(_) => "apply",
            Step::Delete(_) => "delete",
            Step::Finalizer(_) => "finalizer",
            Step::ArmPut(_) => "arm_put",
            Step::ArmPatch(_) => "arm_patch",
            Step::ArmDelete(_) => "arm_delete",
            Step::Export(_) => "export",
            Step::WriteKeys(_) => "write_keys",
            Step::Record(_) => "record",
        };
        self.0.steps.with_label_values(&[controller, step, if done { "done" } else { "failed" }]).inc();
    }

    pub(crate) fn panicked(&self, controller: &str) {
        self.0.panics.with_label_values(&[controller]).inc();
    }

    pub(crate) fn watch_failed(&self, source: Source) {
        let kind = match source {
            Source::Primary(primary) => format!("{primary:?}"),
            Source::Child(kind) => kind.to_string(),
            Source::Pods | Source::CheckPods => "Pod".to_owned(),
            Source::Autoscalers => ChildKind::HorizontalPodAutoscaler.to_string(),
        };
        self.0.watch_restarts.with_label_values(&[&kind]).inc();
    }

    pub(crate) fn objects(&self, controller: &str, ready: i64, unready: i64) {
        self.0.objects.with_label_values(&[controller, "true"]).set(ready);
        self.0.objects.with_label_values(&[controller, "false"]).set(unready);
    }

    pub(crate) fn leads(&self, leads: bool) {
        self.0.leader.set(i64::from(leads));
    }

    /// Everything, in Prometheus' text format.
    pub(crate) fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.0.registry.gather())
    }
}

impl Inner {
    fn collectors(&self) -> [Box<dyn Collector>; 10] {
        [
            Box::new(self.reconciliations.clone()),
            Box::new(self.duration.clone()),
            Box::new(self.steps.clone()),
            Box::new(self.panics.clone()),
            Box::new(self.watch_restarts.clone()),
            Box::new(self.objects.clone()),
            Box::new(self.leader.clone()),
            Box::new(self.arm_calls.clone()),
            Box::new(self.arm_duration.clone()),
            Box::new(self.arm_wait.clone()),
        ]
    }
}

/// Prints the table of metrics, in Markdown.
pub fn print_table(out: &mut impl Write) -> anyhow::Result<()> {
    let metrics = Metrics::new()?;
    writeln!(out, "| metric | labels | meaning |\n|---|---|---|")?;
    for collector in metrics.0.collectors() {
        for description in collector.desc() {
            let labels = description.variable_labels.join(", ");
            writeln!(out, "| `{}` | {labels} | {} |", description.fq_name, description.help)?;
        }
    }
    Ok(())
}
