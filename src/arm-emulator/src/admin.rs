//! The emulator's own interface: faults, the log, clients and a fresh start.
use serde_json::{Value, json};

use crate::answer::{Answer, Failure};
use crate::core::Core;
use crate::fault::Fault;
use crate::settings::Client;

/// `None` where the path is not of this interface.
pub(crate) fn serve(
    core: &Core,
    method: &str,
    path: &str,
    query: &[(String, String)],
    body: &[u8],
) -> Option<Answer> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let ["emulator", rest @ ..] = segments.as_slice() else { return None };
    Some(match (method, rest) {
        ("GET", ["health"]) => Answer::json(200, json!({"status": "ok"})),
        ("GET", ["faults"]) => Answer::json(200, json!({"value": core.faults.list()})),
        ("POST", ["faults"]) => set(core, body),
        ("DELETE", ["faults"]) => {
            core.faults.clear();
            core.reads.clear();
            Answer::empty(204)
        }
        ("DELETE", ["faults", id]) => {
            if id.parse().is_ok_and(|id| core.faults.remove(id)) {
                Answer::empty(204)
            } else {
                Failure::new(404, "NotFound", "There is no fault of this number.").answer()
            }
        }
        ("GET", ["log"]) => {
            let since =
                query.iter().find(|(name, _)| name == "since").and_then(|(_, value)| value.parse().ok());
            Answer::json(200, json!({"value": core.log.since(since.unwrap_or(0))}))
        }
        ("DELETE", ["log"]) => {
            core.log.clear();
            Answer::empty(204)
        }
        ("PUT", ["clients"]) => client(core, body),
        ("PUT", ["token-lifetime"]) => lifetime(core, body),
        ("PUT", ["limits"]) => limits(core, body),
        ("GET", ["settings"]) => Answer::json(200, settings(core)),
        ("POST", ["reset"]) => {
            core.state().clear();
            core.faults.clear();
            core.reads.clear();
            core.throttle.clear();
            core.log.clear();
            core.touched();
            Answer::empty(204)
        }
        _ => return None,
    })
}

fn malformed(error: impl std::fmt::Display) -> Answer {
    Failure::new(400, "InvalidRequestContent", format!("failed to read the request: {error}")).answer()
}

fn set(core: &Core, body: &[u8]) -> Answer {
    let fault: Fault = match serde_json::from_slice(body) {
        Ok(fault) => fault,
        Err(error) => return malformed(error),
    };
    match core.faults.set(fault) {
        Ok(id) => Answer::json(201, json!({"id": id})),
        Err(error) => malformed(error),
    }
}

/// Adds a client or changes its secrets: a rotation.
fn client(core: &Core, body: &[u8]) -> Answer {
    match serde_json::from_slice::<Client>(body) {
        Ok(client) => {
            core.issuer.set_client(client);
            Answer::empty(204)
        }
        Err(error) => malformed(error),
    }
}

fn lifetime(core: &Core, body: &[u8]) -> Answer {
    match serde_json::from_slice::<Value>(body).ok().and_then(|body| body["seconds"].as_u64()) {
        Some(seconds) => {
            core.issuer.set_lifetime(seconds);
            Answer::empty(204)
        }
        None => malformed("the field 'seconds' is required"),
    }
}

/// Sets quotas by name: a family of machines, `onlineEndpoints` or `onlineDeployments`.
fn limits(core: &Core, body: &[u8]) -> Answer {
    let wanted: std::collections::BTreeMap<String, i64> = match serde_json::from_slice(body) {
        Ok(wanted) => wanted,
        Err(error) => return malformed(error),
    };
    core.state().limits.extend(wanted.into_iter().map(|(name, limit)| (name.to_ascii_lowercase(), limit)));
    core.touched();
    Answer::empty(204)
}

fn settings(core: &Core) -> Value {
    let settings = &core.settings;
    json!({
        "tenant": settings.tenant,
        "operationDurationMilliseconds": settings.operation_duration,
        "retryAfterSeconds": settings.retry_after,
        "pageSize": settings.page_size,
        "region": settings.region,
        "timeScale": settings.time_scale,
        "storageEndpoint": settings.storage_endpoint,
    })
}
