//! Batch endpoints: the route that makes a job of an invocation, and the job that scores the files.
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value, json};

use super::deployments::{asset_name, fetched};
use super::jobs::{self, Job};
use super::local::{JOB, Shared, bearer, refused, unauthorized};
use super::rows::{self, Content};
use super::serving::{self, Launch, Server};
use super::translate::{self, Table};
use super::{Control, Request, blobs, score};
use crate::answer::Answer;
use crate::state::text;

const ENDPOINT: &str = "Microsoft.MachineLearningServices/workspaces/batchEndpoints";
const LISTED: &str = "Microsoft.MachineLearningServices/workspaces/batchEndpoints/jobs";
/// Where a job says which deployment it is of.
const DEPLOYMENT: &str = "azureml.batchdeploymentid";
/// All inputs of a job.
const INPUT: u64 = 1 << 30;
/// What a job writes.
const OUTPUT: usize = 256 << 20;
/// Rows of one request to the model.
const ROWS: usize = 500;

/// Answers below `/emulator/batch/{region}/{endpoint}`.
pub(super) fn serve(
    shared: &Arc<Shared>,
    control: &Control,
    (region, name, rest): (&str, &str, &[&str]),
    request: &Request,
) -> Answer {
    let Some(endpoint) = score::find(control, ENDPOINT, region, name) else {
        return refused(404, "NotFound", format!("The batch endpoint '{name}' was not found in '{region}'."));
    };
    if !control.accepts_token(bearer(request)) {
        return unauthorized();
    }
    match (request.method.as_str(), rest) {
        ("POST", ["jobs"]) => invoke(shared, control, &endpoint, request),
        ("GET", ["jobs"]) => listed(control, text(&endpoint, "/id")),
        ("GET", ["jobs", job]) => {
            match of_endpoint(control, text(&endpoint, "/id")).find(|one| one["name"] == *job) {
                Some(found) => Answer::json(200, found),
                None => refused(404, "NotFound", format!("The job '{job}' was not found.")),
            }
        }
        _ => refused(404, "NotFound", "The only route of a batch endpoint is jobs."),
    }
}

/// The list of an endpoint's jobs, by its path below the machine learning provider's own frontend.
pub(super) fn list(control: &Control, rest: &[&str], request: &Request) -> Option<Answer> {
    let [path @ .., "jobs"] = rest else { return None };
    let id = format!("/{}", path.join("/"));
    if !id.to_ascii_lowercase().contains("/batchendpoints/") {
        return None;
    }
    if !control.accepts_token(bearer(request)) {
        return Some(unauthorized());
    }
    Some(match control.resource(&id) {
        Some(_) => listed(control, &id),
        None => refused(404, "ResourceNotFound", format!("The batch endpoint '{id}' was not found.")),
    })
}

fn listed(control: &Control, endpoint: &str) -> Answer {
    Answer::json(200, json!({"value": of_endpoint(control, endpoint).collect::<Vec<_>>()}))
}

/// The jobs of an endpoint, as its own list shows them.
fn of_endpoint(control: &Control, endpoint: &str) -> impl Iterator<Item = Value> {
    let prefix = format!("{}/", endpoint.to_ascii_lowercase());
    let endpoint = endpoint.to_owned();
    control.resources(JOB).into_iter().filter_map(move |job| {
        let deployment = job["properties"]["properties"][DEPLOYMENT].as_str()?;
        deployment.to_ascii_lowercase().starts_with(&prefix).then(|| shown(&endpoint, &job))
    })
}

fn shown(endpoint: &str, job: &Value) -> Value {
    let name = text(job, "/id").rsplit('/').next().unwrap_or_default();
    json!({"id": format!("{endpoint}/jobs/{name}"), "name": name, "type": LISTED, "properties": job["properties"]})
}

/// Whether a job is the scoring of files.
pub(super) fn is_batch(properties: &Value) -> bool {
    properties["properties"][DEPLOYMENT].is_string()
}

fn invoke(shared: &Arc<Shared>, control: &Control, endpoint: &Value, request: &Request) -> Answer {
    let id = text(endpoint, "/id");
    let asked = request.headers.get("azureml-model-deployment").and_then(|value| value.to_str().ok());
    let chosen = asked.unwrap_or(text(endpoint, "/properties/defaults/deploymentName"));
    if chosen.is_empty() {
        let message = "The endpoint has no default deployment. Set defaults.deploymentName, or name one in the header \
                       'azureml-model-deployment'.";
        return refused(404, "NotFound", message);
    }
    let Some(deployment) = control.resource(&format!("{id}/deployments/{chosen}")) else {
        return refused(
            404,
            "NotFound",
            format!("The deployment '{chosen}' does not exist in the endpoint."),
        );
    };
    let body: Value = match serde_json::from_slice(&request.body) {
        Ok(body) => body,
        Err(error) => return refused(400, "InvalidRequestContent", format!("the body is no JSON: {error}")),
    };
    let given = &body["properties"];
    let name = match text(given, "/name") {
        "" => format!("batchjob-{}", uuid::Uuid::new_v4()),
        name => name.to_owned(),
    };
    let home = id.split("/batchEndpoints/").next().unwrap_or(id);
    let job = format!("{home}/jobs/{name}");
    let properties = match properties(&deployment, given, &name) {
        Ok(properties) => properties,
        Err(error) => return refused(400, "UserError", format!("{error:#}")),
    };
    if !control.create(&job, JOB, jobs::new(&name, &properties)) {
        return refused(409, "Conflict", format!("There is a job '{name}' already."));
    }
    let stored = control.resource(&job).unwrap_or_default();
    jobs::submitted(shared, &job, control);
    Answer::json(201, shown(id, &stored)).with("Location", format!("{}{}/{name}", request.base, request.path))
}

