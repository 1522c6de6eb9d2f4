//! The scoring route of online endpoints: keys and tokens, the split of traffic, limits, mirrors and errors.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::deployments::{Deployment, Tally};
use super::local::{Shared, bearer, refused, unauthorized};
use super::{Control, Request, translate};
use crate::answer::{Answer, Body};
use crate::rules::endpoint::ONLINE;
use crate::state::text;

/// Copies of requests that are on their way at the same time; further ones are not sent.
const MIRRORED: usize = 32;
/// The header that names a deployment, asked for or answered.
const CHOSEN: &str = "azureml-model-deployment";
/// The header of an error that tells the status that the model gave.
const MODEL_STATUS: &str = "ms-azureml-model-error-statuscode";
static MIRROR: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(MIRRORED);

/// What the model answered.
struct Reply {
    status: u16,
    kind: String,
    body: Bytes,
}

/// Why there is no answer of the model.
enum Trouble {
    Busy,
    Late,
    Down(String),
}

/// What is asked of a model server.
#[derive(Clone)]
struct Ask {
    method: Method,
    path: String,
    body: Bytes,
}

/// Answers below `/emulator/inference/{region}/{endpoint}`.
pub(super) async fn serve(
    shared: &Arc<Shared>,
    control: &Control,
    (region, endpoint, rest): (&str, &str, &[&str]),
    request: &Request,
) -> Answer {
    let id = uuid::Uuid::new_v4().to_string();
    let answer = routed(shared, control, (region, endpoint, rest), request).await;
    answer.unwrap_or_else(|refused| refused).with("x-request-id", id)
}

async fn routed(
    shared: &Arc<Shared>,
    control: &Control,
    (region, name, rest): (&str, &str, &[&str]),
    request: &Request,
) -> Result<Answer, Answer> {
    let unknown = || refused(404, "NotFound", format!("The endpoint '{name}' was not found in '{region}'."));
    let endpoint = find(control, ONLINE, region, name).ok_or_else(unknown)?;
    if !admitted(control, &endpoint, request) {
        return Err(unauthorized());
    }
    let (deployment_id, forced) = choose(shared, control, &endpoint, request)?;
    let started = Instant::now();
    let answer = match shared.deployments.get(&deployment_id) {
        Some(deployment) => {
            let answer = answered_by(shared, (&deployment_id, &deployment), (name, rest), request).await;
            answer.unwrap_or_else(|refused| refused).with(CHOSEN, deployment.name.clone())
        }
        None => not_running(&deployment_id),
    };
    if matches!(rest, ["score"] | ["v2", ..]) && request.method == Method::POST {
        shared.ledger.count(&deployment_id, statuses(&answer), started.elapsed());
        if !forced {
            mirror(shared, &endpoint, request, rest);
        }
    }
    Ok(answer)
}

fn not_running(deployment: &str) -> Answer {
    let name = deployment.rsplit('/').next().unwrap_or_default();
    refused(424, "ResourceNotReady", format!("The deployment '{name}' does not run."))
        .with(MODEL_STATUS, "503")
        .with("ms-azureml-model-error-reason", "model_error")
}

/// What a deployment that runs answers.
async fn answered_by(
    shared: &Arc<Shared>,
    (id, deployment): (&str, &Arc<Deployment>),
    (name, rest): (&str, &[&str]),
    request: &Request,
) -> Result<Answer, Answer> {
    match (request.method.as_str(), rest) {
        ("POST", ["score"]) => score(shared, id, deployment, request).await,
        ("GET", ["swagger.json"]) => swagger(shared, deployment, name).await,
        ("GET" | "POST", ["v2", ..]) => {
            let path = format!("/{}", rest.join("/"));
            let ask = Ask { method: request.method.clone(), path, body: request.body.clone() };
            counted(shared, id, deployment, ask).await
        }
        ("GET", [] | ["score"]) => Ok(Answer::json(200, json!({"status": "Healthy"}))),
        _ => Err(refused(404, "NotFound", "The scoring routes are score, swagger.json and v2.")),
    }
}

