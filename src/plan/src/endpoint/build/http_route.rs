//! The HTTPRoute of an Endpoint behind a gateway of the user's own: the same addresses as at the inference gateway, and
//! the shares of the rollout's step. Only what is in the standard channel of the Gateway API is used.
use api::endpoint::GatewayApi;
use serde_json::{Value, json};

use super::route::RoutedRevision;
use super::{finished, metadata};
use crate::child::ChildKind;
use crate::endpoint::valid::Valid;

/// The header by which a caller chooses a revision, as Azure Machine Learning has it.
const CHOSEN: &str = "azureml-model-deployment";
/// The port of every Service of an Endpoint.
const PORT: i32 = 80;

/// The HTTPRoute with these shares. Invariant: it names no Service but those of `revisions`.
pub(in crate::endpoint) fn http_route(
    valid: &Valid,
    gateway: &GatewayApi,
    revisions: &[RoutedRevision],
    mirror: Option<(&str, i32)>,
) -> Value {
    let coordinates = ChildKind::HttpRoute.coordinates();
    let hosts = valid.traffic.routing.map(|it| it.hosts.as_slice()).unwrap_or_default();
    let mut spec = json!({
        "parentRefs": [parent(gateway)],
        "rules": rules(valid, hosts.is_empty(), revisions, mirror),
    });
    if !hosts.is_empty() {
        spec["hostnames"] = json!(hosts);
    }
    finished(&json!({
        "apiVersion": coordinates.api_version,
        "kind": coordinates.kind,
        "metadata": metadata(valid),
        "spec": spec,
    }))
}

/// The Gateway, with what the API server would fill in.
fn parent(gateway: &GatewayApi) -> Value {
    let wanted = &gateway.parent_ref;
    let mut parent =
        json!({"group": ChildKind::HttpRoute.coordinates().group, "kind": "Gateway", "name": wanted.name});
    if let Some(namespace) = &wanted.namespace {
        parent["namespace"] = json!(namespace);
    }
    if let Some(section) = &wanted.section_name {
        parent["sectionName"] = json!(section);
    }
    if let Some(port) = wanted.port {
        parent["port"] = json!(port);
    }
    parent
}

/// A path that callers ask for, and how it is rewritten for the pods.
struct Place {
    path: Value,
    rewrite: Option<Value>,
}

/// `/score` stands for where the pods answer, and all other paths for themselves. With host names of its own an
/// Endpoint has all paths of them, else those below `/endpoints/NAMESPACE/NAME`.
fn places(valid: &Valid, shared: bool) -> Vec<Place> {
    let prefix =
        if shared { format!("/endpoints/{}/{}", valid.namespace, valid.name) } else { String::new() };
    let pods = valid.inference_path();
    let score = Place {
        path: json!({"type": "Exact", "value": format!("{prefix}/score")}),
        rewrite: Some(json!({"type": "ReplaceFullPath", "replaceFullPath": pods})),
    };
    let all = Place {
        path: json!({"type": "PathPrefix", "value": if shared { prefix.as_str() } else { "/" }}),
        rewrite: shared.then(|| json!({"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"})),
    };
    // A rule that rewrites a path to itself would only be in the way.
    if pods == "/score" { vec![all] } else { vec![score, all] }
}

/// For each path: the rules by which a caller chooses a revision, and the one that splits.
fn rules(
    valid: &Valid,
    shared: bool,
    revisions: &[RoutedRevision],
    mirror: Option<(&str, i32)>,
) -> Vec<Value> {
    let mut rules = Vec::new();
    for place in places(valid, shared) {
        // Where there is one revision, every choice leads to it.
        for revision in revisions.iter().filter(|_| revisions.len() > 1) {
            rules.push(rule(valid, &place, Some(&revision.name), &[backend(revision, 100)], None));
        }
        let split = revisions.iter().filter(|it| it.weight > 0);
        let split: Vec<Value> = split.map(|it| backend(it, it.weight)).collect();
        let shadow = mirror.and_then(|(name, percent)| {
            Some((revisions.iter().find(|it| it.name == name)?, percent)).filter(|_| percent > 0)
        });
        rules.push(rule(valid, &place, None, &split, shadow));
    }
    rules
}

fn rule(
    valid: &Valid,
    place: &Place,
    chosen: Option<&str>,
    backends: &[Value],
    shadow: Option<(&RoutedRevision, i32)>,
) -> Value {
    let mut matched = json!({"path": place.path});
    if let Some(revision) = chosen {
        matched["headers"] = json!([{"type": "Exact", "name": CHOSEN, "value": revision}]);
    }
    let rewrite = place.rewrite.as_ref();
    let rewrite = rewrite.map(|path| json!({"type": "URLRewrite", "urlRewrite": {"path": path}}));
    let shadow = shadow.map(|(revision, percent)| {
        let mirror = json!({"backendRef": service(revision), "percent": percent});
        json!({"type": "RequestMirror", "requestMirror": mirror})
    });
    let filters: Vec<Value> = rewrite.into_iter().chain(shadow).collect();
    let mut rule = json!({"matches": [matched], "backendRefs": backends});
    if !filters.is_empty() {
        rule["filters"] = json!(filters);
    }
    if let Some(seconds) = valid.traffic.routing.and_then(|it| it.request_timeout_seconds) {
        rule["timeouts"] = json!({"request": format!("{seconds}s")});
    }
    rule
}

fn service(revision: &RoutedRevision) -> Value {
    json!({"group": "", "kind": "Service", "name": revision.service, "port": PORT})
}

fn backend(revision: &RoutedRevision, weight: i32) -> Value {
    let mut backend = service(revision);
    backend["weight"] = json!(weight);
    backend
}
