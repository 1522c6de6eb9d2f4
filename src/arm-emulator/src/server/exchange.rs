//! One request and its answer.
use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use serde_json::Value;

use super::{Broken, Door, Payload, before, milliseconds, read, response};
use crate::answer::{Answer, Body, Failure};
use crate::call::{Call, Principal, pairs};
use crate::clock::{Milliseconds, wall};
use crate::data_plane::{self, Control};
use crate::fault::Action;
use crate::log::Entry;
use crate::throttle::{Verdict, class};
use crate::{admin, engine, token};

/// The prefix under which the machine learning provider's own frontend answers the same paths.
const FRONTEND: &str = "/mferp/managementfrontend";
/// Headers of requests and answers that the log keeps.
const KEPT: [&str; 9] = [
    "user-agent",
    "x-ms-client-request-id",
    "x-ms-correlation-request-id",
    "retry-after",
    "retry-after-ms",
    "x-ms-retry-after-ms",
    "azure-asyncoperation",
    "location",
    "azureml-model-deployment",
];

struct Seen {
    method: String,
    path: String,
    query: Vec<(String, String)>,
    raw_query: String,
    headers: HeaderMap,
    base: String,
    body: Bytes,
    request_id: String,
}

/// Answers a request, or says how its connection breaks.
pub(super) async fn answer(door: &Door, request: Request<Incoming>) -> Result<Response<Payload>, Broken> {
    let started = Instant::now();
    let time = wall();
    let (parts, body) = request.into_parts();
    let request_id = uuid::Uuid::new_v4().to_string();
    let mut seen = Seen {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().trim_end_matches('/').to_owned(),
        raw_query: parts.uri.query().unwrap_or("").to_owned(),
        query: pairs(parts.uri.query().unwrap_or("")),
        base: base(door, &parts.headers),
        headers: parts.headers,
        body: Bytes::new(),
        request_id,
    };
    match read(body, door.core.settings.body_limit).await {
        Ok(bytes) => seen.body = bytes,
        Err(refused) => return Ok(response(refused, &seen.request_id, false)),
    }
    if let Some(answer) = admin::serve(&door.core, &seen.method, &seen.path, &seen.query, &seen.body) {
        return Ok(response(answer, &seen.request_id, false));
    }
    let actions = door.core.faults.take(&seen.method, &seen.path);
    let mut entry = entry(&seen, time, !actions.is_empty());
    let served = match before(&actions).await {
        Err(broken) => Err(broken),
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => {
            let (answer, principal) = serve(door, &seen, actions.clone()).await;
            entry.principal = principal;
            if actions.contains(&Action::LoseResponse) { Err(Broken::Closed) } else { Ok(answer) }
        }
    };
    let now = door.core.issuer.now();
    let served = served.map(|answer| spoiled(answer, &actions).with_correlation(&seen, now));
    entry.milliseconds = milliseconds(started);
    if let Ok(answer) = &served {
        entry.status = Some(answer.status);
        keep(&mut entry.headers, answer.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    }
    door.core.log.push(entry);
    served.map(|answer| response(answer, &seen.request_id, actions.contains(&Action::Truncate)))
}

fn base(door: &Door, headers: &HeaderMap) -> String {
    let scheme = if door.tls.is_some() { "https" } else { "http" };
    let host = headers.get("host").and_then(|host| host.to_str().ok());
    format!("{scheme}://{}", host.filter(|host| !host.is_empty()).unwrap_or(&door.authority))
}

impl Answer {
    /// The id that ties the calls of one client together.
    fn with_correlation(self, seen: &Seen, now: Milliseconds) -> Self {
        let given =
            |name: &str| seen.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let id = given("x-ms-correlation-request-id").unwrap_or_else(|| seen.request_id.clone());
        let answer = self.with("x-ms-correlation-request-id", id).with("Date", crate::clock::http_date(now));
        match given("x-ms-client-request-id") {
            Some(id) => answer.with("x-ms-client-request-id", id),
            None => answer,
        }
    }
}

/// What faults make of a good answer.
fn spoiled(mut answer: Answer, actions: &[Action]) -> Answer {
    for action in actions {
        if let Action::Edit { status, headers } = action {
            answer.status = status.unwrap_or(answer.status);
            answer
                .headers
                .retain(|(name, _)| !headers.keys().any(|edited| edited.eq_ignore_ascii_case(name)));
            let set = headers.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
            answer.headers.extend(set);
        }
        if let Action::Html { status } = action {
            let page = b"<html><head><title>Service unavailable</title></head><body>Try again.</body></html>"
                .to_vec();
            return Answer {
                status: *status,
                headers: Vec::new(),
                body: Body::Bytes("text/html".to_owned(), page),
            };
        }
    }
    answer
}

/// The answer, and the object id of the caller.
async fn serve(door: &Door, seen: &Seen, directives: Vec<Action>) -> (Answer, String) {
    let core = &door.core;
    let request = token::endpoint::Request {
        method: &seen.method,
        path: &seen.path,
        query: &seen.query,
        headers: &seen.headers,
        body: &seen.body,
        base: &seen.base,
        identity_header: &door.identity_header,
    };
    let path = seen.path.strip_prefix(FRONTEND).unwrap_or(&seen.path);
    let deployments = deployments(path);
    let path = deployments.as_deref().unwrap_or(path);
    let lower = path.to_ascii_lowercase();
    let managed = ["/subscriptions", "/providers", "/tenants"];
    // The frontend alone lists the jobs of a batch endpoint, and the data plane knows them.
    let is_batch = path != seen.path && lower.contains("/batchendpoints/") && lower.ends_with("/jobs");
    if !is_batch && managed.iter().any(|prefix| crate::address::covers(prefix, &lower)) {
        let (answer, object) = arm(door, seen, path, directives);
        if lower.ends_with("/startpendingupload") {
            uploadable(door, &answer).await;
        }
        return (answer, object);
    }
    if let Some(answer) = token::endpoint::serve(&core.issuer, &request) {
        return (answer, String::new());
    }
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    if let ["registrymanagement", _, "registries", name, "discovery"] = segments.as_slice() {
        let state = core.state();
        return (
            crate::rules::registry::discovery(&state, name, &core.settings.tenant, &seen.base),
            String::new(),
        );
    }
    if let ["discovery", _] = segments.as_slice() {
        return (Answer::json(200, crate::rules::workspace::discovery(&seen.base)), String::new());
    }
    (below(door, seen).await, String::new())
}

/// Waits until the container of a link to upload to is there.
async fn uploadable(door: &Door, answer: &Answer) {
    let Body::Json(body) = &answer.body else { return };
    let uri = crate::state::text(body, "/blobReferenceForConsumption/blobUri");
    let Some((_, path)) = uri.split_once("://").and_then(|(_, rest)| rest.split_once('/')) else { return };
    if let (Some(plane), Some((account, container))) = (door.core.data_plane(), path.split_once('/')) {
        plane.settle(account.to_owned(), container.to_owned()).await;
    }
}

/// The operations of a deployment have a path from before there were providers; this is the one with its provider.
fn deployments(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').collect();
    let ["", _, _, _, _, kind, _, "operations"] = parts.as_slice() else { return None };
    let old = kind.eq_ignore_ascii_case("deployments");
    old.then(|| format!("{}/providers/Microsoft.Resources/{}", parts[..5].join("/"), parts[5..].join("/")))
}

/// A call on ARM itself.
fn arm(door: &Door, seen: &Seen, path: &str, directives: Vec<Action>) -> (Answer, String) {
    let core = &door.core;
    let principal = match authenticate(door, seen) {
        Ok(principal) => principal,
        Err(refused) => return (refused, String::new()),
    };
    let object = principal.object.clone();
    let mut remaining = None;
    if let Some(rates) = &core.settings.rates {
        let subscription = crate::address::part(path, "subscriptions");
        match core.throttle.take(rates, (subscription, &object), &seen.method, core.clock.now()) {
            Verdict::Passed(left) => remaining = Some(left),
            Verdict::Refused(wait) => return (throttled(door, seen, subscription, &object, wait), object),
        }
    }
    let body = match body(seen) {
        Ok(body) => body,
        Err(refused) => return (refused, object),
    };
    let call = Call {
        method: seen.method.clone(),
        path: path.to_owned(),
        query: seen.query.clone(),
        body,
        base: seen.base.clone(),
        principal,
        request_id: seen.request_id.clone(),
        directives,
    };
    let (mut answer, events) = engine::serve(core, &call);
    core.tell(events);
    if let Some(left) = remaining {
        let header = format!("x-ms-ratelimit-remaining-subscription-{}", class(&seen.method));
        answer = answer.with(&header, left.to_string());
    }
    (answer, object)
}

fn authenticate(door: &Door, seen: &Seen) -> Result<Principal, Answer> {
    let header = seen.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or("");
    let challenge = |error: &str, message: &str| {
        format!(
            "Bearer authorization_uri=\"{}/{}\", error=\"{error}\", error_description=\"{message}\"",
            seen.base, door.core.settings.tenant
        )
    };
    let Some((scheme, token)) =
        header.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
    else {
        let message = "Authentication failed. The 'Authorization' header is missing.";
        let failure = Failure::new(401, "AuthenticationFailed", message);
        return Err(failure.with("WWW-Authenticate", challenge("invalid_token", message)).answer());
    };
    let _ = scheme;
    door.core.issuer.check(token.trim()).map_err(|refused| {
        let failure = Failure::new(401, refused.code, refused.message.clone());
        failure.with("WWW-Authenticate", challenge("invalid_token", &refused.message)).answer()
    })
}

fn throttled(door: &Door, seen: &Seen, subscription: &str, object: &str, wait: i64) -> Answer {
    let seconds = door.core.clock.retry_after(wait);
    let what = class(&seen.method).trim_end_matches('s');
    let message = format!(
        "Number of '{what}' requests for subscription '{subscription}' actor '{object}' exceeded. Please try again after \
         '{seconds}' seconds after additional tokens are available. Refer to https://aka.ms/arm-throttling for additional \
         information."
    );
    let header = format!("x-ms-ratelimit-remaining-subscription-{}", class(&seen.method));
    Failure::new(429, "SubscriptionRequestsThrottled", message)
        .with("Retry-After", seconds.to_string())
        .with(&header, "0")
        .answer()
}

fn body(seen: &Seen) -> Result<Option<Value>, Answer> {
    if seen.body.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&seen.body).map(Some).map_err(|error| {
        let message = format!("The request content was invalid and could not be deserialized: '{error}'.");
        Failure::new(400, "InvalidRequestContent", message).answer()
    })
}

