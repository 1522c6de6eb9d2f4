//! Rollouts whose revisions have Deployments of their own: who gets which share of the requests, and when.
use api::endpoint::{PauseCause, RolloutPhase, RolloutStatus, RolloutStrategy};
use api::meta::{REVISION_LABEL, ROLLOUT_ACTION_ANNOTATION};
use api::{EndpointStatus, Reason};
use jiff::SignedDuration;
use plan::ChildKind;
use plan::endpoint::rollout::evidence::{Evidence, Sample};
use serde_json::{Value, json};
use testkit::{EndpointFixture, Trouble, World, endpoint};

fn steps() -> Value {
    json!([{"mirror": 20, "hold": "5m"}, {"traffic": 10, "hold": "5m"}, {"traffic": 50, "hold": "10m"}])
}

/// Reconciles, and lets the pods start, until nothing is left to do.
#[track_caller]
fn settle(world: &mut World, broken: &[&str]) -> EndpointStatus {
    for _ in 0..20 {
        let plan = world.reconcile().expect("the API server takes every step");
        world.run_pods(broken);
        let quiet = plan::endpoint::plan(&world.observe());
        if plan.steps.is_empty() && quiet.steps.is_empty() {
            keeps_its_promises(world, broken);
            return plan.status;
        }
    }
    panic!("still busy after 20 rounds: {:?}", plan::endpoint::plan(&world.observe()).steps);
}

/// Shares sum up to a hundred, and go to revisions that have an address and pods that answer.
#[track_caller]
fn keeps_its_promises(world: &World, broken: &[&str]) {
    if world.routes().next().is_none() {
        return;
    }
    let (weights, _) = route(world);
    assert_eq!(weights.iter().map(|(_, weight)| weight).sum::<i64>(), 100, "{weights:?}");
    let pods: std::collections::BTreeMap<String, i64> = pods(world).into_iter().collect();
    for (revision, weight) in weights {
        let has_address = world.others(ChildKind::Service).contains_key(revision.as_str())
            || world.endpoint.metadata.name.as_ref() == Some(&revision);
        assert!(has_address, "{revision} has no address");
        let answers = pods.get(&revision).is_none_or(|it| *it > 0) && !broken.contains(&revision.as_str());
        assert!(weight == 0 || answers, "{revision} gets {weight} % of the requests and can't answer");
    }
}

fn ready(fixture: EndpointFixture) -> World {
    let mut world = World::new(fixture.build());
    settle(&mut world, &[]);
    assert_eq!(world.condition("Ready"), Some((true, Reason::Ready)));
    world
}

fn new_model(world: &mut World, version: u32) {
    let uri = format!("https://models.example/churn/{version}/model.onnx");
    world.change(|spec| spec.model.uri = uri);
}

fn pass(world: &mut World, minutes: i64) {
    world.now = world.now.checked_add(SignedDuration::from_mins(minutes)).unwrap();
}

fn say(world: &mut World, action: &str) {
    let annotations = world.endpoint.metadata.annotations.get_or_insert_default();
    annotations.insert(ROLLOUT_ACTION_ANNOTATION.to_owned(), format!("{action}@{}", world.now));
}

fn rollout(world: &World) -> RolloutStatus {
    world.endpoint.status.clone().unwrap().rollout.unwrap()
}

/// The shares in the routing document: each revision's weight, and the mirror's percentage.
fn route(world: &World) -> (Vec<(String, i64)>, Option<i64>) {
    let document = world.routes().next().expect("there is a routing document")["data"]["route.json"].clone();
    let document: Value = serde_json::from_str(document.as_str().unwrap()).unwrap();
    let weight = |it: &Value| (it["name"].as_str().unwrap().to_owned(), it["weight"].as_i64().unwrap());
    let weights = document["revisions"].as_array().unwrap().iter().map(weight).collect();
    (weights, document["mirror"]["percent"].as_i64())
}

