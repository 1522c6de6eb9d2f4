//! PUT and PATCH: checks, defaults, what may not change, and storing.
use serde_json::{Map, Value, json};

use super::{Change, admit, merged, not_allowed, not_found, reply};
use crate::answer::{Answer, Failure, Outcome};
use crate::data_plane::{Change as Happening, Event};
use crate::operation::Verb;
use crate::state::{RESOURCES, Record};
use crate::table::{Parent, Reply};
use crate::view;

pub(super) fn put(change: &mut Change<'_>) -> Outcome<Answer> {
    let (create, update) = change.row.put.ok_or_else(|| not_allowed(change.call))?;
    named(change)?;
    admit(change, false)?;
    if !change.body.is_object() {
        let message =
            "The request content was invalid and could not be deserialized: a JSON object is required.";
        return Err(Failure::new(400, "InvalidRequestContent", message));
    }
    without_read_only(change);
    required(change)?;
    fixed(change)?;
    defaults(change);
    crate::rules::identity::fill(change);
    (change.row.write)(change)?;
    container(change);
    let (verb, how) = if change.old.is_some() { (Verb::Update, update) } else { (Verb::Create, create) };
    store(change, verb, how)
}

pub(super) fn patch(change: &mut Change<'_>) -> Outcome<Answer> {
    let how = change.row.patch.ok_or_else(|| not_allowed(change.call))?;
    let old = change.old.clone().ok_or_else(|| not_found(&change.address))?;
    admit(change, false)?;
    if !change.row.patchable.is_empty() {
        patchable(change)?;
    }
    let patch = std::mem::take(&mut change.body);
    change.body = merged(&old.body, &patch);
    // Tags are replaced as a whole, as ARM does it.
    if let Some(tags) = patch.get("tags") {
        change.body["tags"] = tags.clone();
    }
    without_read_only(change);
    fixed(change)?;
    crate::rules::identity::fill(change);
    (change.row.write)(change)?;
    store(change, Verb::Update, how)
}

fn named(change: &Change<'_>) -> Outcome<()> {
    let name = change.address.name();
    let pattern = change.row.name;
    if pattern.is_empty() || regex_lite::Regex::new(pattern).is_ok_and(|regex| regex.is_match(name)) {
        return Ok(());
    }
    let message = format!("The name '{name}' is not valid. It has to match the pattern '{pattern}'.");
    Err(Failure::new(400, "ValidationError", message).about("name"))
}

/// Drops what only the service decides, and takes it from what is stored.
fn without_read_only(change: &mut Change<'_>) {
    if let Some(body) = change.body.as_object_mut() {
        for name in ["id", "name", "type", "systemData", "etag"] {
            body.remove(name);
        }
    }
    let state: &[&str] = if change.row.provisioned { &["/properties/provisioningState"] } else { &[] };
    for pointer in change.row.read_only.iter().chain(state) {
        remove(&mut change.body, pointer);
        let kept = change.old.as_ref().and_then(|old| old.body.pointer(pointer)).cloned();
        if let Some(kept) = kept {
            set(&mut change.body, pointer, kept);
        }
    }
}

fn required(change: &Change<'_>) -> Outcome<()> {
    let missing = |pointer: &&&str| change.body.pointer(pointer).is_none_or(Value::is_null);
    let Some(pointer) = change.row.required.iter().find(missing) else { return Ok(()) };
    let field = pointer.trim_start_matches('/').replace('/', ".");
    if field == "location" {
        let message = "The location property is required for this definition.";
        return Err(Failure::new(400, "LocationRequired", message));
    }
    let message = format!("The request is invalid: the field '{field}' is required.");
    let detail = format!("The {field} field is required.");
    Err(Failure::new(400, "ValidationError", message).about(&field).detail("RequiredField", &detail))
}

/// Create-only fields: kept when left out, refused when different.
fn fixed(change: &mut Change<'_>) -> Outcome<()> {
    let Some(old) = change.old.clone() else { return Ok(()) };
    for pointer in change.row.fixed {
        let Some(was) = old.body.pointer(pointer).filter(|was| !was.is_null()) else { continue };
        let Some(now) = change.body.pointer(pointer).filter(|now| !now.is_null()) else {
            set(&mut change.body, pointer, was.clone());
            continue;
        };
        if !same(was, now) {
            let field = pointer.trim_start_matches('/').replace('/', ".");
            let message = format!(
                "The property '{field}' of '{}' can't be changed after creation: it is immutable.",
                change.address.name()
            );
            let code = if change.row.types().count() > 1 { "UserError" } else { "PropertyChangeNotAllowed" };
            return Err(Failure::new(400, code, message).about(&field));
        }
    }
    Ok(())
}

/// Equal as ARM compares: the case of ids and places does not count.
fn same(was: &Value, now: &Value) -> bool {
    match (was, now) {
        (Value::String(was), Value::String(now)) => was.eq_ignore_ascii_case(now),
        _ => was == now,
    }
}

