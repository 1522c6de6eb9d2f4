//! What the API server is told about the kinds: bounds on everything, and rules that speak in sentences.
#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::cel::Validator;
use serde_json::{Value, json};

/// The schemas of all kinds.
fn schemas() -> Vec<Value> {
    api::crds().iter().map(testkit::schema::of).collect()
}

/// The definition of `Endpoint`.
fn endpoints() -> CustomResourceDefinition {
    api::crds().into_iter().find(|crd| crd.spec.names.kind == "Endpoint").unwrap()
}

#[test]
fn every_string_list_and_map_of_a_manifest_is_bounded() {
    for schema in schemas() {
        let mut unbounded = Vec::new();
        walk(&schema["properties"]["spec"], "spec", &mut unbounded);
        assert_eq!(unbounded, Vec::<String>::new());
    }
}

fn walk(schema: &Value, path: &str, unbounded: &mut Vec<String>) {
    let has = |bound: &str| schema.get(bound).is_some();
    let bounded = match schema["type"].as_str() {
        Some("string") => has("enum") || has("maxLength"),
        Some("array") => has("maxItems"),
        Some("integer" | "number") => has("minimum") && has("maximum"),
        Some("object") => has("properties") || has("maxProperties"),
        Some("boolean") => true,
        _ => false,
    };
    if !bounded {
        unbounded.push(path.to_owned());
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        walk(inner, &format!("{path}.{name}"), unbounded);
    }
    for inner in ["items", "additionalProperties"] {
        if has(inner) {
            walk(&schema[inner], &format!("{path}.{inner}"), unbounded);
        }
    }
}

#[test]
fn every_field_of_a_manifest_is_described() {
    fn undescribed(schema: &Value, path: &str, found: &mut Vec<String>) {
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            if inner["description"].as_str().unwrap_or_default().is_empty() {
                found.push(path.clone());
            }
            undescribed(inner, &path, found);
            undescribed(&inner["items"], &path, found);
        }
    }
    for schema in schemas() {
        let mut found = Vec::new();
        undescribed(&schema["properties"]["spec"], "spec", &mut found);
        assert_eq!(found, Vec::<String>::new());
    }
}

#[test]
fn a_fresh_object_has_a_status_that_nobody_takes_for_finished() {
    for schema in schemas().iter().filter(|it| it["properties"].get("status").is_some()) {
        assert_eq!(schema["properties"]["status"]["default"], json!({"observedGeneration": -1}));
    }
}

#[test]
fn every_definition_is_small_namespaced_and_listed_with_the_others() {
    for crd in api::crds() {
        let name = crd.metadata.name.clone().unwrap();
        let size = serde_json::to_string(&crd).unwrap().len();
        assert!(size < 256 * 1024, "{name} has {size} bytes");
        assert_eq!(crd.spec.scope, "Namespaced", "{name}");
        let version = &crd.spec.versions[0];
        // The log of decisions is nothing that people want to see with all else.
        if crd.spec.names.kind == "DecisionRecord" {
            assert!(crd.spec.names.categories.is_none() && version.subresources.is_none());
            continue;
        }
        assert_eq!(crd.spec.names.categories, Some(vec!["mlops".to_owned()]), "{name}");
        let columns = version.additional_printer_columns.as_ref().unwrap();
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        assert!(names.starts_with(&["Ready", "Reason"]) && names.contains(&"Age"), "{name}: {names:?}");
        assert!(version.subresources.as_ref().unwrap().status.is_some(), "{name}");
    }
}

#[test]
fn an_endpoint_can_be_scaled_through_its_subresource() {
    let scale = endpoints().spec.versions[0].subresources.clone().unwrap().scale.unwrap();
    assert_eq!(scale.spec_replicas_path, ".spec.scaling.replicas");
    assert_eq!(scale.label_selector_path.as_deref(), Some(".status.selector"));
}

