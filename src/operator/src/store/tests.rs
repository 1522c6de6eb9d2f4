//! The store's promises.
use api::meta::ENDPOINT_LABEL;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use plan::ChildKind;

use super::*;

fn object(name: &str, version: u64) -> Sight {
    let labels = [(ENDPOINT_LABEL.to_owned(), name.to_owned())].into();
    let metadata = ObjectMeta {
        name: Some(name.into()),
        namespace: Some("team".into()),
        resource_version: Some(version.to_string()),
        labels: Some(labels),
        ..ObjectMeta::default()
    };
    Object { metadata, ..Object::default() }.into()
}

const CHILD: Source = Source::Child(ChildKind::Service);
const ENDPOINT: Source = Source::Primary(Primary::Endpoint);

fn version(store: &Store, name: &str) -> Option<String> {
    store.object(CHILD, &ObjectName::new("team", name)).unwrap()?.metadata.resource_version
}

#[test]
fn a_lagging_watch_does_not_undo_an_own_write() {
    let store = Store::new("system");
    assert_eq!(store.apply(CHILD, object("churn", 7)).len(), 1);
    assert_eq!(store.apply(CHILD, object("churn", 7)), []);
    assert_eq!(store.apply(CHILD, object("churn", 5)), []);
    assert_eq!(store.delete(CHILD, &ObjectName::new("team", "churn"), 6), []);
    assert_eq!(version(&store, "churn").unwrap(), "7");
    assert_eq!(store.delete(CHILD, &ObjectName::new("team", "churn"), 8).len(), 1);
    assert_eq!(version(&store, "churn"), None);
}

#[test]
fn what_somebody_did_before_an_own_write_of_a_status_is_told_by_its_answer_alone() {
    let store = Store::new("system");
    let endpoint = |version: u64, generation: i64| -> Sight {
        let metadata = ObjectMeta {
            name: Some("churn".into()),
            namespace: Some("team".into()),
            resource_version: Some(version.to_string()),
            generation: Some(generation),
            ..ObjectMeta::default()
        };
        Object { metadata, ..Object::default() }.into()
    };
    store.apply(ENDPOINT, endpoint(1, 1));
    assert!(!store.answered(ENDPOINT, endpoint(2, 1)), "nothing but the status is new");
    assert!(store.answered(ENDPOINT, endpoint(4, 2)), "the spec was changed at version 3");
    assert_eq!(store.apply(ENDPOINT, endpoint(3, 2)), [], "the watch comes later, and is no news");
    assert_eq!(store.apply(ENDPOINT, endpoint(5, 3)).len(), 1);
    assert!(!store.answered(ENDPOINT, endpoint(6, 3)), "the watch has told it");
}

#[test]
fn a_relist_forgets_what_it_does_not_name_and_keeps_what_was_written_meanwhile() {
    let store = Store::new("system");
    store.apply(CHILD, object("gone", 1));
    store.apply(CHILD, object("kept", 2));
    store.begin_relist(CHILD, "");
    store.apply(CHILD, object("kept", 2));
    store.apply(CHILD, object("written", 9));
    let concerned: Vec<String> =
        store.end_relist(CHILD, "").iter().map(|item| item.object.to_string()).collect();
    assert_eq!(concerned, ["team/gone"]);
    assert!(version(&store, "kept").is_some() && version(&store, "written").is_some());
}

#[test]
fn endpoints_are_looked_at_when_the_cluster_gets_to_know_http_routes_and_when_it_forgets_them() {
    let store = Store::new("system");
    store.apply(ENDPOINT, object("churn", 1));
    assert_eq!(store.set_knows_http_routes(false), [], "nothing is known at first");
    assert_eq!(store.set_knows_http_routes(true).len(), 1);
    assert_eq!(store.set_knows_http_routes(true), [], "no news");
    assert!(store.knows_http_routes());
    assert_eq!(store.set_knows_http_routes(false).len(), 1);
}

#[test]
fn a_default_runtime_concerns_every_endpoint_and_another_only_its_namespace() {
    let store = Store::new("system");
    store.apply(ENDPOINT, object("churn", 1));
    let runtime = |namespace: &str, version: u64| -> Sight {
        let metadata = ObjectMeta {
            name: Some("onnx".into()),
            namespace: Some(namespace.into()),
            resource_version: Some(version.to_string()),
            ..ObjectMeta::default()
        };
        Object { metadata, ..Object::default() }.into()
    };
    let source = Source::Primary(Primary::ServingRuntime);
    let concerned = |namespace: &str| -> Vec<String> {
        store.apply(source, runtime(namespace, 3)).iter().map(|item| item.object.to_string()).collect()
    };
    assert_eq!(concerned("system"), ["team/churn", "system/onnx"]);
    assert_eq!(concerned("team"), ["team/churn", "team/onnx"]);
    assert_eq!(concerned("other"), ["other/onnx"]);
}