/// How many pods each revision is to have.
fn pods(world: &World) -> Vec<(String, i64)> {
    let of_name = world.object(ChildKind::Deployment).into_iter();
    let all = of_name.chain(world.others(ChildKind::Deployment).into_values());
    let pods = |it: &Value| {
        let labels = &it["spec"]["template"]["metadata"]["labels"];
        (labels[REVISION_LABEL].as_str().unwrap().to_owned(), it["spec"]["replicas"].as_i64().unwrap())
    };
    all.map(pods).collect()
}

fn selected(world: &World) -> Option<String> {
    let service = world.object(ChildKind::Service).unwrap();
    service["spec"]["selector"][REVISION_LABEL].as_str().map(str::to_owned)
}

#[test]
fn the_first_revision_takes_all_requests_without_steps() {
    let world = ready(endpoint("churn").replicas(2).canary(&steps()));
    let status = rollout(&world);
    assert_eq!((status.phase, status.candidate), (RolloutPhase::Completed, None));
    assert_eq!(route(&world), (vec![(status.stable.clone(), 100)], None));
    assert_eq!(pods(&world), [(status.stable.clone(), 2)]);
    assert_eq!(selected(&world), Some(status.stable));
}

/// What a ServingRuntime begins to speak, the pods that it made before do not.
#[test]
fn each_revision_is_asked_in_what_its_own_pods_speak() {
    let mut world = ready(endpoint("churn").canary(&steps()));
    let stable = rollout(&world).stable;
    for runtime in &mut world.runtimes {
        runtime.spec.grpc_port = Some(9000);
        runtime.spec.protocol = api::serving_runtime::Protocol::H2c;
    }
    settle(&mut world, &[]);
    let document = world.routes().next().expect("there is a routing document")["data"]["route.json"].clone();
    let document: Value = serde_json::from_str(document.as_str().unwrap()).unwrap();
    let revisions = document["revisions"].as_array().unwrap();
    let speaks = |it: &Value| (it["protocol"].clone(), it["grpcAddress"].is_string());
    assert_eq!((revisions.len(), revisions[0]["name"].as_str()), (2, Some(&*stable)));
    assert_eq!((speaks(&revisions[0]), speaks(&revisions[1])), ((Value::Null, false), (json!("H2C"), true)));
}

#[test]
fn a_canary_goes_step_by_step_and_no_pod_is_restarted() {
    let mut world = ready(endpoint("churn").replicas(4).canary(&steps()));
    let old = rollout(&world).stable;
    new_model(&mut world, 2);
    settle(&mut world, &[]);
    let new = rollout(&world).candidate.unwrap();
    assert_eq!(route(&world), (vec![(old.clone(), 100), (new.clone(), 0)], Some(20)));
    assert_eq!(
        pods(&world),
        [(new.clone(), 1), (old.clone(), 4)]
            .into_iter()
            .collect::<std::collections::BTreeMap<_, _>>()
            .into_iter()
            .collect::<Vec<_>>()
    );
    let by_name = |world: &World| pods(world).into_iter().collect::<std::collections::BTreeMap<_, _>>();
    assert_eq!(by_name(&world), [(new.clone(), 1), (old.clone(), 4)].into());
    pass(&mut world, 4);
    settle(&mut world, &[]);
    assert_eq!(rollout(&world).step, Some(1), "the hold is not over");
    let template = |world: &World, revision: &str| {
        world.others(ChildKind::Deployment)[revision]["spec"]["template"].clone()
    };
    let before = template(&world, &new);
    for (minutes, weight) in [(2, 10), (6, 50)] {
        pass(&mut world, minutes);
        settle(&mut world, &[]);
        assert_eq!(route(&world), (vec![(old.clone(), 100 - weight), (new.clone(), weight)], None));
        assert_eq!(selected(&world).as_ref(), Some(&old));
        assert_eq!(world.condition("Ready"), Some((false, Reason::RollingOut)));
    }
    pass(&mut world, 11);
    settle(&mut world, &[]);
    assert_eq!(route(&world), (vec![(new.clone(), 100)], None));
    assert_eq!(selected(&world).as_ref(), Some(&new));
    assert_eq!(world.condition("Ready"), Some((true, Reason::Ready)));
    assert_eq!(template(&world, &new), before);
    assert_eq!(by_name(&world), [(new.clone(), 4), (old.clone(), 4)].into());
    pass(&mut world, 1);
    settle(&mut world, &[]);
    assert_eq!(by_name(&world), [(new, 4), (old, 0)].into());
}

