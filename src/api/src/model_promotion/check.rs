//! What a stage checks before anybody votes on it.
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::azure::LocalReference;
use crate::endpoint::{CheckMode, Resources};
use crate::meta::EnvironmentVariable;

/// A check of a stage: a Job of this namespace, whose findings people see before they vote.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(
    validation = Rule::new("has(self.container) == (self.type in ['Job', 'Retrain'])")
        .message("checks of the types Job and Retrain need container, and no others may have it"),
    validation = Rule::new("has(self.data) || !(self.type in ['DataQuality', 'EndpointPerformance', 'PredictionDiff', 'ResponsibleAI'])")
        .message("a check of this type needs data"),
    validation = Rule::new("self.type != 'EndpointPerformance' || (has(self.requestsPerSecond) && has(self.duration))")
        .message("a check of type EndpointPerformance needs requestsPerSecond and duration"),
    validation = Rule::new("self.type != 'ResponsibleAI' || has(self.label)")
        .message("a check of type ResponsibleAI needs label, the column of data with what is true"),
    validation = Rule::new("has(self.expect) || self.type in ['Job', 'Signature']")
        .message("a check of this type needs expect"),
    validation = Rule::new("!has(self.expect) || self.type != 'Signature'")
        .message("a check of type Signature expects nothing but that the signature fits: remove expect"),
    validation = Rule::new("!has(self.expect) || self.type != 'Job' || self.expect.all(it, it.metric in ['tests', 'failures', 'skipped'])")
        .message("expect of a check of type Job may name tests, failures and skipped"),
    validation = Rule::new("!has(self.expect) || self.type != 'EndpointPerformance' || self.expect.all(it, it.metric in ['p50LatencySeconds', 'p95LatencySeconds', 'p99LatencySeconds', 'errorRate', 'requestsPerSecond', 'memoryBytes'])")
        .message("expect of a check of type EndpointPerformance may name p50LatencySeconds, p95LatencySeconds, p99LatencySeconds, errorRate, requestsPerSecond and memoryBytes"),
    validation = Rule::new("!has(self.expect) || self.type != 'DataQuality' || self.expect.all(it, it.metric in ['nullRate', 'nullRateIncrease', 'changedColumns', 'typeErrorRate', 'outOfRangeRate', 'unseenCategoryRate', 'rows', 'rowCountChange', 'ageSeconds'])")
        .message("expect of a check of type DataQuality may name nullRate, nullRateIncrease, changedColumns, typeErrorRate, outOfRangeRate, unseenCategoryRate, rows, rowCountChange and ageSeconds"),
    validation = Rule::new("!has(self.expect) || self.type != 'PredictionDiff' || self.expect.all(it, it.metric in ['classDisagreement', 'meanAbsoluteDifference', 'largestAbsoluteDifference', 'kolmogorovSmirnov'])")
        .message("expect of a check of type PredictionDiff may name classDisagreement, meanAbsoluteDifference, largestAbsoluteDifference and kolmogorovSmirnov"),
    validation = Rule::new("!has(self.expect) || self.type != 'ResponsibleAI' || self.expect.all(it, it.metric in ['accuracy', 'precision', 'recall', 'f1', 'rocAuc', 'meanAbsoluteError', 'rootMeanSquaredError', 'r2', 'demographicParityDifference', 'demographicParityRatio', 'equalOpportunityDifference', 'equalOpportunityRatio', 'equalizedOddsDifference', 'equalizedOddsRatio', 'groupErrorDifference', 'worstSliceErrorRate'])")
        .message("expect of a check of type ResponsibleAI may name accuracy, precision, recall, f1, rocAuc, meanAbsoluteError, rootMeanSquaredError, r2, demographicParityDifference, demographicParityRatio, equalOpportunityDifference, equalOpportunityRatio, equalizedOddsDifference, equalizedOddsRatio, groupErrorDifference and worstSliceErrorRate"),
)]
pub struct PromotionCheck {
    /// Its name, for example `bias`.
    #[schemars(length(min = 1, max = 40), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// What it looks at.
    #[serde(rename = "type")]
    pub type_: CheckType,
    /// How much it counts. With `Enforce`, a stage whose check has not passed goes no further by itself.
    #[serde(default)]
    pub mode: CheckMode,
    /// What must hold of what it measures, each metric at most once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["metric"]))]
    pub expect: Vec<Expectation>,
    /// How long it may take, from when its Job was made, for example `30m`. Without it, an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 32), regex(pattern = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"))]
    pub timeout: Option<String>,
    /// The rows that it looks at, or sends to the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DataSource>,
    /// Of a DataQuality check: the rows to compare with, such as those that the model was trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<DataSource>,
    /// The column with what is true. It is not sent to the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub label: Option<String>,
    /// The value of `label` that counts as positive. Without it, a model that predicts numbers is a regression, and
    /// classes are compared as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub positive: Option<String>,
    /// The columns that the model gets, in its order. Without any, all but `label`, `timestamp` and `exclude`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "atomic"))]
    pub features: Vec<String>,
    /// Columns that the model does not get.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub exclude: Vec<String>,
    /// The columns that make groups, for example `[sex]`. They are sent to the model unless `exclude` names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub sensitive_features: Vec<String>,
    /// The fewest rows of a group that is compared. Without it, 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub minimum_group_size: Option<i32>,
    /// The column with the time of each row, in RFC 3339, for `ageSeconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub timestamp: Option<String>,
    /// Of an EndpointPerformance check: how many requests a second it sends, whether earlier ones are answered or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub requests_per_second: Option<i32>,
    /// Of an EndpointPerformance check: for how long, for example `2m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 32), regex(pattern = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"))]
    pub duration: Option<String>,
    /// The Endpoint whose pods the test deployment is like: its runtime, its resources, and the Secret that opens the
    /// model's store. Without it, the first of the stage's `endpointRefs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_ref: Option<LocalReference>,
    /// Of a Job or Retrain check: what runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<CheckContainer>,
}

