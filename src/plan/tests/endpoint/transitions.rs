//! From one spec to another: it does not matter by which way (row R16), a bad one leaves no trace (row R17), and whoever
//! asks is answered at every step.
use std::collections::BTreeMap;

use api::endpoint::{Rollout, RolloutPhase, RolloutStatus, RolloutStrategy};
use api::meta::REVISION_LABEL;
use api::{Endpoint, EndpointSpec, EndpointStatus, Reason};
use jiff::SignedDuration;
use plan::child::Controller;
use plan::endpoint::keys::{self, Both, SecretSeen};
use plan::endpoint::rollout::evidence::{Evidence, MirrorSample, Sample};
use plan::{ChildKind, Next, Plan, Step};
use serde_json::{Value, json};
use testkit::World;
use testkit::specs::{Place, spec};

/// How many pairs of specs, and how many bad specs.
const TRIALS: u64 = 200;
/// More rounds than any change takes.
const ROUNDS: usize = 120;

/// The name of a Secret that is not there.
const ABSENT: &str = "absent";

const PLACE: Place = Place {
    namespace: testkit::NAMESPACE,
    domain: "models.example",
    captures: "https://telemetry.blob.core.windows.net/captures",
};

/// What is asked of a world after each step, with the step in words.
type Check<'c> = &'c mut dyn FnMut(&World, &str);

fn anything(_: &World, _: &str) {}

fn endpoint(spec: &Value) -> Endpoint {
    let mut endpoint = testkit::endpoint("churn").build();
    endpoint.spec = serde_json::from_value::<EndpointSpec>(spec.clone()).unwrap();
    endpoint
}

fn rollout(world: &World) -> Option<RolloutStatus> {
    world.endpoint.status.clone()?.rollout
}

fn deployments(world: &World) -> Vec<&Value> {
    let further = world.others(ChildKind::Deployment).into_values();
    world.object(ChildKind::Deployment).into_iter().chain(further).collect()
}

fn revision(deployment: &Value) -> String {
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    labels[REVISION_LABEL].as_str().unwrap_or_default().to_owned()
}

/// The routing document, if there is one.
fn route(world: &World) -> Option<Value> {
    let document = world.routes().next()?["data"]["route.json"].as_str()?.to_owned();
    Some(serde_json::from_str(&document).unwrap())
}

/// A candidate that does as well as the revision before.
fn evidence(world: &World) -> Option<Evidence> {
    let rollout = rollout(world)?;
    let mirror = MirrorSample { agreed: 1000, same_predictions: 1000, ..MirrorSample::default() };
    let sample = Sample { good: 1000, latency: vec![(0.01, 1000)], mirror, ..Sample::default() };
    let revisions = [(rollout.candidate?, sample.clone()), (rollout.stable, sample)].into();
    Some(Evidence { revisions, ..Evidence::default() })
}

/// The Secret with the keys that the spec asks for, always the same; none where it names one that is not there.
fn secret(world: &World) -> Option<SecretSeen> {
    keys::secret(&world.endpoint).filter(|it| it.name != ABSENT)?;
    let metadata = &world.endpoint.metadata;
    let controller =
        Controller { kind: "Endpoint".to_owned(), name: metadata.name.clone()?, uid: metadata.uid.clone()? };
    Some(SecretSeen {
        uid: "keys".to_owned(),
        version: "1".to_owned(),
        controller: Some(controller),
        digests: Both { primary: Some("ab".repeat(32)), secondary: Some("cd".repeat(32)) },
        ..SecretSeen::default()
    })
}

/// One reconcile with all its steps, and then the pods, of which those of other revisions than `only` never answer.
fn tick(world: &mut World, only: Option<&str>, check: Check) -> Plan<EndpointStatus> {
    world.evidence = evidence(world);
    world.secret = secret(world);
    let plan = plan::endpoint::plan(&world.observe());
    world.now = world.now.checked_add(SignedDuration::from_secs(1)).unwrap();
    for step in &plan.steps {
        world.take(step).unwrap();
        check(world, &step.to_string());
    }
    world.endpoint.status = Some(plan.status.clone());
    // What the operator writes itself does not wake it; only what others say of a Deployment does.
    let left = plan::endpoint::plan(&world.observe()).steps;
    let has_news =
        plan.steps.iter().any(|step| matches!(step, Step::Apply(it) if it.kind == ChildKind::Deployment));
    assert!(
        left.is_empty() || has_news || plan.next != Next::OnChange,
        "nobody comes back for {left:?} after {:?}",
        plan.steps
    );
    let revisions: Vec<String> = deployments(world).into_iter().map(revision).collect();
    let broken: Vec<&str> =
        revisions.iter().map(String::as_str).filter(|it| only.is_some_and(|only| only != *it)).collect();
    world.run_pods(&broken);
    check(world, "pods start and stop");
    plan
}

