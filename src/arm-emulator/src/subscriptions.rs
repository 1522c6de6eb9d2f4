//! Subscriptions, resource groups and the registration of providers: paths without a type of a provider.
use serde_json::{Value, json};

use crate::address::{covers, decode};
use crate::answer::{Answer, Failure, Outcome};
use crate::call::Call;
use crate::clock::Milliseconds;
use crate::core::Core;
use crate::engine::not_allowed;
use crate::state::{Record, State};
use crate::{table, view};

const GROUP: &str = "Microsoft.Resources/resourceGroups";

pub(crate) fn serve(core: &Core, state: &mut State, call: &Call, now: Milliseconds) -> Outcome<Answer> {
    let segments: Vec<String> = call.path.split('/').filter(|one| !one.is_empty()).map(decode).collect();
    let words: Vec<String> = segments.iter().map(|segment| segment.to_ascii_lowercase()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if call.query("api-version").is_none() {
        let message = "The api-version query parameter (?api-version=) is required for all requests.";
        return Err(Failure::new(400, "MissingApiVersionParameter", message));
    }
    match (call.method.as_str(), words.as_slice()) {
        ("GET", ["tenants"]) => {
            let tenant = &core.settings.tenant;
            Ok(Answer::json(
                200,
                json!({"value": [{"id": format!("/tenants/{tenant}"), "tenantId": tenant}]}),
            ))
        }
        ("GET", ["subscriptions"]) => Ok(Answer::json(200, json!({"value": []}))),
        ("GET", ["subscriptions", id]) => Ok(Answer::json(200, subscription(core, id))),
        ("GET", ["subscriptions", _, "locations"]) => Ok(Answer::json(200, regions(&segments[1]))),
        ("GET", ["subscriptions", id, "providers"]) => {
            let all = ["Microsoft.MachineLearningServices", "Microsoft.Authorization", "Microsoft.Storage"];
            let values: Vec<Value> = all.iter().map(|namespace| provider(state, id, namespace)).collect();
            Ok(Answer::json(200, json!({"value": values})))
        }
        ("GET", ["subscriptions", id, "providers", _]) => {
            Ok(Answer::json(200, provider(state, id, &segments[3])))
        }
        ("POST", ["subscriptions", id, "providers", namespace, "register"]) => {
            state.registered.insert(format!("{id}/{namespace}"));
            Ok(Answer::json(200, provider(state, id, &segments[3])))
        }
        ("GET", ["subscriptions", id, "resourcegroups"]) => {
            let prefix = format!("/subscriptions/{id}");
            let groups = state.of_kind(GROUP).filter(|group| covers(&prefix, &group.key()));
            let values: Vec<Value> = groups.map(|group| view::render(group, call)).collect();
            Ok(crate::engine::paged(core, call, &values))
        }
        (_, ["subscriptions", _, "resourcegroups", _]) => group(core, state, call, now, &segments),
        ("GET", ["subscriptions", ..]) if words.last() == Some(&"resources") => {
            let scope = format!("/{}", words[..words.len() - 1].join("/"));
            let values: Vec<Value> = table::rows()
                .filter(|row| row.types().count() == 1)
                .flat_map(|row| state.of_kind(row.kind))
                .filter(|record| covers(&scope, &record.key()))
                .map(|record| view::render(record, call))
                .collect();
            Ok(crate::engine::paged(core, call, &values))
        }
        _ => Err(Failure::new(404, "NotFound", format!("The path '{}' is unknown.", call.path))),
    }
}

fn subscription(core: &Core, id: &str) -> Value {
    json!({
        "id": format!("/subscriptions/{id}"),
        "subscriptionId": id,
        "displayName": "Emulated subscription",
        "state": "Enabled",
        "tenantId": core.settings.tenant,
        "authorizationSource": "RoleBased",
        "subscriptionPolicies": {"locationPlacementId": "Public_2014-09-01", "quotaId": "PayAsYouGo_2014-09-01", "spendingLimit": "Off"},
    })
}

fn regions(subscription: &str) -> Value {
    let one = |(name, display): (&str, &str)| {
        json!({
            "id": format!("/subscriptions/{subscription}/locations/{name}"), "name": name, "displayName": display,
            "regionalDisplayName": display, "metadata": {"regionType": "Physical"},
        })
    };
    let known = [("eastus", "East US"), ("westus2", "West US 2"), ("westeurope", "West Europe")];
    json!({"value": known.map(one)})
}

fn provider(_state: &State, subscription: &str, namespace: &str) -> Value {
    json!({
        "id": format!("/subscriptions/{subscription}/providers/{namespace}"),
        "namespace": namespace,
        "registrationState": "Registered",
        "registrationPolicy": "RegistrationRequired",
        "resourceTypes": [],
    })
}

/// Resource groups exist as soon as they are spoken of; a PUT gives one a place and tags.
fn group(
    core: &Core,
    state: &mut State,
    call: &Call,
    now: Milliseconds,
    segments: &[String],
) -> Outcome<Answer> {
    let id = format!("/subscriptions/{}/resourceGroups/{}", segments[1], segments[3]);
    let key = id.to_ascii_lowercase();
    let stored = state.get(&key).cloned();
    let fresh = |body: Value, sequence: u64| Record {
        id: id.clone(),
        kind: GROUP.to_owned(),
        body,
        secrets: std::collections::BTreeMap::default(),
        created: now,
        modified: now,
        created_by: call.principal.application.clone(),
        sequence,
    };
    let ready = json!({"location": core.settings.region, "properties": {"provisioningState": "Succeeded"}});
    match call.method.as_str() {
        "GET" => {
            let record = stored.unwrap_or_else(|| fresh(ready, 0));
            Ok(Answer::json(200, view::render(&record, call)))
        }
        "HEAD" => Ok(Answer::empty(204)),
        "PUT" | "PATCH" => {
            let status = if stored.is_some() || call.method == "PATCH" { 200 } else { 201 };
            let base = stored.map_or(ready, |record| record.body);
            let mut body = crate::engine::merged(&base, call.body.as_ref().unwrap_or(&json!({})));
            body["properties"]["provisioningState"] = json!("Succeeded");
            let sequence = state.next();
            let record = fresh(body, sequence);
            state.put(record.clone());
            Ok(Answer::json(status, view::render(&record, call)))
        }
        "DELETE" => {
            state.remove(&key);
            Ok(Answer::empty(200))
        }
        _ => Err(not_allowed(call)),
    }
}