/// What a check looks at.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum CheckType {
    /// Whether rows are as expected: values that are missing, of another type, out of range or unseen, how many rows
    /// there are, and how old they are.
    DataQuality,
    /// How fast a test deployment of the version answers under a steady load, how often it fails, and the memory it
    /// takes.
    EndpointPerformance,
    /// Tests in a container of your own, which leaves reports in JUnit's XML under `/results`.
    Job,
    /// How far the version's predictions differ from those of the version that the stage runs, on the same rows.
    PredictionDiff,
    /// How good the version's predictions are, and how far groups are apart, by Fairlearn's metrics.
    ResponsibleAI,
    /// A container of your own that trains again, and leaves what it measured as `/results/metrics.json`, an object of
    /// numbers.
    Retrain,
    /// Whether the version takes what clients of the version that the stage runs send, and answers what they read.
    Signature,
}

/// What must hold of one metric.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(
    validation = Rule::new("has(self.max) || has(self.min)").message("each of expect needs max or min"),
    validation = Rule::new("!has(self.max) || !has(self.min) || self.min <= self.max")
        .message("min of expect may not exceed max")
)]
pub struct Expectation {
    /// The metric, one of those of the check's type.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z][A-Za-z0-9_.-]*$"))]
    pub metric: String,
    /// The largest value that is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1e15, max = 1e15))]
    pub max: Option<f64>,
    /// The smallest value that is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1e15, max = 1e15))]
    pub min: Option<f64>,
}