/// Lets time pass until the last step of the rollout is over and nothing is left to do.
#[track_caller]
fn settle(world: &mut World, only: Option<&str>, check: Check) {
    let mut quiet = 0;
    for _ in 0..ROUNDS {
        let plan = tick(world, only, check);
        let is_under_way = rollout(world).is_some_and(|it| it.phase != RolloutPhase::Completed);
        quiet = if plan.steps.is_empty() && !is_under_way { quiet + 1 } else { 0 };
        if quiet == 4 {
            assert_eq!(world.condition("Ready"), Some((true, Reason::Ready)), "{:?}", world.endpoint.status);
            return;
        }
        world.now = world.now.checked_add(SignedDuration::from_mins(1)).unwrap();
    }
    let left = plan::endpoint::plan(&world.observe());
    panic!("still busy after {ROUNDS} rounds: {:?} {:?}", left.steps, rollout(world));
}

fn ready(spec: &Value) -> World {
    let mut world = World::new(endpoint(spec));
    settle(&mut world, None, &mut anything);
    world
}

/// What there is, without what tells when and by which way it came: identities, times, the names of Deployments, what
/// is kept to go back to, and a number of pods that load has set.
fn masked(world: &World) -> Value {
    let spec = &world.endpoint.spec;
    let is_fixed = spec.scaling.max_replicas.is_none();
    let has_pods = |body: &&Value| body["spec"]["replicas"].as_i64() != Some(0);
    let running = deployments(world).into_iter().filter(has_pods).map(|body| {
        let mut body = body["spec"].clone();
        body["selector"] = Value::Null;
        if !is_fixed {
            body["replicas"] = Value::Null;
        }
        body
    });
    let names: BTreeMap<String, String> = deployments(world)
        .into_iter()
        .map(|body| (body["metadata"]["name"].as_str().unwrap_or_default().to_owned(), revision(body)))
        .collect();
    let plain = |body: &Value| {
        let mut body = body.clone();
        for field in ["uid", "generation", "creationTimestamp", "annotations"] {
            body["metadata"][field] = Value::Null;
        }
        if let Some(scaled) = body.pointer_mut("/spec/scaleTargetRef/name") {
            *scaled = json!(names[scaled.as_str().unwrap_or_default()]);
        }
        body
    };
    let named = world.objects().filter(|(kind, _)| *kind != ChildKind::Deployment);
    let services = world.others(ChildKind::Service).into_values();
    let status = world.endpoint.status.clone().unwrap_or_default();
    let conditions = status.conditions.iter().map(|it| format!("{}={}/{}", it.type_, it.status, it.reason));
    let rollout = status
        .rollout
        .map(|it| json!([it.stable, it.candidate, it.step, it.traffic, it.mirror, it.rejected]));
    let revisions = status.revisions.iter().filter(|it| it.replicas > 0);
    json!({
        "deployments": running.collect::<Vec<_>>(),
        "named": named.map(|(_, body)| plain(body)).collect::<Vec<_>>(),
        "services": services.map(plain).collect::<Vec<_>>(),
        "routes": world.routes().map(plain).collect::<Vec<_>>(),
        "conditions": conditions.collect::<Vec<_>>(),
        "url": status.url,
        "rollout": rollout,
        "revisions": revisions.map(|it| json!([it.name, it.model, it.traffic, it.state])).collect::<Vec<_>>(),
    })
}

/// The pods of each running revision stay within the bounds of the spec.
fn is_within_bounds(world: &World) -> bool {
    let scaling = &world.endpoint.spec.scaling;
    let Some(most) = scaling.max_replicas else { return true };
    let bounds = i64::from(scaling.min_replicas.unwrap_or(1))..=i64::from(most);
    let counts = deployments(world).into_iter().filter_map(|body| body["spec"]["replicas"].as_i64());
    counts.filter(|count| *count > 0).all(|count| bounds.contains(&count))
}

#[test]
fn it_does_not_matter_by_which_way_a_spec_is_reached() {
    for trial in 0..TRIALS {
        let specs: Vec<Value> =
            (0..3).map(|at| spec(3 * trial + at, 1 + (trial >> at) % 3, &PLACE)).collect();
        let mut world = World::new(endpoint(&specs[0]));
        for (rounds, next) in [(trial % 9, &specs[1]), (trial / 9 % 9, &specs[2])] {
            for _ in 0..rounds {
                tick(&mut world, None, &mut anything);
            }
            world.become_like(&endpoint(next));
        }
        settle(&mut world, None, &mut anything);
        let fresh = ready(&specs[2]);
        assert_eq!(masked(&world), masked(&fresh), "trial {trial}: {specs:#?}");
        assert!(is_within_bounds(&world) && is_within_bounds(&fresh), "trial {trial}: {specs:#?}");
    }
}

