//! `DecisionRecord`: one entry of the log of what was decided about a model.
#![expect(unreachable_pub, reason = "the schema derive writes a private copy of each type")]
#![expect(clippy::duplicated_attributes, reason = "several columns share a type")]
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model_promotion::{CountedVote, PromotionCheckOutcome};

/// One entry of the log of what was decided about a Model: who decided, on which evidence, and why.
///
/// The operator alone writes it. Each entry holds the digest of the one before, and the Model's status that of the last
/// one, so that an entry that was changed or removed is found: `kubectl mlops audit verify`. No stage gets a version before
/// the log says so. Entries outlive the promotion and the Model.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "mlops-operator.dev",
    version = "v1alpha1",
    kind = "DecisionRecord",
    plural = "decisionrecords",
    shortname = "decision",
    namespaced,
    derive = "PartialEq",
    doc = "One entry of the log of what was decided about a Model: who decided, on which evidence, and why.",
    printcolumn(name = "Model", type_ = "string", json_path = ".spec.model"),
    printcolumn(name = "Number", type_ = "integer", json_path = ".spec.number"),
    printcolumn(name = "Decision", type_ = "string", json_path = ".spec.decision"),
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.version"),
    printcolumn(name = "Stage", type_ = "string", json_path = ".spec.stage"),
    printcolumn(name = "Promotion", type_ = "string", json_path = ".spec.promotion"),
    printcolumn(name = "Who", type_ = "string", json_path = ".spec.who"),
    printcolumn(name = "At", type_ = "date", json_path = ".spec.at"),
    printcolumn(name = "Why", type_ = "string", json_path = ".spec.why", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf").message("an entry of the log can't be changed"))]
pub struct DecisionRecordSpec {
    /// The Model.
    #[schemars(length(min = 1, max = 253))]
    pub model: String,
    /// The identity of the Model. A Model that is made anew begins a log of its own.
    #[schemars(length(min = 1, max = 64))]
    pub chain: String,
    /// The place in the log, from 1.
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_i64))]
    pub number: i64,
    /// The digest of the entry before; of the first one, 64 zeros.
    #[schemars(length(max = 71), regex(pattern = r"^sha256:[a-f0-9]{64}$"))]
    pub previous: String,
    /// When it was decided.
    #[schemars(extend("maxLength" = 40))]
    pub at: Time,
    /// What was decided.
    pub decision: Decision,
    /// The ModelPromotion that it is about.
    #[schemars(length(min = 1, max = 253))]
    pub promotion: String,
    /// The identity of the ModelPromotion.
    #[schemars(length(min = 1, max = 64))]
    pub promotion_uid: String,
    /// The version that is promoted.
    #[schemars(length(min = 1, max = 30))]
    pub version: String,
    /// The stage that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub stage: Option<String>,
    /// The version that the stage ran before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 30))]
    pub former_version: Option<String>,
    /// The fingerprint of all parts of the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub bundle: Option<String>,
    /// The digest of the model's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub model_digest: Option<String>,
    /// The digest of everything that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub evidence: Option<String>,
    /// Who decided: whoever asked, or the voters; without anybody, the rules of the promotion did.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 8192))]
    pub who: String,
    /// Why.
    #[schemars(length(max = 2048))]
    pub why: String,
    /// The votes, and which of them counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub votes: Vec<CountedVote>,
    /// What the checks found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub checks: Vec<RecordedCheck>,
    /// The SHA-256 digest of all that is above: of the spec without this field as JSON, with its keys in order and no
    /// spaces.
    #[schemars(length(max = 71), regex(pattern = r"^sha256:[a-f0-9]{64}$"))]
    pub digest: String,
}

/// What was decided.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[schemars(inline)]
pub enum Decision {
    /// Somebody asked for a promotion.
    Requested,
    /// A stage gets the version.
    Released,
    /// The stage keeps it: it was served for as long as it must.
    Kept,
    /// The stage goes back to the version from before.
    Reverted,
    /// The promotion has ended.
    Ended,
}

/// What a check found, as it was when the decision was taken.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct RecordedCheck {
    /// Its name.
    #[schemars(length(max = 40))]
    pub name: String,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<PromotionCheckOutcome>,
    /// The digest of the artifact that it left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub artifact: Option<String>,
    /// Who let the stage go on without it, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1536))]
    pub skipped: Option<String>,
    /// What it says: values and thresholds.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub message: String,
}
