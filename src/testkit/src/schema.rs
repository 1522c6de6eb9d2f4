//! Whether a value fits the structural schema of a CustomResourceDefinition.
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

/// The schema of a CustomResourceDefinition's first version, as JSON.
pub fn of(crd: &CustomResourceDefinition) -> Value {
    let version = crd.spec.versions.first().and_then(|version| version.schema.as_ref());
    json!(version.and_then(|schema| schema.open_api_v3_schema.as_ref()))
}

/// Where and how a value leaves its schema: types, bounds, enums, required and unknown fields. Patterns and CEL rules
/// are not looked at.
pub fn violations(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(schema, value, "", &mut found);
    found
}

fn walk(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    if !has_type(schema, value) {
        found.push(format!("{path}: {value} is not of type {}", schema["type"]));
        return;
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        found.push(format!("{path}: {value} is none of {}", schema["enum"]));
    }
    let size = match value {
        Value::String(text) => Some((text.chars().count(), "minLength", "maxLength")),
        Value::Array(list) => Some((list.len(), "minItems", "maxItems")),
        Value::Object(map) => Some((map.len(), "minProperties", "maxProperties")),
        _ => None,
    };
    if let Some((size, least, most)) = size {
        bounds(schema, Some(size as f64), (least, most), path, found);
    }
    bounds(schema, value.as_f64(), ("minimum", "maximum"), path, found);
    match value {
        Value::Array(list) => {
            for (index, item) in list.iter().enumerate() {
                walk(&schema["items"], item, &format!("{path}[{index}]"), found);
            }
        }
        Value::Object(_) => object(schema, value, path, found),
        _ => {}
    }
}

fn object(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            found.push(format!("{path}.{name}: required"));
        }
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        if let Some(schema) = schema["properties"].get(name) {
            walk(schema, inner, &path, found);
        } else if schema["additionalProperties"].is_object() {
            walk(&schema["additionalProperties"], inner, &path, found);
        } else if schema.get("properties").is_some() {
            found.push(format!("{path}: unknown field"));
        }
    }
}

fn bounds(schema: &Value, size: Option<f64>, names: (&str, &str), path: &str, found: &mut Vec<String>) {
    let Some(size) = size else { return };
    if schema[names.0].as_f64().is_some_and(|least| size < least) {
        found.push(format!("{path}: {size} is below {} {}", names.0, schema[names.0]));
    }
    if schema[names.1].as_f64().is_some_and(|most| size > most) {
        found.push(format!("{path}: {size} is above {} {}", names.1, schema[names.1]));
    }
}

fn has_type(schema: &Value, value: &Value) -> bool {
    match schema["type"].as_str() {
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => true,
    }
}