#[test]
fn own_writes_that_the_watch_tells_first_are_no_news() {
    let model = |version: u64, generation, finalizers: &[&str], annotation: &str| -> Sight {
        let metadata = ObjectMeta {
            name: Some("churn".into()),
            namespace: Some("team".into()),
            resource_version: Some(version.to_string()),
            generation: Some(generation),
            finalizers: Some(finalizers.iter().map(|it| (*it).to_owned()).collect()),
            annotations: Some([("a".to_owned(), annotation.to_owned())].into()),
            ..ObjectMeta::default()
        };
        let status = serde_json::json!({"version": version});
        Object { metadata, status, ..Object::default() }.into()
    };
    let own = api::azure::FINALIZER;
    let store = Store::new("system");
    let concerned = |sight| store.apply(Source::Primary(Primary::Model), sight).len();
    assert_eq!(concerned(model(1, 1, &[], "")), 1);
    assert_eq!(concerned(model(2, 1, &[own], "")), 0, "the own finalizer");
    assert_eq!(concerned(model(3, 1, &[own], "")), 0, "the status");
    assert_eq!(concerned(model(4, 2, &[own], "")), 1, "the spec");
    assert_eq!(concerned(model(5, 2, &[own], "x")), 1, "an annotation");
    assert_eq!(concerned(model(6, 2, &[own, "other"], "x")), 1, "another's finalizer");
    assert_eq!(concerned(model(7, 2, &["other"], "x")), 1, "the loss of the own finalizer");
    // What runs on the cluster is looked at again at each change.
    let endpoints = |sight| store.apply(ENDPOINT, sight).len();
    assert_eq!((endpoints(model(1, 1, &[], "")), endpoints(model(2, 1, &[own], ""))), (1, 1));
}

/// An autoscaler of somebody else's over a Deployment.
fn autoscaler(version: u64, target: &str) -> Sight {
    let metadata = ObjectMeta {
        name: Some("theirs".into()),
        namespace: Some("team".into()),
        resource_version: Some(version.to_string()),
        ..ObjectMeta::default()
    };
    let spec = serde_json::json!({"scaleTargetRef": {"kind": "Deployment", "name": target}});
    Sight::autoscaler(&Object { metadata, spec, ..Object::default() })
}

#[test]
fn an_autoscaler_of_somebody_else_wakes_the_endpoint_of_what_it_scales() {
    let store = Store::new("system");
    let source = Source::Autoscalers;
    let item = |name: &str| Item { primary: Primary::Endpoint, object: ObjectName::new("team", name) };
    assert_eq!(store.apply(source, autoscaler(1, "churn")), [], "nobody knows of it");
    store.apply(ENDPOINT, object("churn", 2));
    assert_eq!(store.autoscalers_of(&ObjectName::new("team", "churn")).len(), 1);
    assert_eq!(store.apply(source, autoscaler(3, "churn")), [], "what it tells of itself concerns nobody");
    assert_eq!(store.apply(source, autoscaler(4, "other")), [item("churn")]);
    assert_eq!(store.autoscalers_of(&ObjectName::new("team", "churn")), []);
    assert_eq!(store.apply(source, autoscaler(5, "churn")), [item("churn")]);
    store.begin_relist(source, "");
    assert_eq!(store.end_relist(source, ""), [item("churn")]);
    assert_eq!(store.autoscalers_of(&ObjectName::new("team", "churn")), []);
}

#[test]
fn a_new_promotion_wakes_those_of_the_same_model_before_it() {
    let store = Store::new("system");
    let promotion = |name: &str, model: &str, version: u64| -> Sight {
        let metadata = ObjectMeta {
            name: Some(name.into()),
            namespace: Some("team".into()),
            resource_version: Some(version.to_string()),
            ..ObjectMeta::default()
        };
        let spec = serde_json::json!({"model": {"name": model}});
        Object { metadata, spec, ..Object::default() }.into()
    };
    let source = Source::Primary(Primary::ModelPromotion);
    store.apply(source, promotion("first", "churn", 1));
    store.apply(source, promotion("other", "tumour", 2));
    let woken = store.apply(source, promotion("second", "churn", 3));
    let woken: Vec<(Primary, String)> =
        woken.iter().map(|item| (item.primary, item.object.name.to_string())).collect();
    let expected =
        [(Primary::ModelPromotion, "second"), (Primary::Model, "churn"), (Primary::ModelPromotion, "first")];
    assert_eq!(woken, expected.map(|(primary, name)| (primary, name.to_owned())));
}