/// An Endpoint of the given name, with fields of its spec replaced or added.
fn endpoint(name: &str, change: &Value) -> Value {
    let mut spec = json!({"model": {"uri": "https://models.example/churn/model.onnx", "format": "ONNX"}});
    for (field, value) in change.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    json!({
        "apiVersion": "mlops-operator.dev/v1alpha1",
        "kind": "Endpoint",
        "metadata": {"name": name, "namespace": "team"},
        "spec": spec,
    })
}

/// What admission says against an object: bounds of the schema, then the messages of its rules.
fn objections(object: &Value) -> Vec<String> {
    let schema = &testkit::schema::of(&endpoints());
    let mut found = testkit::schema::violations(&schema["properties"]["spec"], &object["spec"]);
    if let Err(errors) = Validator::new().validate(schema, object, None) {
        found.extend(errors.as_slice().iter().map(|error| error.message.clone()));
    }
    found
}

fn model(uri: &str) -> Value {
    json!({"model": {"uri": uri, "format": "ONNX"}})
}

#[test]
fn sensible_endpoints_are_accepted() {
    let longest = format!("a{}", "b".repeat(49));
    let accepted = [
        ("churn", json!({})),
        (longest.as_str(), json!({})),
        ("churn-2", model("http://host:8080/m.onnx?sig=a%2Bb")),
        ("churn", model("https://host")),
        ("churn", model("pvc://models/churn/1/model.onnx")),
        ("churn", model("pvc://models.team-a")),
        ("churn", model("pvc://models/a..b/model.onnx")),
        ("churn", model("az://models/churn/1/model.onnx")),
        ("churn", model("az://models")),
        ("churn", model("abfss://models@acme.dfs.core.windows.net/churn/1/")),
        ("churn", model("azureml://registries/shared/models/churn/versions/1")),
        (
            "churn",
            json!({"model": {
                "uri": "az://m-1/x", "format": "ONNX", "credentialsRef": {"name": "store"},
                "workloadIdentityClientId": "0a1b2c3d-0000-1111-2222-333344445555",
            }}),
        ),
        ("churn", json!({"scaling": {"replicas": 3}})),
        ("churn", json!({"scaling": {"maxReplicas": 3}})),
        ("churn", json!({"scaling": {"minReplicas": 2, "maxReplicas": 2, "target": {"cpuUtilization": 50}}})),
        (
            "churn",
            json!({"resources": {"requests": {"cpu": "250m", "memory": "1Gi"}, "limits": {"memory": "1024Mi"}}}),
        ),
        ("churn", json!({"resources": {"limits": {"nvidia.com/gpu": "1"}}})),
        (
            "churn",
            json!({"model": {"uri": "pvc://m/x", "format": "MLflow"}, "container": {"image": "mlflow:1"}}),
        ),
        ("churn", json!({"container": {"args": ["--x"]}, "runtimeRef": {"name": "own"}})),
        ("churn", json!({"rollout": {"strategy": "Recreate", "progressDeadlineSeconds": 10}})),
        (
            "churn",
            json!({"auth": {"mode": "None"}, "routing": own_gateway(&json!({"requestTimeoutSeconds": 5}))}),
        ),
        (
            "churn",
            json!({
                "routing": own_gateway(&json!({"hosts": ["a.example"]})),
                "scaling": {"minReplicas": 1, "maxReplicas": 2, "target": {"cpuUtilization": 50}},
                "rollout": {
                    "strategy": "Canary", "steps": [{"mirror": 20}, {"traffic": 10}],
                    "analysis": {"queries": [{"name": "errors", "query": "up", "max": 0.1}]},
                },
            }),
        ),
    ];
    for (name, change) in accepted {
        assert_eq!(objections(&endpoint(name, &change)), Vec::<String>::new(), "{name} {change}");
    }
}

