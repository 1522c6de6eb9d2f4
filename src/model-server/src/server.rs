//! The paths of the Open Inference Protocol v2 and of the metrics.
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State as Shared};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use tokio::sync::SemaphorePermit;

use crate::pool::InferError;
use crate::protocol;
use crate::state::{Serving, State, UNIT};

/// How long a client may take for a body.
const BODY_TIME: Duration = Duration::from_secs(30);
/// How long a request waits for room for its body.
const ROOM_TIME: Duration = Duration::from_secs(5);
/// The largest body whose inference may run on the thread of its request.
const SMALL_BODY: usize = 16 * 1024;

type Server = Shared<Arc<State>>;
type ModelPath = Path<Vec<(String, String)>>;

/// The server's paths.
pub fn router(state: Arc<State>) -> Router {
    let model = "/v2/models/{model}";
    let version = "/v2/models/{model}/versions/{version}";
    Router::new()
        .route("/v2", get(server_metadata))
        .route("/v2/", get(server_metadata))
        .route("/v2/health/live", get(live))
        .route("/v2/health/ready", get(ready))
        .route(model, get(metadata))
        .route(version, get(metadata))
        .route(&format!("{model}/ready"), get(model_ready))
        .route(&format!("{version}/ready"), get(model_ready))
        .route(&format!("{model}/infer"), post(infer))
        .route(&format!("{version}/infer"), post(infer))
        .route("/metrics", get(metrics))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .with_state(state)
}

/// A response that is an error of the protocol.
struct Problem(StatusCode, String);

