//! Rollouts between deployments in Azure: who gets which share of the requests, and when.
mod any_order;

use api::azure::ManagementMode;
use api::endpoint::{OnFailure, PauseCause, Rollout, RolloutPhase, RolloutStatus, TargetType};
use api::meta::ROLLOUT_ACTION_ANNOTATION;
use api::{Endpoint, EndpointStatus, Reason};
use arm::ArmError;
use jiff::SignedDuration;
use plan::endpoint::rollout::evidence::{Evidence, Sample};
use plan::endpoint::rollout::monitor::{Wanted, wanted};
use plan::{ChildKind, Plan};
use serde_json::{Value, json};
use testkit::azure::{Both, Fault};

use super::{WORKSPACE, both, check, inside, main_id, managed, page, version};

/// Copies, then a tenth, then whoever may say so, then half.
fn canary() -> Value {
    json!({
        "strategy": "Canary",
        "steps": [
            {"mirror": 20, "hold": "5m"}, {"traffic": 10, "hold": "5m"}, {"pause": true}, {"traffic": 50, "hold": "10m"},
        ],
    })
}

/// An Endpoint with a rollout, whose first version Azure serves. From here on, a round takes ten seconds.
#[track_caller]
fn served(rollout: &Value) -> Both {
    served_as(managed(), rollout)
}

#[track_caller]
fn served_as(mut endpoint: Endpoint, rollout: &Value) -> Both {
    endpoint.spec.rollout = serde_json::from_value::<Rollout>(rollout.clone()).unwrap();
    let mut both = both(endpoint);
    both.settle(30).unwrap();
    assert_eq!(both.cluster.condition("Ready"), Some((true, Reason::Ready)));
    assert_eq!(rollout_of(&both).stable, deployments(&both)[0]);
    assert_eq!(shares(&both), "1: 100");
    both.azure.calls.clear();
    both.round = SignedDuration::from_secs(10);
    both
}

fn rollout_of(both: &Both) -> RolloutStatus {
    both.cluster.endpoint.status.clone().unwrap().rollout.unwrap()
}

fn deployments(both: &Both) -> Vec<String> {
    let all = both.azure.ids().filter(|id| id.type_().ends_with("/deployments"));
    all.map(|id| id.name().to_owned()).collect()
}

/// Which version a deployment runs.
fn model(both: &Both, name: &str) -> String {
    let body = both.azure.get(&inside(&format!("onlineEndpoints/churn/deployments/{name}")));
    let model = body.map(|it| it["properties"]["model"].as_str().unwrap_or_default().to_owned());
    model.unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned()
}

/// Who gets what in Azure, by the versions that the deployments run.
fn shares(both: &Both) -> String {
    let body = both.azure.get(&main_id()).cloned().unwrap_or_default();
    let map = |name: &str, word: &str| -> Vec<String> {
        let map = body["properties"][name].as_object().cloned().unwrap_or_default();
        let map = map.into_iter().filter(|(_, share)| share.as_i64() != Some(0));
        let mut all: Vec<String> =
            map.map(|(name, share)| format!("{}{word}: {share}", model(both, &name))).collect();
        all.sort();
        all
    };
    [map("traffic", ""), map("mirrorTraffic", " copies")].concat().join(", ")
}

/// Reconciles until a status is as asked for; gives everything that the shares in Azure were meanwhile.
#[track_caller]
fn until(both: &mut Both, is_there: impl Fn(&EndpointStatus) -> bool) -> Vec<String> {
    let mut all = vec![shares(both)];
    for _ in 0..400 {
        let plan = both.reconcile().unwrap();
        keeps_its_promises(both, &plan);
        let now = shares(both);
        if all.last() != Some(&now) {
            all.push(now);
        }
        if is_there(&plan.status) {
            return all;
        }
    }
    panic!("{all:?} {:#?} {:#?}", both.azure.calls, both.cluster.endpoint.status);
}

fn phase(phase: RolloutPhase) -> impl Fn(&EndpointStatus) -> bool {
    move |status| status.rollout.as_ref().is_some_and(|rollout| rollout.phase == phase)
}

fn in_step(step: i32) -> impl Fn(&EndpointStatus) -> bool {
    move |status| {
        let rollout = status.rollout.as_ref();
        rollout.is_some_and(|it| it.step == Some(step) && it.step_since.is_some() && it.candidate.is_some())
    }
}