/// The properties of the job that scores what an invocation names.
fn properties(deployment: &Value, given: &Value, name: &str) -> anyhow::Result<Value> {
    let of = &deployment["properties"];
    ensure!(
        !text(of, "/deploymentConfiguration/deploymentConfigurationType")
            .eq_ignore_ascii_case("PipelineComponent"),
        "the emulator runs no batch deployments of pipeline components; deploy a model"
    );
    let mut inputs = Map::new();
    for (key, input) in given["inputData"].as_object().into_iter().flatten() {
        let mut input = input.clone();
        input["jobInputType"] = json!(snake(text(&input, "/jobInputType")));
        inputs.insert(key.clone(), input);
    }
    ensure!(
        inputs.values().any(|input| !text(input, "/uri").is_empty()),
        "'properties.inputData' names no files"
    );
    let wanted = given["outputData"].as_object().and_then(|map| map.values().next());
    let dataset = match text(given, "/outputDataset/datastoreId") {
        "" => None,
        id => {
            let store = id.rsplit('/').next().unwrap_or(id);
            Some(format!("azureml://datastores/{store}/paths/{}", text(given, "/outputDataset/path")))
        }
    };
    let uri = wanted.map(|output| text(output, "/uri").to_owned()).filter(|uri| !uri.is_empty()).or(dataset);
    let uri =
        uri.unwrap_or_else(|| format!("azureml://datastores/workspaceblobstore/paths/azureml/{name}/score"));
    let setting = |field: &str| field_of(given, of, field);
    Ok(json!({
        "jobType": "Pipeline", "inputs": inputs, "jobs": {}, "settings": {},
        "outputs": {"score": {"jobOutputType": "uri_folder", "uri": uri}},
        "properties": {
            DEPLOYMENT: deployment["id"],
            "outputFileName": setting("outputFileName"), "outputAction": setting("outputAction"),
            "errorThreshold": setting("errorThreshold"), "maxRetries": setting("retrySettings"),
        },
        "experimentName": given["properties"]["experimentName"].as_str().unwrap_or("batch"),
    }))
}

/// A setting of the invocation, else of the deployment, as the text that a property is.
fn field_of(given: &Value, deployment: &Value, field: &str) -> String {
    let found = given.get(field).filter(|value| !value.is_null()).unwrap_or(&deployment[field]);
    let found = found.get("maxRetries").unwrap_or(found);
    found.as_str().map_or_else(|| found.to_string(), str::to_owned)
}

/// `UriFolder` as jobs spell it.
fn snake(name: &str) -> String {
    let mut made = String::new();
    for (at, letter) in name.chars().enumerate() {
        if letter.is_ascii_uppercase() && at > 0 && !made.ends_with(|last: char| last.is_ascii_uppercase()) {
            made.push('_');
        }
        made.push(letter.to_ascii_lowercase());
    }
    made
}

/// A batch while it is scored.
struct Scoring {
    server: Server,
    model: String,
    metadata: Value,
    retries: u64,
    http: reqwest::Client,
}

