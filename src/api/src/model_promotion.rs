//! `ModelPromotion`: one version of a model on its way from stage to stage.
#![expect(unreachable_pub, reason = "the schema derive writes a private copy of each type")]
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::approval::Vote;
use crate::azure::LocalReference;
use crate::meta::ModelFormat;

mod check;

pub use check::{
    CheckContainer, CheckFinding, CheckReport, CheckStatus, CheckTask, CheckType, DataSource, Expectation,
    ModelAddress, PromotionCheck, PromotionCheckOutcome,
};

/// One version of a model on its way from stage to stage, with people's approval where a stage asks for it.
///
/// When a stage gets the version, the Model's status says so, and Endpoints that follow the stage roll it out. No spec
/// is written. What is promoted is fixed by a fingerprint of the version's parts: when one of them changes, the
/// promotion ends, and votes for it count no more.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "mlops-operator.dev",
    version = "v1alpha1",
    kind = "ModelPromotion",
    plural = "modelpromotions",
    shortname = "promo",
    category = "mlops",
    namespaced,
    status = "ModelPromotionStatus",
    derive = "PartialEq",
    doc = "One version of a model on its way from stage to stage, with people's approval where a stage asks for it.",
    validation = Rule::new("size(self.metadata.name) <= 63")
        .message("metadata.name must have at most 63 characters, because labels name the promotion"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason"
    ),
    printcolumn(name = "Model", type_ = "string", json_path = ".spec.model.name"),
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.model.version"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Stage", type_ = "string", json_path = ".status.stage"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf")
    .message("a promotion can't be changed once it exists, because people vote on it: make another one"))]
pub struct ModelPromotionSpec {
    /// Your own name, as the API server knows you: `kubectl auth whoami` says it. Admission compares it with the
    /// request. Who asks for a promotion can't vote on it.
    #[schemars(length(min = 1, max = 253))]
    pub requester: String,
    /// The version that is promoted.
    pub model: PromotedModel,
    /// The stages in their order.
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub stages: Vec<PromotionStage>,
    /// What becomes of promotions of the same model that are under way when this one comes.
    #[serde(default)]
    pub supersession: Supersession,
}

/// Names a Model and one of its versions.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct PromotedModel {
    /// The name of a Model of this namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// The version, one of those that the Model lists.
    #[schemars(length(min = 1, max = 30), regex(pattern = r"^[a-zA-Z0-9][-a-zA-Z0-9._]*$"))]
    pub version: String,
}

/// What becomes of promotions that are under way.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum Supersession {
    /// They end where they are.
    #[default]
    Cancel,
    /// This one waits for them.
    Queue,
}

/// A stage.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct PromotionStage {
    /// Its name, for example `production`. Endpoints follow it by `model.modelRef.stage`.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// The Endpoints of this namespace that must answer with the version before the stage is done. When one of them goes
    /// back by itself, so does the stage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub endpoint_refs: Vec<LocalReference>,
    /// What must be known of the version before anybody votes, and before the stage gets it. All run at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub checks: Vec<PromotionCheck>,
    /// Whose approval it needs. Without it, none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalPolicy>,
    /// When the stage does not get a version, for example at weekends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub freeze: Vec<FreezeWindow>,
    /// How long the version must have run in this stage before the next one begins, for example `30m` or `24h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"))]
    pub soak: Option<String>,
    /// How long its Endpoints may take to answer with the version, for example `2h`. Without it, a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 32), regex(pattern = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"))]
    pub timeout: Option<String>,
}

/// A time in which a stage does not get a version.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct FreezeWindow {
    /// When it begins, in cron's five fields, for example `0 16 * * FRI`.
    #[schemars(length(min = 9, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[^ ]+( [^ ]+){4}$')")
        .message("cron has five fields, for example 0 16 * * FRI"))]
    pub cron: String,
    /// How long it takes, for example `64h`; 31 days at most.
    #[schemars(length(min = 2, max = 32), regex(pattern = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"))]
    #[x_kube(validation = Rule::new("duration(self) > duration('0s') && duration(self) <= duration('744h')")
        .message("duration of freeze must be more than nothing, and 744h at most"))]
    pub duration: String,
    /// The time zone of `cron`, for example `Europe/Berlin`. Without it, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z][A-Za-z0-9_+/-]*$"))]
    pub time_zone: Option<String>,
}

