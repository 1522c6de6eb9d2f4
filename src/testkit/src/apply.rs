//! Server-side apply in miniature: who owns which field, what a new apply removes, and what it leaves to others.
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// One step of a path into an object.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Segment {
    /// A field of an object.
    Field(String),
    /// An element of a list, by the values of its keys.
    Item(Vec<(&'static str, String)>),
}

type Path = Vec<Segment>;

/// An object with the owners of its fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object {
    pub(crate) body: Value,
    owners: BTreeMap<String, BTreeSet<Path>>,
}

impl Object {
    /// Applies the fields of `wanted` for a manager; without `force`, a field that another manager holds at another
    /// value is a conflict.
    pub(crate) fn apply(&mut self, manager: &str, wanted: &Value, force: bool) -> Result<(), String> {
        let fields = fields(wanted);
        let disputed: Vec<Path> = fields
            .iter()
            .filter(|path| matches!(path.last(), Some(Segment::Field(_))))
            .filter(|path| get(&self.body, path) != get(wanted, path))
            .cloned()
            .collect();
        let is_others =
            |path: &Path| self.owners.iter().any(|(owner, owned)| owner != manager && owned.contains(path));
        if !force && let Some(path) = disputed.iter().find(|path| is_others(path)) {
            return Err(format!("conflict over {path:?}"));
        }
        for (_, owned) in self.owners.iter_mut().filter(|(owner, _)| *owner != manager) {
            owned.retain(|path| !disputed.contains(path));
        }
        if self.body.is_null() {
            self.body = Value::Object(Map::new());
        }
        merge(&mut self.body, wanted, "");
        let before = self.owners.insert(manager.to_owned(), fields.clone()).unwrap_or_default();
        for path in before.difference(&fields).filter(|path| !is_key(path)) {
            let others = self.owners.values().flatten().any(|owned| owned.starts_with(path));
            if !others {
                remove(&mut self.body, path);
            }
        }
        Ok(())
    }

    /// Changes the object as an ordinary update does: the manager takes what it changed.
    pub(crate) fn update(&mut self, manager: &str, change: impl FnOnce(&mut Value)) {
        let before = self.body.clone();
        change(&mut self.body);
        let (old, new) = (fields(&before), fields(&self.body));
        let changed: BTreeSet<Path> =
            old.union(&new).filter(|path| get(&before, path) != get(&self.body, path)).cloned().collect();
        for owned in self.owners.values_mut() {
            owned.retain(|path| !(changed.contains(path) && matches!(path.last(), Some(Segment::Field(_)))));
        }
        self.owners.entry(manager.to_owned()).or_default().extend(changed.intersection(&new).cloned());
    }
}

/// The keys of a list's elements, when the API server merges that list by element.
fn keys(field: &str, list: &[Value]) -> Option<&'static [&'static str]> {
    let first = list.first()?;
    match field {
        "ownerReferences" => Some(&["uid"]),
        "containers" | "initContainers" | "env" | "volumes" => Some(&["name"]),
        "volumeMounts" => Some(&["mountPath"]),
        "topologySpreadConstraints" => Some(&["topologyKey", "whenUnsatisfiable"]),
        "conditions" => Some(&["type"]),
        "ports" if first.get("containerPort").is_some() => Some(&["containerPort", "protocol"]),
        "ports" if first.get("targetPort").is_some() => Some(&["port", "protocol"]),
        _ => None,
    }
}