#[test]
fn requests_move_only_when_the_pods_for_them_answer() {
    let mut world = ready(endpoint("churn").replicas(4).canary(&json!([{"traffic": 50, "hold": "1m"}])));
    let old = rollout(&world).stable;
    new_model(&mut world, 2);
    let plan = world.reconcile().unwrap();
    let new = plan.status.rollout.unwrap().candidate.unwrap();
    settle(&mut world, &[&new]);
    assert_eq!(route(&world).0, [(old.clone(), 100), (new.clone(), 0)]);
    assert_eq!(rollout(&world).step_since, None);
    let candidate = pods(&world).into_iter().find(|(name, _)| *name == new).unwrap();
    assert_eq!(candidate.1, 2, "half of four");
    settle(&mut world, &[]);
    assert_eq!(route(&world).0, [(old, 50), (new, 50)]);
}

#[test]
fn a_pod_that_alone_cannot_fetch_the_model_is_no_fault_of_the_revision() {
    let trouble = |reason| Trouble::LastWord { reason, message: "no address for the host", restarts: 2 };
    for (reason, answering, phase) in [
        ("ModelFetchFailed", 1, RolloutPhase::Progressing),
        ("ModelFetchFailed", 0, RolloutPhase::RolledBack),
        ("ModelLoadFailed", 1, RolloutPhase::RolledBack),
    ] {
        let mut world = ready(endpoint("churn").replicas(4).canary(&json!([{"traffic": 50, "hold": "1m"}])));
        new_model(&mut world, 2);
        let new = world.reconcile().unwrap().status.rollout.unwrap().candidate.unwrap();
        world.run_pods(&[]);
        world.trouble(&new, answering, &trouble(reason));
        world.reconcile().unwrap();
        assert_eq!(rollout(&world).phase, phase, "{reason}, {answering} answer");
    }
}

#[test]
fn a_worse_candidate_loses_all_requests_at_once_and_is_not_tried_again() {
    let fixture = endpoint("churn").canary(&json!([{"traffic": 50, "hold": "5m"}]));
    let mut world = ready(fixture.analysis(&json!({"minRequests": 100, "maxErrorRate": 0.01})));
    let old = rollout(&world).stable;
    new_model(&mut world, 2);
    settle(&mut world, &[]);
    let new = rollout(&world).candidate.unwrap();
    let sample = |failed| Sample { good: 1000 - failed, failed, ..Sample::default() };
    let revisions = [(old.clone(), sample(0)), (new.clone(), sample(400))].into();
    world.evidence = Some(Evidence { revisions, ..Evidence::default() });
    settle(&mut world, &[]);
    assert_eq!(route(&world), (vec![(old.clone(), 100)], None));
    assert_eq!(world.condition("Stalled"), Some((true, Reason::RolledBack)));
    assert_eq!(world.condition("Serving").map(|it| it.0), Some(true));
    let rejected = rollout(&world).rejected.unwrap();
    assert_eq!(rejected.revision, new);
    assert!(rejected.message.contains("errorRate"), "{}", rejected.message);
    pass(&mut world, 60);
    settle(&mut world, &[]);
    assert_eq!(rollout(&world).phase, RolloutPhase::RolledBack);
    say(&mut world, "retry");
    world.evidence = None;
    settle(&mut world, &[]);
    assert_eq!(rollout(&world).candidate, Some(new), "a person may try it again");
}