/// Fails unless whoever asks by the gateway or by the Service is answered now.
fn answers(world: &World, trial: u64, what: &str) {
    assert!(!world.behind("churn").is_empty(), "trial {trial}: no pod is behind the Service after: {what}");
    let Some(route) = route(world) else { return };
    let revisions = route["revisions"].as_array().unwrap();
    let asked = revisions.iter().filter(|it| it["weight"].as_i64() > Some(0));
    let mut shares = 0;
    for revision in asked {
        shares += revision["weight"].as_i64().unwrap();
        let service = revision["address"].as_str().unwrap().split('.').next().unwrap();
        assert_eq!(revision["ready"], true, "trial {trial}: requests wait after: {what}\n{route}");
        assert!(
            !world.behind(service).is_empty(),
            "trial {trial}: no pod is behind {service} after: {what}\n{route}"
        );
    }
    assert_eq!(shares, 100, "trial {trial}, after: {what}\n{route}");
    if let Some(mirror) = route["mirror"]["revision"].as_str() {
        assert!(
            !world.behind(mirror).is_empty(),
            "trial {trial}: nobody takes the copies after: {what}\n{route}"
        );
    }
}

/// A spec whose pods of one revision go on while those of the next start.
fn uninterrupted(mut number: u64, version: u64) -> Value {
    loop {
        let spec = spec(number, version, &PLACE);
        if spec["rollout"]["strategy"] != "Recreate" {
            return spec;
        }
        number += 1_000_003;
    }
}

#[test]
fn whoever_asks_is_answered_at_each_step_from_one_spec_to_another() {
    for trial in 0..TRIALS {
        let mut world = ready(&uninterrupted(2 * trial, 1));
        for (at, version) in [(1, 1 + trial % 2), (5000, 2 + trial % 3), (9000, 3)] {
            world.become_like(&endpoint(&uninterrupted(2 * trial + at, version)));
            let mut check = |world: &World, what: &str| answers(world, trial, what);
            for _ in 0..=trial % 7 {
                tick(&mut world, None, &mut check);
                world.now =
                    world.now.checked_add(SignedDuration::from_secs(i64::from(trial as i32 % 4))).unwrap();
            }
        }
        settle(&mut world, None, &mut |world: &World, what: &str| answers(world, trial, what));
    }
}

/// A spec that can't be put into force, made of a good one; and whether its pods could start at all.
fn bad(good: &Value, trial: u64) -> Value {
    let mut bad = good.clone();
    match trial % 6 {
        0 => bad["model"]["uri"] = json!("https://models.example/churn/bad/model.onnx"),
        1 => {
            bad = uninterrupted(trial + 77, 99);
            // Who leaves the gateway is not answered there any more, which was asked for.
            bad["routing"] = json!({"queueTimeoutSeconds": 9});
        }
        2 => bad["runtimeRef"] = json!({"name": "absent"}),
        3 => bad["routing"] = json!({"hosts": ["churn.others.models.example"]}),
        4 => bad["capture"] = json!({"store": {"uri": "https://elsewhere.example/captures"}}),
        _ => bad["auth"] = json!({"mode": "Key", "secretRef": {"name": ABSENT}}),
    }
    bad
}

#[test]
fn a_bad_spec_leaves_no_trace_and_the_stable_revision_answers_throughout() {
    for trial in 0..TRIALS {
        let good = uninterrupted(trial, 1);
        let mut world = ready(&good);
        let (before, stable) = (masked(&world), revision(deployments(&world)[0]));
        let pods = world.behind("churn")[&stable];
        let has_same_scale = trial % 6 != 1;
        let mut check = |world: &World, what: &str| {
            answers(world, trial, what);
            let behind = world.behind("churn");
            let enough = if has_same_scale { pods } else { 1 };
            assert!(
                behind.len() == 1 && behind[&stable] >= enough,
                "trial {trial}: {behind:?} after: {what}"
            );
        };
        let bad = bad(&good, trial);
        world.become_like(&endpoint(&bad));
        for round in 0..2 + trial % 11 {
            if round == 5 {
                world.be_late();
            }
            tick(&mut world, Some(&stable), &mut check);
            let ready = world.condition("Ready");
            assert!(ready.is_some_and(|(holds, _)| !holds), "trial {trial}: {ready:?} with {bad}");
        }
        world.become_like(&endpoint(&good));
        settle(&mut world, Some(&stable), &mut check);
        assert_eq!(masked(&world), before, "trial {trial}: {bad:#}");
    }
}

/// The first strategy comes up as often as the others.
#[test]
fn every_strategy_is_among_the_trials() {
    let strategies = (0..TRIALS).map(|trial| {
        let rollout: Rollout = serde_json::from_value(spec(trial, 1, &PLACE)["rollout"].clone()).unwrap();
        rollout.strategy
    });
    let strategies: Vec<RolloutStrategy> = strategies.collect();
    for strategy in [
        RolloutStrategy::RollingUpdate,
        RolloutStrategy::Recreate,
        RolloutStrategy::BlueGreen,
        RolloutStrategy::Canary,
    ] {
        let count = strategies.iter().filter(|it| **it == strategy).count();
        assert!(count > 20, "{strategy:?} comes up {count} times");
    }
}