fn defaults(change: &mut Change<'_>) {
    for (pointer, text) in change.row.defaults {
        if change.body.pointer(pointer).is_none_or(Value::is_null)
            && let Ok(value) = serde_json::from_str(text)
        {
            set(&mut change.body, pointer, value);
        }
    }
}

fn patchable(change: &Change<'_>) -> Outcome<()> {
    let allowed =
        |path: &str| change.row.patchable.iter().any(|one| path.starts_with(one) || one.starts_with(path));
    let mut paths = Vec::new();
    leaves(&change.body, String::new(), &mut paths);
    let Some(path) = paths.iter().find(|path| !allowed(path)) else { return Ok(()) };
    let message = format!("Could not find member '{path}' on object of type 'PartialResource'.");
    Err(Failure::new(400, "ValidationError", message))
}

fn leaves(value: &Value, path: String, found: &mut Vec<String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (name, value) in map {
                leaves(value, format!("{path}/{name}"), found);
            }
        }
        _ => found.push(path),
    }
}

/// The container of a version is made with its first version, and knows the newest.
fn container(change: &mut Change<'_>) {
    let Some(parent) = change.address.parent().filter(|_| change.row.parent == Parent::Created) else {
        return;
    };
    let row = crate::table::find(&parent.kind());
    if change.state.get(&parent.key()).is_none() {
        let mut properties = json!({"isArchived": false, "tags": {}, "properties": {}, "description": null});
        if let Some(kind) = change.body.pointer("/properties/dataType") {
            properties["dataType"] = kind.clone();
        }
        if row.is_some_and(|row| row.provisioned) {
            properties["provisioningState"] = json!("Succeeded");
        }
        let kind = row.map_or("", |row| row.kind);
        let body = json!({"properties": properties});
        let record = crate::rules::workspace::plain(change, parent.id(), kind, body);
        change.state.put(record);
    }
    if change.old.is_none() {
        let numbers =
            crate::rules::asset::numbers(change.state, &parent.key(), Some(change.address.name()), None);
        if let Some(record) = change.state.get_mut(&parent.key()) {
            crate::operation::merge(&mut record.body, &numbers);
        }
    }
}

fn store(change: &mut Change<'_>, verb: Verb, how: Reply) -> Outcome<Answer> {
    if change.state.len() >= RESOURCES {
        return Err(Failure::new(
            507,
            "InsufficientStorage",
            "the emulator holds as many resources as it can",
        ));
    }
    if change.row.provisioned {
        let state = match (how, verb) {
            (Reply::Now(_), _) => "Succeeded",
            (Reply::Later(..), Verb::Create) => "Creating",
            (Reply::Later(..), _) => "Updating",
        };
        set(&mut change.body, "/properties/provisioningState", json!(state));
    }
    let mut secrets = change.old.as_ref().map(|old| old.secrets.clone()).unwrap_or_default();
    for pointer in change.row.secret {
        if let Some(secret) = remove(&mut change.body, pointer).filter(|secret| !secret.is_null()) {
            secrets.insert((*pointer).to_owned(), secret);
        }
    }
    let old = change.old.clone();
    let record = Record {
        id: old.as_ref().map_or_else(|| change.address.id(), |old| old.id.clone()),
        kind: change.row.kind.to_owned(),
        body: change.body.clone(),
        secrets,
        created: old.as_ref().map_or(change.now, |old| old.created),
        modified: change.now,
        created_by: old
            .as_ref()
            .map_or_else(|| change.call.principal.application.clone(), |old| old.created_by.clone()),
        sequence: old.as_ref().map_or_else(|| change.state.next(), |old| old.sequence),
    };
    change.state.put(record.clone());
    if matches!(how, Reply::Now(_)) {
        let event = Event {
            id: record.id.clone(),
            kind: record.kind.clone(),
            change: Happening::Succeeded,
            operation: None,
        };
        change.events.push(event);
    }
    let body = view::render(&record, change.call);
    Ok(reply(change, verb, how, Some(body)))
}

/// Sets a value by pointer, making the objects on the way.
pub(crate) fn set(target: &mut Value, pointer: &str, value: Value) {
    let mut at = target;
    let parts: Vec<&str> = pointer.split('/').skip(1).collect();
    let Some((last, parts)) = parts.split_last() else { return };
    for part in parts {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[*part];
    }
    if !at.is_object() {
        *at = Value::Object(Map::new());
    }
    at[*last] = value;
}

/// Takes a value out by pointer.
pub(crate) fn remove(target: &mut Value, pointer: &str) -> Option<Value> {
    let (parent, last) = pointer.rsplit_once('/')?;
    let parent = if parent.is_empty() { Some(target) } else { target.pointer_mut(parent) };
    parent?.as_object_mut()?.remove(last)
}