/// Whether everything is over, and nothing from before is left.
fn is_over(status: &EndpointStatus) -> bool {
    let ready = status.conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True");
    ready && status.revisions.len() == 1
}

/// Requests go to deployments that answer and to nobody else, all of them; and a step is called begun only once Azure
/// shows its shares.
#[track_caller]
fn keeps_its_promises(both: &Both, plan: &Plan<EndpointStatus>) {
    let body = both.azure.get(&main_id()).cloned().unwrap_or_default();
    let map = |name: &str| body["properties"][name].as_object().cloned().unwrap_or_default();
    for (name, share) in map("traffic").iter().chain(&map("mirrorTraffic")) {
        let id = inside(&format!("onlineEndpoints/churn/deployments/{name}"));
        let state = both.azure.get(&id).map(|it| it["properties"]["provisioningState"].clone());
        let answers = ["Succeeded", "Updating", "Failed"].map(|it| Some(json!(it))).contains(&state);
        assert!(share == 0 || answers, "{name} gets {share} % and is {state:?}");
    }
    let rollout = plan.status.rollout.clone().unwrap_or_default();
    if let (Some(candidate), Some(_), None) = (&rollout.candidate, &rollout.step_since, &rollout.pause) {
        let seen = |name: &str| map(name).get(candidate).and_then(Value::as_i64).unwrap_or(0);
        let said = (rollout.traffic.unwrap_or(0).into(), rollout.mirror.unwrap_or(0).into());
        assert_eq!((seen("traffic"), seen("mirrorTraffic")), said, "{rollout:?}");
    }
}

fn new_version(both: &mut Both, number: u32) {
    both.cluster.change(|spec| spec.model.uri = version(number));
}

/// A person's word.
fn say(both: &mut Both, word: &str) {
    let moment = both.azure.now;
    let annotations = both.cluster.endpoint.metadata.annotations.get_or_insert_default();
    annotations.insert(ROLLOUT_ACTION_ANNOTATION.to_owned(), format!("{word}@{moment}"));
}

fn out_of_quota() -> ArmError {
    let message = "Not enough quota available for Standard_DS3_v2 in SubscriptionId".to_owned();
    ArmError { code: "OutOfQuota".to_owned(), message, ..ArmError::default() }
}

fn crash() -> ArmError {
    let message = "User container has crashed or terminated".to_owned();
    ArmError { code: "ResourceNotReady".to_owned(), message, ..ArmError::default() }
}

#[test]
fn a_new_version_takes_over_step_by_step() {
    let mut both = served(&canary());
    new_version(&mut both, 2);
    check(&mut both, "azure_canary_1_decided");
    until(&mut both, |status| {
        status.azure.iter().flat_map(|it| &it.resources).any(|it| it.operation.is_some())
    });
    insta::assert_snapshot!("azure_canary_2_deploying", shown(&both));
    let mut all = until(&mut both, in_step(1));
    insta::assert_snapshot!("azure_canary_3_copies", shown(&both));
    all.extend(until(&mut both, in_step(2)));
    insta::assert_snapshot!("azure_canary_4_a_tenth", shown(&both));
    all.extend(until(&mut both, phase(RolloutPhase::Paused)));
    insta::assert_snapshot!("azure_canary_5_waits", shown(&both));
    for _ in 0..30 {
        let plan = both.reconcile().unwrap();
        assert_eq!((plan.steps, shares(&both).as_str()), (Vec::new(), "1: 90, 2: 10"));
    }
    say(&mut both, "resume");
    all.extend(until(&mut both, in_step(4)));
    all.extend(until(&mut both, phase(RolloutPhase::Completed)));
    insta::assert_snapshot!("azure_canary_6_promoted", shown(&both));
    assert_eq!(deployments(&both).len(), 2, "the one before is kept for a while");
    all.extend(until(&mut both, is_over));
    all.dedup();
    assert_eq!(all, ["1: 100", "1: 100, 2 copies: 20", "1: 90, 2: 10", "1: 50, 2: 50", "2: 100"]);
    assert_eq!(deployments(&both).len(), 1);
    insta::assert_snapshot!("azure_canary_7_over", shown(&both));
    both.azure.calls.clear();
    both.round = SignedDuration::from_mins(45);
    for _ in 0..3 {
        assert_eq!(both.reconcile().unwrap().steps, []);
    }
}

