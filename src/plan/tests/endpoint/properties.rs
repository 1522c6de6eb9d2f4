//! What holds from any world: plans end, agree with themselves, keep to their own objects, and tell the truth.
use api::Endpoint;
use api::meta::ModelFormat;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use plan::{Apply, ChildKind, Plan, Step};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};
use testkit::{DIGEST, EndpointFixture, Trouble, World, endpoint};

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(20_260_101),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn model() -> impl Strategy<Value = EndpointFixture> {
    let uri = prop_oneof![
        "https://[a-z]{1,20}[.]example(:[1-9][0-9]{0,3})?/[a-zA-Z0-9_./-]{0,40}([?]sig=[a-z0-9]{4})?",
        "http://[a-z]{1,20}",
        "pvc://[a-z]([a-z0-9]{0,40})(/[a-z0-9_.-]{1,20}){0,3}",
    ];
    let format = prop_oneof![
        Just(ModelFormat::Onnx),
        Just(ModelFormat::MLflow),
        Just(ModelFormat::Triton),
        Just(ModelFormat::Custom)
    ];
    (uri, format, any::<bool>(), any::<bool>()).prop_map(|(uri, format, digest, image)| {
        let mut fixture = endpoint("churn").model(format, &uri);
        if digest {
            fixture = fixture.digest(DIGEST);
        }
        if image && format != ModelFormat::Onnx { fixture.image("registry.example/own:1") } else { fixture }
    })
}

fn amounts() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let amount = prop_oneof![
        Just(("cpu", "1000m")),
        Just(("cpu", "0.5")),
        Just(("cpu", "250m")),
        Just(("memory", "1024Mi")),
        Just(("memory", "3Gi")),
        Just(("nvidia.com/gpu", "1")),
    ];
    prop::collection::vec(amount, 0..4)
}

/// Any valid Endpoint.
fn endpoints() -> impl Strategy<Value = Endpoint> {
    let scaling = prop_oneof![
        (1..5_i32).prop_map(|replicas| (Some(replicas), 0, 0)),
        (1..4_i32, 0..4_i32).prop_map(|(min, more)| (None, min, min + more)),
    ];
    let env = prop::collection::vec(("[A-Z_]{1,8}", "[ -~]{0,12}"), 0..3);
    (model(), scaling, any::<bool>(), amounts(), env, 10..900_i32).prop_map(
        |(mut fixture, (replicas, min, max), recreate, amounts, env, deadline)| {
            fixture = match replicas {
                Some(replicas) => fixture.replicas(replicas),
                None => fixture.range(min, max),
            };
            if recreate {
                fixture = fixture.recreate();
            }
            for (name, amount) in amounts {
                fixture = fixture.request(name, amount);
            }
            let mut endpoint = fixture.build();
            if endpoint.spec.model.format != ModelFormat::Onnx {
                let container = endpoint.spec.container.get_or_insert_default();
                for (name, value) in std::collections::BTreeMap::from_iter(env) {
                    container.env.push(api::meta::EnvironmentVariable { name, value });
                }
            }
            endpoint.spec.rollout.progress_deadline_seconds = deadline;
            endpoint
        },
    )
}

/// Something that happens to a world.
#[derive(Clone, Debug)]
enum Happening {
    Reconcile,
    Become(Box<Endpoint>),
    Remove(ChildKind),
    Terminate(ChildKind),
    Mutate(ChildKind, prop::sample::Index, Mutation),
    Stranger(ChildKind),
    Recreated,
    StartPods,
    ReadyPods(usize),
    FinishRollout,
    LosePod,
    Fail(Trouble),
    Autoscale(i32),
    Refuse,
    Deadline,
    NoRuntimes,
    Garbage,
}

#[derive(Clone, Debug)]
enum Mutation {
    Set,
    Unset,
    Add,
}

fn kinds() -> impl Strategy<Value = ChildKind> {
    prop::sample::select(ChildKind::ALL.as_slice())
}

fn happenings() -> impl Strategy<Value = Happening> {
    let mutation = prop_oneof![Just(Mutation::Set), Just(Mutation::Unset), Just(Mutation::Add)];
    let word = |reason| Trouble::LastWord { reason, message: "no", restarts: 2 };
    let trouble = prop::sample::select(vec![
        Trouble::ImagePull,
        Trouble::Unschedulable,
        Trouble::OutOfMemory,
        Trouble::Crash { restarts: 1 },
        Trouble::Silent,
        word("ModelLoadFailed"),
        word("Unheard"),
    ]);
    prop_oneof![
        4 => Just(Happening::Reconcile),
        2 => endpoints().prop_map(|endpoint| Happening::Become(Box::new(endpoint))),
        1 => kinds().prop_map(Happening::Remove),
        1 => kinds().prop_map(Happening::Terminate),
        4 => (kinds(), any::<prop::sample::Index>(), mutation).prop_map(|(kind, at, how)| Happening::Mutate(kind, at, how)),
        1 => kinds().prop_map(Happening::Stranger),
        1 => Just(Happening::Recreated),
        2 => Just(Happening::StartPods),
        2 => (1..3_usize).prop_map(Happening::ReadyPods),
        2 => Just(Happening::FinishRollout),
        1 => Just(Happening::LosePod),
        2 => trouble.prop_map(Happening::Fail),
        1 => (1..6_i32).prop_map(Happening::Autoscale),
        1 => Just(Happening::Refuse),
        1 => Just(Happening::Deadline),
        1 => Just(Happening::NoRuntimes),
        1 => Just(Happening::Garbage),
    ]
}

