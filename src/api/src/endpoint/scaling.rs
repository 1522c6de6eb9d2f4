//! How many replicas an Endpoint has, and by what they follow the load.
#![expect(unreachable_pub, reason = "the schema derive writes a private copy of each type")]
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many replicas answer.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(
    validation = Rule::new("!has(self.replicas) || (!has(self.minReplicas) && !has(self.maxReplicas) && !has(self.target))")
        .message("set either scaling.replicas, or scaling.minReplicas, maxReplicas and target, not both"),
    validation = Rule::new("has(self.maxReplicas) || (!has(self.minReplicas) && !has(self.target))")
        .message("scaling by load needs scaling.maxReplicas"),
    validation = Rule::new("!has(self.maxReplicas) || (has(self.minReplicas) ? self.minReplicas : 1) <= self.maxReplicas")
        .message("scaling.minReplicas must not be greater than scaling.maxReplicas"),
    validation = Rule::new("!has(self.behavior) || has(self.maxReplicas)")
        .message("scaling.behavior goes with scaling by load: set scaling.maxReplicas"),
    validation = Rule::new("!has(self.minReplicas) || self.minReplicas > 0 || (has(self.target) && (has(self.target.concurrency) || has(self.target.latencyMilliseconds)))")
        .message("scaling.minReplicas 0 needs scaling.target.concurrency or latencyMilliseconds: only the inference gateway keeps requests until a pod has started")
)]
pub struct Scaling {
    /// A fixed number of replicas. Without it and without `maxReplicas`: 1. `kubectl scale` and an autoscaler of your
    /// own set this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub replicas: Option<i32>,
    /// The fewest replicas when scaling by load. Without it: 1. With 0, an Endpoint without requests has no pods, and the
    /// first request waits in the inference gateway until one has started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub min_replicas: Option<i32>,
    /// The most replicas when scaling by load. Setting it turns scaling by load on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: Option<i32>,
    /// What scaling by load aims at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<ScalingTarget>,
    /// How fast scaling by load may go, as in a HorizontalPodAutoscaler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<ScalingBehavior>,
}

/// What scaling by load aims at: the CPU use, by a HorizontalPodAutoscaler; or what the inference gateway and Prometheus
/// measure, by the operator.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(
    validation = Rule::new("has(self.cpuUtilization) != (has(self.concurrency) || has(self.latencyMilliseconds) || has(self.query))")
        .message("scaling.target needs either cpuUtilization, or any of concurrency, latencyMilliseconds and query"),
    validation = Rule::new("!has(self.idleSeconds) || has(self.concurrency) || has(self.latencyMilliseconds)")
        .message("scaling.target.idleSeconds goes with concurrency and latencyMilliseconds")
)]
pub struct ScalingTarget {
    /// The mean CPU use of the replicas, in percent of their CPU request. Without a target: 70.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub cpu_utilization: Option<i32>,
    /// The requests that one replica is to have in progress, on average.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub concurrency: Option<i32>,
    /// The 95th percentile of the latency that callers are to see, in milliseconds. Beside others, whichever asks for the
    /// most replicas decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 600_000))]
    pub latency_milliseconds: Option<i32>,
    /// A number of the Prometheus that the chart names, and how much of it one replica takes. Beside others, whichever
    /// asks for the most replicas decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<ScalingQuery>,
    /// With `minReplicas: 0`, after how many seconds without a request the last pod goes. Without it: 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 5, max = 86400))]
    pub idle_seconds: Option<i32>,
}

impl ScalingTarget {
    /// Whether the inference gateway measures what it aims at.
    pub const fn is_of_requests(&self) -> bool {
        self.concurrency.is_some() || self.latency_milliseconds.is_some()
    }

    /// Whether the operator itself sets the number of replicas.
    pub const fn is_ours(&self) -> bool {
        self.is_of_requests() || self.query.is_some()
    }
}

/// A number of Prometheus, and how much of it one replica takes.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(validation = Rule::new("double(self.perReplica) >= 0.001").message("perReplica must be at least 0.001"))]
pub struct ScalingQuery {
    /// The query in PromQL; its result must be one number. `$namespace` and `$endpoint` are replaced.
    #[schemars(length(min = 1, max = 2048))]
    pub query: String,
    /// How much of the number one replica takes: with 50, a number of 210 asks for 5 replicas. It is the `threshold` of
    /// KEDA, and the `averageValue` of a HorizontalPodAutoscaler.
    #[schemars(range(min = 0.001, max = 1_000_000_000_000.0))]
    pub per_replica: f64,
}

/// How fast scaling by load may go, as in a HorizontalPodAutoscaler.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct ScalingBehavior {
    /// Upwards. Without it: at once, at most to twice as many, or by four, in 15 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up: Option<ScalingRules>,
    /// Downwards. Without it: once fewer replicas have sufficed for 300 seconds, by any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down: Option<ScalingRules>,
}

/// How fast scaling may go in one direction.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct ScalingRules {
    /// For how many seconds the load must ask for it. Without it: 0 upwards, 300 downwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub stabilization_window_seconds: Option<i32>,
    /// Which of the policies holds: the one that allows the most, the one that allows the least, or none, so that nothing
    /// changes in this direction. Without it: `Max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select_policy: Option<SelectPolicy>,
    /// How many replicas may come or go in a time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub policies: Vec<ScalingPolicy>,
}

/// Which of several policies holds.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum SelectPolicy {
    /// The one that allows the largest change.
    Max,
    /// The one that allows the smallest change.
    Min,
    /// None: nothing changes in this direction.
    Disabled,
}

/// How many replicas may come or go in a time.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct ScalingPolicy {
    /// What `value` counts.
    #[serde(rename = "type")]
    pub type_: PolicyType,
    /// How many.
    #[schemars(range(min = 1, max = 100_000))]
    pub value: i32,
    /// In how many seconds.
    #[schemars(range(min = 1, max = 1800))]
    pub period_seconds: i32,
}

/// What a policy counts.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum PolicyType {
    /// Replicas.
    Pods,
    /// Percent of the replicas that there were.
    Percent,
}

/// How many replicas the load asks for.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct ScalingStatus {
    /// The replicas that are wanted.
    pub replicas: i32,
    /// Why, with what was measured when it was decided.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub message: String,
    /// The most that the load has asked for in the window that scaling down waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub most: Vec<Asked>,
    /// The least that the load has asked for in the window that scaling up waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub least: Vec<Asked>,
    /// What has changed in the time of the policies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub changes: Vec<ScalingChange>,
    /// Since when there has been no request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_since: Option<Time>,
}

/// What the load has asked for from a time on.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Asked {
    /// Since when.
    pub since: Time,
    /// How many replicas.
    pub replicas: i32,
}

/// A change of the number of replicas.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct ScalingChange {
    /// When.
    pub at: Time,
    /// By how many replicas.
    pub by: i32,
}
