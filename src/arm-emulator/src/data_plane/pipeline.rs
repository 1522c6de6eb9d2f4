//! Pipeline jobs: their steps run as jobs of their own, each when what it needs is there.
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use super::jobs::Job;
use super::substitute::{self, Values};
use crate::operation::merge;
use crate::state::text;

/// The most steps of a pipeline.
const STEPS: usize = 100;

/// The steps that have ended, by their names, as the jobs that they were.
type Ended = BTreeMap<String, Value>;

/// Runs all steps; what is to be said of the pipeline when it is over.
pub(super) async fn run(job: &Job) -> anyhow::Result<Value> {
    let steps = job.properties["jobs"].as_object().cloned().unwrap_or_default();
    ensure!(!steps.is_empty(), "the pipeline has no steps");
    ensure!(steps.len() <= STEPS, "the pipeline has {} steps, and {STEPS} are allowed", steps.len());
    job.status("Running");
    let goes_on = ["continueOnStepFailure", "continue_on_step_failure"]
        .iter()
        .find_map(|name| job.properties["settings"][*name].as_bool())
        .unwrap_or(true);
    let mut waiting: BTreeSet<String> = steps.keys().cloned().collect();
    let mut ended = Ended::new();
    let mut failed: Vec<String> = Vec::new();
    let mut running = JoinSet::new();
    loop {
        let may_start = failed.is_empty() || goes_on;
        let ready: Vec<String> = waiting
            .iter()
            .filter(|name| may_start && needs(&steps[*name]).iter().all(|other| ended.contains_key(other)))
            .cloned()
            .collect();
        for name in ready {
            waiting.remove(&name);
            let properties = step(job, &steps[&name], &ended)
                .with_context(|| format!("failed to prepare the step '{name}'"))?;
            job.run.log.push(&format!("The step '{name}' starts."));
            let (job, child) = (job.clone(), format!("{}_{name}", job.name));
            running.spawn(async move { (name, job.child(&child, properties).await) });
        }
        let Some(next) = running.join_next().await else { break };
        let (name, child) = next?;
        let child = child?;
        let status = text(&child, "/properties/status").to_owned();
        job.run.log.push(&format!("The step '{name}' is {status}."));
        if status == "Completed" {
            ended.insert(name, child);
        } else {
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!(
            "The steps {} failed. See the jobs '{}_{}' and their logs.",
            failed.join(", "),
            job.name,
            failed[0]
        );
    }
    if !waiting.is_empty() {
        let names: Vec<&str> = waiting.iter().map(String::as_str).collect();
        bail!("The steps {} wait for steps that do not exist, or for each other.", names.join(", "));
    }
    Ok(json!({"outputs": outputs(job, &steps, &ended)}))
}

/// The steps whose outputs a step takes.
fn needs(step: &Value) -> BTreeSet<String> {
    let inputs = step["inputs"].as_object();
    let bound = inputs.into_iter().flatten().filter_map(|(_, input)| bound(input));
    let step = |inside: &str| Some(inside.strip_prefix("parent.jobs.")?.split('.').next()?.to_owned());
    bound.filter_map(step).collect()
}

/// The expression that an input or output is bound to.
fn bound(value: &Value) -> Option<&str> {
    let texts = [value, &value["value"], &value["uri"], &value["path"]];
    texts.into_iter().find_map(|value| substitute::expression(value.as_str()?))
}

/// The properties of the job that a step becomes.
fn step(job: &Job, step: &Value, ended: &Ended) -> anyhow::Result<Value> {
    let kind = text(step, if step.get("type").is_some() { "/type" } else { "/jobType" });
    ensure!(
        kind.is_empty() || kind.eq_ignore_ascii_case("command"),
        "steps of the type '{kind}' are not run"
    );
    let spec = match text(step, "/componentId") {
        "" => step.clone(),
        id => component(job, id)?,
    };
    let pick = |names: &[&str]| names.iter().map(|name| text(&spec, name)).find(|text| !text.is_empty());
    let command = pick(&["/command"]).context("it has no command")?;
    let mut made = json!({
        "jobType": "Command", "command": command, "displayName": text(step, "/name"),
        "environmentId": pick(&["/environmentId", "/environment"]).unwrap_or_default(),
        "codeId": pick(&["/codeId", "/code"]), "inputs": inputs(job, step, &spec, ended)?,
        "outputs": declared(job, step, &spec), "properties": {},
    });
    for name in ["environmentVariables", "environment_variables"] {
        for from in [&spec, step] {
            if from[name].is_object() {
                merge(&mut made["environmentVariables"], &from[name]);
            }
        }
    }
    if step["limits"].is_object() {
        made["limits"] = step["limits"].clone();
    }
    Ok(made)
}

/// What a component says: its command, its environment and what it takes and gives.
fn component(job: &Job, id: &str) -> anyhow::Result<Value> {
    let plain = id.strip_prefix("azureml:").filter(|rest| !rest.starts_with("//")).unwrap_or(id);
    let id = if let Some(rest) = plain.strip_prefix("azureml://registries/") {
        let state = job.control.core.state();
        crate::rules::registry::asset(&state, rest).map(|record| record.id.clone()).unwrap_or_default()
    } else if plain.starts_with('/') {
        plain.to_owned()
    } else {
        let (name, version) = plain.split_once(':').context("its component has no version")?;
        format!("{}/components/{name}/versions/{version}", job.home)
    };
    let found =
        job.control.resource(&id).with_context(|| format!("its component '{plain}' was not found"))?;
    Ok(found["properties"]["componentSpec"].clone())
}

fn field<'a>(value: &'a Value, names: &[&str]) -> Option<&'a Value> {
    names.iter().find_map(|name| value.get(*name)).filter(|value| !value.is_null())
}