/// The status of an answer, and the one that the model gave.
fn statuses(answer: &Answer) -> (u16, u16) {
    let told = answer.headers.iter().find(|(name, _)| name == MODEL_STATUS);
    (answer.status, told.and_then(|(_, status)| status.parse().ok()).unwrap_or(answer.status))
}

/// An endpoint by the region and the name that its address has; a managed one before one on a cluster.
pub(crate) fn find(control: &Control, kind: &str, region: &str, name: &str) -> Option<Value> {
    let plain = |text: &str| text.to_ascii_lowercase().replace(' ', "");
    let mut found: Vec<Value> = control
        .resources(kind)
        .into_iter()
        .filter(|one| text(one, "/id").rsplit('/').next().is_some_and(|last| last.eq_ignore_ascii_case(name)))
        .filter(|one| plain(text(one, "/location")) == plain(region))
        .collect();
    found.sort_by_key(|one| !text(one, "/properties/compute").is_empty());
    found.into_iter().next()
}

fn admitted(control: &Control, endpoint: &Value, request: &Request) -> bool {
    let given = bearer(request);
    if given.is_empty() {
        return false;
    }
    if !text(endpoint, "/properties/authMode").eq_ignore_ascii_case("Key") {
        return control.accepts_token(given);
    }
    let keys = control.secret(text(endpoint, "/id"), "/properties/keys").unwrap_or_default();
    // Digests take the same time to compare, however much of a key was guessed.
    let digest = Sha256::digest(given);
    ["primaryKey", "secondaryKey"]
        .iter()
        .any(|name| keys[*name].as_str().is_some_and(|key| Sha256::digest(key) == digest))
}

/// The deployment that answers, and whether the caller named it.
fn choose(
    shared: &Shared,
    control: &Control,
    endpoint: &Value,
    request: &Request,
) -> Result<(String, bool), Answer> {
    let id = text(endpoint, "/id");
    if let Some(name) = request.headers.get(CHOSEN).and_then(|value| value.to_str().ok()) {
        let deployment = format!("{id}/deployments/{name}");
        if control.resource(&deployment).is_some() {
            return Ok((deployment, true));
        }
        let message = format!("The deployment '{name}' does not exist in the endpoint.");
        return Err(refused(404, "NotFound", message));
    }
    let weights: Vec<(&String, f64)> = endpoint["properties"]["traffic"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, weight)| Some((name, weight.as_f64().filter(|weight| *weight > 0.0)?)))
        .collect();
    let sum: f64 = weights.iter().map(|(_, weight)| weight).sum();
    let mut at = shared.chance() * sum;
    let chosen = weights.iter().find(|(_, weight)| {
        at -= weight;
        at < 0.0
    });
    let Some((name, _)) = chosen.or(weights.last()) else {
        let message = "The endpoint has no deployment with traffic. Set its traffic, or name a deployment in the \
                       header 'azureml-model-deployment'.";
        return Err(refused(404, "NotFound", message));
    };
    Ok((format!("{id}/deployments/{name}"), false))
}

/// A copy of some requests for the deployment that answers nobody.
fn mirror(shared: &Arc<Shared>, endpoint: &Value, request: &Request, rest: &[&str]) {
    let Some((name, share)) = endpoint["properties"]["mirrorTraffic"]
        .as_object()
        .and_then(|map| map.iter().next())
        .and_then(|(name, share)| Some((name, share.as_f64().filter(|share| *share > 0.0)?)))
    else {
        return;
    };
    if shared.chance() * 100.0 >= share {
        return;
    }
    let id = format!("{}/deployments/{name}", text(endpoint, "/id"));
    let (Some(deployment), Ok(permit)) = (shared.deployments.get(&id), MIRROR.try_acquire()) else { return };
    let (request, scored) = (request.clone(), rest == ["score"]);
    let path = format!("/{}", rest.join("/"));
    let shared_then = Arc::clone(shared);
    shared.spawn(async move {
        let started = Instant::now();
        let ask = if scored {
            translated(&shared_then, &deployment, &request.body).await.map(|(ask, _)| ask)
        } else {
            Ok(Ask { method: request.method, path, body: request.body })
        };
        // Nobody waits for the answer; it is counted like any other.
        let statuses = match ask {
            Ok(ask) => {
                let reply = forward(&shared_then, &deployment, ask).await;
                shared_then.deployments.count(&id, Tally::Mirrored);
                match reply {
                    Ok(reply) if (200..300).contains(&reply.status) => (200, reply.status),
                    Ok(reply) => (424, reply.status),
                    Err(trouble) => statuses(&answered(trouble, &deployment)),
                }
            }
            Err(refused) => statuses(&refused),
        };
        shared_then.ledger.count(&id, statuses, started.elapsed());
        drop(permit);
    });
}

