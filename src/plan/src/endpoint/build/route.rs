//! The routing document of an Endpoint: what the inference gateway knows of it.
use api::endpoint::{AuthMode, CaptureFormat, RolloutStatus};
use api::meta::{ENDPOINT_LABEL, ENDPOINT_NAMESPACE_LABEL, GATEWAY_ROUTE_LABEL, MANAGED_BY_LABEL, MANAGER};
use serde_json::{Value, json};

use super::{GRPC_PORT, H2C, Speech, finished};
use crate::digest;
use crate::endpoint::valid::Valid;

/// The gateway waits a little less for a revision that starts than most clients do.
const QUEUE_SECONDS: i32 = 30;
/// The longest time of a request, in seconds, without another word.
const REQUEST_SECONDS: i32 = 60;

/// A revision as the gateway sees it.
pub(in crate::endpoint) struct RoutedRevision {
    /// Its name.
    pub(in crate::endpoint) name: String,
    /// The Service with its pods.
    pub(in crate::endpoint) service: String,
    /// Its share of the requests, in percent.
    pub(in crate::endpoint) weight: i32,
    /// Whether a pod answers.
    pub(in crate::endpoint) ready: bool,
    /// What its pods speak.
    pub(in crate::endpoint) speech: Speech,
}

/// The name of the ConfigMap: unique among all namespaces.
pub(in crate::endpoint) fn name(namespace: &str, name: &str) -> String {
    format!("route-{name}-{}", digest::of(&json!([namespace, name]), 10))
}

/// The ConfigMap with the routing document.
pub(in crate::endpoint) fn config_map(
    valid: &Valid,
    gateway_namespace: &str,
    revisions: &[RoutedRevision],
    mirror: Option<(&str, i32)>,
) -> Value {
    let document = document(valid, revisions, mirror);
    finished(&json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name(valid.namespace, valid.name),
            "namespace": gateway_namespace,
            "labels": {
                MANAGED_BY_LABEL: MANAGER,
                GATEWAY_ROUTE_LABEL: "true",
                ENDPOINT_LABEL: valid.name,
                ENDPOINT_NAMESPACE_LABEL: valid.namespace,
            },
        },
        "data": {"route.json": document.to_string()},
    }))
}

fn document(valid: &Valid, revisions: &[RoutedRevision], mirror: Option<(&str, i32)>) -> Value {
    let routing = valid.traffic.routing;
    let milliseconds = |seconds: Option<i32>, default: i32| i64::from(seconds.unwrap_or(default)) * 1000;
    let revisions: Vec<Value> = revisions
        .iter()
        .map(|it| {
            let address = |port: i32| format!("{}.{}.svc:{port}", it.service, valid.namespace);
            let mut revision = json!({
                "name": it.name,
                "address": address(80),
                "weight": it.weight,
                "ready": it.ready,
                "scorePath": valid.inference_path(),
            });
            if it.speech.is_http_2 {
                revision["protocol"] = json!(H2C);
            }
            if it.speech.has_grpc {
                revision["grpcAddress"] = json!(address(GRPC_PORT));
            }
            revision
        })
        .collect();
    let mut document = json!({
        "namespace": valid.namespace,
        "name": valid.name,
        "hosts": routing.map(|it| it.hosts.as_slice()).unwrap_or_default(),
        "auth": auth(valid),
        "revisions": revisions,
        "timeouts": {
            "requestMilliseconds": milliseconds(routing.and_then(|it| it.request_timeout_seconds), REQUEST_SECONDS),
            "queueMilliseconds": milliseconds(routing.and_then(|it| it.queue_timeout_seconds), QUEUE_SECONDS),
        },
    });
    if let Some((revision, percent)) = mirror {
        document["mirror"] = json!({"revision": revision, "percent": percent});
    }
    if let Some(header) = routing.and_then(|it| it.sticky_header.as_ref()) {
        document["stickyHeader"] = json!(header);
    }
    if let Some(limit) = routing.and_then(|it| it.rate_limit.as_ref()) {
        // Less than a request a second still lets one through at once.
        let burst = limit.burst.map_or(limit.requests_per_second.ceil().max(1.0), f64::from);
        document["rateLimit"] =
            json!({"requestsPerSecond": limit.requests_per_second, "burst": burst as u32});
    }
    if let Some(capture) = valid.traffic.capture {
        let folder = capture.store.uri.trim_end_matches('/');
        document["capture"] = json!({
            "percent": capture.sampling_percent,
            "store": {"azure": format!("{folder}/{}/{}", valid.namespace, valid.name)},
            "masks": capture.mask,
        });
        // Without a word the gateway writes lines of JSON.
        if capture.format == CaptureFormat::Parquet {
            document["capture"]["format"] = json!("Parquet");
        }
    }
    document
}

fn auth(valid: &Valid) -> Value {
    match valid.traffic.auth {
        Some(auth) if auth.mode == AuthMode::Key => json!({"mode": "Key", "digests": valid.traffic.keys}),
        Some(auth) if auth.mode == AuthMode::AadToken => {
            let token = auth.token.clone().unwrap_or_default();
            let mut document = json!({
                "mode": "AadToken", "issuer": token.issuer, "audience": token.audience, "jwksUri": token.jwks_uri,
            });
            if let Some(role) = token.role {
                document["role"] = json!(role);
            }
            document
        }
        _ => json!({"mode": "None"}),
    }
}

/// The share of the stable revision, and that of the candidate, by where a rollout stands.
pub(in crate::endpoint) fn shares(rollout: &RolloutStatus) -> (i32, i32) {
    let candidate = if rollout.candidate.is_some() { rollout.traffic.unwrap_or(0).clamp(0, 100) } else { 0 };
    (100 - candidate, candidate)
}