#[test]
fn a_candidate_is_not_judged_by_a_gateway_that_is_away() {
    let fixture = endpoint("churn").canary(&json!([{"traffic": 50, "hold": "5m"}]));
    let mut world = ready(fixture.analysis(&json!({"maxErrorRate": 0.01, "inconclusiveAfterSeconds": 600})));
    new_model(&mut world, 2);
    settle(&mut world, &[]);
    world.evidence = Some(Evidence { unavailable: Some("nobody answers".into()), ..Evidence::default() });
    pass(&mut world, 6);
    settle(&mut world, &[]);
    assert_eq!((rollout(&world).phase, rollout(&world).step), (RolloutPhase::Progressing, Some(1)));
    pass(&mut world, 10);
    settle(&mut world, &[]);
    assert_eq!(rollout(&world).pause.map(|it| it.cause), Some(PauseCause::Inconclusive));
    assert_eq!(world.condition("Stalled"), Some((true, Reason::AwaitingPerson)));
    say(&mut world, "promote");
    settle(&mut world, &[]);
    assert_eq!(world.condition("Ready"), Some((true, Reason::Ready)));
}

#[test]
fn a_change_in_the_middle_starts_anew_and_a_change_back_ends_the_rollout() {
    let mut world = ready(endpoint("churn").canary(&steps()));
    let old = rollout(&world).stable;
    new_model(&mut world, 2);
    settle(&mut world, &[]);
    let second = rollout(&world).candidate.unwrap();
    pass(&mut world, 6);
    settle(&mut world, &[]);
    new_model(&mut world, 3);
    settle(&mut world, &[]);
    let third = rollout(&world).candidate.unwrap();
    assert_ne!(third, second);
    assert_eq!(rollout(&world).step, Some(1));
    assert_eq!(route(&world), (vec![(old.clone(), 100), (third.clone(), 0)], Some(20)));
    new_model(&mut world, 1);
    settle(&mut world, &[]);
    assert_eq!(route(&world), (vec![(old, 100)], None));
    assert_eq!(rollout(&world).phase, RolloutPhase::Completed);
    assert_eq!(world.condition("Ready"), Some((true, Reason::Ready)));
}

#[test]
fn a_person_pauses_resumes_skips_and_aborts() {
    let plan = json!([{"traffic": 10}, {"pause": true}, {"traffic": 50, "hold": "10m"}]);
    let mut world = ready(endpoint("churn").canary(&plan));
    new_model(&mut world, 2);
    settle(&mut world, &[]);
    assert_eq!(rollout(&world).pause.map(|it| it.cause), Some(PauseCause::Step));
    assert_eq!(world.condition("Ready"), Some((false, Reason::AwaitingPerson)));
    assert_eq!(world.condition("Stalled"), None, "waiting for a person is no failure");
    assert_eq!(route(&world).0.last().unwrap().1, 10, "a pause keeps what was set before");
    say(&mut world, "resume");
    settle(&mut world, &[]);
    assert_eq!(route(&world).0.last().unwrap().1, 50);
    say(&mut world, "pause");
    settle(&mut world, &[]);
    pass(&mut world, 30);
    settle(&mut world, &[]);
    assert_eq!((rollout(&world).phase, rollout(&world).step), (RolloutPhase::Paused, Some(3)));
    say(&mut world, "abort");
    settle(&mut world, &[]);
    assert_eq!(rollout(&world).phase, RolloutPhase::RolledBack);
    say(&mut world, "resume");
    let plan = world.reconcile().unwrap();
    assert!(plan.events.iter().any(|event| event.reason == Reason::ActionRefused), "{:?}", plan.events);
}

