//! Every shape of operation, started and polled.
use http::HeaderName;
use serde_json::json;

use super::*;

const URL: &str =
    "https://management.azure.com/subscriptions/s/providers/P/locations/l/operations/o?api-version=1";

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn id() -> ResourceId {
    ResourceId::parse("/subscriptions/s/resourceGroups/g/providers/P/t/n").unwrap()
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
}

fn start(verb: Verb, status: u16, pairs: &[(&'static str, &str)], body: &Value) -> Started {
    let headers = headers(pairs);
    let body = Some(body).filter(|body| !body.is_null());
    started(verb, &id(), &Answer { status, headers: &headers, body }, now())
}

fn operation(verb: Verb, shape: OperationShape) -> Operation {
    let url = if shape == OperationShape::Body { id().to_string() } else { URL.to_owned() };
    Operation { verb, shape, url, started: now(), deadline: None, poll_at: now() }
}

fn poll(operation: &Operation, status: u16, pairs: &[(&'static str, &str)], body: &Value) -> Progress {
    let headers = headers(pairs);
    let body = Some(body).filter(|body| !body.is_null());
    polled(operation, &Answer { status, headers: &headers, body }, now() + Duration::from_mins(1))
}

fn state(word: &str) -> Value {
    json!({"properties": {"provisioningState": word}})
}

type Start = (Verb, u16, Vec<(&'static str, &'static str)>, Value, Option<OperationShape>);

#[test]
fn every_way_to_start_is_told_apart() {
    use OperationShape::{AzureAsyncOperation as Status, Body, Location};
    let status = ("azure-asyncoperation", URL);
    let location = ("location", URL);
    let none = Value::Null;
    let cases: Vec<Start> = vec![
        (Verb::Put, 201, vec![status], state("Creating"), Some(Status)),
        (Verb::Put, 200, vec![status], state("Updating"), Some(Status)),
        (Verb::Put, 200, vec![status], state("SUCCEEDED"), None),
        (Verb::Put, 202, vec![status, location], none.clone(), Some(Status)),
        (Verb::Put, 202, vec![location], none.clone(), Some(Location)),
        (Verb::Put, 201, vec![location], state("Succeeded"), None),
        (Verb::Put, 201, vec![location], state("Creating"), Some(Body)),
        (Verb::Put, 201, vec![], state("Accepted"), Some(Body)),
        (Verb::Put, 200, vec![], state("Failed"), None),
        (Verb::Put, 200, vec![], json!({"properties": {}}), None),
        (Verb::Patch, 202, vec![], none.clone(), Some(Body)),
        (Verb::Delete, 202, vec![location], none.clone(), Some(Location)),
        (Verb::Delete, 202, vec![], none.clone(), Some(Body)),
        (Verb::Delete, 200, vec![], none.clone(), None),
        (Verb::Delete, 204, vec![], none.clone(), None),
        (Verb::Post, 200, vec![], json!({"primaryKey": "k"}), None),
        (Verb::Post, 202, vec![], none.clone(), None),
        (Verb::Post, 202, vec![location], none, Some(Location)),
    ];
    for (verb, code, pairs, body, expected) in cases {
        let case = format!("{verb:?} {code} {pairs:?} {body}");
        match (start(verb, code, &pairs, &body), expected) {
            (Started::Done(found), None) => assert_eq!(found.unwrap_or_default(), body, "{case}"),
            (Started::Running(operation), Some(shape)) => {
                assert_eq!((operation.verb, operation.shape), (verb, shape), "{case}");
                let url = if shape == Body { id().to_string() } else { URL.to_owned() };
                assert_eq!(operation.url, url, "{case}");
            }
            (started, expected) => panic!("{case}: {started:?} instead of {expected:?}"),
        }
    }
}

#[test]
fn the_server_tells_the_deadline_and_the_first_poll() {
    let pairs =
        [("azure-asyncoperation", URL), ("x-ms-async-operation-timeout", "PT1H"), ("retry-after", "7")];
    let Started::Running(operation) = start(Verb::Put, 201, &pairs, &Value::Null) else { panic!("it runs") };
    assert_eq!(operation.deadline, Some(now() + Duration::from_hours(1)));
    assert_eq!(operation.poll_at, now() + Duration::from_secs(7));
}

#[test]
fn a_url_of_many_kilobytes_survives_the_status() {
    let url = format!("{URL}&token={}", "x".repeat(6000));
    let Started::Running(operation) = start(Verb::Delete, 202, &[("location", &url)], &Value::Null) else {
        panic!("it runs")
    };
    let text = serde_json::to_string(&operation).unwrap();
    assert_eq!(serde_json::from_str::<Operation>(&text).unwrap().url, url);
}

#[test]
fn every_answer_to_a_poll_is_told_apart() {
    use OperationShape::{AzureAsyncOperation as Status, Body, Location};
    use Verb::{Delete, Post, Put};
    let none = Value::Null;
    let word = |word: &str| json!({"status": word});
    let error = json!({"error": {"code": "Conflict", "message": "no"}});
    let cases = [
        (Put, Status, 200, word("InProgress"), "running"),
        (Put, Status, 202, none.clone(), "running"),
        (Put, Status, 200, word("succeeded"), "succeeded"),
        (Put, Status, 200, word("FAILED"), "failed"),
        (Put, Status, 200, word("Cancelled"), "canceled"),
        (Put, Status, 200, state("Succeeded"), "succeeded"),
        (Put, Status, 200, json!({}), "lost"),
        (Put, Status, 204, none.clone(), "succeeded"),
        (Put, Status, 404, error.clone(), "lost"),
        (Put, Status, 410, none.clone(), "lost"),
        (Put, Status, 503, none.clone(), "running"),
        (Put, Location, 202, none.clone(), "running"),
        (Put, Location, 200, state("Creating"), "running"),
        (Put, Location, 200, state("Succeeded"), "succeeded"),
        (Delete, Location, 204, none.clone(), "succeeded"),
        (Delete, Location, 200, none.clone(), "succeeded"),
        (Delete, Location, 404, none.clone(), "lost"),
        (Post, Location, 409, error.clone(), "failed"),
        (
            Put,
            Location,
            409,
            json!({"error": {"code": "OperationCanceled", "message": "by another"}}),
            "canceled",
        ),
        (Post, Location, 429, error.clone(), "running"),
        (Post, Location, 401, error.clone(), "running"),
        (Put, Body, 200, state("Updating"), "running"),
        (Put, Body, 200, json!({"properties": {}}), "succeeded"),
        (Put, Body, 200, state("canceled"), "canceled"),
        (Put, Body, 404, error.clone(), "lost"),
        (Delete, Body, 200, state("Succeeded"), "running"),
        (Delete, Body, 200, state("Deleting"), "running"),
        (Delete, Body, 200, state("Failed"), "failed"),
        (Delete, Body, 404, error, "succeeded"),
    ];
    for (verb, shape, code, body, expected) in cases {
        let progress = poll(&operation(verb, shape), code, &[], &body);
        let found = match &progress {
            Progress::Running(_) => "running",
            Progress::Succeeded(_) => "succeeded",
            Progress::Failed(_) => "failed",
            Progress::Canceled(_) => "canceled",
            Progress::Lost => "lost",
        };
        assert_eq!(found, expected, "{verb:?} {shape:?} {code} {body}: {progress:?}");
    }
}

#[test]
fn an_operation_that_moves_is_followed() {
    let moved = "https://management.azure.com/elsewhere";
    let before = operation(Verb::Delete, OperationShape::Location);
    let Progress::Running(after) = poll(&before, 202, &[("location", moved)], &Value::Null) else {
        panic!("it runs")
    };
    assert_eq!((after.url.as_str(), after.started), (moved, before.started));
    let Progress::Running(after) = poll(&before, 202, &[], &Value::Null) else { panic!("it runs") };
    assert_eq!(after.url, before.url);
}

#[test]
fn polls_become_rarer_as_an_operation_takes_long() {
    let before = operation(Verb::Put, OperationShape::Body);
    let Progress::Running(after) = poll(&before, 200, &[], &state("Creating")) else { panic!("it runs") };
    assert_eq!(after.poll_at, now() + Duration::from_secs(60 + 15));
}

#[test]
fn a_failure_keeps_the_words_of_azure() {
    let failed = |shape, body| match poll(&operation(Verb::Put, shape), 200, &[], &body) {
        Progress::Failed(error) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let status = json!({"status": "Failed", "error": {
        "code": "BadRequest", "message": "no", "details": [{"code": "OutOfQuota", "message": "cores"}]}});
    let found = failed(OperationShape::AzureAsyncOperation, status);
    assert_eq!(found, "BadRequest: no; OutOfQuota: cores");
    let compute = json!({"properties": {"provisioningState": "Failed", "provisioningErrors": [
        {"error": {"code": "SubnetFull", "message": "no address is left"}}]}});
    assert_eq!(failed(OperationShape::Body, compute), "SubnetFull: no address is left");
    let silent = failed(OperationShape::Body, state("Failed"));
    assert_eq!(silent, "Failed: the operation ended without saying why");
}

#[test]
fn the_result_of_an_operation_is_handed_out() {
    let asynchronous = operation(Verb::Post, OperationShape::AzureAsyncOperation);
    let body = json!({"status": "Succeeded", "properties": {"a": 1}});
    assert_eq!(poll(&asynchronous, 200, &[], &body), Progress::Succeeded(Some(json!({"a": 1}))));
    let located = operation(Verb::Post, OperationShape::Location);
    let body = json!({"value": {"b": 2}});
    assert_eq!(poll(&located, 200, &[], &body), Progress::Succeeded(Some(body)));
}
