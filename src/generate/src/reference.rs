//! The field reference, `crds/README.md`: every field with its bounds, every rule, every column and every reason.
use std::fmt::Write as _;

use serde_json::Value;

use super::Output;
use super::crds::Kind;

const HEAD: &str = "# Reference of the custom resources\n\n\
    Made by `cargo xtask gen` from `src/api`; edit the types, not this file. `kubectl explain endpoint.spec` shows the same on a cluster.\n";

/// The reference.
pub(super) fn output(kinds: &[Kind]) -> Output {
    let mut text = HEAD.to_owned();
    text.push_str("\n| kind | short name | resource | definition |\n|---|---|---|---|\n");
    for kind in kinds {
        let names = &kind.definition["spec"]["names"];
        let short = names["shortNames"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let short: Vec<String> = short.map(|name| format!("`{name}`")).collect();
        let _ = writeln!(
            text,
            "| [`{0}`](#{1}) | {2} | `{3}.{4}` | [{3}.{4}.yaml]({3}.{4}.yaml) |",
            kind.name,
            kind.name.to_lowercase(),
            short.join(", "),
            kind.plural,
            api::GROUP
        );
    }
    for kind in kinds {
        text.push_str(&section(kind));
    }
    text.push_str(&reasons());
    Output::new("crds/README.md", text)
}

fn section(kind: &Kind) -> String {
    let schema = kind.schema();
    let mut text = format!(
        "\n## {}\n\n`apiVersion: {}/{}`. {}\n",
        kind.name,
        api::GROUP,
        api::VERSION,
        line(&schema["description"])
    );
    let mut rules = Vec::new();
    for part in ["spec", "status"] {
        let mut rows = Vec::new();
        fields(part, &schema["properties"][part], &mut rows, &mut rules);
        let _ = write!(
            text,
            "\n### {}.{part}\n\n| field | type | bounds and default | description |\n|---|---|---|---|\n{}",
            kind.name,
            rows.concat()
        );
    }
    collect_rules("", schema, &mut rules);
    if !rules.is_empty() {
        text.push_str(
            "\n### Rules\n\nThe API server refuses an object that breaks one of these, with the message.\n\n",
        );
        text.push_str("| field | message |\n|---|---|\n");
        text.push_str(&rules.concat());
    }
    text.push_str(&columns(kind));
    text
}

/// Adds a row for each field below `path`, and a row for each rule.
fn fields(path: &str, schema: &Value, rows: &mut Vec<String>, rules: &mut Vec<String>) {
    collect_rules(path, schema, rules);
    if let Some(items) = schema.get("items") {
        fields(&format!("{path}[]"), items, rows, rules);
    }
    if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
        fields(&format!("{path}.*"), values, rows, rules);
    }
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        rows.push(format!(
            "| `{path}` | {} | {} | {} |\n",
            type_name(field),
            bounds(field, required.contains(&name.as_str())),
            line(&field["description"])
        ));
        fields(&path, field, rows, rules);
    }
}

fn collect_rules(path: &str, schema: &Value, rules: &mut Vec<String>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let path = if path.is_empty() { "the object" } else { path };
        rules.push(format!("| `{path}` | {} |\n", line(&rule["message"])));
    }
}

fn type_name(schema: &Value) -> String {
    let name = |schema: &Value| match schema["type"].as_str() {
        Some(name) => name.to_owned(),
        None if schema["x-kubernetes-int-or-string"] == true => "integer or string".to_owned(),
        None => "any".to_owned(),
    };
    match schema["type"].as_str() {
        Some("array") => format!("list of {}", type_name(&schema["items"])),
        Some("object") if schema.get("additionalProperties").is_some_and(Value::is_object) => {
            format!("map of {}", type_name(&schema["additionalProperties"]))
        }
        _ => name(schema),
    }
}

fn bounds(schema: &Value, required: bool) -> String {
    let mut words = Vec::new();
    if required {
        words.push("required".to_owned());
    }
    let values = schema["enum"].as_array().or_else(|| schema["items"]["enum"].as_array());
    if let Some(values) = values {
        let values: Vec<String> =
            values.iter().filter_map(Value::as_str).map(|value| format!("`{value}`")).collect();
        words.push(format!("one of {}", values.join(", ")));
    }
    for (low, high, unit) in [
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
        ("minProperties", "maxProperties", " entries"),
    ] {
        match (number(&schema[low]), number(&schema[high])) {
            (Some(low), Some(high)) => words.push(format!("{low} to {high}{unit}")),
            (None, Some(high)) => words.push(format!("at most {high}{unit}")),
            (Some(low), None) => words.push(format!("at least {low}{unit}")),
            (None, None) => {}
        }
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        words.push(format!("`{}`", pattern.replace('|', "\\|")));
    }
    if let Some(default) = schema.get("default") {
        words.push(format!(
            "default `{}`",
            default.as_str().map_or_else(|| default.to_string(), str::to_owned)
        ));
    }
    words.join("; ")
}

/// Bounds of integers are written as floating-point numbers in a definition.
fn number(value: &Value) -> Option<String> {
    value.as_f64().map(|number| format!("{number}"))
}

fn columns(kind: &Kind) -> String {
    let mut text = "\n### Columns of `kubectl get`\n\n| column | shows | |\n|---|---|---|\n".to_owned();
    for column in kind.version()["additionalPrinterColumns"].as_array().into_iter().flatten() {
        let wide = if column["priority"].as_i64().unwrap_or(0) > 0 { "with `-o wide`" } else { "" };
        let _ = writeln!(text, "| {} | `{}` | {wide} |", line(&column["name"]), line(&column["jsonPath"]));
    }
    text
}

fn reasons() -> String {
    let mut text = "\n## Reasons\n\nThe words in `status.conditions[].reason` and in events.\n\n\
        | reason | meaning | what to do |\n|---|---|---|\n"
        .to_owned();
    for reason in api::Reason::ALL {
        let _ = writeln!(text, "| `{}` | {} | {} |", reason.name(), reason.meaning(), reason.action());
    }
    text
}

/// A text in one line of a table.
fn line(value: &Value) -> String {
    let words: Vec<&str> = value.as_str().unwrap_or_default().split_whitespace().collect();
    words.join(" ").replace('|', "\\|")
}
