//! What `rollout` shows, for every state of a rollout.
use api::Endpoint;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::report::Report;
use super::{name, render};
use crate::failure::Outcome;
use crate::fixtures::{PLAIN, condition, endpoint, revision, status};
use crate::output::{Format, Style};

const SINCE: &str = "2026-01-02T03:00:00Z";

/// So many minutes after the step has begun.
pub(super) fn time(minutes: i64) -> Timestamp {
    SINCE.parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes)
}

fn share(mut revision: Value, traffic: i32) -> Value {
    revision["traffic"] = json!(traffic);
    revision
}

/// An Endpoint with the strategy Canary, in a state of its rollout.
fn rollout(conditions: &[Value], revisions: &Value, rollout: &Value) -> Endpoint {
    let mut status = status(conditions, revisions);
    status["rollout"] = rollout.clone();
    let mut endpoint = endpoint("churn", &status);
    let steps = json!([
        {"mirror": 20, "hold": "5m"}, {"traffic": 10, "hold": "5m"}, {"pause": true}, {"traffic": 50, "hold": "1h30m"},
    ]);
    let spec =
        json!({"strategy": "Canary", "steps": steps, "analysis": {"minRequests": 200, "maxErrorRate": 0.01}});
    endpoint.spec.rollout = serde_json::from_value(spec).unwrap();
    endpoint
}

fn check(name: &str, outcome: &str, value: Option<f64>, threshold: f64, message: &str) -> Value {
    json!({
        "name": name, "mode": "Enforce", "outcome": outcome, "value": value, "threshold": threshold,
        "samples": 412, "stableSamples": 3701, "message": message,
    })
}

fn checks() -> Value {
    let slow = "the 95th percentile of 412 answers is 52 ms, 1.30 times that of 3,701 answers of the stable revision, \
                40 ms; at most 1.20 times is allowed";
    let mut slower = check("p95LatencyRatio", "Failed", Some(1.3), 1.2, slow);
    slower["mode"] = json!("Warn");
    let errors = "so far 0.2 % of 412 answers are errors, at most 1.0 % are allowed; stable: 0.0 % of 3,701";
    let mut revenue =
        check("revenue", "Passed", Some(1.5), 0.8, "the query answers 1.5, at least 0.8 is wanted");
    revenue["samples"] = Value::Null;
    json!([check("errorRate", "Inconclusive", Some(0.002), 0.01, errors), slower, revenue])
}

fn going(reason: &str, message: &str) -> [Value; 3] {
    [
        condition("Ready", "False", reason, message),
        condition("Reconciling", "True", reason, message),
        condition("Serving", "True", "Answering", "revision churn-aaaa1111 answers requests"),
    ]
}

fn both() -> Value {
    json!([
        share(revision("bbbb2222", 9, "Canary", (1, 1)), 10),
        share(revision("aaaa1111", 8, "Stable", (2, 2)), 90),
    ])
}

fn under_way() -> Value {
    json!({
        "phase": "Progressing", "since": "2026-01-02T02:50:00Z", "message": "revision churn-bbbb2222 is in step 2 of 4",
        "stable": "churn-aaaa1111", "candidate": "churn-bbbb2222", "step": 2, "steps": 4, "stepSince": SINCE,
        "traffic": 10, "mirror": 0, "checks": checks(),
    })
}

/// A candidate in its second step of four.
pub(super) fn canary() -> Endpoint {
    rollout(&going("RollingOut", "step 2 of 4"), &both(), &under_way())
}

/// The same, after a person said `pause`.
pub(super) fn paused() -> Endpoint {
    let mut paused = under_way();
    paused["phase"] = json!("Paused");
    paused["message"] = json!("revision churn-bbbb2222 waits in step 2 of 4");
    paused["pause"] = json!({"cause": "Person", "since": SINCE});
    paused["handledAction"] = json!("pause@2026-01-02T03:00:00Z");
    rollout(&going("AwaitingPerson", "it waits"), &both(), &paused)
}

/// A candidate that answers all requests.
pub(super) fn completed() -> Endpoint {
    let conditions = [condition("Ready", "True", "Ready", "2 of 2 pods answer")];
    let revisions = json!([
        share(revision("bbbb2222", 9, "Stable", (2, 2)), 100),
        share(revision("aaaa1111", 8, "Retired", (0, 0)), 0),
    ]);
    let message = "revision churn-bbbb2222 answers all requests";
    let done = json!({"phase": "Completed", "since": SINCE, "message": message, "stable": "churn-bbbb2222",
        "proven": ["churn-aaaa1111"]});
    rollout(&conditions, &revisions, &done)
}

/// A candidate that was found worse.
pub(super) fn rolled_back() -> Endpoint {
    let why = "errorRate: 3.1 % of 412 answers are errors, at most 1.0 % are allowed; stable: 0.0 % of 3,701";
    let message = format!("revision churn-bbbb2222 was given up: {why}");
    let conditions = [
        condition("Ready", "False", "RolledBack", &message),
        condition("Stalled", "True", "RolledBack", &message),
    ];
    let revisions = json!([
        share(revision("bbbb2222", 9, "RolledBack", (0, 0)), 0),
        share(revision("aaaa1111", 8, "Stable", (2, 2)), 100),
    ]);
    let failed = check("errorRate", "Failed", Some(0.031), 0.01, "3.1 % of 412 answers are errors");
    let back = json!({
        "phase": "RolledBack", "since": SINCE, "message": message, "stable": "churn-aaaa1111", "checks": [failed],
        "rejected": {"revision": "churn-bbbb2222", "since": SINCE, "message": why},
    });
    rollout(&conditions, &revisions, &back)
}

