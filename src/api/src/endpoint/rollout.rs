//! How a new revision of an Endpoint takes over, and how far it has come.
#![expect(unreachable_pub, reason = "the schema derive writes a private copy of each type")]
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a change reaches the pods.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(
    validation = Rule::new("(self.strategy == 'Canary') == has(self.steps) || self.strategy == 'BlueGreen'")
        .message("rollout.steps go with the strategy Canary, which needs them, and BlueGreen"),
    validation = Rule::new("self.strategy != 'BlueGreen' || !has(self.steps) || !self.steps.exists(step, has(step.traffic))")
        .message("with the strategy BlueGreen, all requests move at once: remove traffic from rollout.steps, or use the strategy Canary"),
    validation = Rule::new("self.strategy in ['BlueGreen', 'Canary'] || !has(self.analysis)")
        .message("rollout.analysis goes with the strategies BlueGreen and Canary"),
    validation = Rule::new("!has(self.analysis) || (has(self.steps) && self.steps.exists(step, has(step.traffic) || has(step.mirror)))")
        .message("rollout.analysis needs a step with traffic or mirror: without one, nothing is measured"),
    validation = Rule::new("!has(self.analysis) || !has(self.analysis.maxPredictionDisagreement) || self.steps.exists(step, has(step.mirror))")
        .message("analysis.maxPredictionDisagreement needs a step with mirror: only copies are answered by both revisions")
)]
pub struct Rollout {
    /// `RollingUpdate` starts the new revision beside the old one and moves over without a failed request. `Recreate`
    /// stops the old revision first; use it when two can't run at once, for example on one GPU. `BlueGreen` starts the
    /// new revision in full, and then moves all requests at once. `Canary` moves them step by step.
    ///
    /// With the targets `ManagedOnline` and `ArcKubernetes`, each revision is a deployment, with all its instances from
    /// the beginning, and `BlueGreen` and `Canary` move requests between two of them by the endpoint's own traffic. A
    /// step begins once Azure shows that its shares are in force, and begins anew when somebody changes them. A deployment
    /// that Azure fails or refuses to make counts as a new revision that fails.
    #[serde(default)]
    pub strategy: RolloutStrategy,
    /// Seconds after which a rollout without progress is called stalled. The revision before keeps serving. In Azure,
    /// which takes its time to make a deployment and says when that has failed, it does not apply.
    #[serde(default = "progress_deadline_seconds")]
    #[schemars(range(min = 10, max = 86400))]
    pub progress_deadline_seconds: i32,
    /// What happens before the new revision gets all requests, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16))]
    pub steps: Vec<RolloutStep>,
    /// What the new revision must prove in each step with `traffic` or `mirror`, against the revision before and over
    /// the same time.
    ///
    /// With the targets `ManagedOnline` and `ArcKubernetes`, requests, errors and latencies are those that Azure Monitor
    /// tells by deployment, in whole minutes of the step that are three minutes old or older. So the last minutes of a step
    /// are not seen, and one that holds for less than four waits for its first. Azure Monitor is asked once a minute,
    /// during a step alone; the operator's identity needs the role Monitoring Reader on the workspace. As long as it can't
    /// be asked, a step has no verdict. Microsoft documents these metrics for managed endpoints, and calls the monitoring
    /// of those on Kubernetes the user's own: where there are none, a step waits for a person in the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<Analysis>,
    /// What happens when the new revision fails.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// How many revisions that were stable before are kept without pods, so that a person can go back to them. In Azure,
    /// where each would cost its instances, none is: see `scaleDownDelaySeconds`.
    #[serde(default = "revision_history_limit")]
    #[schemars(range(min = 0, max = 10))]
    pub revision_history_limit: i32,
    /// Seconds for which a revision that gets no requests any more keeps its pods, with the strategies `BlueGreen` and
    /// `Canary`. In Azure, its deployment is kept so long, with all its instances, and then deleted. Until then, a person
    /// can go back to it at once; afterwards, change the spec back, and it is made anew.
    #[serde(default = "scale_down_delay_seconds")]
    #[schemars(range(min = 5, max = 86400))]
    pub scale_down_delay_seconds: i32,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            strategy: RolloutStrategy::default(),
            progress_deadline_seconds: progress_deadline_seconds(),
            steps: Vec::new(),
            analysis: None,
            on_failure: OnFailure::default(),
            revision_history_limit: revision_history_limit(),
            scale_down_delay_seconds: scale_down_delay_seconds(),
        }
    }
}

fn progress_deadline_seconds() -> i32 {
    600
}

fn revision_history_limit() -> i32 {
    2
}

fn scale_down_delay_seconds() -> i32 {
    30
}