fn inputs(job: &Job, step: &Value, spec: &Value, ended: &Ended) -> anyhow::Result<Map<String, Value>> {
    let mut made = Map::new();
    for (name, declared) in spec["inputs"].as_object().into_iter().flatten() {
        if let Some(value) = field(declared, &["default"]) {
            made.insert(name.clone(), json!({"jobInputType": "literal", "value": value}));
        }
    }
    for (name, input) in step["inputs"].as_object().into_iter().flatten() {
        let Some(mut value) = value(job, input, ended).with_context(|| format!("the input '{name}'"))? else {
            continue;
        };
        if let Some(mode) = field(input, &["mode"]) {
            value["mode"] = mode.clone();
        }
        made.insert(name.clone(), value);
    }
    Ok(made)
}

/// What an input stands for; nothing where the pipeline got none.
fn value(job: &Job, input: &Value, ended: &Ended) -> anyhow::Result<Option<Value>> {
    let given = &job.properties["inputs"];
    if let Some(inside) = bound(input) {
        let parts: Vec<&str> = inside.split('.').collect();
        return match parts.as_slice() {
            ["parent", "inputs", name] => Ok(given.get(*name).cloned()),
            ["parent", "jobs", other, "outputs", output] => {
                let found = ended.get(*other).map(|child| &child["properties"]["outputs"][*output]);
                let found = found.with_context(|| format!("there is no step '{other}'"))?;
                let kind = field(found, &["jobOutputType"]).cloned().unwrap_or_else(|| json!("uri_folder"));
                let uri = field(found, &["uri"])
                    .with_context(|| format!("the step '{other}' has no output '{output}'"))?;
                Ok(Some(json!({"jobInputType": kind, "uri": uri})))
            }
            _ => bail!("the expression '{inside}' is not understood"),
        };
    }
    if let Some(uri) = field(input, &["uri", "path"]) {
        let kind = field(input, &["jobInputType", "job_input_type", "type"]).cloned();
        return Ok(Some(json!({"jobInputType": kind.unwrap_or_else(|| json!("uri_folder")), "uri": uri})));
    }
    let literal = if input.is_object() { field(input, &["value"]) } else { Some(input) };
    let Some(literal) = literal else { return Ok(None) };
    let text = literal.as_str().map_or_else(|| literal.to_string(), str::to_owned);
    let literals: Values = given
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| {
            Some((format!("parent.inputs.{name}"), value["value"].as_str()?.to_owned()))
        })
        .collect();
    Ok(Some(json!({"jobInputType": "literal", "value": substitute::command(&text, &literals)?})))
}

/// The outputs of a step's job: those of the component, and what the step or the pipeline says of them.
fn declared(job: &Job, step: &Value, spec: &Value) -> Map<String, Value> {
    let mut made = Map::new();
    let own = step["outputs"].as_object();
    let of_spec = spec["outputs"].as_object();
    for (name, output) in of_spec.into_iter().flatten().chain(own.into_iter().flatten()) {
        let entry = made.entry(name.clone()).or_insert_with(|| json!({"jobOutputType": "uri_folder"}));
        let of_pipeline = bound(output).and_then(|inside| inside.strip_prefix("parent.outputs."));
        let of_pipeline = of_pipeline.map(|name| &job.properties["outputs"][name]);
        for from in [Some(output), of_pipeline].into_iter().flatten() {
            let kind = field(from, &["jobOutputType", "job_output_type", "type"]);
            if let Some(kind) = kind.filter(|kind| *kind != "literal") {
                entry["jobOutputType"] = kind.clone();
            }
            if let Some(uri) = field(from, &["uri", "path"]) {
                entry["uri"] = uri.clone();
            }
        }
    }
    made
}

/// Where the pipeline's own outputs lie now.
fn outputs(job: &Job, steps: &Map<String, Value>, ended: &Ended) -> Map<String, Value> {
    let mut made = Map::new();
    for name in job.properties["outputs"].as_object().into_iter().flatten().map(|(name, _)| name) {
        let wanted = format!("parent.outputs.{name}");
        let source = steps.iter().find_map(|(step, body)| {
            let outputs = body["outputs"].as_object()?;
            let output = outputs.iter().find(|(_, output)| bound(output) == Some(wanted.as_str()))?.0;
            ended.get(step)?["properties"]["outputs"][output].get("uri").cloned()
        });
        if let Some(uri) = source {
            made.insert(name.clone(), json!({"uri": uri}));
        }
    }
    made
}