/// What the next plan says, without taking its steps.
fn shown(both: &Both) -> String {
    let plan = plan::endpoint::plan(&both.observe());
    page(both, &plan)
}

#[test]
fn all_requests_move_at_once_when_a_person_says_so() {
    let mut both = served(&json!({"strategy": "BlueGreen", "steps": [{"pause": true}]}));
    new_version(&mut both, 2);
    let waiting = until(&mut both, phase(RolloutPhase::Paused));
    assert_eq!(waiting, ["1: 100"]);
    assert_eq!(deployments(&both).len(), 2);
    say(&mut both, "resume");
    assert_eq!(until(&mut both, is_over), ["1: 100", "2: 100"]);
    let mut both = served(&json!({"strategy": "BlueGreen"}));
    new_version(&mut both, 2);
    assert_eq!(until(&mut both, is_over), ["1: 100", "2: 100"]);
}

#[test]
fn a_version_that_azure_fails_to_make_is_given_up_and_tried_again_when_a_person_says_so() {
    for fault in [Fault::FailOperation(crash()), Fault::Refuse(400, out_of_quota())] {
        let mut both = served(&canary());
        new_version(&mut both, 2);
        both.azure.faults.push_back(Some(fault.clone()));
        assert_eq!(until(&mut both, phase(RolloutPhase::RolledBack)), ["1: 100"]);
        let rejected = rollout_of(&both).rejected.unwrap();
        let cause = if matches!(fault, Fault::Refuse(..)) { "OutOfQuota" } else { "has crashed" };
        assert!(rejected.message.contains(cause), "{}", rejected.message);
        assert_eq!(both.cluster.condition("Ready"), Some((false, Reason::RolledBack)));
        for _ in 0..20 {
            both.reconcile().unwrap();
        }
        assert_eq!(deployments(&both).len(), 1, "what failed goes");
        assert_eq!(both.cluster.condition("Stalled"), Some((true, Reason::RolledBack)));
        assert_eq!(both.cluster.condition("Serving"), Some((true, Reason::Answering)));
        if cause == "has crashed" {
            insta::assert_snapshot!("azure_canary_rolled_back", shown(&both));
        }
        say(&mut both, "retry");
        until(&mut both, in_step(1));
        say(&mut both, "promote");
        until(&mut both, is_over);
        assert_eq!(shares(&both), "2: 100");
    }
}

#[test]
fn a_failure_waits_for_a_person_when_that_is_asked_for() {
    let mut both = served(&canary());
    both.cluster.change(|spec| spec.rollout.on_failure = OnFailure::Pause);
    new_version(&mut both, 2);
    both.azure.faults.push_back(Some(Fault::FailOperation(crash())));
    until(&mut both, phase(RolloutPhase::Paused));
    assert_eq!(rollout_of(&both).pause.unwrap().cause, PauseCause::Failure);
    assert_eq!(both.cluster.condition("Stalled"), Some((true, Reason::AwaitingPerson)));
    say(&mut both, "abort");
    until(&mut both, phase(RolloutPhase::RolledBack));
    assert_eq!(shares(&both), "1: 100");
}

#[test]
fn a_third_version_in_the_middle_replaces_the_second_and_the_first_goes_on_answering() {
    let mut both = served(&canary());
    new_version(&mut both, 2);
    until(&mut both, in_step(2));
    assert_eq!(shares(&both), "1: 90, 2: 10");
    new_version(&mut both, 3);
    let all = until(&mut both, in_step(1));
    assert_eq!(all, ["1: 90, 2: 10", "1: 100", "1: 100, 3 copies: 20"]);
    for _ in 0..10 {
        both.reconcile().unwrap();
    }
    let left: Vec<String> = deployments(&both).iter().map(|it| model(&both, it)).collect();
    assert!(!left.contains(&"2".to_owned()), "{left:?}");
    // Back to what is stable: the candidate is given up.
    new_version(&mut both, 1);
    assert_eq!(until(&mut both, is_over), ["1: 100, 3 copies: 20", "1: 100"]);
}

