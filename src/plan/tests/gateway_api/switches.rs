//! One way of requests takes the place of another without a failed request: the new one is there before the old one goes.
use api::Reason;
use plan::{ChildKind, Plan, Step};
use serde_json::json;
use testkit::{World, endpoint};

use super::{accept, gateway_api, new_model, pass, ready, route, settle, settle_with};

fn deletes(plan: &Plan<api::EndpointStatus>, kind: ChildKind) -> bool {
    plan.steps.iter().any(|step| matches!(step, Step::Delete(delete) if delete.kind == kind))
}

fn url(world: &World) -> String {
    world.endpoint.status.as_ref().unwrap().url.clone().unwrap_or_default()
}

#[test]
fn from_the_inference_gateway_to_one_s_own_and_back() {
    let steps = json!([{"traffic": 50, "hold": "5m"}]);
    let mut world = ready(endpoint("churn").canary(&steps));
    assert_eq!(world.routes().count(), 1);
    let before = url(&world);
    let mut own = gateway_api();
    own["url"] = json!("https://models.example");
    world.change(|spec| spec.routing = serde_json::from_value(json!({"gatewayApi": own})).ok());
    settle_with(&mut world, |_| {});
    assert_eq!(route(&world)["spec"]["parentRefs"][0]["name"], "public");
    assert_eq!((world.routes().count(), url(&world)), (1, before.clone()), "nobody has taken the route in");
    new_model(&mut world, 2);
    settle_with(&mut world, |_| {});
    let document = world.routes().next().unwrap()["data"]["route.json"].to_string();
    assert_eq!(document.matches("weight").count(), 2, "the old way is kept up to date: {document}");
    accept(&mut world);
    let plan = world.reconcile().unwrap();
    assert!(!deletes(&plan, ChildKind::ConfigMap), "the new address was not told yet");
    assert!(url(&world).starts_with("https://models.example/endpoints/team/churn/"), "{}", url(&world));
    let plan = world.reconcile().unwrap();
    assert!(deletes(&plan, ChildKind::ConfigMap));
    settle(&mut world);
    pass(&mut world, 10);
    settle(&mut world);
    assert_eq!((world.condition("Ready"), world.routes().count()), (Some((true, Reason::Ready)), 0));
    world.change(|spec| spec.routing = None);
    let plan = world.reconcile().unwrap();
    assert!(world.routes().count() == 1 && !deletes(&plan, ChildKind::HttpRoute), "{:?}", plan.steps);
    assert!(url(&world).starts_with("http://mlops-gateway."), "{}", url(&world));
    let plan = world.reconcile().unwrap();
    assert!(deletes(&plan, ChildKind::HttpRoute));
    settle(&mut world);
    assert_eq!(world.condition("Ready"), Some((true, Reason::Ready)));
}

#[test]
fn from_one_s_own_gateway_to_the_service_alone() {
    let mut world = ready(super::behind(endpoint("churn")));
    world.change(|spec| spec.routing = None);
    let plan = world.reconcile().unwrap();
    assert!(!deletes(&plan, ChildKind::HttpRoute));
    assert!(matches!(plan.next, plan::Next::After(_)), "{:?}", plan.next);
    let plan = world.reconcile().unwrap();
    assert!(deletes(&plan, ChildKind::HttpRoute));
    assert_eq!(url(&world), "http://churn.team.svc/v2/models/churn/infer");
}

#[test]
fn a_route_whose_inference_gateway_is_gone_takes_over_at_once() {
    let mut world = ready(endpoint("churn").canary(&json!([{"traffic": 50, "hold": "5m"}])));
    world.settings.gateway = None;
    world.change(|spec| spec.routing = serde_json::from_value(json!({"gatewayApi": gateway_api()})).ok());
    settle(&mut world);
    assert_eq!((world.condition("Ready"), world.routes().count()), (Some((true, Reason::Ready)), 0));
}
