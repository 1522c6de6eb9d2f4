//! The plan of an Endpoint against a world that behaves like an API server with its controllers.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod elsewhere;
mod failures;
mod keys;
mod kserve;
mod objects;
mod progressive;
mod properties;
mod resolve;
mod scaling;
mod states;
mod transitions;

use testkit::World;

/// Reconciles once and compares the steps, the status and the events with the page of that name.
#[track_caller]
fn check(world: &mut World, page: &str) {
    let before = world.clone();
    let plan = world.reconcile().expect("the API server takes every step");
    insta::assert_snapshot!(page, testkit::render(world, &plan));
    assert_eq!(testkit::lies(&before, &plan), Vec::<String>::new(), "{page}");
}

/// Takes every step until nothing is left to do, as the operator does when its own writes come back.
#[track_caller]
fn settle(world: &mut World) {
    world.settle(4).expect("four rounds are enough");
}

/// A world in which an Endpoint is ready.
#[track_caller]
fn ready(endpoint: testkit::EndpointFixture) -> World {
    let mut world = World::new(endpoint.build());
    settle(&mut world);
    world.finish_rollout();
    settle(&mut world);
    assert_eq!(world.condition("Ready"), Some((true, api::Reason::Ready)));
    world
}

/// A world in which an Endpoint is ready, and a new model is on its way.
#[track_caller]
fn rolling(endpoint: testkit::EndpointFixture) -> World {
    let mut world = ready(endpoint);
    world.change(|spec| "https://models.example/churn/2/model.onnx".clone_into(&mut spec.model.uri));
    settle(&mut world);
    world.start_pods();
    world
}