#[test]
fn a_third_version_while_the_second_is_made_waits_for_its_end() {
    let mut both = served(&canary());
    both.azure.ticks = 5;
    new_version(&mut both, 2);
    until(&mut both, |status| status.revisions.len() > 1);
    both.reconcile().unwrap();
    new_version(&mut both, 3);
    assert_eq!(until(&mut both, in_step(1)), ["1: 100", "1: 100, 3 copies: 20"]);
    assert_eq!(both.refused, None);
}

#[test]
fn a_person_steers() {
    let mut both = served(&canary());
    new_version(&mut both, 2);
    until(&mut both, in_step(1));
    say(&mut both, "pause");
    until(&mut both, phase(RolloutPhase::Paused));
    for _ in 0..60 {
        both.reconcile().unwrap();
    }
    assert_eq!(shares(&both), "1: 100, 2 copies: 20");
    say(&mut both, "resume");
    say(&mut both, "skip-step");
    until(&mut both, in_step(2));
    say(&mut both, "abort");
    assert_eq!(until(&mut both, phase(RolloutPhase::RolledBack)), ["1: 90, 2: 10"]);
    until(&mut both, |status| status.revisions.iter().all(|it| it.traffic != Some(10)));
    assert_eq!(shares(&both), "1: 100");
    say(&mut both, "retry");
    until(&mut both, in_step(1));
    say(&mut both, "promote");
    assert_eq!(until(&mut both, phase(RolloutPhase::Completed)), ["1: 100, 2 copies: 20", "2: 100"]);
}

#[test]
fn a_person_goes_back_while_the_deployment_before_is_kept() {
    let mut both = served(&canary());
    both.cluster.change(|spec| spec.rollout.scale_down_delay_seconds = 3600);
    new_version(&mut both, 2);
    until(&mut both, in_step(1));
    say(&mut both, "promote");
    until(&mut both, phase(RolloutPhase::Completed));
    for _ in 0..20 {
        both.reconcile().unwrap();
    }
    assert_eq!(deployments(&both).len(), 2);
    say(&mut both, "rollback");
    assert_eq!(until(&mut both, phase(RolloutPhase::RolledBack)), ["2: 100", "1: 100"]);
    insta::assert_snapshot!("azure_canary_gone_back", shown(&both));
    both.round = SignedDuration::from_mins(45);
    for _ in 0..10 {
        both.reconcile().unwrap();
    }
    assert_eq!((deployments(&both).len(), shares(&both).as_str()), (1, "1: 100"));
    assert_eq!(both.cluster.condition("Serving"), Some((true, Reason::Answering)));
    // Another spec ends it.
    both.round = SignedDuration::from_secs(10);
    new_version(&mut both, 3);
    until(&mut both, in_step(1));
    assert_eq!(shares(&both), "1: 100, 3 copies: 20");
}

#[test]
fn a_deployment_that_is_gone_can_t_be_gone_back_to_and_the_refusal_says_what_can_be_done() {
    let mut both = served(&json!({"strategy": "BlueGreen"}));
    new_version(&mut both, 2);
    until(&mut both, is_over);
    say(&mut both, "rollback");
    until(&mut both, |status| status.rollout.as_ref().is_some_and(|it| it.action_refused.is_some()));
    let refused = rollout_of(&both).action_refused.unwrap();
    assert!(
        refused.contains("scaleDownDelaySeconds") && refused.contains("change the spec back"),
        "{refused}"
    );
    new_version(&mut both, 1);
    assert_eq!(until(&mut both, is_over), ["2: 100", "1: 100"]);
}

