//! What the API server adds to an object, and how it rewrites what it was given.
use plan::ChildKind;
use serde_json::{Value, json};

/// Fills in defaults, drops what is empty and puts quantities into their canonical form.
pub(crate) fn admit(kind: ChildKind, body: &mut Value) {
    drop_empty(body);
    canonical(body);
    match kind {
        ChildKind::Deployment => deployment(body),
        ChildKind::Service => service(body),
        ChildKind::PodDisruptionBudget => add(body, "/status", json!({"disruptionsAllowed": 0})),
        ChildKind::HorizontalPodAutoscaler => add(body, "/status", json!({"desiredReplicas": 0})),
        ChildKind::HttpRoute => http_route(body),
        ChildKind::ServiceAccount | ChildKind::NetworkPolicy | ChildKind::ConfigMap | ChildKind::Job => {}
    }
}

fn service(body: &mut Value) {
    add(body, "/spec/clusterIP", json!("10.0.0.7"));
    add(body, "/spec/clusterIPs", json!(["10.0.0.7"]));
    add(body, "/spec/internalTrafficPolicy", json!("Cluster"));
    add(body, "/spec/ipFamilies", json!(["IPv4"]));
    add(body, "/spec/ipFamilyPolicy", json!("SingleStack"));
    add(body, "/spec/sessionAffinity", json!("None"));
    add(body, "/status", json!({"loadBalancer": {}}));
}

fn http_route(body: &mut Value) {
    let parents = body.pointer_mut("/spec/parentRefs").and_then(Value::as_array_mut);
    for parent in parents.into_iter().flatten() {
        add(parent, "/group", json!("gateway.networking.k8s.io"));
        add(parent, "/kind", json!("Gateway"));
    }
    let rules = body.pointer_mut("/spec/rules").and_then(Value::as_array_mut);
    for rule in rules.into_iter().flatten() {
        for backend in rule["backendRefs"].as_array_mut().into_iter().flatten() {
            add(backend, "/group", json!(""));
            add(backend, "/kind", json!("Service"));
            add(backend, "/weight", json!(1));
        }
        let filters = rule.get_mut("filters").and_then(Value::as_array_mut);
        for filter in filters.into_iter().flatten() {
            add(filter, "/requestMirror/backendRef/group", json!(""));
        }
    }
}

fn deployment(body: &mut Value) {
    add(body, "/spec/replicas", json!(1));
    add(body, "/spec/template/spec/dnsPolicy", json!("ClusterFirst"));
    add(body, "/spec/template/spec/restartPolicy", json!("Always"));
    add(body, "/spec/template/spec/schedulerName", json!("default-scheduler"));
    let account = body.pointer("/spec/template/spec/serviceAccountName").cloned();
    add(body, "/spec/template/spec/serviceAccount", account.unwrap_or_default());
    for list in ["containers", "initContainers"] {
        let containers =
            body.pointer_mut(&format!("/spec/template/spec/{list}")).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            add(container, "/imagePullPolicy", json!("IfNotPresent"));
            add(container, "/terminationMessagePath", json!("/dev/termination-log"));
            for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                if container.get(probe).is_some() {
                    add(container, &format!("/{probe}/httpGet/scheme"), json!("HTTP"));
                    add(container, &format!("/{probe}/failureThreshold"), json!(3));
                    add(container, &format!("/{probe}/successThreshold"), json!(1));
                    add(container, &format!("/{probe}/timeoutSeconds"), json!(1));
                }
            }
        }
    }
}

/// Sets a field whose parent exists and which is absent.
fn add(body: &mut Value, pointer: &str, value: Value) {
    let Some((parent, field)) = pointer.rsplit_once('/') else { return };
    if let Some(Value::Object(map)) = body.pointer_mut(parent) {
        map.entry(field).or_insert(value);
    }
}

fn drop_empty(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| {
                drop_empty(value);
                !matches!(value, Value::Null)
                    && value.as_str() != Some("")
                    && !value.as_array().is_some_and(Vec::is_empty)
            });
        }
        Value::Array(list) => list.iter_mut().for_each(drop_empty),
        _ => {}
    }
}

fn canonical(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                match value {
                    Value::Object(amounts) if matches!(name.as_str(), "requests" | "limits") => {
                        for amount in amounts.values_mut() {
                            *amount = json!(quantity(amount.as_str().unwrap_or_default()));
                        }
                    }
                    value => canonical(value),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(canonical),
        _ => {}
    }
}

/// The canonical form of the quantities that fixtures use: `1000m` is `1`, `1024Mi` is `1Gi`, `0.5` is `500m`.
fn quantity(text: &str) -> String {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let number: u64 = number.parse().unwrap_or_default();
    match suffix {
        "m" if number.is_multiple_of(1000) => (number / 1000).to_string(),
        "Mi" if number.is_multiple_of(1024) => format!("{}Gi", number / 1024),
        ".5" => format!("{}m", number * 1000 + 500),
        _ => text.to_owned(),
    }
}
