//! What `status` shows, for every state of an endpoint.
use serde_json::{Value, json};

use super::report::{Report, Seen};
use super::{Scope, render};
use crate::fixtures::{PLAIN, condition, endpoint, pod, pods, revision, runtime, status, waiting, workspace};
use crate::health::Health;
use crate::objects::{Kind, Selection};
use crate::output::{Format, Style};

fn scope() -> Scope {
    Scope { selection: Selection { kind: None, name: None }, namespace: Some("team".to_owned()) }
}

fn report(status: &Value, seen: Vec<Value>) -> Report {
    Report::new(Seen {
        endpoints: vec![endpoint("churn", status)],
        pods: Some(pods(seen)),
        ..Seen::default()
    })
}

fn text(report: &Report) -> String {
    render(report, &scope(), Format::Table, PLAIN).unwrap()
}

fn ready() -> Report {
    let conditions = [
        condition("Ready", "True", "Ready", "2 of 2 pods answer"),
        condition("Serving", "True", "Answering", "revision churn-aaaa1111 answers requests"),
    ];
    let revisions = json!([revision("aaaa1111", 8, "Stable", (2, 2))]);
    report(&status(&conditions, &revisions), vec![pod("aaaa1111", "y"), pod("aaaa1111", "x")])
}

fn image_pull_failed() -> Report {
    let message = "image registry.example/server:9 can't be pulled: not found (pod churn-bbbb2222-x). Check the \
                   image's name and tag, and that the nodes may pull it. The revision before keeps serving.";
    let conditions = [
        condition("Ready", "False", "ImagePullFailed", message),
        condition("Stalled", "True", "ImagePullFailed", message),
        condition("Serving", "True", "Answering", "revision churn-aaaa1111 answers requests"),
    ];
    let revisions =
        json!([revision("bbbb2222", 9, "Failed", (0, 1)), revision("aaaa1111", 8, "Retiring", (2, 2))]);
    let pods = vec![
        waiting(pod("bbbb2222", "x"), "ImagePullBackOff", "not found"),
        pod("aaaa1111", "x"),
        pod("aaaa1111", "y"),
    ];
    report(&status(&conditions, &revisions), pods)
}

#[test]
fn a_ready_endpoint_shows_its_revision_and_pods() {
    assert!(ready().is_ready());
    insta::assert_snapshot!(text(&ready()));
}

#[test]
fn a_rollout_shows_both_revisions() {
    let conditions = [
        condition("Ready", "False", "RollingOut", "1 of 2 pods of revision churn-bbbb2222 answer"),
        condition("Reconciling", "True", "RollingOut", "1 of 2 pods of revision churn-bbbb2222 answer"),
        condition(
            "Serving",
            "True",
            "Answering",
            "revisions churn-aaaa1111 and churn-bbbb2222 answer requests",
        ),
    ];
    let revisions =
        json!([revision("bbbb2222", 9, "Progressing", (1, 2)), revision("aaaa1111", 8, "Retiring", (1, 1))]);
    let mut leaving = pod("aaaa1111", "y");
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-02T03:04:05Z");
    let seen = vec![
        pod("bbbb2222", "x"),
        waiting(pod("bbbb2222", "y"), "ContainerCreating", ""),
        pod("aaaa1111", "x"),
        leaving,
    ];
    let report = report(&status(&conditions, &revisions), seen);
    assert!(!report.is_ready() && !report.is_settled());
    insta::assert_snapshot!(text(&report));
}

#[test]
fn an_image_that_cannot_be_pulled_leaves_the_old_revision_serving() {
    let report = image_pull_failed();
    assert!(!report.is_ready() && report.is_settled());
    insta::assert_snapshot!(text(&report));
}

#[test]
fn an_invalid_endpoint_says_what_to_change() {
    let message = "ServingRuntime tiny exists neither in namespace team nor among the defaults in mlops-system: \
                   create it, or correct spec.runtimeRef";
    let conditions = [
        condition("Ready", "False", "RuntimeNotFound", message),
        condition("Stalled", "True", "RuntimeNotFound", message),
        condition("Serving", "False", "NoReadyPods", "no pod answers requests"),
    ];
    insta::assert_snapshot!(text(&report(&status(&conditions, &json!([])), Vec::new())));
}

