//! The port of probes, of metrics and of the statistics for the operator, which callers never see.
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::body::{Answered, whole};
use crate::state::State;
use crate::statistics;

/// Serves probes, metrics and statistics for as long as the process lives.
pub async fn serve(listener: TcpListener, state: Arc<State>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = hyper::service::service_fn(|request: Request<Incoming>| {
                let response = answer(&state, request.uri());
                async move { Ok::<_, Infallible>(response) }
            });
            let builder = &mut hyper::server::conn::http1::Builder::new();
            let builder = builder.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(30));
            // Who goes away in the middle needs no answer.
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const JSON: &str = "application/json";

fn answer(state: &State, uri: &Uri) -> Response<Answered> {
    let plain = |status, text: &str| (status, TEXT, text.to_owned());
    let (status, kind, text) = match uri.path() {
        "/readyz" if state.is_draining() => plain(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        "/readyz" if !state.has_table() => {
            plain(StatusCode::SERVICE_UNAVAILABLE, "the routing documents are not read yet\n")
        }
        "/healthz" | "/readyz" => plain(StatusCode::OK, "ok\n"),
        "/metrics" => match state.metrics.text() {
            Ok(text) => (StatusCode::OK, TEXT, text),
            Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        },
        "/stats" => match uri.query().and_then(|query| query.strip_prefix("endpoint=")) {
            Some(key) => {
                let key = percent_encoding::percent_decode_str(key).decode_utf8_lossy();
                (StatusCode::OK, JSON, statistics::of_endpoint(state, &key).to_string())
            }
            None => plain(StatusCode::BAD_REQUEST, "name an endpoint: /stats?endpoint=NAMESPACE/NAME\n"),
        },
        "/stats/waiting" => (StatusCode::OK, JSON, statistics::waiting(state).to_string()),
        _ => plain(StatusCode::NOT_FOUND, "use /healthz, /readyz, /metrics, /stats or /stats/waiting\n"),
    };
    let mut response = Response::new(whole(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
