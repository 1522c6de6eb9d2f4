//! Row Z1: every fault at every call in the life of a workspace and what is in it.
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use arm_emulator::{Action, Entry, Fault};
use e2e::azure::{
    COMPUTE, DATA, Fleet, MODEL, WORKSPACE, data_spec, seconds, sized, workspace_id, workspace_spec,
};
use e2e::{Azure, Context};
use serde_json::{Value, json};

/// How many lives are lived beside each other.
const BESIDE: usize = 120;

/// What can happen to a call.
fn faults() -> Vec<(&'static str, Action)> {
    let answer = |status, headers: &[(&str, &str)]| {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Action::Answer { status, body: None, headers: headers.collect() }
    };
    vec![
        ("blocked", answer(503, &[])),
        ("lost", Action::LoseResponse),
        ("throttled", answer(429, &[("Retry-After", "1")])),
        ("broken", answer(500, &[])),
        ("gateway", answer(502, &[])),
        ("reset", Action::Reset),
        // At full size it is longer than the operator waits for an answer.
        ("stalled", Action::Stall { milliseconds: sized(400, 25_000) }),
        ("truncated", Action::Truncate),
        ("html", Action::Html { status: 502 }),
        ("unauthorized", answer(401, &[])),
        ("forbidden", Action::AuthorizationFailed),
        ("hidden", Action::HideAfterCreate { reads: 1 }),
        ("busy", Action::AnotherOperationInProgress),
        ("precondition", answer(412, &[])),
    ]
}

/// A call of a life: the method, and the path as a regular expression in which `LIFE` stands for the life's name.
type Call = (String, String);

/// The calls that a life makes, and how often, from the log of one without faults.
fn calls(log: &[Entry], life: &str) -> BTreeMap<Call, u64> {
    let mut calls = BTreeMap::new();
    for entry in log.iter().filter(|entry| entry.path.contains(life)) {
        let mut segments: Vec<&str> = entry.path.split('/').collect();
        let place = segments.iter().position(|segment| *segment == "locations");
        if let Some(operation) = place.and_then(|place| segments.get_mut(place + 3)) {
            *operation = "[^/]+";
        }
        let path = segments.join("/").replace(life, "LIFE");
        *calls.entry((entry.method.clone(), path)).or_default() += 1;
    }
    calls
}

/// A life that meets a fault.
struct Point {
    life: String,
    /// The call, its number and the fault, for people.
    label: String,
    /// Whether a life without faults is sure to make this call.
    sure: bool,
    fault: Fault,
}

fn points(calls: &BTreeMap<Call, u64>) -> Vec<Point> {
    let mut points = Vec::new();
    for ((method, path), count) in calls {
        for nth in 1..=(*count).min(sized(1, 3)) {
            for (name, action) in faults() {
                let life = format!("f{:03}", points.len());
                let fault =
                    Fault::new(method, &format!("^{}$", path.replace("LIFE", &life)), action).nth(nth);
                let end = path.rsplit_once("LIFE").map_or("", |(_, end)| end);
                let label = format!("{method} {end} {nth} {name}");
                // How often it is read depends on time.
                points.push(Point { life, label, sure: nth == 1 || method != "GET", fault });
            }
        }
    }
    points
}

/// Every call of a life, with every fault, each in a life of its own.
pub(crate) async fn a_fault_at_any_call_leaves_no_trace(context: &mut Context) -> anyhow::Result<()> {
    let azure = Azure::start(context).await?;
    azure.emulator.set_limit("standardDSv2Family", 1_000_000);
    let mut operator = azure.operator(context).await?;
    live(context, &azure, &BTreeMap::from([("reference".to_owned(), "without faults".to_owned())])).await?;
    let calls = calls(&azure.calls(0), "reference");
    let points = points(&calls);
    let mut met = 0;
    for points in points.chunks(BESIDE) {
        azure.emulator.faults().clear();
        for point in points {
            azure.fault(point.fault.clone())?;
        }
        let since = azure.emulator.log().last();
        let lives = points.iter().map(|point| (point.life.clone(), point.label.clone())).collect();
        live(context, &azure, &lives).await?;
        for (point, fault) in points.iter().zip(azure.emulator.faults().list()) {
            let hit = fault["hit"] != 0;
            ensure!(hit || !point.sure, "never met: {}", point.label);
            met += usize::from(hit);
        }
        no_write_is_repeated(&azure.calls(since))?;
    }
    context.tell(format!("{} calls, {} faults planned and {met} met", calls.len(), points.len()));
    ensure!(met * 100 >= points.len() * 95, "only {met} of {} faults were met", points.len());
    operator.check_alive()
}