fn identity(item: &Value, keys: &[&'static str]) -> Vec<(&'static str, String)> {
    keys.iter().map(|&key| (key, item[key].to_string())).collect()
}

/// Whether a path names a key of its list's element, which goes only with the element.
fn is_key(path: &[Segment]) -> bool {
    match path {
        [.., Segment::Item(identity), Segment::Field(name)] => identity.iter().any(|(key, _)| key == name),
        _ => false,
    }
}

fn fields(body: &Value) -> BTreeSet<Path> {
    let mut found = BTreeSet::new();
    collect(body, "", &mut Vec::new(), &mut found);
    let fixed = [&["apiVersion"][..], &["kind"], &["metadata", "name"], &["metadata", "namespace"]];
    found.retain(|path| {
        let is = |names: &&[&str]| {
            names.len() == path.len()
                && names.iter().zip(path).all(|(name, part)| matches!(part, Segment::Field(it) if it == name))
        };
        !fixed.iter().any(is)
    });
    found
}

fn collect(value: &Value, field: &str, path: &mut Path, found: &mut BTreeSet<Path>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (name, inner) in map {
                path.push(Segment::Field(name.clone()));
                collect(inner, name, path, found);
                path.pop();
            }
        }
        Value::Array(list) if keys(field, list).is_some() => {
            for item in list {
                let keys = keys(field, list).unwrap_or_default();
                path.push(Segment::Item(identity(item, keys)));
                found.insert(path.clone());
                collect(item, "", path, found);
                path.pop();
            }
        }
        _ => {
            found.insert(path.clone());
        }
    }
}

fn merge(live: &mut Value, wanted: &Value, field: &str) {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            for (name, value) in wanted {
                merge(live.entry(name).or_insert(Value::Null), value, name);
            }
        }
        (Value::Array(live), Value::Array(wanted)) if keys(field, wanted).is_some() => {
            let keys = keys(field, wanted).unwrap_or_default();
            for value in wanted {
                match live.iter_mut().find(|item| identity(item, keys) == identity(value, keys)) {
                    Some(item) => merge(item, value, ""),
                    None => live.push(value.clone()),
                }
            }
        }
        (live, wanted) => *live = wanted.clone(),
    }
}

fn get<'a>(body: &'a Value, path: &[Segment]) -> Option<&'a Value> {
    path.iter().try_fold(body, |value, segment| match segment {
        Segment::Field(name) => value.get(name),
        Segment::Item(identity) => value.as_array()?.iter().find(|item| has(item, identity)),
    })
}

fn has(item: &Value, identity: &[(&'static str, String)]) -> bool {
    identity.iter().all(|(key, value)| {
        let seen = item[*key].to_string();
        seen == *value
    })
}

/// Removes a field, and the objects that it leaves empty.
fn remove(body: &mut Value, path: &[Segment]) {
    let Some((first, rest)) = path.split_first() else { return };
    match (first, body) {
        (Segment::Field(name), Value::Object(map)) => {
            let Some(inner) = map.get_mut(name) else { return };
            remove(inner, rest);
            let is_empty =
                inner.as_object().is_some_and(Map::is_empty) || inner.as_array().is_some_and(Vec::is_empty);
            if rest.is_empty() || is_empty {
                map.remove(name);
            }
        }
        (Segment::Item(identity), Value::Array(list)) => {
            if rest.is_empty() {
                list.retain(|item| !has(item, identity));
            } else if let Some(item) = list.iter_mut().find(|item| has(item, identity)) {
                remove(item, rest);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::Object;
    use serde_json::json;

    #[test]
    fn an_apply_removes_what_it_no_longer_names_and_leaves_what_others_added() {
        let mut object = Object::default();
        let env = |names: &[&str]| json!({"env": names.iter().map(|name| json!({"name": name, "value": "1"})).collect::<Vec<_>>(), "a": 1});
        object.apply("ours", &env(&["x", "y"]), false).unwrap();
        object.update("theirs", |body| {
            body["env"].as_array_mut().unwrap().push(json!({"name": "z", "value": "2"}));
        });
        object.apply("ours", &json!({"env": [{"name": "y", "value": "1"}]}), true).unwrap();
        assert_eq!(object.body, json!({"env": [{"name": "y", "value": "1"}, {"name": "z", "value": "2"}]}));
    }

    #[test]
    fn a_field_of_another_manager_is_a_conflict_unless_forced() {
        let mut object = Object::default();
        object.apply("ours", &json!({"replicas": 1}), false).unwrap();
        object.update("theirs", |body| body["replicas"] = json!(2));
        assert!(object.clone().apply("ours", &json!({"replicas": 1}), false).is_err());
        object.apply("ours", &json!({}), true).unwrap();
        assert_eq!(object.body, json!({"replicas": 2}));
        object.apply("ours", &json!({"replicas": 1}), true).unwrap();
        assert_eq!(object.body, json!({"replicas": 1}));
    }
}
