//! What the gateway says of a route decides what the Endpoint says, and whether a rollout goes on.
use api::Reason;
use api::endpoint::RolloutPhase;
use plan::{ChildKind, Step};
use serde_json::{Value, json};
use testkit::{World, endpoint};

use super::{accept, ask, behind, canary, message, new_model, pass, ready, route, say, settle, settle_with};

fn rollout(world: &World) -> api::endpoint::RolloutStatus {
    world.endpoint.status.clone().unwrap().rollout.unwrap()
}

fn weights(world: &World) -> Vec<i64> {
    let rules = route(world)["spec"]["rules"].as_array().unwrap().clone();
    let split = rules.last().unwrap()["backendRefs"].as_array().unwrap().clone();
    split.iter().map(|it| it["weight"].as_i64().unwrap()).collect()
}

#[test]
fn a_gateway_that_does_not_exist_is_said() {
    let mut world = World::new(behind(endpoint("churn")).build());
    settle_with(&mut world, |_| {});
    assert_eq!(world.condition("Ready"), Some((false, Reason::RouteNotAccepted)));
    assert_eq!(world.condition("Stalled"), None, "it may come yet");
    let said = message(&world, "Ready");
    assert!(said.contains("Gateway gateways/public exists"), "{said}");
    assert_eq!(world.condition("Serving").map(|it| it.0), Some(true));
    settle(&mut world);
    assert_eq!(world.condition("Ready"), Some((true, Reason::Ready)));
}

#[test]
fn a_refusal_is_passed_on_and_heals() {
    let refusals = [
        (
            json!([{"type": "Accepted", "status": "False", "reason": "NotAllowedByListeners", "message": "team may not attach."}]),
            "Stalled",
            "refuses the HTTPRoute: team may not attach (NotAllowedByListeners)",
        ),
        (
            json!([{"type": "Accepted", "status": "False", "reason": "Pending", "message": "wait"}]),
            "Reconciling",
            "has not taken in",
        ),
        (
            json!([{"type": "Accepted", "status": "True"}, {"type": "ResolvedRefs", "status": "False",
                "reason": "BackendNotFound", "message": "no Service churn"}]),
            "Reconciling",
            "can't follow the HTTPRoute: no Service churn (BackendNotFound)",
        ),
        (
            json!([{"type": "Accepted", "status": "True"}, {"type": "ResolvedRefs", "status": "True"},
                {"type": "PartiallyInvalid", "status": "True", "reason": "UnsupportedValue", "message": "no URLRewrite"}]),
            "Stalled",
            "refuses the HTTPRoute: no URLRewrite (UnsupportedValue)",
        ),
        (json!([{"type": "Accepted", "status": "True"}]), "Reconciling", "has not taken in"),
    ];
    for (conditions, type_, words) in refusals {
        let mut world = ready(behind(endpoint("churn")));
        settle_with(&mut world, |world| say(world, &conditions));
        assert_eq!(world.condition(type_), Some((true, Reason::RouteNotAccepted)), "{conditions}");
        assert!(message(&world, "Ready").contains(words), "{}", message(&world, "Ready"));
        settle(&mut world);
        assert_eq!(world.condition("Ready"), Some((true, Reason::Ready)), "{conditions}");
    }
}

#[test]
fn the_word_of_another_gateway_does_not_count() {
    let mut world = ready(behind(endpoint("churn")));
    let parents = route(&world)["status"]["parents"].clone();
    for (field, value) in [("name", "private"), ("namespace", "team"), ("sectionName", "http")] {
        let mut parents = parents.clone();
        parents[0]["parentRef"][field] = json!(value);
        settle_with(&mut world, |world| {
            world.edit(ChildKind::HttpRoute, "gateway", |body| body["status"]["parents"] = parents.clone());
        });
        assert_eq!(world.condition("Ready"), Some((false, Reason::RouteNotAccepted)), "{field}");
    }
}