async fn score(
    shared: &Arc<Shared>,
    id: &str,
    deployment: &Deployment,
    request: &Request,
) -> Result<Answer, Answer> {
    let (ask, rows) = translated(shared, deployment, &request.body).await.inspect_err(|_| {
        shared.deployments.count(id, Tally::Refused);
    })?;
    let answer = counted(shared, id, deployment, ask).await?;
    let Body::Bytes(_, bytes) = &answer.body else { return Ok(answer) };
    if !rows {
        return Ok(answer);
    }
    let body: Value = serde_json::from_slice(bytes).unwrap_or_default();
    match translate::rows(&body) {
        Ok(rows) => Ok(Answer { body: Body::Json(json!(rows)), ..answer }),
        Err(error) => Err(refused(424, "ModelError", error.to_string())),
    }
}

/// The request that the model server takes, and whether the answer is to be given as rows.
async fn translated(
    shared: &Arc<Shared>,
    deployment: &Deployment,
    body: &Bytes,
) -> Result<(Ask, bool), Answer> {
    let unfit = |error: String| {
        // The container would refuse it: to the caller that is its failure.
        refused(424, "ModelError", error)
            .with(MODEL_STATUS, "400")
            .with("ms-azureml-model-error-reason", "model_error")
    };
    let path = format!("/v2/models/{}/infer", deployment.launch.name);
    let parsed: Value =
        serde_json::from_slice(body).map_err(|error| unfit(format!("the body is no JSON: {error}")))?;
    if translate::is_inference(&parsed) {
        return Ok((Ask { method: Method::POST, path, body: body.clone() }, false));
    }
    let table = translate::table(&parsed).map_err(|error| unfit(error.to_string()))?;
    let metadata = metadata(shared, deployment).await?;
    let made = translate::request(&table, &metadata).map_err(|error| unfit(error.to_string()))?;
    Ok((Ask { method: Method::POST, path, body: made.to_string().into() }, true))
}

/// What the model server says of the model.
async fn metadata(shared: &Arc<Shared>, deployment: &Deployment) -> Result<Value, Answer> {
    let path = format!("/v2/models/{}", deployment.launch.name);
    let ask = Ask { method: Method::GET, path, body: Bytes::new() };
    let reply = forward(shared, deployment, ask).await.map_err(|trouble| answered(trouble, deployment))?;
    serde_json::from_slice(&reply.body)
        .map_err(|error| refused(424, "ModelError", format!("the model's metadata is no JSON: {error}")))
}

/// The model's answer, or Azure's in its place; counted either way.
async fn counted(
    shared: &Arc<Shared>,
    id: &str,
    deployment: &Deployment,
    ask: Ask,
) -> Result<Answer, Answer> {
    match forward(shared, deployment, ask).await {
        Ok(reply) if (200..300).contains(&reply.status) => {
            shared.deployments.count(id, Tally::Answered);
            Ok(Answer {
                status: 200,
                headers: Vec::new(),
                body: Body::Bytes(reply.kind, reply.body.to_vec()),
            })
        }
        Ok(reply) => {
            shared.deployments.count(id, Tally::Failed);
            let body = Body::Bytes(reply.kind, reply.body.to_vec());
            Err(Answer { status: 424, headers: Vec::new(), body }
                .with(MODEL_STATUS, reply.status.to_string())
                .with("ms-azureml-model-error-reason", "model_error"))
        }
        Err(trouble) => {
            let tally = if matches!(trouble, Trouble::Busy) { Tally::Refused } else { Tally::Failed };
            shared.deployments.count(id, tally);
            Err(answered(trouble, deployment))
        }
    }
}

