//! What lies below `locations`: operations, quotas, usages and sizes of machines.

use crate::address::Address;
use crate::answer::{Answer, Failure, Outcome};
use crate::call::Call;
use crate::core::Core;
use crate::engine::Change;
use crate::rules::quota;
use crate::state::State;
use crate::table::Shape;
use crate::view;

/// How long the service says an operation may take.
const TIMEOUT: &str = "PT1H";

pub(crate) fn serve(core: &Core, state: &mut State, call: &Call, address: &Address) -> Outcome<Answer> {
    crate::versions::check(&address.namespace, call, address)?;
    let what = address.types.get(1).map_or("", String::as_str).to_ascii_lowercase();
    let location = address.names.first().map_or("", String::as_str);
    if let Some(id) = address.names.get(1) {
        return operation(core, state, call, id, what.ends_with("results"));
    }
    let subscription = address.subscription();
    match (call.method.as_str(), what.as_str()) {
        ("GET", "usages") => Ok(Answer::json(200, quota::usages(core, state, subscription, location))),
        ("GET", "quotas") => Ok(Answer::json(200, quota::quotas(state, subscription, location))),
        ("GET", "vmsizes") => Ok(Answer::json(200, quota::sizes())),
        ("POST", "updatequotas") => Ok(Answer::json(200, quota::update(state, call, location))),
        _ => {
            let message = format!("The resource type 'locations/{what}' could not be found.");
            Err(Failure::new(404, "InvalidResourceType", message))
        }
    }
}

fn operation(core: &Core, state: &State, call: &Call, id: &str, results: bool) -> Outcome<Answer> {
    let operation = state.operation(id).filter(|operation| !operation.gone);
    let Some(operation) = operation else {
        let message = format!("The operation '{id}' was not found.");
        return Err(Failure::new(404, "NotFound", message));
    };
    let running = operation.is_running();
    let location_form = results || call.query("type").is_some_and(|form| form == "location");
    let mut answer = if location_form {
        let record = operation.returns_resource.then(|| state.get(&operation.key)).flatten();
        operation.location_answer(record.map(|record| view::render(record, call)))
    } else {
        Answer::json(200, operation.body(&call.path))
    };
    if let crate::answer::Body::Json(body) = &mut answer.body {
        view::here(body, &call.base);
    }
    if running {
        answer = answer.with("Retry-After", core.settings.retry_after.to_string());
        if location_form {
            let query: Vec<String> =
                call.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
            answer = answer.with("Location", format!("{}{}?{}", call.base, call.path, query.join("&")));
        }
    }
    Ok(answer)
}

/// The answer to a write that leads to its operation.
pub(crate) fn lead(change: &Change<'_>, (status, shape): (u16, Shape), id: &str) -> Answer {
    let family = change.row.family;
    let version = change.call.api_version();
    let place = format!(
        "{}/subscriptions/{}/providers/{}/locations/{}",
        change.call.base,
        change.address.subscription(),
        change.row.namespace(),
        change.location().to_ascii_lowercase().replace(' ', "")
    );
    let async_operation = format!("{place}/{}/{id}?api-version={version}", family.status);
    let location = if family.results == family.status {
        format!("{async_operation}&type=location")
    } else {
        format!("{place}/{}/{id}?api-version={version}", family.results)
    };
    let mut answer = Answer::empty(status)
        .with("Retry-After", change.core.settings.retry_after.to_string())
        .with("x-ms-async-operation-timeout", TIMEOUT);
    if matches!(shape, Shape::AsyncOperation | Shape::Both) {
        answer = answer.with("Azure-AsyncOperation", async_operation);
    }
    if matches!(shape, Shape::Location | Shape::Both) {
        answer = answer.with("Location", location);
    }
    answer
}
