//! The run history of jobs, as far as the clients read it to stream logs, and the logs themselves.
use std::sync::Arc;

use serde_json::{Value, json};

use super::jobs::LOG;
use super::local::{JOB, Shared, bearer, refused, unauthorized};
use super::{Control, Request};
use crate::answer::{Answer, Body};
use crate::operation::merge;
use crate::state::text;

/// Answers below `/history/v1.0`.
pub(super) fn serve(shared: &Arc<Shared>, control: &Control, rest: &[&str], request: &Request) -> Answer {
    if !control.accepts_token(bearer(request)) {
        return unauthorized();
    }
    let run = rest.iter().position(|word| *word == "runs").filter(|at| rest.len() > at + 1 && *at >= 8);
    let Some(at) = run else { return refused(404, "NotFound", "The run history has runs alone.") };
    let home = format!("/{}", rest[..8].join("/"));
    let id = format!("{home}/jobs/{}", rest[at + 1]);
    let Some(job) = control.resource(&id) else {
        return refused(404, "UserError", format!("The run '{}' was not found.", rest[at + 1]));
    };
    match (request.method.as_str(), &rest[at + 2..]) {
        ("GET", ["details"]) => Answer::json(200, details(shared, &job, &request.base)),
        ("GET", []) => Answer::json(200, shown(&job)),
        ("PATCH", []) => change(control, &id, request),
        ("GET", ["children"]) => {
            let name = rest[at + 1];
            let children: Vec<Value> = control
                .resources(JOB)
                .iter()
                .filter(|one| text(one, "/id").starts_with(&home) && parent(one) == name)
                .map(shown)
                .collect();
            Answer::json(200, json!({"value": children}))
        }
        _ => refused(404, "NotFound", "The routes of a run are details and children."),
    }
}

fn parent(job: &Value) -> &str {
    job["properties"]["properties"]["azureml.parentRunId"].as_str().unwrap_or_default()
}

fn shown(job: &Value) -> Value {
    let properties = &job["properties"];
    let name = text(job, "/id").rsplit('/').next().unwrap_or_default();
    let bag = &properties["properties"];
    let mut run = json!({
        "runId": name, "displayName": properties["displayName"], "status": properties["status"],
        "experimentName": properties["experimentName"], "runType": properties["jobType"],
        "properties": bag, "tags": properties["tags"], "hidden": properties["isArchived"],
    });
    let some = [
        ("parentRunId", json!(parent(job))),
        ("startTimeUtc", bag["StartTimeUtc"].clone()),
        ("endTimeUtc", bag["EndTimeUtc"].clone()),
    ];
    for (name, value) in some.into_iter().filter(|(_, value)| !value.is_null() && *value != "") {
        run[name] = value;
    }
    if let Some(message) = bag["azureml.error"].as_str() {
        run["error"] = json!({"error": {"code": "UserError", "message": message}});
    }
    run
}

fn details(shared: &Shared, job: &Value, base: &str) -> Value {
    let mut run = shown(job);
    let link = format!("{base}/emulator/logs/{}{}/{LOG}", shared.seal, text(job, "/id"));
    run["logFiles"] = json!({LOG: link});
    run
}

/// What the clients change of a run: its name, its tags, and whether it is archived.
fn change(control: &Control, id: &str, request: &Request) -> Answer {
    let body: Value = match serde_json::from_slice(&request.body) {
        Ok(body) => body,
        Err(error) => return refused(400, "InvalidRequestContent", format!("the body is no JSON: {error}")),
    };
    let mut patch = json!({});
    let names = [
        ("displayName", "displayName"),
        ("description", "description"),
        ("tags", "tags"),
        ("properties", "properties"),
        ("hidden", "isArchived"),
    ];
    for (from, to) in names {
        if let Some(value) = body.get(from).filter(|value| !value.is_null()) {
            merge(&mut patch, &json!({to: value}));
        }
    }
    control.merge(id, &json!({"properties": patch}));
    Answer::json(200, control.resource(id).as_ref().map(shown).unwrap_or_default())
}

/// A log, by a link that only the run's details show.
pub(super) async fn log(shared: &Arc<Shared>, control: &Control, seal: &str, rest: &[&str]) -> Answer {
    let unknown = || refused(404, "NotFound", "The log was not found.");
    let [path @ .., "user_logs", "std_log.txt"] = rest else { return unknown() };
    let id = format!("/{}", path.join("/"));
    let Some(name) = path.last().filter(|_| seal == shared.seal && control.resource(&id).is_some()) else {
        return unknown();
    };
    let plain = |text: Vec<u8>| Answer {
        status: 200,
        headers: Vec::new(),
        body: Body::Bytes("text/plain; charset=utf-8".to_owned(), text),
    };
    if let Some(text) = shared.jobs.log(&id) {
        return plain(text.into_bytes());
    }
    // One of an earlier start lies among the artifacts.
    let home = id.split("/jobs/").next().unwrap_or(&id);
    let finder = super::asset::Finder { control, home, endpoint: shared.blobs.endpoint() };
    let kept = async {
        let place = finder.artifacts(name)?.child(LOG);
        let folder = tempfile::tempdir()?;
        let file = shared.blobs.download(&place, folder.path(), 16 << 20).await?;
        anyhow::Ok(tokio::fs::read(file).await?)
    };
    kept.await.map_or_else(|_| unknown(), plain)
}
