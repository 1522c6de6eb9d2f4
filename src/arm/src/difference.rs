//! Field-level differences between what is wanted and what Azure has, as data.
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::resource_type::ResourceType;

/// One field that differs.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The field, as a JSON pointer, such as `/properties/scaleSettings/maxNodeCount`.
    pub field: String,
    /// What is wanted.
    pub wanted: Value,
    /// What Azure has; null when it has none.
    pub actual: Value,
    /// Whether the field can't be changed once the resource exists.
    pub create_only: bool,
}

/// Every wanted field that Azure does not have. Fields that are not wanted, or wanted to be null, are left alone, and so
/// are fields that can only be written.
pub fn differences(wanted: &Value, actual: &Value, type_: &ResourceType) -> Vec<Difference> {
    let mut found = Vec::new();
    collect(&mut found, String::new(), wanted, actual, type_);
    found
}

fn collect(found: &mut Vec<Difference>, field: String, wanted: &Value, actual: &Value, type_: &ResourceType) {
    let is_left_alone = wanted.is_null() || type_.write_only.contains(&field.as_str());
    if is_left_alone || is_nothing(wanted) && is_nothing(actual) {
        return;
    }
    match (wanted, actual) {
        (Value::Object(_), Value::Object(_) | Value::Null) if type_.whole.contains(&field.as_str()) => {
            // A share of nought is as good as none.
            if without_nothing(wanted) != without_nothing(actual) {
                let (wanted, actual) = (wanted.clone(), actual.clone());
                found.push(Difference { field, wanted, actual, create_only: false });
            }
        }
        (Value::Object(wanted), Value::Object(_) | Value::Null) => {
            for (key, value) in wanted {
                let escaped = key.replace('~', "~0").replace('/', "~1");
                let (field, actual) = (format!("{field}/{escaped}"), lookup(actual, key));
                if key.starts_with('/') && actual.is_null() && !value.is_null() {
                    // An identity is wanted by its key alone: its value is empty.
                    let (wanted, actual) = (value.clone(), Value::Null);
                    found.push(Difference { field, wanted, actual, create_only: false });
                } else {
                    collect(found, field, value, actual, type_);
                }
            }
        }
        (Value::Array(wanted), Value::Array(actual)) if wanted.len() == actual.len() => {
            for (index, (wanted, actual)) in wanted.iter().zip(actual).enumerate() {
                collect(found, format!("{field}/{index}"), wanted, actual, type_);
            }
        }
        (wanted, actual) if is_same(&field, wanted, actual) => {}
        (wanted, actual) => {
            let create_only =
                type_.create_only.iter().any(|it| field == *it || field.starts_with(&format!("{it}/")));
            found.push(Difference { field, wanted: wanted.clone(), actual: actual.clone(), create_only });
        }
    }
}