/// What is neither ARM nor a token endpoint is the data plane's.
async fn below(door: &Door, seen: &Seen) -> Answer {
    let unknown = || Failure::new(404, "NotFound", format!("The path '{}' is unknown.", seen.path)).answer();
    let Some(plane) = door.core.data_plane() else { return unknown() };
    let request = data_plane::Request {
        method: http::Method::from_bytes(seen.method.as_bytes()).unwrap_or_default(),
        path: seen.path.clone(),
        query: seen.raw_query.clone(),
        headers: seen.headers.clone(),
        body: seen.body.clone(),
        base: seen.base.clone(),
    };
    let control = Control { core: std::sync::Arc::clone(&door.core) };
    plane.serve(request, control).await.unwrap_or_else(unknown)
}

fn entry(seen: &Seen, time: i64, fault: bool) -> Entry {
    let mut headers = BTreeMap::new();
    let given = seen.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    keep(&mut headers, given);
    let secret = seen.path.to_ascii_lowercase().ends_with("/token");
    let query = |name: &str| seen.query.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    Entry {
        sequence: 0,
        time,
        milliseconds: 0,
        principal: String::new(),
        method: seen.method.clone(),
        path: seen.path.clone(),
        query: seen
            .query
            .iter()
            .filter(|(name, _)| !name.eq_ignore_ascii_case("api-version"))
            .cloned()
            .collect(),
        api_version: query("api-version").map(|(_, value)| value.clone()).unwrap_or_default(),
        status: None,
        body: if secret { None } else { serde_json::from_slice(&seen.body).ok() },
        headers,
        fault,
    }
}

fn keep<'a>(headers: &mut BTreeMap<String, String>, given: impl Iterator<Item = (&'a str, &'a str)>) {
    for (name, value) in given {
        let name = name.to_ascii_lowercase();
        if KEPT.contains(&name.as_str()) {
            headers.insert(name, value.to_owned());
        }
    }
}
