//! A panic concerns one object only: the others go on, it is counted, and the object's status says so. And who waits
//! for Azure is told of its return.
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use clap::Parser as _;
use futures::future::BoxFuture;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::ApiResource;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{AWAY_AFTER, Loop, Memory, WAKE_EVERY, Work};
use crate::arguments::Arguments;
use crate::azure::Azure;
use crate::context::{Context, Fresh};
use crate::decision::Decision;
use crate::execute::Executor;
use crate::gateway::Gateway;
use crate::kinds::{Decide, Kind};
use crate::lease::Leadership;
use crate::metrics::Metrics;
use crate::monitor::Monitor;
use crate::object::{Item, Lane, ObjectName, Primary};
use crate::report::Reporter;
use crate::resource::Object;
use crate::store::{Sight, Source, Store};

mod poison;

const OBJECTS: usize = 100;

fn decide<'a>(
    context: &'a Context,
    _kind: &'a Kind,
    name: &'a ObjectName,
    _fresh: &'a mut Fresh,
) -> BoxFuture<'a, anyhow::Result<Option<Decision>>> {
    Box::pin(async {
        assert!(&*name.name != "object-7", "the seventh is cursed");
        let object = context.store.object(Source::Primary(Primary::Endpoint), name)?;
        Ok(object.map(|object| Decision::unplanned(object.metadata, object.status)))
    })
}

type Bodies = Arc<Mutex<Vec<Value>>>;

/// An API server that takes whatever is applied, and remembers it.
async fn api_server(bodies: Bodies) -> Client {
    let accept = async |State(bodies): State<Bodies>, body: String| {
        let body: Value = serde_json::from_str(&body).unwrap_or_default();
        bodies.lock().unwrap().push(body.clone());
        body.to_string()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(accept).with_state(bodies);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = kube::Config::new(format!("http://{address}").parse().unwrap());
    Client::try_from(config).unwrap()
}

fn engine(client: Client, decide: Decide, names: impl IntoIterator<Item = ObjectName>) -> Loop {
    let store = Store::new("mlops-system");
    for name in names {
        let metadata = ObjectMeta {
            name: Some(name.name.to_string()),
            namespace: Some(name.namespace.to_string()),
            uid: Some(format!("uid-{}", name.name)),
            resource_version: Some("1".to_owned()),
            generation: Some(4),
            ..ObjectMeta::default()
        };
        let object = Object { metadata, ..Object::default() };
        store.apply(Source::Primary(Primary::Endpoint), Sight::from(object));
    }
    let resource = || ApiResource::erase::<api::Endpoint>(&());
    let executor = Executor { client, store: store.clone(), leadership: Leadership::always() };
    let metrics = Metrics::new().unwrap();
    let options = Arguments::parse_from(["mlops-operator", "--cluster-id", "test"]).options;
    let context = Context {
        store,
        settings: Arc::new(options.settings()),
        executor: executor.clone(),
        azure: Arc::new(Azure::new(&options, &metrics).unwrap()),
        gateway: Arc::new(Gateway::new(&options).unwrap()),
        monitor: Arc::new(Monitor::new(&options)),
    };
    Loop {
        kinds: [Kind { primary: Primary::Endpoint, name: "endpoint", resource, decide }].into(),
        lane: Lane::Cluster,
        context,
        reporter: Reporter { executor, instance: "test".to_owned() },
        metrics,
        work: Arc::new(Work::default()),
        wake: Arc::new(|_| {}),
    }
}

#[tokio::test]
async fn a_panic_concerns_one_object_only() {
    let bodies = Bodies::default();
    let names =
        (0..OBJECTS).map(|index| ObjectName::new(&format!("team-{}", index % 3), &format!("object-{index}")));
    let engine = engine(
        api_server(Arc::clone(&bodies)).await,
        |context, kind, name, fresh| decide(context, kind, name, fresh),
        names,
    );
    let (stop, stopped) = watch::channel(false);
    let memory = Arc::new(Mutex::new(Memory::default()));
    let workers: Vec<_> =
        (0..4).map(|_| tokio::spawn(engine.clone().work(memory.clone(), stopped.clone()))).collect();
    engine.push_all();
    let others = "reconciliations_total{controller=\"endpoint\",outcome=\"unchanged\"} 99";
    let status = || {
        let bodies = bodies.lock().unwrap();
        bodies.iter().find(|body| body["kind"] == "Endpoint").cloned()
    };
    let done = async {
        while !engine.metrics.text().unwrap().contains(others) || status().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), done).await.unwrap();
    let text = engine.metrics.text().unwrap();
    assert!(text.contains("mlops_operator_panics_total{controller=\"endpoint\"}"), "{text}");
    let status = status().unwrap();
    assert_eq!(status["metadata"]["name"], "object-7");
    let ready = &status["status"]["conditions"][0];
    assert_eq!((&ready["type"], &ready["reason"]), (&json!("Ready"), &json!("Panicked")));
    assert_eq!(ready["message"], "the operator failed inside: the seventh is cursed");
    stop.send_replace(true);
    for worker in workers {
        worker.await.unwrap();
    }
}

#[test]
fn the_first_that_azure_answers_again_wakes_those_that_have_waited_for_long() {
    let item = |name: &str| Item { primary: Primary::MlWorkspace, object: ObjectName::new("team", name) };
    let now = Instant::now();
    let mut memory = Memory::default();
    for before in 0..AWAY_AFTER {
        for name in ["a", "b"] {
            memory.unanswered(&item(name), before);
        }
    }
    // One failure is no outage: its back-off is short.
    memory.unanswered(&item("new"), 0);
    assert_eq!(memory.recovered(&item("b"), now), (vec![item("a")], now));
    assert_eq!(memory.recovered(&item("new"), now).0, []);
    // What fails on and on is not tried each time that another recovers.
    memory.unanswered(&item("a"), AWAY_AFTER);
    assert_eq!(memory.recovered(&item("new"), now), (vec![item("a")], now + WAKE_EVERY));
}