#[test]
fn an_endpoint_that_the_operator_has_not_seen_says_so() {
    let unseen = report(&json!({"observedGeneration": -1}), Vec::new());
    assert!(!unseen.is_settled());
    insta::assert_snapshot!(text(&unseen));
}

#[test]
fn a_status_of_an_earlier_spec_is_not_taken_for_the_present_one() {
    let mut old = status(&[condition("Ready", "True", "Ready", "2 of 2 pods answer")], &json!([]));
    old["observedGeneration"] = json!(1);
    let report = report(&old, Vec::new());
    assert_eq!(report.endpoints[0].health, Health::Unseen);
    assert_eq!(report.endpoints[0].message, None);
}

#[test]
fn a_namespace_without_endpoints_says_how_to_create_one() {
    let empty = Report::new(Seen::default());
    assert!(empty.is_ready());
    insta::assert_snapshot!(text(&empty));
}

#[test]
fn serving_runtimes_follow_the_endpoints() {
    let seen = Seen { runtimes: vec![runtime()], ..Seen::default() };
    insta::assert_snapshot!(text(&Report::new(seen)));
}

#[test]
fn pods_of_another_namespace_or_endpoint_are_left_out() {
    let mut elsewhere = pod("aaaa1111", "x");
    elsewhere["metadata"]["namespace"] = json!("other");
    let mut other = pod("aaaa1111", "y");
    other["metadata"]["labels"]["mlops-operator.dev/endpoint"] = json!("fraud");
    let report = report(&json!({"observedGeneration": 2}), vec![elsewhere, other]);
    assert_eq!(report.endpoints[0].other_pods, []);
}

#[test]
fn a_pod_of_an_unknown_revision_is_still_shown() {
    let report = report(&json!({"observedGeneration": 2}), vec![pod("cccc3333", "x")]);
    assert!(text(&report).contains("└─ √ pod churn-cccc3333-x: Ready"));
}

#[test]
fn a_signature_in_the_uri_of_a_model_is_never_shown() {
    for format in [Format::Table, Format::Json, Format::Yaml] {
        assert!(!render(&ready(), &scope(), format, PLAIN).unwrap().contains("sig=secret"));
    }
}

#[test]
fn the_shape_of_json_is_stable() {
    insta::assert_snapshot!(render(&image_pull_failed(), &scope(), Format::Json, PLAIN).unwrap());
}

#[test]
fn yaml_says_the_same_as_json() {
    let report = image_pull_failed();
    let yaml = render(&report, &scope(), Format::Yaml, PLAIN).unwrap();
    let read: Value = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(read, serde_json::to_value(&report).unwrap());
}

#[test]
fn a_terminal_without_unicode_gets_plain_letters() {
    let plain = Style { colour: false, unicode: false };
    let text = render(&image_pull_failed(), &scope(), Format::Table, plain).unwrap();
    assert!(text.is_ascii());
    insta::assert_snapshot!(text);
}

#[test]
fn what_lives_in_azure_shows_what_is_not_as_wanted() {
    let message = "workspaces churn is being changed";
    let conditions = [
        condition("Ready", "False", "InProgress", message),
        condition("Reconciling", "True", "InProgress", message),
    ];
    let azure = [(Kind::MLWorkspace, vec![workspace(&conditions)])].into();
    let report = Report::new(Seen { azure, ..Seen::default() });
    assert!(!report.is_ready() && !report.is_settled() && !report.is_empty());
    insta::assert_snapshot!(text(&report));
}

#[test]
fn a_rollout_by_steps_is_told_in_short() {
    let conditions = [condition("Ready", "False", "RollingOut", "step 2 of 4")];
    let mut canary = status(&conditions, &json!([revision("bbbb2222", 9, "Canary", (1, 1))]));
    canary["rollout"] = json!({
        "phase": "Progressing", "stable": "churn-aaaa1111", "candidate": "churn-bbbb2222", "step": 2, "steps": 4,
        "traffic": 10, "mirror": 0,
    });
    let told = text(&report(&canary, Vec::new()));
    let line = "rollout  Progressing, step 2 of 4, churn-bbbb2222 answers 10 % of the requests: see kubectl mlops \
                rollout churn -n team";
    assert!(told.contains(line), "{told}");
    canary["rollout"] = json!({"phase": "Completed", "stable": "churn-aaaa1111"});
    assert!(!text(&report(&canary, Vec::new())).contains("rollout "));
}