fn without_nothing(value: &Value) -> Map<String, Value> {
    let entries = value.as_object().into_iter().flatten();
    let something = entries.filter(|(_, value)| !is_nothing(value) && value.as_f64() != Some(0.0));
    something.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Keys of user-assigned identities are resource ids, which Azure gives back in a case of its own.
fn lookup<'a>(object: &'a Value, key: &str) -> &'a Value {
    match object.get(key) {
        Some(value) => value,
        None if key.starts_with('/') => object
            .as_object()
            .and_then(|map| map.iter().find(|(other, _)| other.eq_ignore_ascii_case(key)))
            .map_or(&Value::Null, |(_, value)| value),
        None => &Value::Null,
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        // The key alone, when it is an id, says something.
        Value::Object(map) => map.iter().all(|(key, value)| !key.starts_with('/') && is_nothing(value)),
        Value::Array(items) => items.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn is_same(field: &str, wanted: &Value, actual: &Value) -> bool {
    match (wanted, actual) {
        (Value::String(wanted), Value::String(actual)) => {
            wanted == actual || is_same_text(field, wanted, actual) || is_same_duration(wanted, actual)
        }
        (Value::Number(wanted), Value::Number(actual)) => wanted.as_f64() == actual.as_f64(),
        _ => wanted == actual,
    }
}

/// Ids and kinds are compared without regard to case, locations and types of identity without regard to spaces too.
fn is_same_text(field: &str, wanted: &str, actual: &str) -> bool {
    let last = field.rsplit('/').next().unwrap_or_default();
    match last {
        "location" | "computeLocation" | "type" => {
            wanted.replace(' ', "").eq_ignore_ascii_case(&actual.replace(' ', ""))
        }
        "kind" => wanted.eq_ignore_ascii_case(actual),
        _ if wanted.starts_with('/') => wanted.eq_ignore_ascii_case(actual),
        _ => is_same_datastore_path(wanted, actual),
    }
}

/// `azureml://datastores/D/paths/P` is short for the address that names the workspace too, which Azure gives back.
fn is_same_datastore_path(wanted: &str, actual: &str) -> bool {
    let short = |text: &'_ str| {
        let path = text.strip_prefix("azureml://")?;
        let is_long = path.get(..14).is_some_and(|start| start.eq_ignore_ascii_case("subscriptions/"));
        if path.starts_with("datastores/") {
            return Some((false, path.to_owned()));
        }
        let at = path.find("/datastores/").filter(|_| is_long)?;
        Some((true, path[at + 1..].to_owned()))
    };
    match (short(wanted), short(actual)) {
        (Some((wanted_is_long, wanted)), Some((actual_is_long, actual))) => {
            wanted_is_long != actual_is_long && wanted == actual
        }
        _ => false,
    }
}

/// `PT5M` and `PT300S` are the same duration.
fn is_same_duration(wanted: &str, actual: &str) -> bool {
    if !wanted.starts_with('P') || !actual.starts_with('P') {
        return false;
    }
    let seconds = |text: &str| -> Option<f64> {
        let span: jiff::Span = text.parse().ok()?;
        span.total((jiff::Unit::Second, jiff::SpanRelativeTo::days_are_24_hours())).ok()
    };
    seconds(wanted).is_some_and(|wanted| seconds(actual) == Some(wanted))
}

/// What to send by PUT: what is wanted, over what Azure has, so that fields of others are kept. What can only be read
/// is left out.
pub fn merge(wanted: &Value, actual: &Value, type_: &ResourceType) -> Value {
    let mut merged = actual.clone();
    for field in ["/id", "/name", "/type", "/systemData", "/properties/provisioningState"]
        .iter()
        .chain(type_.read_only)
    {
        remove(&mut merged, field);
    }
    for field in type_.whole {
        if wanted.pointer(field).is_some() {
            remove(&mut merged, field);
        }
    }
    overlay(&mut merged, wanted);
    merged
}

fn overlay(under: &mut Value, over: &Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over.iter().filter(|(_, value)| !value.is_null()) {
                overlay(under.entry(key).or_insert(Value::Null), value);
            }
        }
        (under @ Value::Null, Value::Object(over)) => {
            *under = Value::Object(Map::new());
            overlay(under, &Value::Object(over.clone()));
        }
        (under, over) => *under = over.clone(),
    }
}