/// How a new revision takes over.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum RolloutStrategy {
    /// The new revision starts beside the old one, and takes over pod by pod.
    #[default]
    RollingUpdate,
    /// The old revision stops before the new one starts.
    Recreate,
    /// The new revision starts in full beside the old one, and all requests move at once.
    BlueGreen,
    /// Requests move step by step.
    Canary,
}

impl RolloutStrategy {
    /// Whether each revision has pods of its own, and requests are moved from one to the other.
    pub const fn is_progressive(self) -> bool {
        matches!(self, Self::BlueGreen | Self::Canary)
    }
}

/// One step of a rollout.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(
    validation = Rule::new("(has(self.traffic) ? 1 : 0) + (has(self.mirror) ? 1 : 0) + (has(self.pause) && self.pause ? 1 : 0) <= 1")
        .message("a step has one of traffic, mirror and pause"),
    validation = Rule::new("has(self.traffic) || has(self.mirror) || has(self.hold) || (has(self.pause) && self.pause)")
        .message("a step needs one of traffic, mirror, hold and pause"),
    validation = Rule::new("!(has(self.pause) && self.pause && has(self.hold))")
        .message("a step with pause waits for a person: remove hold, or remove pause")
)]
pub struct RolloutStep {
    /// The share of requests that the new revision answers, in percent. Behind the last step it answers all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 99))]
    pub traffic: Option<i32>,
    /// The share of requests of which the new revision gets a copy, in percent; its answers reach nobody. The inference
    /// gateway compares them with those of the revision before; a gateway of your own (`routing.gatewayApi`) throws them
    /// away, and needs the Gateway API 1.3 or newer. With the target `ManagedOnline`, Azure copies 50 % at most, compares
    /// nothing, and sends no copies to whoever answers requests: in such a step, the new revision answers none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub mirror: Option<i32>,
    /// How long the step takes at least, such as `30s`, `5m` or `1h30m`. Alone, a wait with what the step before set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 16), regex(pattern = r"^([0-9]{1,4}h)?([0-9]{1,4}m)?([0-9]{1,5}s)?$"))]
    pub hold: Option<String>,
    /// Whether the rollout waits for a person here: `kubectl mlops rollout resume NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<bool>,
}

/// What a new revision must prove.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(
    validation = Rule::new("has(self.maxErrorRate) || has(self.maxP95LatencyRatio) || has(self.maxPredictionDisagreement) || has(self.queries)")
        .message("rollout.analysis needs one of maxErrorRate, maxP95LatencyRatio, maxPredictionDisagreement and queries")
)]
pub struct Analysis {
    /// The fewest requests, or copies, of a step that a verdict needs. With fewer at the end of `hold`, the step goes on.
    #[serde(default = "min_requests")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub min_requests: i64,
    /// The largest share of the new revision's answers that are errors, from 0 to 1: those with status 5xx, and those
    /// with status 4xx beyond the share that the revision before has. In a managed endpoint, a model's own errors are
    /// among the latter, since Azure answers 424 then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_error_rate: Option<f64>,
    /// The largest 95th percentile of the new revision's latency, in multiples of that of the revision before. Measured in
    /// steps with `traffic`. Azure tells the percentile of each minute: their mean over all requests is compared, which is
    /// an approximation, and fails a new revision only once five minutes are known of either.
    #[serde(default, rename = "maxP95LatencyRatio", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.01, max = 1000.0))]
    pub max_p95_latency_ratio: Option<f64>,
    /// The largest share of predictions, from 0 to 1, that differ from those of the revision before on the same inputs.
    /// Measured on copies, in steps with `mirror`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_prediction_disagreement: Option<f64>,
    /// How much each of the checks above counts. Without it: `Enforce`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modes: Option<AnalysisModes>,
    /// Further checks, by queries of the Prometheus that the operator's chart names. In Azure, a query may ask for what a
    /// client or an exporter measures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub queries: Vec<AnalysisQuery>,
    /// Seconds, beyond `hold`, after which a step without a verdict is inconclusive, and waits for a person.
    #[serde(default = "inconclusive_after_seconds")]
    #[schemars(range(min = 1, max = 604_800))]
    pub inconclusive_after_seconds: i32,
}

fn min_requests() -> i64 {
    100
}

fn inconclusive_after_seconds() -> i32 {
    3600
}

/// How much each check counts.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct AnalysisModes {
    /// Of `maxErrorRate`.
    #[serde(default)]
    pub error_rate: CheckMode,
    /// Of `maxP95LatencyRatio`.
    #[serde(default)]
    pub p95_latency_ratio: CheckMode,
    /// Of `maxPredictionDisagreement`.
    #[serde(default)]
    pub prediction_disagreement: CheckMode,
}