#[test]
fn nonsense_in_the_address_of_a_model_is_refused_with_a_sentence() {
    let uri = "model.uri must be https://HOST/PATH, http://HOST/PATH, pvc://CLAIM/PATH, az://CONTAINER/PATH, abfss://";
    let claim = "model.uri must not leave its claim";
    let refused = [
        ("churn", model("ftp://host/m.onnx"), uri),
        ("churn", model("https://user:password@host/m.onnx"), uri),
        ("churn", model("https://host/a b"), uri),
        ("churn", model("pvc://Models/m.onnx"), uri),
        ("churn", model("pvc:///m.onnx"), uri),
        ("churn", model("az://Models/m.onnx"), uri),
        ("churn", model("az://models/m.onnx?sig=s"), uri),
        ("churn", model("az://user@models/m.onnx"), uri),
        ("churn", model("abfss://acme.dfs.core.windows.net/m.onnx"), uri),
        ("churn", model("abfss://models:secret@acme.dfs.core.windows.net/m.onnx"), uri),
        ("churn", model("pvc://models/../other/m.onnx"), claim),
        ("churn", model("pvc://models/a/.."), claim),
        ("churn", model(""), "minLength"),
        ("churn", model(&format!("https://host/{}", "a".repeat(2048))), "maxLength"),
    ];
    refuse(&refused);
}

/// What says that a gateway of the user's own routes, with further fields.
fn own_gateway(routing: &Value) -> Value {
    let mut routing = routing.clone();
    let parent = json!({"name": "public", "namespace": "gateways", "sectionName": "https", "port": 443});
    routing["gatewayApi"] = json!({"parentRef": parent, "url": "https://models.example:8443"});
    routing
}

#[test]
fn what_a_gateway_of_one_s_own_can_t_do_is_refused_with_the_reason() {
    let analysis = |analysis: Value| {
        let steps = json!([{"mirror": 20}, {"traffic": 10}]);
        json!({"rollout": {"strategy": "Canary", "steps": steps, "analysis": analysis}})
    };
    let scaling = |target: Value| json!({"scaling": {"minReplicas": 0, "maxReplicas": 2, "target": target}});
    let beside = [
        (json!({"auth": {"mode": "Key"}}), "which must ask for it itself"),
        (
            json!({"auth": {"mode": "AadToken", "token": {"issuer": "https://a.example", "audience": "b", "jwksUri": "https://a.example/keys"}}}),
            "which must ask for it itself",
        ),
        (
            json!({"capture": {"store": {"uri": "https://a.blob.core.windows.net/captures"}}}),
            "capture is the inference gateway's work",
        ),
        (scaling(json!({"concurrency": 4})), "minReplicas 0 need the inference gateway"),
        (scaling(json!({"latencyMilliseconds": 4})), "minReplicas 0 need the inference gateway"),
        (
            analysis(json!({"maxErrorRate": 0.1})),
            "judge by the metrics of your own gateway with analysis.queries",
        ),
        (analysis(json!({"maxP95LatencyRatio": 2.0})), "judge by the metrics of your own gateway"),
        (analysis(json!({"maxPredictionDisagreement": 0.1})), "throws away the answers to copies"),
    ];
    for (mut change, words) in beside {
        assert!(objections(&endpoint("churn", &change)).is_empty(), "{change}");
        change["routing"] = own_gateway(&json!({}));
        refuse(&[("churn", change, words)]);
    }
    for (routing, words) in [
        (json!({"stickyHeader": "x-customer"}), "routing.stickyHeader is the inference gateway's work"),
        (json!({"rateLimit": {"requestsPerSecond": 1.0}}), "limit rates in your own gateway"),
        (json!({"queueTimeoutSeconds": 5}), "which alone keeps requests until a pod has started"),
    ] {
        assert!(objections(&endpoint("churn", &json!({"routing": routing}))).is_empty(), "{routing}");
        refuse(&[("churn", json!({"routing": own_gateway(&routing)}), words)]);
    }
    let elsewhere = json!({
        "target": {"type": "ManagedOnline", "workspaceRef": {"name": "dev"}}, "routing": own_gateway(&json!({})),
    });
    refuse(&[("churn", elsewhere, "capture and routing apply to the target Kubernetes")]);
}