#[test]
fn a_person_goes_back_without_steps_and_the_next_change_rolls_out_again() {
    let mut world = ready(endpoint("churn").canary(&json!([{"traffic": 50, "hold": "1m"}])));
    let first = rollout(&world).stable;
    new_model(&mut world, 2);
    settle(&mut world, &[]);
    pass(&mut world, 2);
    settle(&mut world, &[]);
    let second = rollout(&world).stable;
    assert_ne!(first, second);
    pass(&mut world, 5);
    settle(&mut world, &[]);
    say(&mut world, "rollback");
    settle(&mut world, &[]);
    assert_eq!(route(&world), (vec![(first.clone(), 100)], None));
    assert_eq!((rollout(&world).phase, rollout(&world).stable), (RolloutPhase::RolledBack, first.clone()));
    assert_eq!(world.condition("Stalled"), Some((true, Reason::RolledBack)));
    pass(&mut world, 60);
    settle(&mut world, &[]);
    assert_eq!(rollout(&world).stable, first, "nothing goes forward by itself");
    new_model(&mut world, 3);
    settle(&mut world, &[]);
    assert_eq!(rollout(&world).phase, RolloutPhase::Progressing);
}

#[test]
fn a_person_goes_back_only_to_what_was_stable() {
    let fixture = endpoint("churn").canary(&json!([{"traffic": 50, "hold": "5m"}]));
    let mut world = ready(fixture.analysis(&json!({"minRequests": 100, "maxErrorRate": 0.01})));
    let first = rollout(&world).stable;
    new_model(&mut world, 2);
    settle(&mut world, &[]);
    let worse = rollout(&world).candidate.unwrap();
    say(&mut world, "abort");
    settle(&mut world, &[]);
    for version in 3..7 {
        pass(&mut world, 60);
        new_model(&mut world, version);
        settle(&mut world, &[]);
    }
    say(&mut world, "promote");
    settle(&mut world, &[]);
    pass(&mut world, 60);
    settle(&mut world, &[]);
    assert_ne!(rollout(&world).stable, first);
    assert_eq!(pods(&world).len(), 2, "what was never stable is not kept in place of what was");
    say(&mut world, &format!("rollback={worse}"));
    settle(&mut world, &[]);
    let refused = rollout(&world).action_refused.unwrap();
    assert!(refused.contains(&first) && !refused.contains(&worse), "{refused}");
    say(&mut world, "rollback");
    settle(&mut world, &[]);
    assert_eq!(rollout(&world).stable, first, "{worse} was made later, and never proven");
}

#[test]
fn a_word_that_the_status_has_no_room_for_is_refused_in_part() {
    let mut world = ready(endpoint("churn").canary(&steps()));
    let long = "ü".repeat(1_000);
    for word in [long.clone(), format!("rollback={long}")] {
        say(&mut world, &word);
        settle(&mut world, &[]);
        let status = rollout(&world);
        let handled = status.handled_action.unwrap();
        assert!(word.starts_with(&handled) && handled.len() > 500, "{handled}");
        for kept in [handled, status.action_refused.unwrap()] {
            assert!(kept.len() <= 512, "{kept}");
        }
    }
}

#[test]
fn old_revisions_are_kept_as_long_as_the_history_says() {
    let mut world = ready(endpoint("churn").canary(&json!([{"traffic": 50}])));
    for version in 2..7 {
        new_model(&mut world, version);
        settle(&mut world, &[]);
        pass(&mut world, 5);
        settle(&mut world, &[]);
    }
    assert_eq!(pods(&world).len(), 3, "the present one and two from before");
    assert_eq!(world.others(ChildKind::Service).len(), 1, "only the present one has an address");
}