/// A file with rows: CSV with a header, or one JSON object a line.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct DataSource {
    /// Where it lies: `https://…`, `http://…`, `az://CONTAINER/PATH`, `abfss://…`, or `pvc://CLAIM/PATH` of this namespace.
    /// Its name ends in `.csv`, `.jsonl` or `.json`.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new("self.matches('^(https?://|pvc://|az://|abfss://[^@]+@)[^\\\\s@?#]+[.](csv|jsonl|json)$')")
        .message("uri of data must be https://, http://, az://, abfss:// or pvc://, and end in .csv, .jsonl or .json, without a password and without a query"))]
    pub uri: String,
    /// The digest of the file, as `sha256:…`. Without it, whatever lies there is taken; with it, it is what people
    /// vote on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71), regex(pattern = r"^sha256:[a-f0-9]{64}$"))]
    pub digest: Option<String>,
    /// A Secret of this namespace with what opens the store, as of `model.credentialsRef` of an Endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_ref: Option<LocalReference>,
}

/// A container of the user's own.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct CheckContainer {
    /// The image, best by digest. It must run as a user other than root.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[^\s]+$"))]
    pub image: String,
    /// What runs; without it, what the image says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    pub command: Vec<String>,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    pub args: Vec<String>,
    /// Environment variables. `MODEL_NAME`, `MODEL_VERSION`, `MODEL_URI`, `MODEL_DIGEST` and `STAGE` are set by the operator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub env: Vec<EnvironmentVariable>,
    /// CPU and memory. Without a value, 100m and 256Mi.
    #[serde(default)]
    pub resources: Resources,
}

/// What came of a check.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct CheckStatus {
    /// Its name.
    #[schemars(length(max = 40))]
    pub name: String,
    /// What came of it; nothing while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<PromotionCheckOutcome>,
    /// The Job that ran it last. Its logs are there as long as the Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub job: Option<String>,
    /// How often it has been run.
    #[serde(default)]
    pub attempts: i32,
    /// When its last run began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// What it found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub findings: Vec<CheckFinding>,
    /// The digest of everything that it looked at and found, which the last line of its log spells out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub artifact: Option<String>,
    /// In a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub message: String,
    /// Who let the stage go on without it, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1400))]
    pub skipped: Option<String>,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum PromotionCheckOutcome {
    /// All that is expected holds.
    Passed,
    /// Something does not hold.
    Failed,
    /// It could not be told: too few rows, or no answer.
    #[default]
    Inconclusive,
}

/// What was found of one metric.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct CheckFinding {
    /// The metric.
    #[schemars(length(max = 63))]
    pub metric: String,
    /// Whether it is as expected.
    pub outcome: PromotionCheckOutcome,
    /// What was measured; nothing when it has no value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The lower end of its 95 % interval, where one can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// The upper end of its 95 % interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// The largest value that is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// The smallest value that is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// How many rows, requests or tests it is about.
    #[serde(default)]
    pub sample_size: i64,
    /// Where it is worst, or why it has no value: a column, groups, a slice.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub detail: String,
}

/// What the program of a check reports on its termination message, as JSON of at most 4,096 bytes.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckReport {
    /// What came of it.
    pub outcome: PromotionCheckOutcome,
    /// What it found, the worst first.
    #[serde(default)]
    pub findings: Vec<CheckFinding>,
    /// The digest of everything that it looked at and found, as `sha256:…`.
    #[serde(default)]
    pub artifact: Option<String>,
    /// In a sentence.
    #[serde(default)]
    pub message: String,
}

/// What the program of a check is told, as JSON in the variable `MLOPS_CHECK`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckTask {
    /// The check.
    pub check: PromotionCheck,
    /// The file with the rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The file with the rows to compare with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// The root of the server that has the version, such as `http://127.0.0.1:8080`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<ModelAddress>,
    /// The root of the server that has the version which the stage runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub production: Option<ModelAddress>,
    /// The folder with what a container of the user's own left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<String>,
    /// Digests and other facts that belong to the artefact, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub subject: BTreeMap<String, String>,
}

/// Where a model answers in the Open Inference Protocol.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelAddress {
    /// The root, such as `http://127.0.0.1:8080`.
    pub url: String,
    /// The model's name.
    pub model: String,
}