/// Scores all files; what is to be said of the job when it is over.
pub(super) async fn run(job: &Job) -> anyhow::Result<Value> {
    let property = |name: &str| job.properties["properties"][name].as_str().unwrap_or_default();
    let deployment = job.control.resource(property(DEPLOYMENT)).context("the deployment is gone")?;
    let folder = tempfile::tempdir()?;
    let scoring = begin(job, &deployment, folder.path()).await?;
    job.status("Running");
    let threshold: i64 = property("errorThreshold").parse().unwrap_or(-1);
    let mut table = csv::Writer::from_writer(Vec::new());
    let mut counts = (0_usize, 0_usize, 0_i64);
    for (name, input) in job.properties["inputs"].as_object().into_iter().flatten() {
        if text(input, "/uri").is_empty() {
            continue;
        }
        let to = folder.path().join("inputs").join(name);
        let place = job.finder().find(text(input, "/uri"), "data")?;
        let path = job.shared.blobs.download(&place, &to, INPUT).await;
        let path = path.with_context(|| format!("failed to fetch the input '{name}'"))?;
        for (file, _) in blobs::files(&path)? {
            let full = if file.is_empty() { path.clone() } else { path.join(&file) };
            let name = full.strip_prefix(&to).unwrap_or(&full).display().to_string();
            counts.0 += 1;
            match scoring.file(&name, &tokio::fs::read(&full).await?).await {
                Ok(rows) => {
                    counts.1 += rows.len();
                    append(&mut table, &name, &rows)?;
                    job.run.log.push(&format!("{name}: {} rows", rows.len()));
                }
                Err(error) => {
                    counts.2 += 1;
                    job.run.log.push(&format!("{name}: {error:#}"));
                }
            }
            if threshold >= 0 && counts.2 > threshold {
                bail!(
                    "{} files failed, which is more than the error threshold of {threshold} allows.",
                    counts.2
                );
            }
            ensure!(table.get_ref().len() <= OUTPUT, "the predictions have more than {OUTPUT} bytes");
        }
    }
    ensure!(counts.1 > 0, "No row was scored: {} of {} files failed.", counts.2, counts.0);
    job.status("Finalizing");
    if !property("outputAction").eq_ignore_ascii_case("SummaryOnly") {
        let name =
            Some(property("outputFileName")).filter(|name| !name.is_empty()).unwrap_or("predictions.csv");
        let place = job.finder().find(text(&job.properties, "/outputs/score/uri"), "data")?.child(name);
        let bytes = table.into_inner().context("failed to finish the predictions")?;
        job.shared.blobs.write(&place, bytes.into()).await?;
    }
    Ok(json!({"properties": {"scoredFiles": counts.0.to_string(), "scoredRows": counts.1.to_string(),
        "failedFiles": counts.2.to_string()}}))
}

/// A model server for the job alone.
async fn begin(job: &Job, deployment: &Value, folder: &std::path::Path) -> anyhow::Result<Scoring> {
    let of = &deployment["properties"]["model"];
    let model = ["/assetId", "/path"].iter().map(|name| text(of, name)).find(|text| !text.is_empty());
    let model = model.or(of.as_str()).context("the deployment has no model")?;
    let file =
        fetched(&job.shared, &job.control, (&job.home, model), &folder.join("model"), &job.run.log).await?;
    let (name, version) = asset_name(model);
    let log = Arc::clone(&job.run.log);
    let launch = Launch { model: file, name: name.clone(), version, variables: Vec::new(), log };
    let server = serving::start(&job.shared, &launch).await.map_err(anyhow::Error::msg)?;
    let retries = job.properties["properties"]["maxRetries"].as_str().and_then(|text| text.parse().ok());
    let mut scoring = Scoring {
        server,
        model: name,
        metadata: Value::Null,
        retries: retries.unwrap_or(3_u64).min(10),
        http: job.shared.http.clone(),
    };
    let url = format!("http://{}/v2/models/{}", scoring.server.address, scoring.model);
    let answer = scoring.http.get(url).send().await.context("the model server does not answer")?;
    scoring.metadata = serde_json::from_slice(&answer.bytes().await?)?;
    Ok(scoring)
}

impl Scoring {
    /// The model's answers to the rows of a file, one each.
    async fn file(&self, name: &str, bytes: &[u8]) -> anyhow::Result<Vec<Value>> {
        let table = match rows::read(name, bytes)? {
            Content::Inference(body) => return translate::rows(&self.infer(&body).await?),
            Content::Rows(table) => table,
        };
        let mut all = Vec::new();
        for rows in table.rows.chunks(ROWS) {
            let part = Table { columns: table.columns.clone(), rows: rows.to_vec() };
            all.extend(translate::rows(&self.infer(&translate::request(&part, &self.metadata)?).await?)?);
        }
        Ok(all)
    }

    async fn infer(&self, body: &Value) -> anyhow::Result<Value> {
        let url = format!("http://{}/v2/models/{}/infer", self.server.address, self.model);
        let mut tried = 0;
        loop {
            let answer = self.http.post(&url).body(body.to_string()).send().await;
            let again = tried < self.retries;
            tried += 1;
            match answer {
                Ok(answer) if answer.status().is_success() => {
                    return Ok(serde_json::from_slice(&answer.bytes().await?)?);
                }
                // What the model refuses once it refuses again.
                Ok(answer) if answer.status().is_client_error() || !again => {
                    let status = answer.status().as_u16();
                    bail!("the model answered {status}: {}", answer.text().await.unwrap_or_default());
                }
                Err(error) if !again => bail!("the model server does not answer: {error}"),
                Ok(_) | Err(_) => {}
            }
        }
    }
}

/// Appends the answers of a file: its name, the number of the row, and the outputs.
fn append(table: &mut csv::Writer<Vec<u8>>, file: &str, rows: &[Value]) -> anyhow::Result<()> {
    let cell = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if table.get_ref().is_empty()
        && let Some(first) = rows.first()
    {
        let names = first
            .as_object()
            .map_or_else(|| vec!["prediction"], |map| map.keys().map(String::as_str).collect());
        table.write_record(["file", "row"].into_iter().chain(names))?;
    }
    for (at, row) in rows.iter().enumerate() {
        let cells = row.as_object().map_or_else(|| vec![cell(row)], |map| map.values().map(cell).collect());
        table.write_record([file.to_owned(), at.to_string()].into_iter().chain(cells))?;
    }
    table.flush()?;
    Ok(())
}