#[test]
fn what_somebody_moves_in_azure_is_told_and_moved_back_and_the_step_begins_anew() {
    let mut both = served(&canary());
    new_version(&mut both, 2);
    until(&mut both, in_step(2));
    until(&mut both, |status| {
        status.azure.iter().flat_map(|it| &it.conditions).any(|it| it.type_ == "Ready" && it.status == "True")
    });
    let before = rollout_of(&both).step_since;
    let stable = rollout_of(&both).stable;
    let candidate = rollout_of(&both).candidate.unwrap();
    both.azure.edit(&main_id(), |body| body["properties"]["traffic"] = json!({stable: 10, candidate: 90}));
    let mut told = Vec::new();
    for _ in 0..10 {
        let plan = both.reconcile().unwrap();
        told.extend(plan.events.into_iter().filter(|event| event.reason == Reason::Drifted));
    }
    assert_eq!(shares(&both), "1: 90, 2: 10");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].note.contains("/properties/traffic"), "{told:?}");
    assert_ne!(rollout_of(&both).step_since, before);
    // Who only looks tells it, and leaves it.
    both.cluster.change(|spec| spec.management.mode = ManagementMode::Plan);
    both.azure.edit(&main_id(), |body| {
        let traffic = body["properties"]["traffic"].as_object_mut().unwrap();
        traffic.values_mut().for_each(|share| *share = json!(50));
    });
    let rollout = rollout_of(&both);
    for _ in 0..5 {
        both.reconcile().unwrap();
    }
    assert_eq!(shares(&both), "1: 50, 2: 50");
    assert_eq!(both.cluster.condition("Ready"), Some((false, Reason::Planned)));
    assert_eq!(rollout_of(&both), rollout);
}

#[test]
fn no_rollout_is_taken_for_somebody_else_s_doing() {
    let mut both = served(
        &json!({"strategy": "Canary", "steps": [{"traffic": 10, "hold": "1m"}, {"traffic": 50, "hold": "1m"}]}),
    );
    new_version(&mut both, 2);
    let mut told = Vec::new();
    for _ in 0..80 {
        told.extend(both.reconcile().unwrap().events);
    }
    assert_eq!(shares(&both), "2: 100");
    let drifted: Vec<_> = told.iter().filter(|event| event.reason == Reason::Drifted).collect();
    assert!(drifted.is_empty(), "{drifted:?}");
    insta::assert_debug_snapshot!(
        "azure_canary_events",
        told.iter()
            .map(|it| {
                let names = both.cluster.revisions().iter().enumerate();
                let note = names.fold(it.note.clone(), |note, (index, name)| {
                    note.replace(name, &format!("r{}", index + 1))
                });
                format!("{:?} {}: {note}", it.type_, it.reason.name())
            })
            .collect::<Vec<_>>()
    );
}

#[test]
fn a_status_that_was_lost_in_the_middle_moves_nobody() {
    let mut both = served(&canary());
    new_version(&mut both, 2);
    until(&mut both, in_step(2));
    both.cluster.endpoint.status = None;
    let all = until(&mut both, in_step(1));
    assert_eq!(all, ["1: 90, 2: 10", "1: 100, 2 copies: 20"]);
}

#[test]
fn a_read_from_before_the_move_begins_no_step() {
    let mut both = served(&canary());
    new_version(&mut both, 2);
    let before = both.azure.get(&main_id()).unwrap().clone();
    both.azure.ticks = 0;
    both.stale.insert(main_id(), before);
    for _ in 0..30 {
        both.reconcile().unwrap();
        assert_eq!(rollout_of(&both).step_since, None);
    }
    both.stale.clear();
    until(&mut both, in_step(1));
}

#[test]
fn a_query_that_fails_ends_the_rollout() {
    let mut rollout = canary();
    rollout["analysis"] =
        json!({"queries": [{"name": "errors", "query": "errors{deployment='$revision'}", "max": 0.01}]});
    let mut both = served(&rollout);
    let answer =
        |value: f64| Evidence { queries: [("errors".to_owned(), Ok(value))].into(), ..Evidence::default() };
    both.cluster.evidence = Some(answer(0.0));
    new_version(&mut both, 2);
    until(&mut both, in_step(2));
    both.cluster.evidence = Some(answer(0.5));
    until(&mut both, phase(RolloutPhase::RolledBack));
    assert!(rollout_of(&both).rejected.unwrap().message.contains("errors"));
    for _ in 0..20 {
        both.reconcile().unwrap();
    }
    assert_eq!((shares(&both).as_str(), deployments(&both).len()), ("1: 100", 1));
}

/// What Azure Monitor counted: good answers, status 4xx and status 5xx of the candidate, and as much without errors of
/// the stable version.
fn measured(both: &Both, good: u64, refused: u64, failed: u64) -> Evidence {
    let rollout = rollout_of(both);
    let candidate = Sample { good, refused, failed, ..Sample::default() };
    let stable = Sample { good: 10 * (good + refused + failed), ..Sample::default() };
    let revisions = [(rollout.candidate.unwrap_or_default(), candidate), (rollout.stable, stable)];
    Evidence { revisions: revisions.into(), ..Evidence::default() }
}

