//! Endpoints behind a gateway of the user's own: the HTTPRoute of every step, what the gateway's word does, and how one
//! way of requests takes the place of another.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod properties;
mod steps;
mod switches;
mod words;

use api::EndpointStatus;
use api::meta::ROLLOUT_ACTION_ANNOTATION;
use jiff::SignedDuration;
use plan::ChildKind;
use serde_json::{Value, json};
use testkit::{EndpointFixture, World, endpoint};

/// An Endpoint behind the Gateway `public`.
fn behind(fixture: EndpointFixture) -> EndpointFixture {
    fixture.routing(&json!({"gatewayApi": gateway_api()}))
}

fn gateway_api() -> Value {
    json!({"parentRef": {"name": "public", "namespace": "gateways", "sectionName": "https"}})
}

/// The route as it is stored.
fn route(world: &World) -> Value {
    world.object(ChildKind::HttpRoute).cloned().expect("there is an HTTPRoute")
}

/// The gateway has taken the route in as it is.
fn accept(world: &mut World) {
    say(world, &json!([{"type": "Accepted", "status": "True"}, {"type": "ResolvedRefs", "status": "True"}]));
}

/// The gateway says this of the route as it is.
fn say(world: &mut World, conditions: &Value) {
    let Some(route) = world.object(ChildKind::HttpRoute).cloned() else { return };
    let mut conditions = conditions.clone();
    for condition in conditions.as_array_mut().unwrap() {
        condition["observedGeneration"] = route["metadata"]["generation"].clone();
    }
    let parent = json!({
        "parentRef": route["spec"]["parentRefs"][0], "controllerName": "example.com/gateway", "conditions": conditions,
    });
    world.edit(ChildKind::HttpRoute, "gateway", |body| body["status"] = json!({"parents": [parent]}));
}

/// Reconciles, lets the pods start and the gateway take in what it is told, until nothing is left to do.
#[track_caller]
fn settle(world: &mut World) -> EndpointStatus {
    settle_with(world, accept)
}

/// The same with a gateway that does something else.
#[track_caller]
fn settle_with(world: &mut World, gateway: impl Fn(&mut World)) -> EndpointStatus {
    for _ in 0..30 {
        let before = world.endpoint.status.clone();
        let plan = world.reconcile().expect("the API server takes every step");
        world.run_pods(&[]);
        gateway(world);
        let quiet = plan::endpoint::plan(&world.observe());
        let is_same = before.as_ref() == Some(&plan.status) && quiet.status == plan.status;
        if plan.steps.is_empty() && quiet.steps.is_empty() && is_same {
            return plan.status;
        }
    }
    panic!("still busy after 30 rounds: {:?}", plan::endpoint::plan(&world.observe()));
}

/// A world in which the Endpoint is ready.
#[track_caller]
fn ready(fixture: EndpointFixture) -> World {
    let mut world = World::new(fixture.build());
    settle(&mut world);
    assert_eq!(world.condition("Ready"), Some((true, api::Reason::Ready)));
    world
}

fn new_model(world: &mut World, version: u32) {
    world.change(|spec| spec.model.uri = format!("https://models.example/churn/{version}/model.onnx"));
}

fn pass(world: &mut World, minutes: i64) {
    world.now = world.now.checked_add(SignedDuration::from_mins(minutes)).unwrap();
}

fn ask(world: &mut World, action: &str) {
    let annotations = world.endpoint.metadata.annotations.get_or_insert_default();
    annotations.insert(ROLLOUT_ACTION_ANNOTATION.to_owned(), format!("{action}@{}", world.now));
}

fn message(world: &World, type_: &str) -> String {
    let conditions = &world.endpoint.status.as_ref().unwrap().conditions;
    conditions.iter().find(|it| it.type_ == type_).map(|it| it.message.clone()).unwrap_or_default()
}

fn canary(steps: &Value) -> EndpointFixture {
    behind(endpoint("churn").replicas(4).canary(steps))
}