#[test]
fn a_step_begins_once_the_gateway_has_taken_it_in() {
    let mut world = ready(canary(&json!([{"traffic": 10, "hold": "5m"}, {"traffic": 50, "hold": "5m"}])));
    let old = rollout(&world).stable;
    new_model(&mut world, 2);
    // The gateway lags: its word is about the route before.
    settle_with(&mut world, |_| {});
    assert_eq!(weights(&world), [90, 10]);
    assert_eq!((rollout(&world).traffic, rollout(&world).step_since), (Some(10), None));
    assert!(message(&world, "Ready").contains("waits for step 1 of 2"), "{}", message(&world, "Ready"));
    pass(&mut world, 60);
    settle_with(&mut world, |_| {});
    assert_eq!(weights(&world), [90, 10], "nothing goes on without the gateway");
    settle(&mut world);
    let since = rollout(&world).step_since.expect("the step has begun").0;
    assert!(world.now.duration_since(since).as_secs() < 60, "the hold is counted from the gateway's word");
    pass(&mut world, 6);
    settle(&mut world);
    assert_eq!(weights(&world), [50, 50]);
    pass(&mut world, 6);
    // All requests move, and the gateway lags again: the old pods stay until it has followed.
    settle_with(&mut world, |_| {});
    assert_eq!(rollout(&world).phase, RolloutPhase::Completed);
    pass(&mut world, 60);
    settle_with(&mut world, |_| {});
    let pods = |world: &World| world.others(ChildKind::Deployment)[old.as_str()]["spec"]["replicas"].clone();
    assert_eq!(pods(&world), 4);
    assert!(world.others(ChildKind::Service).contains_key(old.as_str()));
    settle(&mut world);
    assert_eq!(pods(&world), 0);
    settle(&mut world);
    assert!(!world.others(ChildKind::Service).contains_key(old.as_str()), "its address goes last");
}

#[test]
fn where_no_controller_reports_a_rollout_goes_on_all_the_same() {
    let mut world = World::new(canary(&json!([{"traffic": 50, "hold": "5m"}])).build());
    settle_with(&mut world, |_| {});
    let old = rollout(&world).stable;
    new_model(&mut world, 2);
    settle_with(&mut world, |_| {});
    assert_eq!(weights(&world), [50, 50]);
    pass(&mut world, 6);
    settle_with(&mut world, |_| {});
    assert_ne!(rollout(&world).stable, old);
    assert_eq!(world.condition("Ready"), Some((false, Reason::RouteNotAccepted)), "but that is said");
}

#[test]
fn a_refusal_in_the_middle_of_a_rollout_needs_a_person_and_holds_it() {
    let mut world = ready(canary(&json!([{"traffic": 50, "hold": "5m"}])));
    new_model(&mut world, 2);
    let refused = json!([{"type": "Accepted", "status": "False", "reason": "UnsupportedValue", "message": "no weights"}]);
    settle_with(&mut world, |world| say(world, &refused));
    assert_eq!(world.condition("Stalled"), Some((true, Reason::RouteNotAccepted)));
    assert_eq!(rollout(&world).step_since, None);
    ask(&mut world, "abort");
    settle(&mut world);
    assert_eq!(weights(&world), [100]);
    assert_eq!(world.condition("Stalled"), Some((true, Reason::RolledBack)));
}

#[test]
fn a_route_that_was_deleted_or_changed_by_hand_is_restored() {
    let changes: [fn(&mut Value); 6] = [
        |route| route["spec"]["rules"][1]["backendRefs"][0]["weight"] = json!(7),
        |route| route["spec"]["rules"][1]["backendRefs"][0]["name"] = json!("other"),
        |route| {
            let more = json!({"group": "", "kind": "Service", "name": "theirs", "port": 80, "weight": 900});
            route["spec"]["rules"][1]["backendRefs"].as_array_mut().unwrap().push(more);
        },
        |route| {
            let filter =
                json!([{"type": "RequestRedirect", "requestRedirect": {"hostname": "elsewhere.example"}}]);
            route["spec"]["rules"][1]["filters"] = filter;
        },
        |route| {
            route["spec"]["parentRefs"][0].as_object_mut().unwrap().remove("sectionName");
        },
        |route| {
            let first = route["spec"]["rules"][0].clone();
            route["spec"]["rules"].as_array_mut().unwrap().insert(0, first);
        },
    ];
    let mut world = ready(behind(endpoint("churn")));
    let wanted = route(&world)["spec"].clone();
    for (index, change) in changes.into_iter().enumerate() {
        world.edit(ChildKind::HttpRoute, "kubectl", change);
        assert_ne!(route(&world)["spec"], wanted, "{index}");
        settle(&mut world);
        assert_eq!(route(&world)["spec"], wanted, "{index}");
    }
    world.remove(ChildKind::HttpRoute);
    settle(&mut world);
    assert_eq!(route(&world)["spec"], wanted);
    // What a later version of the Gateway API may fill in is left alone.
    world.edit(ChildKind::HttpRoute, "kube-apiserver", |route| {
        route["spec"]["rules"][0]["backendRefs"][0]["appProtocol"] = json!("http");
        route["spec"]["useDefaultGateways"] = json!("None");
    });
    assert_eq!(world.reconcile().unwrap().steps, []);
}