/// A rollout whose errors are measured, with a second version in the step with copies.
#[track_caller]
fn counted() -> Both {
    let mut rollout = canary();
    rollout["analysis"] = json!({"minRequests": 100, "maxErrorRate": 0.01, "inconclusiveAfterSeconds": 600});
    let mut both = served(&rollout);
    new_version(&mut both, 2);
    until(&mut both, in_step(1));
    both
}

#[test]
fn a_version_passes_by_the_requests_that_azure_monitor_counts() {
    let mut both = counted();
    // What too few copies say waits for more, however long ago the hold was over.
    both.cluster.evidence = Some(measured(&both, 99, 0, 0));
    for _ in 0..40 {
        both.reconcile().unwrap();
    }
    assert_eq!(rollout_of(&both).checks[0].message.split(':').next(), Some("99 of 100 requests so far"));
    both.cluster.evidence = Some(measured(&both, 999, 1, 0));
    until(&mut both, in_step(2));
    both.cluster.evidence = Some(measured(&both, 999, 0, 1));
    until(&mut both, phase(RolloutPhase::Paused));
    assert_eq!(
        rollout_of(&both).checks[0].message,
        "0.1 % of 1,000 answers are errors, at most 1.0 % are allowed; stable: 0.0 % of 10,000"
    );
    say(&mut both, "resume");
    until(&mut both, phase(RolloutPhase::Completed));
    assert_eq!(shares(&both), "2: 100");
}

#[test]
fn a_version_fails_by_its_copies_its_own_errors_or_those_that_azure_answers_in_their_place() {
    for (step, refused, failed) in [(1, 60, 0), (1, 0, 60), (2, 60, 0), (2, 0, 60)] {
        let mut both = counted();
        both.cluster.evidence = Some(measured(&both, 1000, 0, 0));
        until(&mut both, in_step(step));
        both.cluster.evidence = Some(measured(&both, 940, refused, failed));
        until(&mut both, phase(RolloutPhase::RolledBack));
        let message = rollout_of(&both).rejected.unwrap().message;
        assert!(message.starts_with("errorRate: 6.0 % of 1,000 answers are errors"), "{message}");
        until(&mut both, |status| status.revisions.iter().all(|it| it.traffic != Some(10)));
        assert_eq!(shares(&both), "1: 100");
    }
}

#[test]
fn a_version_that_can_t_be_measured_waits_for_a_person_and_the_cause_is_told() {
    let mut both = counted();
    let cause = "Azure Monitor can't be asked: give the operator's identity the role Monitoring Reader on the workspace";
    both.cluster.evidence = Some(Evidence { unavailable: Some(cause.to_owned()), ..Evidence::default() });
    until(&mut both, phase(RolloutPhase::Paused));
    let pause = rollout_of(&both).pause.unwrap();
    assert_eq!(pause.cause, PauseCause::Inconclusive);
    assert_eq!(pause.message, format!("errorRate: {cause}"));
    assert_eq!(shares(&both), "1: 100, 2 copies: 20");
}

#[test]
fn azure_monitor_is_asked_during_a_step_that_is_measured_and_at_no_other_time() {
    let mut both = counted();
    let asked = |both: &Both| wanted(&both.cluster.endpoint);
    let since = rollout_of(&both).step_since.unwrap().0;
    assert_eq!(asked(&both), Some(Wanted { since, latency: false }));
    both.cluster.endpoint.spec.management.mode = ManagementMode::Plan;
    assert_eq!(asked(&both), None);
    both.cluster.endpoint.spec.management.mode = ManagementMode::Manage;
    let analysis = both.cluster.endpoint.spec.rollout.analysis.take();
    assert_eq!(asked(&both), None);
    both.cluster.endpoint.spec.rollout.analysis = analysis;
    both.cluster.change(|spec| spec.rollout.analysis.as_mut().unwrap().max_p95_latency_ratio = Some(1.5));
    // Latencies of copies are compared nowhere.
    assert_eq!(asked(&both), Some(Wanted { since, latency: false }));
    both.cluster.evidence = Some(measured(&both, 1000, 0, 0));
    until(&mut both, in_step(2));
    assert!(asked(&both).is_some_and(|it| it.latency && it.since > since));
    say(&mut both, "pause");
    until(&mut both, phase(RolloutPhase::Paused));
    assert_eq!(asked(&both), None);
    say(&mut both, "promote");
    until(&mut both, is_over);
    assert_eq!(asked(&both), None);
}