/// Lives beside each other, by name, each with a description: made, changed, deleted.
async fn live(context: &Context, azure: &Azure, lives: &BTreeMap<String, String>) -> anyhow::Result<()> {
    let limit = seconds(60, 180);
    let names: Vec<String> = lives.keys().cloned().collect();
    let workspaces = Fleet::make(context, WORKSPACE, &names, |life| {
        let mut spec = workspace_spec();
        // A region of its own gives its operations addresses of their own.
        spec["location"] = json!(life);
        spec["description"] = json!(lives[life]);
        if sized(false, true) {
            spec["export"] = json!({"secretName": format!("{life}-keys")});
        }
        spec
    })
    .await?;
    let mut parts = vec![Fleet::make(context, DATA, &names, data).await?];
    if sized(false, true) {
        parts.push(Fleet::make(context, MODEL, &names, model).await?);
        parts.push(Fleet::make(context, COMPUTE, &names, compute).await?);
    }
    for fleet in parts.iter().chain([&workspaces]) {
        fleet.all_say("Ready=True/Ready", limit).await?;
    }
    workspaces.merge(&json!({"spec": {"description": "changed"}})).await?;
    workspaces.all_say("Ready=True/Ready", limit).await?;
    for (life, label) in lives {
        let body =
            azure.emulator.resource(&workspace_id(life)).with_context(|| format!("{label}: no workspace"))?;
        ensure!(body["properties"]["description"] == "changed", "{label}: {body}");
    }
    end(&parts, &workspaces, limit).await?;
    for (life, label) in lives {
        ensure!(azure.emulator.resource(&workspace_id(life)).is_none(), "{label}: it is left in Azure");
    }
    Ok(())
}

async fn end(parts: &[Fleet<'_>], workspaces: &Fleet<'_>, limit: Duration) -> anyhow::Result<()> {
    for part in parts {
        part.delete().await?;
    }
    for part in parts {
        part.gone(limit).await?;
    }
    workspaces.delete().await?;
    workspaces.gone(limit).await
}

fn data(life: &str) -> Value {
    let mut data = data_spec(life, 1);
    data["name"] = json!("churn");
    data
}

fn model(life: &str) -> Value {
    let uri = "azureml://datastores/workspaceblobstore/paths/churn/1/model.onnx";
    json!({
        "workspaceRef": {"name": life}, "name": "churn", "management": {"deletion": "Delete"},
        "versions": [{"version": "1", "uri": uri, "format": "ONNX"}],
    })
}

fn compute(life: &str) -> Value {
    let scale = json!({"minNodeCount": 0, "maxNodeCount": 2});
    json!({
        "workspaceRef": {"name": life}, "type": "AmlCompute", "name": "cpu",
        "amlCompute": {"vmSize": "Standard_DS3_v2", "scaleSettings": scale},
    })
}

/// At most one write of a resource repeats the one before it.
pub(crate) fn no_write_is_repeated(calls: &[Entry]) -> anyhow::Result<()> {
    let mut last: BTreeMap<String, (Value, u32)> = BTreeMap::new();
    let served = |call: &&Entry| call.method == "PUT" && call.status.is_none_or(|status| status < 300);
    for call in calls.iter().filter(served) {
        let path = call.path.to_lowercase();
        let body = call.body.clone().unwrap_or_default();
        match last.get_mut(&path) {
            Some((before, repeats)) if *before == body => {
                *repeats += 1;
                ensure!(*repeats <= 1, "{path} was written {repeats} times too often: {body}");
            }
            _ => drop(last.insert(path, (body, 0))),
        }
    }
    Ok(())
}
