//! What the API server says to manifests of the kinds that have resources in Azure.
#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod compute;
mod data_asset;
mod ml_workspace;
mod model;
mod model_registry;

use kube::core::cel::Validator;
use serde_json::{Value, json};

/// An object of a kind.
fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "mlops-operator.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "team"},
        "spec": spec,
    })
}

/// A spec with fields replaced or added; null removes one. A name with dots reaches into sections.
fn with(spec: &Value, changes: &Value) -> Value {
    let mut spec = spec.clone();
    for (path, value) in changes.as_object().into_iter().flatten() {
        let mut place = &mut spec;
        let mut fields: Vec<&str> = path.split('.').collect();
        let last = fields.pop().unwrap();
        for field in fields {
            place = match field.parse::<usize>() {
                Ok(index) => &mut place[index],
                Err(_) => &mut place[field],
            };
        }
        if value.is_null() {
            place.as_object_mut().unwrap().remove(last);
        } else {
            place[last] = value.clone();
        }
    }
    spec
}

/// What admission says against an object, or against its change: bounds of the schema, then the messages of its rules.
fn objections(new: &Value, old: Option<&Value>) -> Vec<String> {
    let crd = api::crds().into_iter().find(|crd| new["kind"] == crd.spec.names.kind.as_str()).unwrap();
    let schema = testkit::schema::of(&crd);
    // The API server fills in the defaults before it looks at rules.
    let (new, old) = (defaulted(&schema, new), old.map(|old| defaulted(&schema, old)));
    let mut found = testkit::schema::violations(&schema["properties"]["spec"], &new["spec"]);
    if let Err(errors) = Validator::new().validate(&schema, &new, old.as_ref()) {
        found.extend(errors.as_slice().iter().map(|error| error.message.clone()));
    }
    found
}

fn defaulted(schema: &Value, object: &Value) -> Value {
    let mut object = object.clone();
    fill(&schema["properties"]["spec"], &mut object["spec"]);
    object
}

fn fill(schema: &Value, value: &mut Value) {
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        if value.is_object() && value.get(name).is_none() && inner.get("default").is_some() {
            value[name] = inner["default"].clone();
        }
        if let Some(value) = value.get_mut(name) {
            fill(inner, value);
        }
    }
    for value in value.as_array_mut().into_iter().flatten() {
        fill(&schema["items"], value);
    }
    if let (true, Some(map)) = (schema["additionalProperties"].is_object(), value.as_object_mut()) {
        map.values_mut().for_each(|value| fill(&schema["additionalProperties"], value));
    }
}

#[track_caller]
fn accepts(object: &Value) {
    assert_eq!(objections(object, None), Vec::<String>::new(), "{object}");
}

#[track_caller]
fn refuses(object: &Value, words: &str) {
    let objections = objections(object, None);
    assert!(objections.iter().any(|objection| objection.contains(words)), "{object}: {objections:?}");
}

/// A change that is refused with these words, although either object alone is accepted.
#[track_caller]
fn refuses_change(old: &Value, new: &Value, words: &str) {
    accepts(old);
    accepts(new);
    let objections = objections(new, Some(old));
    assert!(objections.iter().any(|objection| objection.contains(words)), "{new}: {objections:?}");
}

#[track_caller]
fn accepts_change(old: &Value, new: &Value) {
    assert_eq!(objections(new, Some(old)), Vec::<String>::new(), "{new}");
}