fn json(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn problem(Problem(status, message): Problem) -> Response {
    let mut response = json(status, protocol::error(&message));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

async fn not_found() -> Response {
    let message = "no such path; see the Open Inference Protocol v2, for example /v2/models/NAME/infer";
    problem(Problem(StatusCode::NOT_FOUND, message.to_owned()))
}

async fn method_not_allowed() -> Response {
    let message = "use POST for infer and GET for everything else";
    problem(Problem(StatusCode::METHOD_NOT_ALLOWED, message.to_owned()))
}

async fn server_metadata() -> Response {
    let version = env!("CARGO_PKG_VERSION");
    let text = format!(r#"{{"name":"mlops-model-server","version":"{version}","extensions":[]}}"#);
    json(StatusCode::OK, text.into_bytes())
}

async fn live() -> Response {
    json(StatusCode::OK, br#"{"live":true}"#.to_vec())
}

async fn ready(Shared(state): Server) -> Response {
    let ready = state.is_ready();
    json(readiness(ready), format!(r#"{{"ready":{ready}}}"#).into_bytes())
}

fn readiness(ready: bool) -> StatusCode {
    if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

async fn model_ready(Shared(state): Server, Path(path): ModelPath) -> Response {
    if let Err(refused) = check_path(&state, &path) {
        return problem(refused);
    }
    let ready = state.is_ready();
    let name = serde_json::Value::from(state.model_name.as_str());
    json(readiness(ready), format!(r#"{{"name":{name},"ready":{ready}}}"#).into_bytes())
}

async fn metadata(Shared(state): Server, Path(path): ModelPath) -> Response {
    match serving(&state, &path) {
        Ok(serving) => json(StatusCode::OK, protocol::metadata(&serving.model)),
        Err(refused) => problem(refused),
    }
}

async fn metrics(Shared(state): Server) -> Response {
    match state.metrics.text() {
        Ok(text) => {
            let mut response = Response::new(Body::from(text));
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        Err(error) => problem(Problem(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

/// Checks the model and the version of a path.
fn check_path(state: &State, path: &[(String, String)]) -> Result<(), Problem> {
    for (key, value) in path {
        let served = if key == "model" { Some(&state.model_name) } else { state.model_version.as_ref() };
        if served == Some(value) {
            continue;
        }
        let message = match (key.as_str(), served) {
            ("model", _) => format!("no such model; this server serves `{}`", state.model_name),
            (_, Some(version)) => format!("no such version; this server serves version `{version}`"),
            (_, None) => "this model has no versions; leave /versions/… out of the path".to_owned(),
        };
        return Err(Problem(StatusCode::NOT_FOUND, message));
    }
    Ok(())
}

fn serving<'s>(state: &'s State, path: &[(String, String)]) -> Result<&'s Serving, Problem> {
    check_path(state, path)?;
    state.serving().ok_or_else(|| {
        Problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "the model is still loading; try again when it is ready".to_owned(),
        )
    })
}

/// Counts a request as in progress for as long as it lives, also when the client goes away.
struct InFlight<'s>(&'s State);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.metrics.in_flight.dec();
    }
}

async fn infer(Shared(state): Server, Path(path): ModelPath, request: Request) -> Response {
    let started = Instant::now();
    state.metrics.in_flight.inc();
    let _in_flight = InFlight(&state);
    let response = match answer(&state, &path, request).await {
        Ok(body) => json(StatusCode::OK, body),
        Err(refused) => problem(refused),
    };
    state.metrics.count(response.status().as_u16());
    state.metrics.request_seconds.observe(started.elapsed().as_secs_f64());
    response
}

async fn answer(state: &State, path: &[(String, String)], request: Request) -> Result<Vec<u8>, Problem> {
    let serving = serving(state, path)?;
    let (head, body) = request.into_parts();
    check_headers(&head.headers)?;
    let length = content_length(&head.headers);
    let _room = room(state, length).await?;
    let body = read(state, body).await?;
    let small = body.len() <= SMALL_BODY;
    let inference = protocol::parse(&serving.model, &body).map_err(|refusal| {
        let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
        Problem(status, refusal.message)
    })?;
    drop(body);
    let result = serving.pool.infer(inference.inputs, &inference.outputs, small).await;
    let (tensors, elapsed) = result.map_err(inference_failed)?;
    state.metrics.inference_seconds.observe(elapsed.as_secs_f64());
    Ok(protocol::response(&serving.model, inference.id.as_deref(), &inference.outputs, &tensors))
}

fn check_headers(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key("inference-header-content-length") {
        let message = "the binary tensor extension is not supported; send JSON tensors (binary_data=False)";
        return Err(Problem(StatusCode::BAD_REQUEST, message.to_owned()));
    }
    match headers.get(header::CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => {
            let message = "compressed requests are not supported; send the body without Content-Encoding";
            Err(Problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, message.to_owned()))
        }
        _ => Ok(()),
    }
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(state: &State) -> Problem {
    let limit = state.max_body_bytes;
    let message =
        format!("the request has more than {limit} bytes; send fewer rows, or raise --max-body-bytes");
    Problem(StatusCode::PAYLOAD_TOO_LARGE, message)
}

/// Waits for room for a body; one of unknown length needs room for the largest.
async fn room(state: &State, length: Option<usize>) -> Result<SemaphorePermit<'_>, Problem> {
    let length = length.unwrap_or(state.max_body_bytes);
    if length > state.max_body_bytes {
        return Err(too_large(state));
    }
    let units = u32::try_from(length.div_ceil(UNIT).max(1)).map_err(|_| too_large(state))?;
    if let Ok(permit) = state.bodies.try_acquire_many(units) {
        return Ok(permit);
    }
    if let Ok(Ok(permit)) = tokio::time::timeout(ROOM_TIME, state.bodies.acquire_many(units)).await {
        return Ok(permit);
    }
    let message = "too many requests in progress; try again, or add replicas";
    Err(Problem(StatusCode::SERVICE_UNAVAILABLE, message.to_owned()))
}

async fn read(state: &State, body: Body) -> Result<Bytes, Problem> {
    use http_body_util::{BodyExt as _, LengthLimitError, Limited};
    let body = Limited::new(body, state.max_body_bytes).collect();
    match tokio::time::timeout(BODY_TIME, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(state)),
        Ok(Err(_)) => Err(Problem(StatusCode::BAD_REQUEST, "the request's body ended too early".to_owned())),
        Err(_) => Err(Problem(
            StatusCode::REQUEST_TIMEOUT,
            format!("the request's body took longer than {} s; send it faster", BODY_TIME.as_secs()),
        )),
    }
}

fn inference_failed(error: InferError) -> Problem {
    match error {
        InferError::Runtime(error) if error.code() == ort::ErrorCode::InvalidArgument => Problem(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("the model does not accept these values: {}", error.message()),
        ),
        InferError::Runtime(error) => {
            tracing::error!(cause = error.message(), "an inference failed");
            Problem(StatusCode::INTERNAL_SERVER_ERROR, format!("the inference failed: {}", error.message()))
        }
        InferError::Lost => {
            tracing::error!("an inference ended abruptly");
            Problem(StatusCode::INTERNAL_SERVER_ERROR, "the inference ended abruptly".to_owned())
        }
    }
}
