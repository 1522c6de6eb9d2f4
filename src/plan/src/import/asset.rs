//! Models and DataAssets for what is registered.
use arm::ResourceId;
use serde_json::{Map, Value, json};

use super::{Bodies, Imported, Spec, children, object_name, own_name, tags, text};

/// The property that keeps the digest of a version.
const DIGEST: &str = "mlops-operator-digest";
/// The tags by which a version names what it depends on.
const DEPENDENCY_TAGS: [&str; 3] =
    ["mlops-operator-environment", "mlops-operator-code", "mlops-operator-scoring-script"];

/// Where an asset belongs: the field of the reference, and the object's name.
pub(crate) type Place<'a> = (&'static str, &'a str);

/// The manifest of a model with all its versions that were read; `None` when it is archived.
pub fn model(
    id: &ResourceId,
    body: &Value,
    bodies: &Bodies,
    (field, place): Place,
    namespace: &str,
) -> Option<Imported> {
    if body["properties"]["isArchived"] == true {
        return None;
    }
    let mut notes = Vec::new();
    let mut versions: Vec<(&ResourceId, &Value)> = children(bodies, id, "versions");
    versions.retain(|(_, body)| body["properties"]["isArchived"] != true);
    versions.sort_by_key(|(id, _)| (id.name().parse::<u64>().unwrap_or(u64::MAX), id.name().to_owned()));
    let versions: Vec<Value> =
        versions.into_iter().filter_map(|(id, body)| version(id, body, bodies, &mut notes)).collect();
    let mut spec = Spec::default();
    spec.set(field, json!({"name": place}))
        .set("name", own_name(id.name()))
        .copy(body, &[("description", "/properties/description")])
        .set("tags", tags(body, "/properties/tags"))
        .set("versions", versions);
    let mut imported = Imported::new("Model", id.name(), namespace, spec);
    imported.notes = notes;
    Some(imported)
}

fn version(id: &ResourceId, body: &Value, bodies: &Bodies, notes: &mut Vec<String>) -> Option<Value> {
    let uri = text(body, "/properties/modelUri");
    let format = match text(body, "/properties/modelType") {
        "mlflow_model" => "MLflow",
        "triton_model" => "Triton",
        "custom_model" if uri.to_ascii_lowercase().ends_with(".onnx") => "ONNX",
        "custom_model" => "Custom",
        other => {
            notes.push(format!("version {} of the type {other}", id.name()));
            return None;
        }
    };
    let mut properties = tags(body, "/properties/properties").as_object().cloned().unwrap_or_default();
    let digest = properties.remove(DIGEST).unwrap_or_default();
    let mut own_tags = tags(body, "/properties/tags").as_object().cloned().unwrap_or_default();
    let named: Vec<Option<Value>> = DEPENDENCY_TAGS.iter().map(|tag| own_tags.remove(*tag)).collect();
    let mut version = Spec::default();
    version
        .set("version", id.name())
        .set("uri", uri)
        .set("format", format)
        .set("digest", digest)
        .copy(
            body,
            &[
                ("description", "/properties/description"),
                ("stage", "/properties/stage"),
                ("jobName", "/properties/jobName"),
            ],
        )
        .set("tags", own_tags)
        .set("properties", properties)
        .set("flavors", flavors(body));
    if let Some((name, number)) = named[0].as_ref().and_then(asset) {
        // It exists; what is in it stays as it is.
        version.set("environment", json!({"name": name, "version": number}));
    }
    if let (Some((name, number)), Some(script)) = (named[1].as_ref().and_then(asset), &named[2]) {
        version.set("code", code(id, bodies, name, number, script));
    }
    Some(version.value())
}

/// The name and version in `azureml:NAME:VERSION`.
fn asset(tag: &Value) -> Option<(&str, &str)> {
    tag.as_str()?.strip_prefix("azureml:")?.rsplit_once(':')
}

/// The id of the code that a version names; its body has to be read for its address.
pub(super) fn code_id(version: &ResourceId, name: &str, number: &str) -> Option<ResourceId> {
    let place = version.parent()?.parent()?;
    place.child("codes", name).and_then(|code| code.child("versions", number)).ok()
}

fn code(version: &ResourceId, bodies: &Bodies, name: &str, number: &str, script: &Value) -> Value {
    let body = code_id(version, name, number).and_then(|id| bodies.get(&id));
    let Some(uri) = body.map(|body| text(body, "/properties/codeUri")).filter(|uri| !uri.is_empty()) else {
        return Value::Null;
    };
    json!({"name": name, "version": number, "uri": uri, "scoringScript": script})
}

/// The code that a version names, to be read before the version is imported.
pub fn code_of(version: &ResourceId, body: &Value) -> Option<ResourceId> {
    let tag = body["properties"]["tags"].get(DEPENDENCY_TAGS[1])?;
    let (name, number) = asset(tag)?;
    code_id(version, name, number)
}

fn flavors(body: &Value) -> Value {
    let flavors = body.pointer("/properties/flavors").and_then(Value::as_object).into_iter().flatten();
    let data = |(name, flavor): (&String, &Value)| {
        let mut data: Map<String, Value> = flavor["data"].as_object().cloned().unwrap_or_default();
        data.retain(|_, value| value.is_string());
        (name.clone(), Value::Object(data))
    };
    Value::Object(flavors.map(data).collect())
}

/// The manifest of a version of a data asset; `None` when it is archived or of a type that no manifest has.
pub fn data_asset(id: &ResourceId, body: &Value, workspace: &str, namespace: &str) -> Option<Imported> {
    let type_ = match text(body, "/properties/dataType") {
        "uri_file" => "File",
        "uri_folder" => "Folder",
        "mltable" => "MLTable",
        _ => return None,
    };
    if body["properties"]["isArchived"] == true {
        return None;
    }
    let container = id.parent()?;
    // One object stands for one version, so its name tells both.
    let name = object_name(&format!("{}-{}", container.name(), id.name()));
    let mut spec = Spec::default();
    spec.set("workspaceRef", json!({"name": workspace}))
        .set("name", container.name())
        .set("version", id.name())
        .set("type", type_)
        .copy(body, &[("uri", "/properties/dataUri"), ("description", "/properties/description")])
        .set("tags", tags(body, "/properties/tags"));
    Some(Imported::new("DataAsset", &name, namespace, spec))
}