/// Whose approval a stage needs.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct ApprovalPolicy {
    /// How many people must approve.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 10))]
    pub required: i32,
    /// Groups that may vote. Without any, whoever has the right.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub groups: Vec<String>,
    /// People who must be among those who approve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub required_voters: Vec<String>,
    /// After how long without enough votes the promotion ends, counted from when the checks have ended, for example `72h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 32), regex(pattern = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"))]
    pub expires_after: Option<String>,
}

fn one() -> i32 {
    1
}

/// Where a promotion stands.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelPromotionStatus {
    /// The generation of the spec that this status speaks of; -1 until the operator has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, which is true once the last stage is done; while true `Reconciling`, `Stalled` and `ApprovalRequired`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Where it stands.
    #[serde(default)]
    pub phase: PromotionPhase,
    /// The stage that is under way, or in which it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub stage: Option<String>,
    /// What is promoted, as it was when the promotion began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Bundle>,
    /// The stages that have begun.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub stages: Vec<StageStatus>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// The last word of a person that was obeyed or refused: the value of the annotation
    /// `mlops-operator.dev/promotion-action`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub handled_action: Option<String>,
}

/// Where a promotion stands.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum PromotionPhase {
    /// It has not begun: it waits for another one, or for the version.
    #[default]
    Pending,
    /// The checks of a stage run.
    Checking,
    /// A check has not passed: somebody must look.
    Held,
    /// A stage waits for votes.
    AwaitingApproval,
    /// A stage waits for the end of a freeze.
    Frozen,
    /// A stage has got the version, and its Endpoints roll it out.
    Releasing,
    /// The version runs in a stage for a while before the next one begins.
    Soaking,
    /// All stages are done.
    Succeeded,
    /// A stage went wrong; it has the version from before.
    Failed,
    /// Somebody voted against it.
    Rejected,
    /// The votes did not come in time.
    Expired,
    /// Somebody ended it.
    Aborted,
    /// A newer one took its place.
    Superseded,
}

impl PromotionPhase {
    /// Whether nothing comes after it.
    pub const fn is_over(self) -> bool {
        !matches!(
            self,
            Self::Pending
                | Self::Checking
                | Self::Held
                | Self::AwaitingApproval
                | Self::Frozen
                | Self::Releasing
                | Self::Soaking
        )
    }
}

/// What is promoted: a version and everything that it depends on.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct Bundle {
    /// The digest of all parts.
    #[schemars(length(max = 71))]
    pub fingerprint: String,
    /// Where the model lies.
    #[schemars(length(max = 2048))]
    pub uri: String,
    /// The digest of the model's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub digest: Option<String>,
    /// The format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<ModelFormat>,
    /// The environment, as `NAME:VERSION`, and its image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub environment: Option<String>,
    /// The inference code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub code: Option<String>,
}

/// Where a stage stands.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct StageStatus {
    /// Its name.
    #[schemars(length(max = 63))]
    pub name: String,
    /// The version that the stage had when its turn came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 30))]
    pub former_version: Option<String>,
    /// When its turn came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Its checks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub checks: Vec<CheckStatus>,
    /// Who let the stage have the version in spite of its checks, votes or freeze, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1400))]
    pub overridden: Option<String>,
    /// The digest of what people vote on: the parts, the plan, what the checks found, and what came before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub evidence: Option<String>,
    /// The votes on it, in the order in which they came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub votes: Vec<CountedVote>,
    /// When it got the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_at: Option<Time>,
    /// When all its Endpoints answered with the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving_since: Option<Time>,
    /// When it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_at: Option<Time>,
    /// When it went back to the version from before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverted_at: Option<Time>,
    /// Where it stands, and what comes next.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// A vote, and whether it counts.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct CountedVote {
    /// The name of the Approval.
    #[schemars(length(max = 253))]
    pub approval: String,
    /// Who voted.
    #[schemars(length(max = 253))]
    pub approver: String,
    /// The vote.
    pub decision: Vote,
    /// Why.
    #[schemars(length(max = 1024))]
    pub reason: String,
    /// Why it does not count; nothing when it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub void: Option<String>,
}