/// An Endpoint whose strategy has no steps.
pub(super) fn rolling_update() -> Endpoint {
    let conditions = [condition("Ready", "True", "Ready", "2 of 2 pods answer")];
    endpoint("churn", &status(&conditions, &json!([revision("aaaa1111", 8, "Stable", (2, 2))])))
}

fn text(endpoint: &Endpoint) -> String {
    render(&Report::new(endpoint, time(2)), Format::Table, PLAIN).unwrap()
}

fn end(endpoint: &Endpoint) -> Option<Outcome> {
    Report::new(endpoint, time(2)).end()
}

#[test]
fn a_step_under_way_shows_what_was_measured_and_what_comes() {
    assert_eq!(end(&canary()), None);
    insta::assert_snapshot!(text(&canary()));
}

#[test]
fn a_step_without_a_verdict_goes_on_after_its_hold() {
    let late = render(&Report::new(&canary(), time(9)), Format::Table, PLAIN).unwrap();
    assert!(late.contains("for 5m [██████████] until it is proven"), "{late}");
}

#[test]
fn a_pause_says_who_may_go_on_and_how() {
    assert_eq!(end(&paused()), None);
    insta::assert_snapshot!(text(&paused()));
}

#[test]
fn a_failure_that_waits_for_a_person_ends_the_watch() {
    let mut failed = under_way();
    failed["phase"] = json!("Paused");
    failed["pause"] = json!({"cause": "Failure", "since": SINCE});
    let conditions = [
        condition("Ready", "False", "AwaitingPerson", "it failed"),
        condition("Stalled", "True", "AwaitingPerson", "it failed"),
    ];
    let failed = rollout(&conditions, &both(), &failed);
    assert_eq!(end(&failed), Some(Outcome::Unhealthy));
    assert!(text(&failed).contains("it failed, and rollout.onFailure is Pause"));
}

#[test]
fn pods_that_start_are_waited_for() {
    let mut starting = under_way();
    starting["stepSince"] = Value::Null;
    starting["checks"] = json!([]);
    starting["mirror"] = json!(20);
    starting["message"] = json!("revision churn-bbbb2222 starts its pods: 0 answer so far");
    insta::assert_snapshot!(text(&rollout(&going("RollingOut", "starts"), &both(), &starting)));
}

#[test]
fn a_step_without_a_hold_is_under_way_at_once() {
    let mut endpoint = canary();
    endpoint.spec.rollout.steps[1].hold = None;
    let text = text(&endpoint);
    assert!(text.contains("… step 2: 10 % of the requests\n"), "{text}");
}

#[test]
fn a_revision_that_was_given_up_says_why_and_how_to_try_again() {
    assert_eq!(end(&rolled_back()), Some(Outcome::Unhealthy));
    insta::assert_snapshot!(text(&rolled_back()));
}

#[test]
fn a_rollout_that_is_complete_says_so() {
    assert_eq!(end(&completed()), Some(Outcome::Ok));
    insta::assert_snapshot!(text(&completed()));
}

#[test]
fn a_way_back_has_no_steps() {
    let mut back = under_way();
    back["direct"] = json!(true);
    back["step"] = json!(1);
    let text = text(&rollout(&going("RollingOut", "back"), &both(), &back));
    assert!(text.contains("Progressing, back to a revision that was proven before"), "{text}");
    assert!(!text.contains("step 1"), "{text}");
}

#[test]
fn a_strategy_without_steps_says_so() {
    assert_eq!(end(&rolling_update()), Some(Outcome::Ok));
    insta::assert_snapshot!(text(&rolling_update()));
}

#[test]
fn a_spec_that_the_operator_has_not_seen_ends_nothing() {
    let mut unseen = completed();
    unseen.metadata.generation = Some(3);
    assert_eq!(end(&unseen), None);
    assert!(text(&unseen).contains("the operator has not looked at this spec yet"));
}

#[test]
fn fewer_steps_than_the_status_tells_are_no_trouble() {
    let mut far = under_way();
    far["step"] = json!(99);
    assert!(text(&rollout(&going("RollingOut", "far"), &both(), &far)).contains("Progressing, all requests"));
}

#[test]
fn a_terminal_without_unicode_gets_plain_letters() {
    let plain = Style { colour: false, unicode: false };
    let text = render(&Report::new(&paused(), time(2)), Format::Table, plain).unwrap();
    assert!(text.is_ascii(), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn the_shape_of_json_is_stable() {
    insta::assert_snapshot!(render(&Report::new(&canary(), time(2)), Format::Json, PLAIN).unwrap());
}

#[test]
fn a_name_may_come_with_its_kind() {
    for word in ["churn", "ep/churn", "endpoint/churn"] {
        assert_eq!(name(Some(word)), Ok("churn".to_owned()), "{word}");
    }
    for word in [None, Some(""), Some("model/churn"), Some("ep/")] {
        assert_eq!(name(word).unwrap_err().exit_code(), 2, "{word:?}");
    }
}