fn answered(trouble: Trouble, deployment: &Deployment) -> Answer {
    match trouble {
        Trouble::Busy => {
            let message = format!(
                "Too many requests: the deployment '{}' takes {} at the same time. Raise \
                 requestSettings.maxConcurrentRequestsPerInstance or the number of instances.",
                deployment.name, deployment.gate.most
            );
            refused(429, "TooManyRequests", message).with("Retry-After", "1")
        }
        Trouble::Late => {
            let message = format!(
                "The deployment '{}' did not answer within {} ms, which requestSettings.requestTimeout allows.",
                deployment.name,
                deployment.gate.timeout.as_millis()
            );
            refused(408, "RequestTimeout", message)
        }
        Trouble::Down(cause) => refused(424, "ResourceNotReady", cause)
            .with(MODEL_STATUS, "503")
            .with("ms-azureml-model-error-reason", "model_error"),
    }
}

/// One request inside a deployment; however it ends, it is counted out.
struct Inside<'a>(&'a AtomicUsize);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Asks one of the deployment's servers, within its limits.
async fn forward(shared: &Arc<Shared>, deployment: &Deployment, ask: Ask) -> Result<Reply, Trouble> {
    let gate = &deployment.gate;
    let before = gate.inside.fetch_add(1, Ordering::AcqRel);
    let _inside = Inside(&gate.inside);
    if before >= gate.most {
        return Err(Trouble::Busy);
    }
    let slot = tokio::time::timeout(gate.wait.max(std::time::Duration::from_millis(1)), gate.slots.acquire());
    let Ok(Ok(_slot)) = slot.await else { return Err(Trouble::Busy) };
    let call = async {
        let server = deployment.server(shared).await.map_err(Trouble::Down)?;
        let url = format!("http://{}{}", server.address, ask.path);
        let sent =
            shared.http.request(ask.method, url).header("content-type", "application/json").body(ask.body);
        let down =
            |error: reqwest::Error| Trouble::Down(format!("the model server does not answer: {error}"));
        let reply = sent.send().await.map_err(down)?;
        let kind = reply.headers().get("content-type").and_then(|value| value.to_str().ok());
        let kind = kind.unwrap_or("application/json").to_owned();
        Ok(Reply { status: reply.status().as_u16(), kind, body: reply.bytes().await.map_err(down)? })
    };
    let started = Instant::now();
    match tokio::time::timeout(gate.timeout, call).await {
        // The timer is a millisecond late at times, and an answer may come first.
        Ok(Ok(_)) | Err(_) if started.elapsed() > gate.timeout => Err(Trouble::Late),
        Ok(result) => result,
        Err(_) => Err(Trouble::Late),
    }
}

/// A description of the scoring route in as few words as tools need.
async fn swagger(shared: &Arc<Shared>, deployment: &Deployment, name: &str) -> Result<Answer, Answer> {
    let metadata = metadata(shared, deployment).await?;
    let operation = json!({
        "operationId": "RunMLService", "security": [{"Bearer": []}],
        "description": format!("Scores rows. The model's inputs are {}.", metadata["inputs"]),
        "parameters": [{"name": "input", "in": "body", "required": true, "schema": {"type": "object"}}],
        "responses": {"200": {"description": "The model's outputs.", "schema": {"type": "object"}}},
    });
    Ok(Answer::json(
        200,
        json!({
            "swagger": "2.0", "info": {"title": name, "version": deployment.launch.version},
            "consumes": ["application/json"], "produces": ["application/json"],
            "securityDefinitions": {"Bearer": {"type": "apiKey", "name": "Authorization", "in": "header"}},
            "paths": {"/score": {"post": operation}},
        }),
    ))
}