#[test]
fn an_endpoint_with_one_deployment_becomes_progressive_and_back_without_a_restart() {
    let mut world = World::new(endpoint("churn").replicas(2).build());
    for _ in 0..3 {
        world.reconcile().unwrap();
        world.run_pods(&[]);
    }
    let template = world.object(ChildKind::Deployment).unwrap()["spec"]["template"].clone();
    world.change(|spec| {
        spec.rollout.strategy = RolloutStrategy::Canary;
        spec.rollout.steps = serde_json::from_value(json!([{"traffic": 50, "hold": "1m"}])).unwrap();
    });
    settle(&mut world, &[]);
    assert_eq!(world.object(ChildKind::Deployment).unwrap()["spec"]["template"], template);
    assert_eq!(world.others(ChildKind::Deployment).len(), 0);
    let old = rollout(&world).stable;
    new_model(&mut world, 2);
    settle(&mut world, &[]);
    let new = rollout(&world).candidate.unwrap();
    assert_eq!(route(&world).0, [(old, 50), (new.clone(), 50)]);
    pass(&mut world, 2);
    settle(&mut world, &[]);
    pass(&mut world, 2);
    settle(&mut world, &[]);
    assert_eq!(selected(&world), Some(new.clone()));
    world.change(|spec| {
        spec.rollout.strategy = RolloutStrategy::RollingUpdate;
        spec.rollout.steps = Vec::new();
    });
    let plan = world.reconcile().unwrap();
    assert_eq!(
        selected(&world),
        Some(new),
        "the old address stays until the one Deployment answers: {:?}",
        plan.steps
    );
    settle(&mut world, &[]);
    assert_eq!(world.others(ChildKind::Deployment).len(), 0);
    assert_eq!((selected(&world), world.routes().count()), (None, 0));
    assert_eq!(world.object(ChildKind::Deployment).unwrap()["spec"]["replicas"], 2);
}

#[test]
fn what_needs_the_gateway_is_refused_without_one() {
    let mut world = World::new(endpoint("churn").canary(&steps()).build());
    world.settings.gateway = None;
    let plan = world.reconcile().unwrap();
    assert_eq!(plan.steps, []);
    assert_eq!(world.condition("Stalled"), Some((true, Reason::GatewayNeeded)));
}

#[test]
fn where_callers_prove_who_they_are_only_the_gateway_reaches_the_pods() {
    let auth = json!({"mode": "AadToken", "token": {"issuer": "https://login.example/t/v2.0",
        "audience": "api", "jwksUri": "https://login.example/keys", "role": "score"}});
    let mut world = World::new(endpoint("churn").auth(&auth).build());
    world.reconcile().unwrap();
    let ingress = &world.object(ChildKind::NetworkPolicy).unwrap()["spec"]["ingress"][0];
    let from = &ingress["from"][0];
    assert_eq!(from["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"], "mlops-system");
    assert_eq!(from["podSelector"]["matchLabels"]["app.kubernetes.io/name"], "mlops-gateway");
    let document = world.routes().next().unwrap()["data"]["route.json"].as_str().unwrap();
    let document: Value = serde_json::from_str(document).unwrap();
    assert_eq!(document["auth"]["role"], "score");
    let url = world.endpoint.status.unwrap().url.unwrap();
    assert_eq!(url, "http://mlops-gateway.mlops-system.svc/endpoints/team/churn/v2/models/churn/infer");
}

#[test]
fn captures_go_below_the_endpoints_own_folder_in_the_format_that_was_asked_for() {
    let uri = "https://telemetry.blob.core.windows.net/captures/";
    let captured = |format: Value| {
        let mut world = World::new(endpoint("churn").build());
        let capture = json!({"store": {"uri": uri}, "format": format, "mask": ["age"]});
        world.change(|spec| spec.capture = serde_json::from_value(capture).unwrap());
        world.reconcile().unwrap();
        let document = world.routes().next().unwrap()["data"]["route.json"].as_str().unwrap().to_owned();
        serde_json::from_str::<Value>(&document).unwrap()["capture"].clone()
    };
    let azure = format!("{uri}team/churn");
    let lines = json!({"percent": 100.0, "store": {"azure": azure}, "masks": ["age"]});
    assert_eq!(captured(json!("JSONLines")), lines);
    let mut parquet = lines;
    parquet["format"] = json!("Parquet");
    assert_eq!(captured(json!("Parquet")), parquet);
}
