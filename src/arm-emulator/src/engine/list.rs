//! Lists: filters, order and pages.
use serde_json::{Value, json};

use super::Change;
use crate::address::covers;
use crate::answer::Answer;
use crate::call::Call;
use crate::state::Record;
use crate::view;

pub(super) fn serve(change: &mut Change<'_>) -> Answer {
    let mut found: Vec<&Record> = change
        .state
        .of_kind(change.row.kind)
        .filter(|record| belongs(change, record))
        .filter(|record| wanted(change.call, record))
        .collect();
    sort(change.call, &mut found);
    let mut values: Vec<Value> = found.into_iter().map(|record| view::render(record, change.call)).collect();
    if change.row.inherited {
        values.extend(crate::rules::authorization::built_ins(change));
        values.retain(|value| {
            crate::rules::authorization::matches_filter(change.call, &change.address.scope, value)
        });
    }
    page(change.call, change.core.settings.page_size, &values)
}

/// One page of all values, and the link to the next.
pub(crate) fn page(call: &Call, size: usize, values: &[Value]) -> Answer {
    let number = |name: &str| call.query(name).and_then(|text| text.parse::<usize>().ok());
    let skip = number("$skip").or_else(|| number("$skipToken")).unwrap_or(0);
    let top = number("$top").unwrap_or(usize::MAX);
    let size = number("count").unwrap_or(size).clamp(1, size.max(1));
    let total = values.len().min(skip.saturating_add(top));
    let end = total.min(skip.saturating_add(size));
    let mut body = json!({"value": values.get(skip..end).unwrap_or_default()});
    if end < total {
        let mut query: Vec<(String, String)> = call
            .query
            .iter()
            .filter(|(name, _)| {
                !["$skip", "$skiptoken", "$top"].contains(&name.to_ascii_lowercase().as_str())
            })
            .cloned()
            .collect();
        if top != usize::MAX {
            query.push(("$top".to_owned(), (top - (end - skip)).to_string()));
        }
        query.push(("$skip".to_owned(), end.to_string()));
        body["nextLink"] = json!(format!("{}{}?{}", call.base, call.path, encode(&query)));
    }
    Answer::json(200, body)
}

fn encode(query: &[(String, String)]) -> String {
    let part = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    let name = |text: &str| part(text).replace("%24", "$").replace("%2D", "-");
    let pairs: Vec<String> = query
        .iter()
        .map(|(key, value)| format!("{}={}", name(key), part(value).replace("%2D", "-")))
        .collect();
    pairs.join("&")
}

/// Whether a resource is in the collection that was asked for.
fn belongs(change: &Change<'_>, record: &Record) -> bool {
    let address = &change.address;
    let key = record.key();
    let scope = address.scope.to_ascii_lowercase();
    if address.types.len() > 1 {
        let collection = format!("{}/", address.key());
        return key.strip_prefix(&collection).is_some_and(|rest| !rest.contains('/'));
    }
    if change.row.inherited {
        let at = crate::address::Address::parse(&record.id)
            .map_or_else(String::new, |id| id.scope.to_ascii_lowercase());
        return covers(&scope, &at) || covers(&at, &scope);
    }
    covers(&scope, &key)
}

/// Whether the parameters of the list let a resource through.
fn wanted(call: &Call, record: &Record) -> bool {
    let archived = record.body.pointer("/properties/isArchived").and_then(Value::as_bool);
    let enabled = record.body.pointer("/properties/isEnabled").and_then(Value::as_bool).unwrap_or(true);
    let viewed =
        match (call.query("listViewType").unwrap_or("ActiveOnly").to_ascii_lowercase().as_str(), archived) {
            ("archivedonly", _) => archived == Some(true),
            ("activeonly", _) => archived != Some(true),
            ("enabledonly", _) => enabled,
            ("disabledonly", _) => !enabled,
            _ => true,
        };
    let is = |parameter: &str, pointer: &str| {
        call.query(parameter).is_none_or(|wanted| record.text(pointer).eq_ignore_ascii_case(wanted))
    };
    let named = ["name", "version", "versionName"].iter().all(|parameter| {
        call.query(parameter).is_none_or(|wanted| record.name().eq_ignore_ascii_case(wanted))
    });
    let among = call
        .query("names")
        .is_none_or(|names| names.split(',').any(|name| name.trim().eq_ignore_ascii_case(record.name())));
    let default = call.query("isDefault").is_none_or(|wanted| {
        let is = record.body.pointer("/properties/isDefault").and_then(Value::as_bool).unwrap_or(false);
        is == wanted.eq_ignore_ascii_case("true")
    });
    viewed
        && named
        && among
        && default
        && is("kind", "/kind")
        && is("jobType", "/properties/jobType")
        && is("category", "/properties/category")
        && is("target", "/properties/target")
        && ["tags", "$tags", "tag"]
            .iter()
            .all(|name| pairs(call, name, record, &["/tags", "/properties/tags"]))
        && pairs(call, "properties", record, &["/properties/properties"])
}

/// `a=b,c` against a map of the resource: `c` needs only be there.
fn pairs(call: &Call, parameter: &str, record: &Record, pointers: &[&str]) -> bool {
    let Some(wanted) = call.query(parameter).filter(|wanted| !wanted.is_empty()) else { return true };
    wanted.split(',').all(|pair| {
        let (name, value) = pair.split_once('=').map_or((pair, None), |(name, value)| (name, Some(value)));
        pointers
            .iter()
            .filter_map(|pointer| record.body.pointer(pointer)?.get(name))
            .any(|found| value.is_none_or(|value| found.as_str() == Some(value)))
    })
}

fn sort(call: &Call, found: &mut [&Record]) {
    let order = call.query("$orderBy").or_else(|| call.query("orderBy")).unwrap_or("").to_ascii_lowercase();
    let descending = order.contains("desc");
    if order.contains("created") {
        found.sort_by_key(|record| (record.created, record.sequence));
    } else if order.contains("modified") || order.contains("updated") {
        found.sort_by_key(|record| (record.modified, record.sequence));
    } else {
        return;
    }
    if descending {
        found.reverse();
    }
}
