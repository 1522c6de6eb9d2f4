//! What `explain` says, for every verdict.
use serde_json::{Value, json};

use super::{explain, explain_azure, explain_runtime, render};
use crate::fixtures::{PLAIN, condition, endpoint, runtime, status, workspace};
use crate::objects::Kind;
use crate::output::{self, Format};

const SERVING: (&str, &str, &str, &str) =
    ("Serving", "True", "Answering", "revision churn-aaaa1111 answers requests");
const SILENT: (&str, &str, &str, &str) = ("Serving", "False", "NoReadyPods", "no pod answers requests");

fn said(conditions: &[(&str, &str, &str, &str)]) -> String {
    let conditions: Vec<Value> = conditions
        .iter()
        .map(|(type_, status, reason, message)| condition(type_, status, reason, message))
        .collect();
    render(&explain(&endpoint("churn", &status(&conditions, &json!([])))), PLAIN)
}

#[test]
fn ready_needs_nothing() {
    insta::assert_snapshot!(said(&[("Ready", "True", "Ready", "2 of 2 pods answer"), SERVING]));
}

#[test]
fn a_rollout_goes_on_by_itself() {
    let message = "1 of 2 pods of revision churn-bbbb2222 answer";
    insta::assert_snapshot!(said(&[
        ("Ready", "False", "RollingOut", message),
        ("Reconciling", "True", "RollingOut", message),
        SERVING,
    ]));
}

#[test]
fn a_failed_fetch_may_still_pass() {
    let message = "GET https://models.example/churn-8.onnx: 503 (pod churn-x). Check model.uri, and that the \
                   cluster can reach it.";
    insta::assert_snapshot!(said(&[
        ("Ready", "False", "ModelFetchFailed", message),
        ("Reconciling", "True", "ModelFetchFailed", message),
        SILENT,
    ]));
}

#[test]
fn a_failed_image_pull_names_the_cause_once() {
    let message = "image registry.example/server:9 can't be pulled: not found (pod churn-x). Check the image's name \
                   and tag, and that the nodes may pull it. The revision before keeps serving.";
    insta::assert_snapshot!(said(&[
        ("Ready", "False", "ImagePullFailed", message),
        ("Stalled", "True", "ImagePullFailed", message),
        SERVING,
    ]));
}

#[test]
fn a_model_that_cannot_be_loaded_goes_to_the_data_scientist() {
    let message = "the file is no ONNX model (pod churn-x). Check model.format, and export the model again.";
    insta::assert_snapshot!(said(&[
        ("Ready", "False", "ModelLoadFailed", message),
        ("Stalled", "True", "ModelLoadFailed", message),
        SILENT,
    ]));
}

#[test]
fn a_missing_right_goes_to_the_infrastructure_engineer() {
    let message = "failed to apply Deployment team/churn: deployments.apps is forbidden";
    insta::assert_snapshot!(said(&[
        ("Ready", "False", "Denied", message),
        ("Stalled", "True", "Denied", message),
    ]));
}

#[test]
fn a_reason_of_a_newer_operator_is_not_guessed() {
    insta::assert_snapshot!(said(&[
        ("Ready", "False", "MoonPhase", "the moon is full"),
        ("Stalled", "True", "MoonPhase", "the moon is full"),
    ]));
}

#[test]
fn an_endpoint_that_the_operator_has_not_seen_waits_for_it() {
    insta::assert_snapshot!(render(&explain(&endpoint("churn", &json!({"observedGeneration": -1}))), PLAIN));
}

#[test]
fn a_deleted_endpoint_is_on_its_way_out() {
    let mut churn = endpoint("churn", &json!({"observedGeneration": 2}));
    churn.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-02T03:04:05Z")).unwrap();
    insta::assert_snapshot!(render(&explain(&churn), PLAIN));
}

#[test]
fn a_serving_runtime_is_explained_alike() {
    insta::assert_snapshot!(render(&explain_runtime(&runtime()), PLAIN));
}

#[test]
fn what_lives_in_azure_is_explained_alike() {
    let message = "workspaces/churn exists and was not made for this object; rename it, or set \
                   spec.management.adoption to IfUnowned to take it over";
    let conditions =
        [condition("Ready", "False", "NotOwned", message), condition("Stalled", "True", "NotOwned", message)];
    insta::assert_snapshot!(render(&explain_azure(Kind::MLWorkspace, &workspace(&conditions)), PLAIN));
}

#[test]
fn the_shape_of_json_is_stable() {
    let message = "0/1 nodes are available: 1 Insufficient cpu";
    let conditions = [
        condition("Ready", "False", "Unschedulable", message),
        condition("Reconciling", "True", "Unschedulable", message),
        condition("Serving", "False", "NoReadyPods", "no pod answers requests"),
    ];
    let explanation = explain(&endpoint("churn", &status(&conditions, &json!([]))));
    insta::assert_snapshot!(output::document(Format::Json, &explanation, |_| String::new()).unwrap());
}
