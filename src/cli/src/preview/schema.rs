//! Whether a manifest fits the schema of its kind: types, bounds, patterns, permitted values, required and unknown fields.
//!
//! Rules that compare fields are left to the API server.
use serde_json::{Value, json};

/// What is wrong with a manifest, each in a sentence.
pub(super) fn problems(object: &Value) -> Vec<String> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let crds = api::crds();
    let Some(crd) = crds.iter().find(|crd| crd.spec.names.kind == kind) else {
        let kinds: Vec<&str> = crds.iter().map(|crd| crd.spec.names.kind.as_str()).collect();
        return vec![format!("kind {kind} is not known: it is one of {}", kinds.join(", "))];
    };
    let version = format!("{}/{}", api::GROUP, api::VERSION);
    if object["apiVersion"] != json!(version) {
        return vec![format!("apiVersion must be {version}")];
    }
    if object["metadata"]["name"].as_str().is_none_or(str::is_empty) {
        return vec!["metadata.name is missing".to_owned()];
    }
    let schema = crd.spec.versions.first().and_then(|version| version.schema.as_ref());
    let schema = json!(schema.and_then(|schema| schema.open_api_v3_schema.as_ref()));
    let mut found = Vec::new();
    walk(&schema["properties"]["spec"], &object["spec"], "spec", &mut found);
    found
}

fn walk(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    if !has_type(schema, value) {
        let wanted = schema["type"].as_str().unwrap_or_default();
        found.push(if value.is_null() {
            format!("{path} is missing")
        } else {
            format!("{path} must be of the type {wanted}, and is {value}")
        });
        return;
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        let allowed: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
        found.push(format!("{path} must be one of {}, and is {value}", allowed.join(", ")));
    }
    match value {
        Value::String(text) => {
            bounds(
                schema,
                text.chars().count() as f64,
                ("minLength", "maxLength"),
                (path, "characters"),
                found,
            );
            pattern(schema, text, path, found);
        }
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or_default();
            bounds(schema, number, ("minimum", "maximum"), (path, ""), found);
        }
        Value::Array(list) => {
            bounds(schema, list.len() as f64, ("minItems", "maxItems"), (path, "items"), found);
            for (index, item) in list.iter().enumerate() {
                walk(&schema["items"], item, &format!("{path}[{index}]"), found);
            }
        }
        Value::Object(map) => {
            bounds(schema, map.len() as f64, ("minProperties", "maxProperties"), (path, "entries"), found);
            fields(schema, value, path, found);
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn fields(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none_or(Value::is_null) && schema["properties"][name].get("default").is_none() {
            found.push(format!("{path}.{name} is missing"));
        }
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        // The API server drops fields that are null.
        if inner.is_null() {
            continue;
        }
        let path = format!("{path}.{name}");
        if let Some(schema) = schema["properties"].get(name) {
            walk(schema, inner, &path, found);
        } else if schema["additionalProperties"].is_object() {
            walk(&schema["additionalProperties"], inner, &path, found);
        } else if schema.get("properties").is_some() {
            found.push(format!("{path} is no field of the kind: check its spelling"));
        }
    }
}

fn pattern(schema: &Value, text: &str, path: &str, found: &mut Vec<String>) {
    let Some(pattern) = schema["pattern"].as_str() else { return };
    // A pattern that this library can't read is left to the API server.
    if regex_lite::Regex::new(pattern).is_ok_and(|regex| !regex.is_match(text)) {
        found.push(format!("{path} must match {pattern}"));
    }
}

fn bounds(
    schema: &Value,
    size: f64,
    (least, most): (&str, &str),
    (path, unit): (&str, &str),
    found: &mut Vec<String>,
) {
    let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
    if let Some(least) = schema[least].as_f64().filter(|least| size < *least) {
        found.push(format!("{path} must have at least {least}{unit}, and has {size}"));
    }
    if let Some(most) = schema[most].as_f64().filter(|most| size > *most) {
        found.push(format!("{path} must have at most {most}{unit}, and has {size}"));
    }
}

fn has_type(schema: &Value, value: &Value) -> bool {
    if schema["x-kubernetes-int-or-string"] == true {
        return value.is_string() || value.is_i64() || value.is_u64();
    }
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