/// How much a check counts.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum CheckMode {
    /// A failure ends the rollout, or holds up the stage of a promotion.
    #[default]
    Enforce,
    /// A failure is told by an event, and the rollout or promotion goes on.
    Warn,
    /// A failure stands in the status alone.
    DryRun,
}

/// A check by a query of Prometheus.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(
    validation = Rule::new("has(self.max) || has(self.min)")
        .message("each of analysis.queries needs max or min")
)]
pub struct AnalysisQuery {
    /// Its name.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// The query; its answer must be one number. `$revision` stands for the new revision, `$stable` for the one before,
    /// `$namespace` and `$endpoint` for this Endpoint. In Azure, revisions bear the names of their deployments.
    #[schemars(length(min = 1, max = 2048))]
    pub query: String,
    /// The largest answer that is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1e15, max = 1e15))]
    pub max: Option<f64>,
    /// The smallest answer that is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1e15, max = 1e15))]
    pub min: Option<f64>,
    /// How much it counts.
    #[serde(default)]
    pub mode: CheckMode,
}

/// What happens when a new revision fails.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum OnFailure {
    /// All requests go back to the revision before.
    #[default]
    Rollback,
    /// The rollout stays where it is, and waits for a person.
    Pause,
}

/// How far a rollout has come.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct RolloutStatus {
    /// Where the rollout stands.
    pub phase: RolloutPhase,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// What happens, what was measured, and what comes next.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 4096))]
    pub message: String,
    /// The revision that is proven, and gets all requests that the candidate does not get.
    #[schemars(length(max = 128))]
    pub stable: String,
    /// The revision that is to take over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub candidate: Option<String>,
    /// The step that the rollout is in, counted from 1. Behind the last, the candidate gets
    /// its last pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<i32>,
    /// How many steps there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<i32>,
    /// Since when the step's shares have been in force: what is measured begins here. Absent while the candidate's
    /// pods for it start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_since: Option<Time>,
    /// The share of requests that the candidate answers, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<i32>,
    /// The share of requests of which the candidate gets a copy, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<i32>,
    /// What the rollout waits for, when a person has to act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<RolloutPause>,
    /// What was measured last, in this step or the one before, against what is wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub checks: Vec<Check>,
    /// The revision that the spec asks for and that is not to be rolled out, until the spec changes or a person says
    /// `retry`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<Rejected>,
    /// The revisions that were stable before, the last one first: a person may go back to those that still exist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 128)))]
    pub proven: Vec<String>,
    /// Whether the candidate was stable before, and takes over without steps.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub direct: bool,
    /// The last word of a person that was obeyed or refused: the value of the annotation
    /// `mlops-operator.dev/rollout-action`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub handled_action: Option<String>,
    /// Why it was refused, when it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub action_refused: Option<String>,
}

/// Where a rollout stands.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum RolloutPhase {
    /// The wanted revision gets all requests.
    #[default]
    Completed,
    /// The wanted revision is on its way.
    Progressing,
    /// The rollout waits for a person.
    Paused,
    /// The wanted revision was given up, and the one before gets all requests.
    RolledBack,
}

/// What a rollout waits for.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct RolloutPause {
    /// Who or what asked for it.
    pub cause: PauseCause,
    /// Since when.
    pub since: Time,
    /// What failed, or is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 2048))]
    pub message: String,
}

/// Who or what asked for a pause.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum PauseCause {
    /// A step with `pause`.
    Step,
    /// A person, by `kubectl mlops rollout pause`.
    Person,
    /// A failure, with `onFailure: Pause`.
    Failure,
    /// An analysis that came to no verdict.
    Inconclusive,
}

/// What was measured, against what is wanted.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Check {
    /// What is measured: `errorRate`, `p95LatencyRatio`, `predictionDisagreement`, or the name of a query.
    #[schemars(length(max = 63))]
    pub name: String,
    /// How much it counts.
    pub mode: CheckMode,
    /// What came out.
    pub outcome: CheckOutcome,
    /// What was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The bound that it is held to.
    pub threshold: f64,
    /// How many requests, copies or predictions of the candidate it rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<i64>,
    /// How many of the stable revision, over the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable_samples: Option<i64>,
    /// The same in words.
    #[schemars(length(max = 512))]
    pub message: String,
}

/// What came out of a check.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum CheckOutcome {
    /// The candidate is as good as wanted.
    Passed,
    /// It is worse.
    Failed,
    /// It can't be told: too few requests, or nothing to compare with.
    Inconclusive,
}

/// A revision that is not to be rolled out.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Rejected {
    /// Its name.
    #[schemars(length(max = 128))]
    pub revision: String,
    /// Since when.
    pub since: Time,
    /// Why.
    #[schemars(length(max = 2048))]
    pub message: String,
}