fn remove(value: &mut Value, pointer: &str) {
    if let Some((parent, key)) = pointer.rsplit_once('/')
        && let Some(Value::Object(map)) = value.pointer_mut(parent)
    {
        map.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resource_type::find;

    fn compute() -> &'static ResourceType {
        find("Microsoft.MachineLearningServices/workspaces/computes").unwrap()
    }

    #[test]
    fn equal_in_azure_s_eyes_is_no_difference() {
        let wanted = json!({
            "location": "West Europe", "kind": "Default", "properties": {
                "storageAccount": "/subscriptions/S/resourceGroups/g", "timeout": "PT5M", "capacity": 1,
                "nothing": null, "left": null, "tags": {}, "dataUri": "azureml://datastores/d/paths/p/",
            },
        });
        let actual = json!({
            "location": "westeurope", "kind": "default", "more": 1, "properties": {
                "storageAccount": "/subscriptions/s/resourcegroups/G", "timeout": "PT300S", "capacity": 1.0,
                "left": "alone",
                "dataUri": "azureml://subscriptions/S/resourcegroups/g/workspaces/w/datastores/d/paths/p/",
            },
        });
        assert_eq!(differences(&wanted, &actual, compute()), []);
        assert_eq!(merge(&wanted, &actual, compute())["properties"]["left"], "alone");
    }

    #[test]
    fn an_identity_that_is_not_assigned_is_a_difference() {
        let identity = |type_: &str, ids: &[&str]| {
            let ids: Value = ids.iter().map(|id| ((*id).to_owned(), json!({}))).collect::<Map<_, _>>().into();
            json!({"identity": {"type": type_, "userAssignedIdentities": ids}})
        };
        let actual = identity("SystemAssigned, UserAssigned", &["/subscriptions/s/A"]);
        let same = identity("SystemAssigned,UserAssigned", &["/subscriptions/S/a"]);
        assert_eq!(differences(&same, &actual, compute()), []);
        let more = identity("SystemAssigned,UserAssigned", &["/subscriptions/s/a", "/subscriptions/s/b"]);
        let found = differences(&more, &actual, compute());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].field, "/identity/userAssignedIdentities/~1subscriptions~1s~1b");
    }

    #[test]
    fn another_path_of_a_datastore_is_a_difference() {
        let uri = |uri: &str| json!({"properties": {"dataUri": uri}});
        let long = uri("azureml://subscriptions/s/resourcegroups/g/workspaces/w/datastores/d/paths/p");
        for wanted in
            ["azureml://datastores/d/paths/q", "azureml://datastores/e/paths/p", "https://d/paths/p"]
        {
            assert_eq!(differences(&uri(wanted), &long, compute()).len(), 1, "{wanted}");
        }
    }

    #[test]
    fn traffic_is_compared_and_written_as_a_whole() {
        let endpoint = find("Microsoft.MachineLearningServices/workspaces/onlineEndpoints").unwrap();
        let traffic = |shares: Value| json!({"properties": {"traffic": shares}});
        let (wanted, actual) = (traffic(json!({"new": 100})), traffic(json!({"old": 100, "gone": 0})));
        let found = differences(&wanted, &actual, endpoint);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].field, "/properties/traffic");
        assert_eq!(merge(&wanted, &actual, endpoint), wanted);
        assert_eq!(differences(&wanted, &traffic(json!({"new": 100, "old": 0})), endpoint), []);
    }

    #[test]
    fn each_field_that_differs_is_named() {
        let wanted = json!({"tags": {"a/b": "1"}, "properties": {"computeLocation": "x", "list": [1, 2]}});
        let actual = json!({"properties": {"computeLocation": "y", "list": [1]}});
        let found = differences(&wanted, &actual, compute());
        let fields: Vec<(&str, bool)> = found.iter().map(|it| (it.field.as_str(), it.create_only)).collect();
        assert_eq!(
            fields,
            [("/properties/computeLocation", true), ("/properties/list", false), ("/tags/a~1b", false)]
        );
    }

    #[test]
    fn a_merge_keeps_what_others_set_and_drops_what_is_read_only() {
        let wanted = json!({"tags": {"ours": "1"}, "properties": {"a": [1]}});
        let actual = json!({"id": "/x", "tags": {"theirs": "2"}, "properties": {"a": [3, 4], "provisioningState": "Succeeded"}});
        let merged = merge(&wanted, &actual, compute());
        assert_eq!(merged, json!({"tags": {"ours": "1", "theirs": "2"}, "properties": {"a": [1]}}));
    }
}
