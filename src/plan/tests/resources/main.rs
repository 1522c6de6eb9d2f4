//! What Computes, Models and DataAssets want in Azure, and how it comes about there.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod compute;
mod data_asset;
mod import;
mod ml_workspace;
mod model;
mod model_registry;

use std::collections::BTreeMap;

use arm::ResourceId;
use plan::Step;
use plan::azure::{Compiled, Facts, Read, Refusal, Sight, Wanted};
use serde_json::{Value, json};
use testkit::azure::{FakeAzure, Round, SUBSCRIPTION, Trace};

/// The resource group of everything.
const GROUP: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/ml";
/// The workspace of everything.
const WORKSPACE: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/ml/providers/Microsoft.MachineLearningServices/workspaces/dev";
/// The registry.
const REGISTRY: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/ml/providers/Microsoft.MachineLearningServices/registries/contoso";

fn id(text: &str) -> ResourceId {
    ResourceId::parse(text).unwrap()
}

/// The id of something in the workspace.
fn inside(path: &str) -> ResourceId {
    id(&format!("{WORKSPACE}/{path}"))
}

/// An object of a kind.
fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "mlops-operator.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "team", "generation": 1},
        "spec": spec,
    })
}

/// A workspace or registry that is ready.
fn place(kind: &str, id: &str, name: &str) -> Value {
    let mut place = object(kind, name, &json!({"resourceGroup": "ml", "location": "westeurope"}));
    place["status"] = json!({"id": id, "resources": [{"id": id, "state": "Ready", "owned": true}]});
    place
}

/// An Azure with a workspace and a registry.
fn azure() -> FakeAzure {
    let mut azure = FakeAzure::new();
    azure.add_object(&place("MLWorkspace", WORKSPACE, "dev"));
    azure.add_object(&place("ModelRegistry", REGISTRY, "contoso"));
    for place in [WORKSPACE, REGISTRY] {
        azure.put(&id(place), &json!({"location": "westeurope", "properties": {}}));
    }
    azure
}

/// What an object wants when nothing has been read.
fn compiled(object: &Value) -> Result<Compiled, Refusal> {
    let objects: BTreeMap<(String, String), Value> =
        [place("MLWorkspace", WORKSPACE, "dev"), place("ModelRegistry", REGISTRY, "contoso")]
            .into_iter()
            .map(|it| {
                let name = it["metadata"]["name"].as_str().unwrap().to_owned();
                ((it["kind"].as_str().unwrap().to_owned(), name), it)
            })
            .collect();
    compiled_among(object, &objects)
}

fn compiled_among(object: &Value, objects: &BTreeMap<(String, String), Value>) -> Result<Compiled, Refusal> {
    let facts = Facts {
        now: testkit::now(),
        objects,
        seen: &BTreeMap::<ResourceId, Sight>::new(),
        subscription: Some(SUBSCRIPTION),
        assume_ready: false,
    };
    (plan::azure::kind(object["kind"].as_str().unwrap()).unwrap().compile)(object, &facts)
}

/// What is wanted, as a page for people.
#[track_caller]
fn page(object: &Value) -> String {
    let compiled = compiled(object).expect("the manifest is valid");
    let mut page = format!("main: {}\n", short(&compiled.main));
    for requirement in &compiled.requires {
        let values = requirement.one_of.join(" or ");
        let what = if requirement.pointer.is_empty() { "exists" } else { requirement.pointer };
        page += &format!("requires: {} {what} {values}\n  {}\n", short(&requirement.id), requirement.message);
    }
    for read in &compiled.reads {
        page += &match read {
            Read::Get(id) => format!("reads: {}\n", short(id)),
            Read::List(id, type_) => format!("lists: {}/{type_}\n", short(id)),
        };
    }
    for wanted in &compiled.wanted {
        page += &wanted_page(wanted);
    }
    for output in &compiled.outputs {
        page += &format!("output {}: {} {}\n", output.name, short(&output.id), output.pointer);
    }
    page
}

fn wanted_page(wanted: &Wanted) -> String {
    let mut page = format!("\n{}\n", short(&wanted.id));
    for after in &wanted.after {
        page += &format!("  after {}\n", short(after));
    }
    for field in wanted.patchable {
        page += &format!("  patches {field}\n");
    }
    for secret in &wanted.secrets {
        page += &format!("  secret {} key {} at {}\n", secret.secret, secret.key, secret.pointer);
    }
    if !wanted.delete_query.is_empty() {
        page += &format!("  deleted with {}\n", wanted.delete_query);
    }
    if wanted.archivable {
        page += "  archivable\n";
    }
    page + &serde_json::to_string_pretty(&without_nulls(&wanted.body)).unwrap() + "\n"
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.clone(), without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

/// An id without what all share.
fn short(id: &ResourceId) -> String {
    shorten(id.as_str())
}

fn shorten(text: &str) -> String {
    text.replace(WORKSPACE, "W").replace(REGISTRY, "R").replace(GROUP, "G")
}

/// The user changes the object.
fn change(object: &mut Value, change: impl FnOnce(&mut Value)) {
    change(&mut object["spec"]);
    object["metadata"]["generation"] = json!(object["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
}

/// The user deletes the object.
fn delete(object: &mut Value) {
    object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
}

/// Reconciles until all is as wanted, then once more: what is as wanted is left alone.
#[track_caller]
fn settle(azure: &mut FakeAzure, object: &mut Value) -> Vec<String> {
    let trace: Trace = azure.converge(object, 60);
    assert!(trace.converged, "{:#?}", object["status"]["conditions"]);
    if object["metadata"]["deletionTimestamp"].is_null() {
        let again: Round = azure.reconcile(object);
        assert_eq!(again.outcome.plan.steps, Vec::<Step>::new());
        assert_eq!(ready(object).0, "Ready");
    }
    let plain = |line: &String| {
        let words = [("create (PUT)", "create"), ("update (PUT)", "update"), ("update (PATCH)", "patch")];
        let line = words.iter().fold(shorten(line), |line, (long, short)| line.replace(long, short));
        line.replace("delete (DELETE)", "delete")
    };
    trace.lines().iter().map(plain).collect()
}

/// The reason and the message of the condition `Ready`.
fn ready(object: &Value) -> (String, String) {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let ready = conditions.into_iter().find(|it| it["type"] == "Ready").unwrap_or_default();
    let text = |field: &str| ready[field].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("message"))
}

/// Reconciles a few times, and tells why it does not go on.
fn stuck(azure: &mut FakeAzure, object: &mut Value) -> (String, String) {
    let trace = azure.converge(object, 8);
    assert!(!trace.converged);
    ready(object)
}

/// Everything that exists, without the workspace and what came with it.
fn left(azure: &FakeAzure) -> Vec<String> {
    azure.ids().map(short).filter(|id| !["W", "R"].contains(&id.as_str())).collect()
}
