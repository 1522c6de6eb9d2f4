//! The exact HTTPRoute of every step of a rollout.
use std::fmt::Write as _;

use api::endpoint::RolloutStrategy;
use serde_json::{Value, json};
use testkit::{World, endpoint};

use super::{ask, behind, canary, new_model, pass, ready, route, settle};

/// The whole spec of the route, a rule a line, with the revisions numbered.
fn page(world: &World, title: &str) -> String {
    let spec = route(world)["spec"].clone();
    let mut page = format!("{title}: {}\n", world.endpoint.status.as_ref().unwrap().conditions[0].reason);
    for (field, value) in spec.as_object().unwrap().iter().filter(|(field, _)| *field != "rules") {
        let _ = writeln!(page, "  {field}: {value}");
    }
    for rule in spec["rules"].as_array().unwrap() {
        let _ = writeln!(page, "  rule");
        for (field, value) in rule.as_object().unwrap() {
            let _ = writeln!(page, "    {field}: {value}");
        }
    }
    for (index, revision) in world.revisions().iter().enumerate() {
        page = page.replace(revision, &format!("churn-r{}", index + 1));
    }
    page
}

#[test]
fn a_canary_to_the_end() {
    let mut world = ready(canary(&json!([
        {"mirror": 20, "hold": "5m"}, {"traffic": 10, "hold": "5m"}, {"hold": "5m"}, {"pause": true}, {"traffic": 50, "hold": "5m"},
    ])));
    let mut pages = vec![page(&world, "the first revision")];
    new_model(&mut world, 2);
    settle(&mut world);
    pages.push(page(&world, "copies of a fifth"));
    for title in ["a tenth", "a hold", "a pause"] {
        pass(&mut world, 6);
        settle(&mut world);
        pages.push(page(&world, title));
    }
    pass(&mut world, 60);
    settle(&mut world);
    pages.push(page(&world, "still a pause"));
    ask(&mut world, "resume");
    settle(&mut world);
    pages.push(page(&world, "half"));
    pass(&mut world, 6);
    settle(&mut world);
    pages.push(page(&world, "all"));
    insta::assert_snapshot!(pages.join("\n"));
}

#[test]
fn a_canary_that_is_aborted_tried_again_and_promoted() {
    let mut world = ready(canary(&json!([{"traffic": 30}, {"pause": true}])));
    new_model(&mut world, 2);
    settle(&mut world);
    let mut pages = vec![page(&world, "a pause at a third")];
    for (action, title) in [("abort", "aborted"), ("retry", "tried again"), ("promote", "promoted")] {
        ask(&mut world, action);
        settle(&mut world);
        pages.push(page(&world, title));
    }
    pass(&mut world, 5);
    settle(&mut world);
    ask(&mut world, "rollback");
    settle(&mut world);
    pages.push(page(&world, "a person went back"));
    insta::assert_snapshot!(pages.join("\n"));
}

#[test]
fn blue_green_with_copies_and_a_pause() {
    let routing = json!({
        "hosts": ["churn.example.com", "churn.example.org"], "requestTimeoutSeconds": 45,
        "gatewayApi": {"parentRef": {"name": "public", "port": 443}, "url": "https://churn.example.com"},
    });
    let mut world = World::new(endpoint("churn").replicas(2).routing(&routing).build());
    world.change(|spec| {
        spec.rollout.strategy = RolloutStrategy::BlueGreen;
        spec.rollout.steps =
            serde_json::from_value(json!([{"mirror": 100, "hold": "5m"}, {"pause": true}])).unwrap();
    });
    settle(&mut world);
    let mut pages = vec![page(&world, "blue")];
    new_model(&mut world, 2);
    settle(&mut world);
    pages.push(page(&world, "copies of all"));
    pass(&mut world, 6);
    settle(&mut world);
    pages.push(page(&world, "a pause"));
    ask(&mut world, "resume");
    settle(&mut world);
    pages.push(page(&world, "green"));
    insta::assert_snapshot!(pages.join("\n"));
    let url = world.endpoint.status.unwrap().url;
    assert_eq!(url.as_deref(), Some("https://churn.example.com/v2/models/churn/infer"));
}

#[test]
fn an_endpoint_with_one_deployment_has_one_way_to_its_service() {
    let mut pages = Vec::new();
    for (title, fixture) in
        [("rolling update", endpoint("churn")), ("recreate", endpoint("churn").recreate())]
    {
        let mut world = ready(behind(fixture));
        pages.push(page(&world, title));
        let before = route(&world);
        new_model(&mut world, 2);
        settle(&mut world);
        assert_eq!(route(&world)["spec"], before["spec"], "the Service stays, so the route does");
    }
    insta::assert_snapshot!(pages.join("\n"));
}

/// What bears the route, besides its spec.
#[test]
fn a_route_is_the_endpoint_s_own_and_goes_with_it() {
    let world = ready(behind(endpoint("churn")));
    let metadata = &route(&world)["metadata"];
    assert_eq!((&metadata["name"], &metadata["namespace"]), (&json!("churn"), &json!("team")));
    let owner = &metadata["ownerReferences"][0];
    assert_eq!((&owner["kind"], &owner["uid"]), (&json!("Endpoint"), &json!("churn-uid-1")));
    assert_eq!(metadata["labels"]["mlops-operator.dev/endpoint"], "churn");
    assert_eq!(world.routes().count(), 0, "the inference gateway is told nothing");
    let policy = world.object(plan::ChildKind::NetworkPolicy).unwrap();
    assert_eq!(policy["spec"]["ingress"][0].get("from"), None::<&Value>, "any gateway reaches the pods");
}
