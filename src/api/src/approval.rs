//! `Approval`: one person's vote on one stage of a promotion.
#![expect(unreachable_pub, reason = "the schema derive writes a private copy of each type")]
#![expect(clippy::duplicated_attributes, reason = "several columns share a type")]
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One person's vote on one stage of a ModelPromotion.
///
/// It is bound to the digest of the evidence that the person has seen: when the version's parts or the plan change, it
/// counts no more. Admission proves who votes: `approver` and `groups` are compared with the request itself, and the
/// right to vote is the verb `approve` on the ModelPromotion, and the verb `override` to let a stage go on in spite of its
/// rules. A vote can't be changed; its voter withdraws it by deleting it.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "mlops-operator.dev",
    version = "v1alpha1",
    kind = "Approval",
    plural = "approvals",
    shortname = "appr",
    category = "mlops",
    namespaced,
    status = "ApprovalStatus",
    derive = "PartialEq",
    doc = "One person's vote on one stage of a ModelPromotion.",
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
    printcolumn(name = "Promotion", type_ = "string", json_path = ".spec.promotion"),
    printcolumn(name = "Stage", type_ = "string", json_path = ".spec.stage"),
    printcolumn(name = "Decision", type_ = "string", json_path = ".spec.decision"),
    printcolumn(name = "Approver", type_ = "string", json_path = ".spec.approver"),
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
    .message("a vote can't be changed: delete it, and vote again"),
    validation = Rule::new("has(self.check) == (self.decision == 'Skip')")
    .message("decision Skip needs check, the name of the check to go on without, and no other decision may have it"))]
pub struct ApprovalSpec {
    /// The ModelPromotion of this namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub promotion: String,
    /// The stage that waits for approval.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub stage: String,
    /// The digest of the evidence that was looked at: `evidence` of the stage in the ModelPromotion's status.
    #[schemars(length(max = 71), regex(pattern = r"^sha256:[a-f0-9]{64}$"))]
    pub evidence: String,
    /// The vote.
    pub decision: Vote,
    /// The check of the stage that is skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub check: Option<String>,
    /// Why, for those who read it later.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
    /// Your own name, as the API server knows you: `kubectl auth whoami` says it.
    #[schemars(length(min = 1, max = 253))]
    pub approver: String,
    /// The groups in whose name you vote, each of them one of yours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub groups: Vec<String>,
}

/// A vote.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum Vote {
    /// The stage may get the version.
    Approve,
    /// It may not, and the promotion ends.
    Reject,
    /// It gets the version whatever its checks, votes and freezes say. This needs the verb `override`.
    Override,
    /// It goes on without one of its checks. This needs the verb `override`.
    Skip,
}

/// Whether a vote counts.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalStatus {
    /// The generation of the spec that this status speaks of; -1 until the operator has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: whether the vote counts, and if not, why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
