//! What holds of every HTTPRoute, after every single write, whatever happens.
use api::endpoint::RolloutStrategy;
use plan::ChildKind;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};
use testkit::World;

use super::{accept, ask, canary, gateway_api, new_model, pass, say, settle};

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 300,
        rng_seed: RngSeed::Fixed(20_260_130),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Something that happens to a world.
#[derive(Clone, Debug)]
enum Happening {
    Reconcile,
    Pods(bool),
    Accept,
    Refuse,
    Silence,
    Model(u32),
    Pass(i64),
    Ask(&'static str),
    Strategy(RolloutStrategy),
    Routing(bool),
    Remove,
    Edit,
}

fn happenings() -> impl Strategy<Value = Happening> {
    let strategies = [
        RolloutStrategy::Canary,
        RolloutStrategy::BlueGreen,
        RolloutStrategy::RollingUpdate,
        RolloutStrategy::Recreate,
    ];
    let words = ["pause", "resume", "skip-step", "promote", "abort", "retry", "rollback"];
    prop_oneof![
        8 => Just(Happening::Reconcile),
        4 => prop::bool::weighted(0.8).prop_map(Happening::Pods),
        4 => Just(Happening::Accept),
        1 => Just(Happening::Refuse),
        1 => Just(Happening::Silence),
        2 => (1..4_u32).prop_map(Happening::Model),
        2 => (0..12_i64).prop_map(Happening::Pass),
        2 => prop::sample::select(words.to_vec()).prop_map(Happening::Ask),
        1 => prop::sample::select(strategies.to_vec()).prop_map(Happening::Strategy),
        1 => any::<bool>().prop_map(Happening::Routing),
        1 => Just(Happening::Remove),
        1 => Just(Happening::Edit),
    ]
}

fn happen(world: &mut World, happening: &Happening) {
    match happening {
        Happening::Reconcile => reconcile(world),
        Happening::Pods(good) => {
            let stable = world.endpoint.status.clone().and_then(|it| it.rollout).and_then(|it| it.candidate);
            world.run_pods(
                if *good { &[] } else { stable.as_slice() }
                    .iter()
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .as_slice(),
            );
        }
        Happening::Accept => accept(world),
        Happening::Refuse => {
            say(world, &json!([{"type": "Accepted", "status": "False", "reason": "No", "message": "no"}]));
        }
        Happening::Silence => {
            world.edit(ChildKind::HttpRoute, "gateway", |body| body["status"] = Value::Null);
        }
        Happening::Model(version) => new_model(world, *version),
        Happening::Pass(minutes) => pass(world, *minutes),
        Happening::Ask(action) => ask(world, action),
        Happening::Strategy(strategy) => world.change(|spec| {
            spec.rollout.strategy = *strategy;
            let steps = match strategy {
                RolloutStrategy::Canary => {
                    json!([{"mirror": 20, "hold": "2m"}, {"traffic": 30, "hold": "2m"}])
                }
                RolloutStrategy::BlueGreen => json!([{"mirror": 50, "hold": "2m"}]),
                _ => json!([]),
            };
            spec.rollout.steps = serde_json::from_value(steps).unwrap();
        }),
        Happening::Routing(own) => world.change(|spec| {
            spec.routing = own.then(|| serde_json::from_value(json!({"gatewayApi": gateway_api()})).unwrap());
        }),
        Happening::Remove => world.remove(ChildKind::HttpRoute),
        Happening::Edit => world.edit(ChildKind::HttpRoute, "kubectl", |body| {
            if body["spec"]["rules"][0].is_object() {
                body["spec"]["rules"][0]["matches"][0]["path"]["value"] = json!("/other");
            }
        }),
    }
}

/// One reconcile, with every write looked at.
fn reconcile(world: &mut World) {
    let mut shadow = world.clone();
    let plan = plan::endpoint::plan(&shadow.observe());
    holds(&shadow);
    for step in &plan.steps {
        shadow.take(step).unwrap();
        holds(&shadow);
    }
    world.reconcile().unwrap();
}

/// A route names no Service that is not there, and every split adds up to a hundred.
fn holds(world: &World) {
    let Some(route) = world.object(ChildKind::HttpRoute) else { return };
    let services: Vec<&str> = world
        .object(ChildKind::Service)
        .map(|_| "churn")
        .into_iter()
        .chain(world.others(ChildKind::Service).into_keys())
        .collect();
    for rule in route["spec"]["rules"].as_array().unwrap() {
        let backends = rule["backendRefs"].as_array().unwrap();
        let copies = rule["filters"].as_array().into_iter().flatten();
        let copies = copies.map(|it| &it["requestMirror"]["backendRef"]).filter(|it| !it.is_null());
        for backend in backends.iter().chain(copies) {
            let name = backend["name"].as_str().unwrap();
            assert!(services.contains(&name), "{name} is none of {services:?}: {rule}");
        }
        let sum: i64 = backends.iter().map(|it| it["weight"].as_i64().unwrap()).sum();
        assert_eq!(sum, 100, "{rule}");
        assert!(backends.iter().all(|it| it["weight"].as_i64() > Some(0)), "{rule}");
    }
    assert!(route["spec"]["rules"].as_array().unwrap().len() <= 16);
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_route_names_only_what_is_there_and_every_story_ends(story in prop::collection::vec(happenings(), 0..40)) {
        let mut world = World::new(canary(&json!([{"mirror": 20, "hold": "2m"}, {"traffic": 30, "hold": "2m"}])).build());
        for happening in &story {
            happen(&mut world, happening);
        }
        for _ in 0..6 {
            settle(&mut world);
            holds(&world);
            pass(&mut world, 10);
        }
        let own = world.endpoint.spec.routing.is_some();
        prop_assert_eq!(world.object(ChildKind::HttpRoute).is_some(), own);
    }
}