fn happen(world: &mut World, happening: &Happening) {
    match happening {
        Happening::Reconcile => {
            reconcile_truthfully(world);
        }
        Happening::Become(endpoint) => world.become_like(endpoint),
        Happening::Remove(kind) => world.remove(*kind),
        Happening::Terminate(kind) => world.edit(*kind, "kubectl", |body| {
            body["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }),
        Happening::Mutate(kind, at, how) => world.edit(*kind, "kubectl", |body| mutate(body, *at, how)),
        Happening::Stranger(kind) => stranger(world, *kind),
        Happening::Recreated => world.recreate_endpoint(),
        Happening::StartPods => world.start_pods(),
        Happening::ReadyPods(number) => world.ready_pods(*number),
        Happening::FinishRollout => world.finish_rollout(),
        Happening::LosePod => world.lose_pod(),
        Happening::Fail(trouble) => world.fail_pods(trouble),
        Happening::Autoscale(replicas) => world.autoscale(*replicas),
        Happening::Refuse => world.refuse_pods("exceeded quota"),
        Happening::Deadline => world.pass_deadline(),
        Happening::NoRuntimes => world.runtimes.clear(),
        Happening::Garbage => world.collect_garbage(),
    }
}

/// Another controller's object appears in place of ours.
fn stranger(world: &mut World, kind: ChildKind) {
    let owner =
        json!({"apiVersion": "x/v1", "kind": "Other", "name": "other", "uid": "other", "controller": true});
    let metadata = json!({
        "name": "churn", "uid": format!("stranger-{kind}"), "generation": 1, "ownerReferences": [owner],
        "labels": {api::meta::ENDPOINT_LABEL: "churn"},
    });
    world.remove(kind);
    world.put(kind, json!({"metadata": metadata, "spec": {"replicas": 2}}));
}

/// Somebody sets, removes or adds a field of the spec or of the labels. Keys of lists and selectors, which the API
/// server or its validation protects, are left alone.
fn mutate(body: &mut Value, at: prop::sample::Index, how: &Mutation) {
    let mut places = Vec::new();
    leaves(body, String::new(), &mut places);
    places.retain(|place| {
        let is_open = place.starts_with("/spec") || place.starts_with("/metadata/annotations");
        let last = place.rsplit('/').next().unwrap_or_default();
        is_open
            && !place.starts_with("/spec/selector")
            && !["name", "port", "containerPort", "protocol", "mountPath", "topologyKey", "type", "cidr"]
                .contains(&last)
    });
    if places.is_empty() {
        return;
    }
    let place = at.get(&places).clone();
    let Some((parent, field)) = place.rsplit_once('/') else { return };
    match (how, body.pointer_mut(parent)) {
        (Mutation::Set, Some(parent)) => {
            let slot = match parent {
                Value::Array(list) => list.get_mut(field.parse::<usize>().unwrap_or_default()),
                parent => parent.get_mut(field.replace("~1", "/").as_str()),
            };
            if let Some(slot) = slot {
                *slot = match slot {
                    Value::Bool(value) => json!(!*value),
                    Value::Number(number) => json!(number.as_i64().unwrap_or(0) + 1),
                    _ => json!("other"),
                };
            }
        }
        (Mutation::Unset, Some(Value::Object(map))) => {
            map.remove(&field.replace("~1", "/"));
        }
        (Mutation::Add, Some(Value::Object(map))) => {
            map.insert("foreign".to_owned(), json!("field"));
        }
        _ => {}
    }
}

fn leaves(value: &Value, path: String, found: &mut Vec<String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (name, inner) in map {
                leaves(inner, format!("{path}/{}", name.replace('/', "~1")), found);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for (index, inner) in list.iter().enumerate() {
                leaves(inner, format!("{path}/{index}"), found);
            }
        }
        _ => found.push(path),
    }
}

/// One reconcile, with everything checked that holds of any single plan.
fn reconcile_truthfully(world: &mut World) -> Plan<api::EndpointStatus> {
    let before = world.clone();
    let seen = before.observe();
    let mut shuffled = seen.clone();
    shuffled.pods.reverse();
    shuffled.runtimes.reverse();
    let plan = world.reconcile().expect("the API server takes every step");
    assert_eq!(plan, plan::endpoint::plan(&seen), "the same world gives the same plan");
    assert_eq!(plan, plan::endpoint::plan(&shuffled), "the order of what was seen does not matter");
    assert_eq!(testkit::lies(&before, &plan), Vec::<String>::new(), "{}", testkit::render(world, &plan));
    for step in &plan.steps {
        let (kind, name) = match step {
            Step::Apply(apply) => (apply.kind, &apply.name),
            Step::Delete(delete) => (delete.kind, &delete.name),
            other => panic!("{other}"),
        };
        assert_eq!(name, "churn");
        let seen = seen.children.get(&kind);
        let controller = seen.and_then(|seen| seen.controller.as_ref());
        let ours = controller.is_none_or(|owner| Some(&owner.uid) == before.endpoint.metadata.uid.as_ref());
        assert!(ours, "{step} touches an object of {controller:?}");
        match step {
            Step::Apply(apply) => assert_eq!(apply.create, seen.is_none(), "{step}"),
            Step::Delete(delete) => assert_eq!(seen.map(|seen| &seen.uid), Some(&delete.uid)),
            other => panic!("{other}"),
        }
    }
    plan
}

fn world(first: Endpoint, story: &[Happening]) -> World {
    let mut world = World::new(first);
    for happening in story {
        happen(&mut world, happening);
    }
    world
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn every_story_ends_with_nothing_left_to_do(first in endpoints(), story in prop::collection::vec(happenings(), 0..14)) {
        let mut world = world(first, &story);
        world.collect_garbage();
        let rounds = (0..=4).find(|_| reconcile_truthfully(&mut world).steps.is_empty());
        prop_assert!(rounds.is_some(), "still busy after four rounds: {:?}", plan::endpoint::plan(&world.observe()).steps);
        let second = reconcile_truthfully(&mut world);
        prop_assert!(second.steps.is_empty());
        let third = reconcile_truthfully(&mut world);
        prop_assert_eq!(&second.status, &third.status, "a status repeated is the same status");
        prop_assert!(third.events.is_empty(), "no event is repeated");
    }

    #[test]
    fn an_endpoint_whose_pods_start_becomes_ready(first in endpoints(), story in prop::collection::vec(happenings(), 0..14)) {
        let mut world = world(first, &story);
        world.runtimes = testkit::runtimes();
        world.become_like(&endpoint("churn").replicas(2).build());
        let strangers: Vec<ChildKind> =
            world.objects().filter(|(_, body)| body["metadata"]["uid"].as_str().is_some_and(|uid| uid.starts_with("stranger"))).map(|(kind, _)| kind).collect();
        for kind in strangers {
            world.remove(kind);
        }
        world.collect_garbage();
        world.settle(4).unwrap();
        world.finish_rollout();
        let plan = reconcile_truthfully(&mut world);
        prop_assert_eq!(world.condition("Ready"), Some((true, api::Reason::Ready)), "{}", testkit::render(&world, &plan));
        prop_assert_eq!(world.condition("Serving"), Some((true, api::Reason::Answering)));
        prop_assert!(plan.status.revisions.len() == 1);
    }

    #[test]
    fn every_object_is_one_that_the_api_server_takes(first in endpoints()) {
        let world = World::new(first);
        for step in plan::endpoint::plan(&world.observe()).steps {
            let Step::Apply(apply) = step else { panic!("{step}") };
            parses(&apply);
            labels(&apply.body);
        }
    }
}

/// The object reads as its type, and loses nothing by it.
fn parses(apply: &Apply) {
    fn round<K: serde::de::DeserializeOwned + serde::Serialize>(body: &Value) -> Value {
        json!(serde_json::from_value::<K>(body.clone()).expect("the object reads as its type"))
    }
    let again = match apply.kind {
        ChildKind::ServiceAccount => round::<ServiceAccount>(&apply.body),
        ChildKind::NetworkPolicy => round::<NetworkPolicy>(&apply.body),
        ChildKind::Service => round::<Service>(&apply.body),
        ChildKind::PodDisruptionBudget => round::<PodDisruptionBudget>(&apply.body),
        ChildKind::Deployment => round::<Deployment>(&apply.body),
        ChildKind::HorizontalPodAutoscaler => round::<HorizontalPodAutoscaler>(&apply.body),
        ChildKind::ConfigMap => round::<ConfigMap>(&apply.body),
        ChildKind::Job => unreachable!("an Endpoint has no Jobs"),
        // No crate of ours has its type; the tests on a real API server send it.
        ChildKind::HttpRoute => apply.body.clone(),
    };
    assert_eq!(again, apply.body);
}

/// Names are DNS labels, and so are the values of labels.
fn labels(body: &Value) {
    let is_label = |text: &str| {
        let inner = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
        !text.is_empty()
            && text.len() <= 63
            && text.chars().all(inner)
            && !text.starts_with('-')
            && !text.ends_with('-')
    };
    assert!(is_label(body["metadata"]["name"].as_str().unwrap_or_default()), "{}", body["metadata"]);
    for place in ["/metadata/labels", "/spec/template/metadata/labels"] {
        for (name, value) in body.pointer(place).and_then(Value::as_object).into_iter().flatten() {
            assert!(is_label(value.as_str().unwrap_or_default()), "{place} {name}={value}");
        }
    }
    let pod = &body["spec"]["template"]["spec"];
    for list in ["containers", "initContainers", "volumes"] {
        for item in pod[list].as_array().into_iter().flatten() {
            assert!(is_label(item["name"].as_str().unwrap_or_default()), "{list} {item}");
        }
    }
}
