//! Whether an object on the cluster still holds every field that the operator wants, whatever others have added.
use serde_json::Value;

use crate::quantity;

/// The keys by which the API server merges lists of objects; the first that an element has is its identity.
const LIST_KEYS: [&str; 8] =
    ["name", "containerPort", "port", "mountPath", "uid", "topologyKey", "type", "key"];

/// The fields whose values are amounts of resources, which the API server may put in other words.
const AMOUNTS: [&str; 2] = ["limits", "requests"];

/// The path of the first field of `wanted` that `seen` does not hold, for example `spec.replicas`; `None` when it holds
/// all. Elements of lists are matched by their key where they have one, since others may add elements of their own.
pub fn difference(wanted: &Value, seen: &Value) -> Option<String> {
    first_difference(wanted, seen, false)
}

fn first_difference(wanted: &Value, seen: &Value, amounts: bool) -> Option<String> {
    match (wanted, seen) {
        (Value::Object(wanted), _) => wanted.iter().find_map(|(key, value)| {
            let inner = match seen.get(key) {
                Some(seen) => first_difference(value, seen, amounts || AMOUNTS.contains(&key.as_str()))?,
                None if is_empty(value) => return None,
                None => String::new(),
            };
            Some(if inner.is_empty() || inner.starts_with('[') {
                format!("{key}{inner}")
            } else {
                format!("{key}.{inner}")
            })
        }),
        (Value::Array(wanted), Value::Array(seen)) => list_difference(wanted, seen),
        (Value::String(wanted), Value::String(seen)) if amounts && quantity::equal(wanted, seen) => None,
        (wanted, seen) => (wanted != seen).then(String::new),
    }
}

fn list_difference(wanted: &[Value], seen: &[Value]) -> Option<String> {
    let Some(key) = wanted.first().and_then(|first| LIST_KEYS.iter().find(|key| first.get(**key).is_some()))
    else {
        if wanted.len() != seen.len() {
            return Some(String::new());
        }
        return wanted.iter().zip(seen).enumerate().find_map(|(index, (wanted, seen))| {
            difference(wanted, seen).map(|inner| format!("[{index}]{}", dotted(&inner)))
        });
    };
    wanted.iter().find_map(|wanted| {
        let name = wanted[*key].to_string();
        // Several elements may share the key, for example a port in UDP and in TCP: one of them must fit.
        let mut differences = seen
            .iter()
            .filter(|seen| seen.get(*key) == wanted.get(*key))
            .map(|seen| difference(wanted, seen))
            .peekable();
        if differences.peek().is_none() {
            return Some(format!("[{name}]"));
        }
        let differences: Option<Vec<String>> = differences.collect();
        let first = differences?.into_iter().next()?;
        Some(format!("[{name}]{}", dotted(&first)))
    })
}

fn dotted(inner: &str) -> String {
    if inner.is_empty() { String::new() } else { format!(".{inner}") }
}

/// The API server drops empty maps, lists and strings.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::difference;
    use serde_json::json;

    #[test]
    fn what_others_add_is_no_difference() {
        let wanted =
            json!({"a": {"b": 1}, "list": [{"name": "x", "requests": {"cpu": "1000m"}}], "none": {}});
        let seen = json!({"a": {"b": 1, "c": 2}, "list": [{"name": "y"}, {"name": "x", "requests": {"cpu": "1"}, "w": 3}]});
        assert_eq!(difference(&wanted, &seen), None);
    }

    #[test]
    fn the_first_lost_field_is_named() {
        let wanted = json!({"spec": {"list": [{"name": "x", "v": 1}], "flag": false}});
        let seen = json!({"spec": {"list": [{"name": "x", "v": 2}]}});
        assert_eq!(difference(&wanted, &seen).unwrap(), "spec.flag");
        let seen = json!({"spec": {"list": [{"name": "x", "v": 2}], "flag": false}});
        assert_eq!(difference(&wanted, &seen).unwrap(), "spec.list[\"x\"].v");
        let seen = json!({"spec": {"list": [], "flag": false}});
        assert_eq!(difference(&wanted, &seen).unwrap(), "spec.list[\"x\"]");
    }

    #[test]
    fn elements_that_share_a_key_are_told_apart() {
        let ports = json!([{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]);
        assert_eq!(difference(&ports, &ports), None);
        let changed = json!([{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "SCTP"}]);
        assert_eq!(difference(&ports, &changed).unwrap(), "[53].protocol");
    }

    #[test]
    fn only_amounts_of_resources_may_be_put_in_other_words() {
        let env = |value: &str| json!({"env": [{"name": "SIZE", "value": value}]});
        assert_eq!(difference(&env("1000m"), &env("1")).unwrap(), "env[\"SIZE\"].value");
    }

    #[test]
    fn plain_lists_are_compared_whole() {
        assert_eq!(difference(&json!({"args": ["a"]}), &json!({"args": ["a", "b"]})).unwrap(), "args");
        assert_eq!(difference(&json!({"args": ["a"]}), &json!({"args": ["b"]})).unwrap(), "args[0]");
    }
}