#[test]
fn on_a_cluster_behind_arc_nothing_is_said_of_copies() {
    let mut endpoint = managed();
    endpoint.spec.target.type_ = TargetType::ArcKubernetes;
    endpoint.spec.target.compute_id = Some(format!("{WORKSPACE}/computes/arc"));
    let mut both =
        served_as(endpoint, &json!({"strategy": "Canary", "steps": [{"traffic": 10, "hold": "5m"}]}));
    new_version(&mut both, 2);
    assert_eq!(until(&mut both, in_step(1)), ["1: 100", "1: 90, 2: 10"]);
    assert_eq!(until(&mut both, is_over), ["1: 90, 2: 10", "2: 100"]);
    assert_eq!(both.azure.get(&main_id()).unwrap()["properties"]["mirrorTraffic"], Value::Null);
}

#[test]
fn a_strategy_that_comes_with_a_new_version_begins_with_who_answers() {
    let mut both = super::served();
    both.round = SignedDuration::from_secs(10);
    both.cluster.change(|spec| {
        spec.rollout = serde_json::from_value(canary()).unwrap();
        spec.model.uri = version(2);
    });
    assert_eq!(until(&mut both, in_step(1)), ["1: 100", "1: 100, 2 copies: 20"]);
    // Without it, requests move at once.
    both.cluster.change(|spec| spec.rollout = Rollout::default());
    both.round = SignedDuration::from_mins(45);
    both.settle(30).unwrap();
    assert_eq!(shares(&both), "2: 100");
    assert_eq!(both.cluster.endpoint.status.clone().unwrap().rollout, None);
}

#[test]
fn revisions_of_the_cluster_and_their_route_go_once_azure_serves() {
    let mut both = both(testkit::endpoint("churn").canary(&json!([{"traffic": 10, "hold": "5m"}])).build());
    both.cluster.endpoint.spec.target =
        serde_json::from_value(json!({"workspaceRef": {"name": "dev"}})).unwrap();
    both.cluster.endpoint.spec.model.uri = version(1);
    for _ in 0..6 {
        both.reconcile().unwrap();
        both.cluster.run_pods(&[]);
    }
    let left = |both: &Both| {
        let kinds = [ChildKind::Deployment, ChildKind::Service];
        let further: usize = kinds.iter().map(|kind| both.cluster.others(*kind).len()).sum();
        (both.cluster.objects().count(), further, both.cluster.routes().count())
    };
    let before = left(&both);
    assert!(before.1 > 1 && before.2 == 1, "{before:?}");
    let mut there = managed();
    there.spec.rollout = serde_json::from_value(canary()).unwrap();
    both.cluster.become_like(&there);
    until(&mut both, |status| status.url.as_ref().is_some_and(|url| url.ends_with("/score")));
    for _ in 0..10 {
        both.reconcile().unwrap();
    }
    assert_eq!(left(&both), (0, 0, 0));
    assert_eq!((shares(&both).as_str(), rollout_of(&both).phase), ("1: 100", RolloutPhase::Completed));
}

#[test]
fn another_number_of_instances_reaches_the_candidate_and_keeps_its_share() {
    let mut both = served(&canary());
    new_version(&mut both, 2);
    until(&mut both, in_step(2));
    both.cluster.change(|spec| spec.scaling.replicas = Some(3));
    for _ in 0..10 {
        let plan = both.reconcile().unwrap();
        keeps_its_promises(&both, &plan);
        assert_eq!(shares(&both), "1: 90, 2: 10");
    }
    let candidate = rollout_of(&both).candidate.unwrap();
    let body = both.azure.get(&inside(&format!("onlineEndpoints/churn/deployments/{candidate}"))).unwrap();
    assert_eq!(body["sku"]["capacity"], 3);
}
