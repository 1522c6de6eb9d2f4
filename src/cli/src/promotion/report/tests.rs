//! What people read before they vote.
use serde_json::{Value, json};

use super::*;

const PLAIN: Style = Style { colour: false, unicode: true };

fn promotion(status: &Value) -> ModelPromotion {
    serde_json::from_value(json!({
        "apiVersion": "mlops-operator.dev/v1alpha1", "kind": "ModelPromotion", "metadata": {"name": "churn-v8"},
        "spec": {"requester": "rita", "model": {"name": "churn", "version": "8"}, "stages": [{"name": "staging"}, {"name": "production"}]},
        "status": status,
    }))
    .unwrap()
}

fn model() -> Model {
    serde_json::from_value(json!({
        "apiVersion": "mlops-operator.dev/v1alpha1", "kind": "Model", "metadata": {"name": "churn"},
        "spec": {"versions": [{"version": "7", "uri": "https://models.example/7.onnx", "format": "ONNX"}]},
    }))
    .unwrap()
}

fn awaiting() -> Value {
    json!({
        "phase": "AwaitingApproval", "stage": "production",
        "conditions": [{"type": "Ready", "status": "False", "reason": "ApprovalRequired", "message": "1 of 2\nvotes", "lastTransitionTime": "2026-03-01T08:00:00Z"}],
        "bundle": {"fingerprint": "sha256:aa", "uri": "https://models.example/8.onnx", "digest": "sha256:bb", "format": "ONNX"},
        "stages": [
            {"name": "staging", "formerVersion": "7", "releasedAt": "2026-03-01T08:00:00Z", "doneAt": "2026-03-01T09:00:00Z", "evidence": "sha256:cc"},
            {"name": "production", "formerVersion": "7", "evidence": "sha256:dd", "votes": [
                {"approval": "a", "approver": "paul", "decision": "Approve", "reason": "good\u{1b}[2J numbers"},
                {"approval": "b", "approver": "rita", "decision": "Approve", "reason": "mine", "void": "who asks for a promotion can't vote on it"},
            ]},
        ],
    })
}

#[test]
fn everything_that_is_promoted_is_shown_before_a_vote() {
    let report = Report::new(&promotion(&awaiting()), Some(&model()));
    let expected = "\
churn-v8: version 8 of Model churn, asked for by rita
… AwaitingApproval: 1 of 2 votes
   model        https://models.example/8.onnx
   digest       sha256:bb
   format       ONNX
   fingerprint  sha256:aa
√ staging      runs version 8, done 2026-03-01T09:00:00Z
   model        https://models.example/7.onnx becomes https://models.example/8.onnx
   digest       none becomes sha256:bb
… production   would go from 7 to version 8
   model        https://models.example/7.onnx becomes https://models.example/8.onnx
   digest       none becomes sha256:bb
   evidence     sha256:dd
   √ Approve by paul: good [2J numbers
   ‼ Approve by rita does not count: who asks for a promotion can't vote on it
";
    assert_eq!(report.render(PLAIN), expected);
    let awaiting = report.awaiting().unwrap();
    assert_eq!(
        (awaiting.status.name.as_str(), awaiting.status.evidence.as_deref()),
        ("production", Some("sha256:dd"))
    );
}

#[test]
fn without_a_status_or_a_model_less_is_told() {
    let report = Report::new(&promotion(&json!({})), None);
    let expected = "\
churn-v8: version 8 of Model churn, asked for by rita
… Pending: the operator has not told of it yet
… staging      its turn has not come
… production   its turn has not come
";
    assert_eq!(report.render(PLAIN), expected);
    assert!(report.awaiting().is_none());
}

#[test]
fn what_went_back_is_told() {
    let mut status = awaiting();
    status["phase"] = json!("Failed");
    status["stages"][1]["releasedAt"] = json!("2026-03-01T10:00:00Z");
    status["stages"][1]["revertedAt"] = json!("2026-03-01T11:00:00Z");
    let report = Report::new(&promotion(&status), None);
    assert!(
        report.render(PLAIN).contains("× production   went back to 7 2026-03-01T11:00:00Z"),
        "{}",
        report.render(PLAIN)
    );
    assert!(report.awaiting().is_none(), "what is over takes no votes");
}
