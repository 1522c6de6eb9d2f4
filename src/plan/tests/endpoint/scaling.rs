//! Who sets the number of pods: the spec, the load, or somebody else's autoscaler; never two at once.
use api::Reason;
use api::endpoint::ScalingTarget;
use plan::child::Controller;
use plan::endpoint::autoscaler::Autoscaler;
use plan::{ChildKind, Step};
use serde_json::{Value, json};
use testkit::{EndpointFixture, World, endpoint};

use crate::{check, ready, settle};

fn theirs(kind: &str, name: &str) -> Autoscaler {
    let owner = Controller { kind: "ScaledObject".to_owned(), name: "churn".to_owned(), uid: "u".to_owned() };
    Autoscaler {
        name: "keda-hpa-churn".to_owned(),
        controller: Some(owner),
        target_kind: kind.to_owned(),
        target_name: name.to_owned(),
    }
}

fn replicas(world: &World) -> Value {
    world.object(ChildKind::Deployment).unwrap()["spec"]["replicas"].clone()
}

fn by_query(fixture: EndpointFixture) -> EndpointFixture {
    let query = json!({"query": {"query": "sum(queue)", "perReplica": 10}});
    let target: ScalingTarget = serde_json::from_value(query).unwrap();
    let mut endpoint = fixture.range(1, 9).build();
    endpoint.spec.scaling.target = Some(target);
    EndpointFixture::from(endpoint)
}

#[test]
fn an_autoscaler_of_somebody_else_takes_the_number_over_and_gives_it_back() {
    for fixture in [endpoint("churn").replicas(2), endpoint("churn").range(2, 4)] {
        let is_fixed = fixture.clone().build().spec.scaling.replicas.is_some();
        let mut world = ready(fixture);
        world.autoscalers = vec![theirs("Deployment", "churn")];
        check(&mut world, if is_fixed { "scaled_elsewhere" } else { "scaled_elsewhere_from_a_range" });
        settle(&mut world);
        assert_eq!(replicas(&world), 2, "it begins where the operator ended");
        assert!(world.object(ChildKind::HorizontalPodAutoscaler).is_none(), "one autoscaler is enough");
        world.autoscale(5);
        world.change(|spec| "https://models.example/churn/2/model.onnx".clone_into(&mut spec.model.uri));
        settle(&mut world);
        assert_eq!(replicas(&world), 5);
        assert_eq!(world.condition("ScalingHeld"), Some((true, Reason::ScaledElsewhere)));
        world.autoscalers.clear();
        settle(&mut world);
        assert_eq!(world.condition("ScalingHeld"), None);
        assert_eq!(world.object(ChildKind::HorizontalPodAutoscaler).is_none(), is_fixed);
        assert_eq!(replicas(&world), if is_fixed { 2 } else { 5 });
    }
}

#[test]
fn the_last_pod_may_be_taken_by_somebody_else_s_autoscaler() {
    let mut world = ready(endpoint("churn").replicas(2));
    world.autoscalers = vec![theirs("Deployment", "churn")];
    settle(&mut world);
    world.autoscale(0);
    settle(&mut world);
    world.finish_rollout();
    settle(&mut world);
    assert_eq!(replicas(&world), 0);
    assert_eq!(world.condition("Ready"), Some((true, Reason::Ready)));
}

#[test]
fn an_autoscaler_over_the_endpoint_is_welcome_where_the_number_is_fixed_and_told_where_the_load_decides() {
    let mut world = ready(endpoint("churn").replicas(2));
    world.autoscalers = vec![theirs("Endpoint", "churn"), theirs("Deployment", "other")];
    settle(&mut world);
    assert_eq!(world.condition("ScalingHeld"), None);
    let mut world = ready(endpoint("churn").range(2, 4));
    world.autoscalers = vec![theirs("Endpoint", "churn")];
    settle(&mut world);
    assert_eq!(world.condition("ScalingHeld"), Some((true, Reason::ScaledElsewhere)));
    assert!(world.object(ChildKind::HorizontalPodAutoscaler).is_some());
}

#[test]
fn a_query_sets_the_number_and_its_silence_changes_nothing_and_is_told() {
    let mut world = World::new(by_query(endpoint("churn")).build());
    world.metric = Some(Ok(30.0));
    settle(&mut world);
    assert_eq!(replicas(&world), 3);
    assert!(world.routes().next().is_none(), "the gateway has no part in it");
    world.metric = Some(Err("failed to ask Prometheus: connection refused".to_owned()));
    check(&mut world, "scaling_without_its_query");
    assert_eq!(replicas(&world), 3);
    assert_eq!(world.condition("ScalingHeld"), Some((true, Reason::MetricUnavailable)));
    world.metric = Some(Ok(50.0));
    settle(&mut world);
    assert_eq!(replicas(&world), 5);
    assert_eq!(world.condition("ScalingHeld"), None);
    world.autoscalers = vec![theirs("Deployment", "churn")];
    world.metric = Some(Ok(90.0));
    settle(&mut world);
    assert_eq!(replicas(&world), 5, "the load is not fought over");
    let status = world.endpoint.status.clone().unwrap().scaling.unwrap();
    assert!(
        status.replicas == 5 && status.message.contains("keda-hpa-churn of ScaledObject churn"),
        "{status:?}"
    );
}

#[test]
fn the_behavior_reaches_the_autoscaler_as_it_is() {
    let behavior = json!({
        "scaleUp": {"stabilizationWindowSeconds": 30, "selectPolicy": "Min",
            "policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}, {"type": "Percent", "value": 10, "periodSeconds": 60}]},
        "scaleDown": {"selectPolicy": "Disabled"},
    });
    let mut endpoint = endpoint("churn").range(2, 4).build();
    endpoint.spec.scaling.behavior = serde_json::from_value(behavior.clone()).unwrap();
    let steps = plan::endpoint::plan(&World::new(endpoint).observe()).steps;
    let made = steps.iter().find_map(|step| match step {
        Step::Apply(apply) if apply.kind == ChildKind::HorizontalPodAutoscaler => Some(&apply.body),
        _ => None,
    });
    assert_eq!(made.unwrap()["spec"]["behavior"], behavior);
}