#[test]
fn nonsense_in_an_endpoint_is_refused_with_a_sentence() {
    let name = "metadata.name must start with a letter";
    let either = "set either scaling.replicas, or scaling.minReplicas";
    let positive = "must be a positive quantity";
    let names = "may name cpu, memory, ephemeral-storage, and devices";
    let too_long = format!("a{}", "b".repeat(50));
    let refused = [
        ("2churn", json!({}), name),
        ("churn.v2", json!({}), name),
        (too_long.as_str(), json!({}), name),
        ("churn", json!({"model": {"uri": "https://host/m", "format": "PMML"}}), "is none of"),
        ("churn", json!({"model": {"uri": "https://host/m"}}), "format: required"),
        ("churn", json!({"scaling": {"replicas": 2, "maxReplicas": 3}}), either),
        ("churn", json!({"scaling": {"replicas": 2, "target": {"cpuUtilization": 50}}}), either),
        ("churn", json!({"scaling": {"minReplicas": 2}}), "scaling by load needs scaling.maxReplicas"),
        (
            "churn",
            json!({"scaling": {"minReplicas": 4, "maxReplicas": 3}}),
            "must not be greater than scaling.maxReplicas",
        ),
        ("churn", json!({"scaling": {"replicas": 0}}), "minimum"),
        ("churn", json!({"scaling": {"maxReplicas": 1001}}), "maximum"),
        ("churn", json!({"resources": {"requests": {"cpu": "lots"}}}), positive),
        ("churn", json!({"resources": {"requests": {"cpu": "0"}}}), positive),
        ("churn", json!({"resources": {"limits": {"memory": "-1Gi"}}}), positive),
        ("churn", json!({"resources": {"limits": {"nvidia.com/gpu": "500m"}}}), positive),
        ("churn", json!({"resources": {"requests": {"memroy": "1Gi"}}}), names),
        (
            "churn",
            json!({"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}}),
            "must be at least the request of the same name",
        ),
        (
            "churn",
            json!({"container": {"image": "own:1"}}),
            "container applies to the formats MLflow, Triton and Custom",
        ),
        ("churn", json!({"rollout": {"progressDeadlineSeconds": 1}}), "minimum"),
        ("churn", json!({"replicas": 2}), "unknown field"),
        ("churn", json!({"mode": "Batch"}), "mode Batch goes with the target ManagedBatch"),
    ];
    refuse(&refused);
}

/// An Endpoint's change to a target in Azure, and to steps, and what else the rollout says.
fn in_azure(target: &Value, steps: &Value, more: &Value) -> Value {
    let mut target = target.clone();
    target["workspaceRef"] = json!({"name": "dev"});
    let mut rollout = json!({"strategy": "Canary", "steps": steps});
    for (field, value) in more.as_object().unwrap() {
        rollout[field] = value.clone();
    }
    let model = json!({"modelRef": {"name": "churn", "version": "1"}, "format": "MLflow"});
    json!({"target": target, "rollout": rollout, "model": model})
}

#[test]
fn a_rollout_in_azure_asks_for_what_azure_can_do() {
    let (managed, arc) =
        (json!({"type": "ManagedOnline"}), json!({"type": "ArcKubernetes", "computeRef": {"name": "arc"}}));
    let (mirrored, moved) = (json!([{"mirror": 50, "hold": "5m"}]), json!([{"traffic": 10, "hold": "5m"}]));
    let queries = json!({"analysis": {"queries": [{"name": "errors", "query": "up", "max": 1}]}});
    let measured = json!({"analysis": {"minRequests": 50, "maxErrorRate": 0.01, "maxP95LatencyRatio": 1.5}});
    let none = json!({});
    for (target, steps, more) in [
        (&managed, &mirrored, &measured),
        (&managed, &moved, &measured),
        (&arc, &moved, &measured),
        (&managed, &mirrored, &none),
        (&managed, &moved, &queries),
        (&arc, &moved, &queries),
        (&managed, &json!([{"pause": true}]), &json!({"strategy": "BlueGreen"})),
    ] {
        let change = in_azure(target, steps, more);
        assert_eq!(objections(&endpoint("churn", &change)), Vec::<String>::new(), "{change}");
    }
    let mut batch = in_azure(
        &json!({"type": "ManagedBatch", "computeRef": {"name": "cpu"}}),
        &json!([{"pause": true}]),
        &none,
    );
    batch["mode"] = json!("Batch");
    let mut twice = managed.clone();
    twice["mirrorTraffic"] = json!(10);
    let analysis = |check: &str| json!({"analysis": {check: 0.5}});
    refuse(&[
        (
            "churn",
            in_azure(&managed, &json!([{"mirror": 51}]), &none),
            "may be 50 at most: Azure copies no more",
        ),
        ("churn", in_azure(&arc, &mirrored, &none), "with ArcKubernetes, Azure makes no copies of requests"),
        (
            "churn",
            in_azure(&managed, &mirrored, &analysis("maxPredictionDisagreement")),
            "nobody sees the answers to the copies that Azure makes",
        ),
        (
            "churn",
            in_azure(&twice, &moved, &none),
            "target.mirrorTraffic goes with the strategy RollingUpdate",
        ),
        ("churn", batch, "apply to the targets that answer at once"),
    ]);
}

/// Each change must be refused with these words.
#[track_caller]
fn refuse(refused: &[(&str, Value, &str)]) {
    for (name, change, words) in refused {
        let objections = objections(&endpoint(name, change));
        assert!(
            objections.iter().any(|objection| objection.contains(words)),
            "{name} {change}: {objections:?}"
        );
    }
}

#[test]
fn every_rule_compiles_and_speaks_in_a_sentence() {
    fn rules(schema: &Value, found: &mut Vec<Value>) {
        found.extend(schema["x-kubernetes-validations"].as_array().into_iter().flatten().cloned());
        for inner in schema["properties"].as_object().into_iter().flatten().map(|(_, inner)| inner) {
            rules(inner, found);
        }
        for inner in ["items", "additionalProperties"].iter().filter_map(|inner| schema.get(*inner)) {
            rules(inner, found);
        }
    }
    let mut found = Vec::new();
    for schema in schemas() {
        rules(&schema, &mut found);
    }
    assert!(found.len() >= 10, "{}", found.len());
    for rule in found {
        let message = rule["message"].as_str().unwrap_or_default();
        assert!(message.split(' ').count() > 4 && !message.ends_with('.'), "{rule}");
    }
    for schema in schemas() {
        let compiled = kube::core::cel::compile_schema(&schema);
        assert!(!compiled.has_errors(), "{:?}", compiled.compilation_errors());
    }
}

#[test]
fn a_manifest_with_nothing_but_a_model_takes_every_default() {
    let spec: api::EndpointSpec =
        serde_json::from_value(endpoint("churn", &json!({}))["spec"].clone()).unwrap();
    let written = json!(spec);
    assert_eq!(
        testkit::schema::violations(&testkit::schema::of(&endpoints())["properties"]["spec"], &written),
        Vec::<String>::new()
    );
    assert_eq!(spec.rollout.progress_deadline_seconds, 600);
    assert_eq!(serde_json::from_value::<api::EndpointSpec>(written).unwrap(), spec);
}

#[test]
fn every_reason_has_a_meaning_and_every_name_is_its_own() {
    let mut names: Vec<&str> = api::Reason::ALL.iter().map(|reason| reason.name()).collect();
    assert!(api::Reason::ALL.iter().all(|reason| reason.meaning().ends_with('.')));
    assert!(
        api::Reason::ALL.iter().all(|reason| reason.action().is_empty() || reason.action().ends_with('.'))
    );
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), api::Reason::ALL.len());
}