#[test]
fn a_route_of_somebody_else_is_a_conflict_and_stays() {
    let mut world = ready(behind(endpoint("churn")));
    let mut theirs = route(&world);
    theirs["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "x/v1", "kind": "Other", "name": "other", "uid": "other", "controller": true}]);
    world.put(ChildKind::HttpRoute, theirs);
    let plan = world.reconcile().unwrap();
    assert_eq!(plan.steps, []);
    assert_eq!(world.condition("Stalled"), Some((true, Reason::Conflict)));
    let said = message(&world, "Stalled");
    assert!(said.contains("HTTPRoute churn belongs to Other other"), "{said}");
}

#[test]
fn without_the_right_or_the_kind_it_is_said_what_to_install() {
    let mut world = World::new(behind(endpoint("churn")).build());
    world.settings.gateway_api = None;
    assert_eq!(world.reconcile().unwrap().steps, []);
    assert_eq!(world.condition("Stalled"), Some((true, Reason::GatewayApiNeeded)));
    assert!(message(&world, "Ready").contains("gatewayApi.enabled=true"), "{}", message(&world, "Ready"));
    world.settings = testkit::settings();
    world.knows_http_routes = false;
    assert_eq!(world.reconcile().unwrap().steps, []);
    let said = message(&world, "Ready");
    assert!(said.contains("install the Gateway API's standard channel CRDs"), "{said}");
    world.knows_http_routes = true;
    settle(&mut world);
    assert_eq!(world.condition("Ready"), Some((true, Reason::Ready)));
}

#[test]
fn a_domain_of_the_chart_narrows_host_names_and_without_one_the_gateway_decides() {
    let routing = json!({"hosts": ["churn.example.com"], "gatewayApi": super::gateway_api()});
    let mut world = World::new(endpoint("churn").routing(&routing).build());
    settle(&mut world);
    assert_eq!(world.condition("Ready"), Some((true, Reason::Ready)));
    let url = world.endpoint.status.clone().unwrap().url;
    assert_eq!(url.as_deref(), Some("http://churn.example.com/v2/models/churn/infer"));
    world.settings.gateway_api.as_mut().unwrap().domain = Some("models.example".to_owned());
    world.reconcile().unwrap();
    assert_eq!(world.condition("Stalled"), Some((true, Reason::Invalid)));
    assert!(message(&world, "Stalled").contains("end in .team.models.example"));
    world.change(|spec| spec.routing.as_mut().unwrap().hosts = vec!["churn.team.models.example".to_owned()]);
    settle(&mut world);
    assert_eq!(world.condition("Ready"), Some((true, Reason::Ready)));
}

#[test]
fn in_the_mode_plan_the_route_is_proposed_and_not_written() {
    let mut endpoint = behind(endpoint("churn")).build();
    endpoint.spec.management.mode = api::azure::ManagementMode::Plan;
    let mut world = World::new(endpoint);
    let plan = world.reconcile().unwrap();
    assert_eq!(plan.steps, []);
    let proposed = plan.status.plan.expect("there is a plan");
    assert!(serde_json::to_string(&proposed).unwrap().contains("HTTPRoute"), "{proposed:?}");
    world.change(|spec| spec.management.mode = api::azure::ManagementMode::Manage);
    settle(&mut world);
    let deleted = plan::endpoint::plan(&world.observe());
    assert!(!deleted.steps.iter().any(|step| matches!(step, Step::Delete(_))));
    accept(&mut world);
}
