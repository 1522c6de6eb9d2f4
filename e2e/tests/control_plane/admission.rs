//! What the API server refuses and accepts while no operator runs.
use anyhow::{Context as _, ensure};
use e2e::Context;
use e2e::context::{JSON, manifest, spec};
use serde_json::{Value, json};

/// What is wrong, the fields of an Endpoint's spec that replace those of a good one, and a part of the sentence.
#[expect(clippy::too_many_lines, reason = "a table")]
fn refused_endpoints() -> Vec<(Value, &'static str)> {
    let model = |uri: &str| json!({"model": {"uri": uri, "format": "ONNX"}});
    let requests = |requests: Value| json!({"resources": {"requests": requests}});
    let limits = |limits: Value| json!({"resources": {"limits": limits}});
    let rollout = |mut rollout: Value| {
        rollout["strategy"] = json!("Canary");
        json!({"rollout": rollout})
    };
    let step = |step: Value| json!({"rollout": {"strategy": "Canary", "steps": [step]}});
    let own = |parent: Value| json!({"routing": {"gatewayApi": {"parentRef": parent}}});
    let beside = |mut change: Value| {
        change["routing"] = json!({"gatewayApi": {"parentRef": {"name": "public"}}});
        change
    };
    let within = |mut routing: Value| {
        routing["gatewayApi"] = json!({"parentRef": {"name": "public"}});
        json!({"routing": routing})
    };
    let uri = "model.uri must be https://HOST/PATH, http://HOST/PATH, pvc://CLAIM/PATH, az://CONTAINER/PATH, abfss://";
    let positive = "must be a positive quantity, such as cpu: 250m, memory: 256Mi or nvidia.com/gpu: 1";
    let names = "may name cpu, memory, ephemeral-storage, and devices such as nvidia.com/gpu";
    let both = "set either scaling.replicas, or scaling.minReplicas, maxReplicas and target, not both";
    let onnx = "container applies to the formats MLflow, Triton and Custom; for ONNX name a ServingRuntime";
    vec![
        (json!({"model": null}), "spec.model: Required value"),
        (json!({"model": {"format": "ONNX"}}), "model needs one of uri and modelRef"),
        (json!({"model": {"uri": "https://a/b"}}), "spec.model.format: Required value"),
        (
            json!({"model": {"uri": "https://a/b", "format": "Pickle"}}),
            "supported values: \"ONNX\", \"MLflow\"",
        ),
        (model(""), "should be at least 1 chars long"),
        (model("ftp://host/model.onnx"), uri),
        (model("file:///etc/passwd"), uri),
        (model("https://"), uri),
        (model("https://user:secret@host/model.onnx"), uri),
        (model("https://host/a model.onnx"), uri),
        (model("/model.onnx"), uri),
        (model("pvc:///model.onnx"), uri),
        (model("pvc://Claim/model.onnx"), uri),
        (model("az://models/model.onnx?sig=a"), uri),
        (model("abfss://account.dfs.core.windows.net/model.onnx"), uri),
        (model("pvc://claim/../model.onnx"), "model.uri must not leave its claim: remove the '..'"),
        (model("pvc://claim/a/.."), "model.uri must not leave its claim: remove the '..'"),
        (model(&format!("https://host/{}", "a".repeat(2048))), "may not be more than 2048 bytes"),
        (
            json!({"model": {"uri": "https://a/b", "format": "ONNX", "digest": "sha256:abc"}}),
            "spec.model.digest",
        ),
        (
            json!({"model": {"uri": "https://a/b", "format": "ONNX", "digest": "md5:0123"}}),
            "spec.model.digest",
        ),
        (json!({"mode": "Batch"}), "mode Batch goes with the target ManagedBatch"),
        (json!({"target": {"type": "ManagedOnline"}}), "a target in Azure needs target.workspaceRef"),
        (json!({"target": {"type": "Mainframe"}}), "spec.target.type: Unsupported value"),
        (json!({"runtimeRef": {"name": ""}}), "spec.runtimeRef.name"),
        (json!({"runtimeRef": {}}), "spec.runtimeRef.name: Required value"),
        (json!({"container": {"image": "a:1"}}), onnx),
        (json!({"container": {"args": ["a"]}}), onnx),
        (json!({"runtimeRef": {"name": "a"}, "container": {"image": "a b"}}), "spec.container.image"),
        (json!({"runtimeRef": {"name": "a"}, "container": {"image": ""}}), "spec.container.image"),
        (
            json!({"runtimeRef": {"name": "a"}, "container": {"env": [{"name": "1A"}]}}),
            "spec.container.env[0].name",
        ),
        (
            json!({"runtimeRef": {"name": "a"}, "container": {"env": [{"name": "A"}, {"name": "A"}]}}),
            "Duplicate value",
        ),
        (
            json!({"runtimeRef": {"name": "a"}, "container": {"command": vec!["a"; 33]}}),
            "must have at most 32 items",
        ),
        (requests(json!({"cpu": "much"})), positive),
        (requests(json!({"cpu": "0"})), positive),
        (requests(json!({"memory": "-1Mi"})), positive),
        (requests(json!({"nvidia.com/gpu": "500m"})), positive),
        (limits(json!({"memory": "0"})), positive),
        (limits(json!({"nvidia.com/gpu": "1.5"})), positive),
        (requests(json!({"gpu": "1"})), names),
        (limits(json!({"Storage": "1Gi"})), names),
        (
            json!({"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}),
            "each of resources.limits must be at least the request of the same name",
        ),
        (json!({"scaling": {"replicas": 2, "maxReplicas": 3}}), both),
        (json!({"scaling": {"replicas": 2, "target": {"cpuUtilization": 50}}}), both),
        (json!({"scaling": {"minReplicas": 2}}), "scaling by load needs scaling.maxReplicas"),
        (json!({"scaling": {"target": {"cpuUtilization": 50}}}), "scaling by load needs scaling.maxReplicas"),
        (
            json!({"scaling": {"minReplicas": 5, "maxReplicas": 3}}),
            "scaling.minReplicas must not be greater than scaling.maxReplicas",
        ),
        (
            json!({"scaling": {"replicas": 2, "behavior": {"scaleDown": {}}}}),
            "scaling.behavior goes with scaling by load: set scaling.maxReplicas",
        ),
        (
            json!({"scaling": {"maxReplicas": 2, "target": {"cpuUtilization": 50, "query": {"query": "up", "perReplica": 1}}}}),
            "scaling.target needs either cpuUtilization, or any of concurrency, latencyMilliseconds and query",
        ),
        (
            json!({"scaling": {"maxReplicas": 2, "target": {"query": {"query": "up", "perReplica": 1}, "idleSeconds": 9}}}),
            "scaling.target.idleSeconds goes with concurrency and latencyMilliseconds",
        ),
        (
            json!({"scaling": {"minReplicas": 0, "maxReplicas": 2, "target": {"query": {"query": "up", "perReplica": 1}}}}),
            "scaling.minReplicas 0 needs scaling.target.concurrency or latencyMilliseconds",
        ),
        (
            json!({"scaling": {"maxReplicas": 2, "target": {"query": {"query": "up", "perReplica": 0.0005}}}}),
            "should be greater than or equal to 0.001",
        ),
        (
            json!({"scaling": {"maxReplicas": 2, "target": {"query": {"query": "up", "perReplica": 0}}}}),
            "perReplica must be at least 0.001",
        ),
        (
            json!({"auth": {"mode": "None"}, "routing": {"rateLimit": {"requestsPerSecond": 0}}}),
            "requestsPerSecond must be at least 0.001",
        ),
        (
            json!({"scaling": {"maxReplicas": 2, "behavior": {"scaleUp": {"policies": [{"type": "Nodes", "value": 1, "periodSeconds": 5}]}}}}),
            "supported values: \"Pods\", \"Percent\"",
        ),
        (json!({"scaling": {"replicas": 0}}), "should be greater than or equal to 1"),
        (json!({"scaling": {"maxReplicas": 1001}}), "should be less than or equal to 1000"),
        (
            json!({"scaling": {"maxReplicas": 2, "target": {"cpuUtilization": 0}}}),
            "should be greater than or equal to 1",
        ),
        (json!({"rollout": {"strategy": "Blue"}}), "spec.rollout.strategy: Unsupported value"),
        (rollout(json!({})), "rollout.steps go with the strategy Canary, which needs them"),
        (
            json!({"rollout": {"strategy": "RollingUpdate", "steps": [{"traffic": 10}]}}),
            "rollout.steps go with the strategy Canary",
        ),
        (
            json!({"rollout": {"strategy": "BlueGreen", "steps": [{"traffic": 10}]}}),
            "with the strategy BlueGreen, all requests move at once",
        ),
        (step(json!({"traffic": 10, "mirror": 10})), "a step has one of traffic, mirror and pause"),
        (step(json!({})), "a step needs one of traffic, mirror, hold and pause"),
        (step(json!({"pause": true, "hold": "5m"})), "a step with pause waits for a person"),
        (step(json!({"traffic": 100})), "should be less than or equal to 99"),
        (step(json!({"traffic": 10, "hold": "5 minutes"})), "spec.rollout.steps[0].hold"),
        (
            json!({"rollout": {"strategy": "RollingUpdate", "analysis": {"maxErrorRate": 0.1}}}),
            "rollout.analysis goes with the strategies BlueGreen and Canary",
        ),
        (
            rollout(json!({"steps": [{"pause": true}], "analysis": {"maxErrorRate": 0.1}})),
            "rollout.analysis needs a step with traffic or mirror",
        ),
        (
            rollout(json!({"steps": [{"traffic": 10}], "analysis": {}})),
            "rollout.analysis needs one of maxErrorRate",
        ),
        (
            rollout(json!({"steps": [{"traffic": 10}], "analysis": {"maxPredictionDisagreement": 0.1}})),
            "analysis.maxPredictionDisagreement needs a step with mirror",
        ),
        (
            rollout(
                json!({"steps": [{"traffic": 10}], "analysis": {"queries": [{"name": "a", "query": "up"}]}}),
            ),
            "each of analysis.queries needs max or min",
        ),
        (
            json!({"mode": "Batch", "target": {"type": "ManagedBatch", "workspaceRef": {"name": "dev"}, "computeRef": {"name": "cpu"}}, "rollout": {"strategy": "BlueGreen"}}),
            "rollout.strategy BlueGreen and Canary apply to the targets that answer at once",
        ),
        (managed(&json!([{"mirror": 51}]), json!({})), "mirror in rollout.steps may be 50 at most"),
        (
            managed(&json!([{"mirror": 10}]), json!({"maxPredictionDisagreement": 0.1})),
            "nobody sees the answers to the copies that Azure makes",
        ),
        (
            json!({"target": {"type": "ManagedOnline", "workspaceRef": {"name": "dev"}, "mirrorTraffic": 10}, "rollout": {"strategy": "BlueGreen"}}),
            "target.mirrorTraffic goes with the strategy RollingUpdate",
        ),
        (
            json!({"target": {"type": "ArcKubernetes", "workspaceRef": {"name": "dev"}, "computeRef": {"name": "arc"}},
                "rollout": {"strategy": "Canary", "steps": [{"mirror": 10}]}}),
            "with ArcKubernetes, Azure makes no copies of requests",
        ),
        (json!({"auth": {"mode": "AMLToken"}}), "auth.mode must be AadToken with the target ManagedBatch"),
        (json!({"auth": {"mode": "AadToken"}}), "auth.token goes with auth.mode AadToken"),
        (json!({"export": {"secret": "keys"}}), "spec.export"),
        (json!({"routing": {"hosts": ["Host"]}}), "spec.routing.hosts[0]"),
        (json!({"routing": {"gatewayApi": {}}}), "spec.routing.gatewayApi.parentRef: Required value"),
        (own(json!({"name": "Public"})), "spec.routing.gatewayApi.parentRef.name"),
        (own(json!({"name": "public", "port": 0})), "should be greater than or equal to 1"),
        (
            beside(json!({"capture": {"store": {"uri": "https://a.blob.core.windows.net/captures"}}})),
            "capture is the inference gateway's work, and an HTTPRoute can't ask another gateway for it",
        ),
        (
            beside(json!({"auth": {"mode": "Key", "secretRef": {"name": "keys"}}})),
            "auth is asked for by the inference gateway",
        ),
        (
            beside(json!({"scaling": {"maxReplicas": 2, "target": {"concurrency": 4}}})),
            "scaling.target.concurrency, latencyMilliseconds and minReplicas 0 need the inference gateway",
        ),
        (
            beside(
                json!({"scaling": {"minReplicas": 0, "maxReplicas": 2, "target": {"latencyMilliseconds": 4}}}),
            ),
            "scaling.target.concurrency, latencyMilliseconds and minReplicas 0 need the inference gateway",
        ),
        (
            beside(rollout(json!({"steps": [{"traffic": 10}], "analysis": {"maxErrorRate": 0.1}}))),
            "analysis.maxErrorRate and maxP95LatencyRatio are measured by the inference gateway",
        ),
        (
            beside(rollout(json!({"steps": [{"mirror": 10}], "analysis": {"maxP95LatencyRatio": 2}}))),
            "judge by the metrics of your own gateway with analysis.queries",
        ),
        (
            beside(rollout(
                json!({"steps": [{"mirror": 10}], "analysis": {"maxPredictionDisagreement": 0.1}}),
            )),
            "analysis.maxPredictionDisagreement needs the inference gateway, which compares answers",
        ),
        (
            within(json!({"stickyHeader": "x-customer"})),
            "routing.stickyHeader is the inference gateway's work",
        ),
        (
            within(json!({"rateLimit": {"requestsPerSecond": 1}})),
            "routing.rateLimit is the inference gateway's work",
        ),
        (
            within(json!({"queueTimeoutSeconds": 5})),
            "routing.queueTimeoutSeconds is about the inference gateway",
        ),
        (
            json!({"capture": {"store": {"uri": "az://telemetry/churn"}}}),
            "capture.store.uri must be https://ACCOUNT.blob.core.windows.net/CONTAINER/PATH",
        ),
        (
            json!({"capture": {"format": "CSV", "store": {"uri": "https://a.blob.core.windows.net/captures"}}}),
            "supported values: \"JSONLines\", \"Parquet\"",
        ),
        (
            json!({"capture": {"store": {"uri": "https://a.blob.core.windows.net/captures/../models"}}}),
            "capture.store.uri must be https://ACCOUNT.blob.core.windows.net/CONTAINER/PATH",
        ),
        (
            json!({"rollout": {"strategy": "Recreate", "progressDeadlineSeconds": 9}}),
            "should be greater than or equal to 10",
        ),
        (json!({"replicas": 3}), "unknown field \"spec.replicas\""),
    ]
}

/// A rollout in Azure with these steps and this analysis, if any.
fn managed(steps: &Value, analysis: Value) -> Value {
    let mut change = json!({
        "target": {"type": "ManagedOnline", "workspaceRef": {"name": "dev"}},
        "model": {"modelRef": {"name": "churn"}, "format": "MLflow"},
        "rollout": {"strategy": "Canary", "steps": steps},
    });
    if analysis != json!({}) {
        change["rollout"]["analysis"] = analysis;
    }
    change
}

fn refused_runtimes() -> Vec<(Value, &'static str)> {
    let with = |field: &str, value: Value| json!({"supportedFormats": ["ONNX"], field: value});
    vec![
        (json!({}), "spec.supportedFormats: Required value"),
        (json!({"supportedFormats": []}), "should have at least 1 items"),
        (json!({"supportedFormats": ["ONNX", "ONNX"]}), "Duplicate value"),
        (json!({"supportedFormats": ["Pickle"]}), "Unsupported value"),
        (with("port", json!(80)), "should be greater than or equal to 1024"),
        (with("port", json!(70000)), "should be less than or equal to 65535"),
        (with("readinessPath", json!("ready")), "spec.readinessPath"),
        (with("livenessPath", json!("/a b")), "spec.livenessPath"),
        (with("inferencePath", json!("")), "spec.inferencePath"),
        (with("startupSeconds", json!(0)), "should be greater than or equal to 1"),
        (with("drainSeconds", json!(601)), "should be less than or equal to 600"),
        (with("protocol", json!("SPDY")), "Unsupported value"),
        (with("grpcPort", json!(80)), "should be greater than or equal to 1024"),
        (with("grpcPort", json!(8080)), "grpcPort must differ from port"),
        (with("modelDelivery", json!("Guessed")), "Unsupported value"),
        (with("image", json!(" ")), "spec.image"),
        (with("env", json!([{"name": "A B"}])), "spec.env[0].name"),
    ]
}

/// Every rule of the schemas and in CEL refuses, in words that say what to change.
pub(crate) async fn every_rule_refuses_with_its_sentence(context: &mut Context) -> anyhow::Result<()> {
    let mut wrong = Vec::new();
    let mut cases: Vec<(&str, String, Value, &str)> = Vec::new();
    for (change, sentence) in refused_endpoints() {
        let mut spec = spec(1);
        for (field, value) in change.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        cases.push(("Endpoint", "churn".to_owned(), spec, sentence));
    }
    let name = "metadata.name must start with a letter";
    for bad in ["1churn", "a.b", &"a".repeat(51)] {
        cases.push(("Endpoint", bad.to_owned(), spec(1), name));
    }
    for (spec, sentence) in refused_runtimes() {
        cases.push(("ServingRuntime", "mine".to_owned(), spec, sentence));
    }
    ensure!(cases.len() >= 30, "only {} rules are tried", cases.len());
    for (kind, name, spec, sentence) in cases {
        let path = if kind == "Endpoint" { context.endpoint("") } else { context.runtime("") };
        let path = format!("{path}?fieldValidation=Strict");
        let (code, answer) = context.ask("POST", &path, JSON, &manifest(kind, &name, &spec)).await?;
        let said = answer["message"].as_str().unwrap_or_default();
        if !(400..500).contains(&code) || !said.contains(sentence) {
            wrong.push(format!("{kind} {name} {spec}\n  wanted: {sentence}\n  got: {code} {said}"));
        }
    }
    ensure!(wrong.is_empty(), "{} rules are not as described:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

/// Endpoints that a user may want.
fn good_endpoints() -> Vec<Value> {
    vec![
        json!({}),
        json!({"mode": "Online", "target": {"type": "Kubernetes"}}),
        json!({"model": {"uri": "http://10.0.0.1:8080/m.onnx?sig=a%2Fb", "format": "ONNX"}}),
        json!({"model": {"uri": "https://[2001:db8::1]/m.onnx", "format": "ONNX"}}),
        json!({"model": {"uri": "pvc://claim.a/b/..c/m.onnx", "format": "ONNX"}}),
        json!({"model": {"uri": "az://models/m.onnx", "format": "ONNX", "credentialsRef": {"name": "store"}}}),
        json!({"model": {"uri": "abfss://models@account.dfs.core.windows.net/m/", "format": "ONNX"}}),
        json!({"model": {"uri": "pvc://claim", "format": "Triton"}, "container": {"image": "a/b:1@sha256:0"}}),
        json!({"model": {"uri": "https://a/b", "format": "Custom"}, "container": {"image": "a", "env": [{"name": "A", "value": "$(MODEL_PATH)"}]}}),
        json!({"runtimeRef": {"name": "mine"}, "container": {"image": "a"}}),
        json!({"resources": {"requests": {"cpu": "0.5", "memory": "1e9", "nvidia.com/gpu": "1"}, "limits": {"cpu": "500m", "nvidia.com/gpu": "1"}}}),
        json!({"scaling": {"replicas": 1000}}),
        json!({"scaling": {"maxReplicas": 1}}),
        json!({"scaling": {"minReplicas": 2, "maxReplicas": 2, "target": {"cpuUtilization": 200}}}),
        json!({"scaling": {"maxReplicas": 9, "target": {"concurrency": 4, "query": {"query": "sum(queue)", "perReplica": 0.5}},
            "behavior": {"scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Min",
                "policies": [{"type": "Pods", "value": 1, "periodSeconds": 30}]}, "scaleDown": {"selectPolicy": "Disabled"}}}}),
        json!({"auth": {"mode": "Key"}}),
    ]
}

/// Endpoints that a user may want, by how requests reach them.
fn good_traffic() -> Vec<Value> {
    vec![
        json!({"rollout": {"strategy": "Recreate", "progressDeadlineSeconds": 10}}),
        json!({"rollout": {"strategy": "BlueGreen"}}),
        json!({"rollout": {"strategy": "BlueGreen", "steps": [{"mirror": 100, "hold": "1h30m"}, {"pause": true}]}}),
        json!({"rollout": {"strategy": "Canary", "steps": [{"mirror": 20, "hold": "5m"}, {"traffic": 10}, {"hold": "30s"}],
            "analysis": {"minRequests": 200, "maxErrorRate": 0.01, "maxP95LatencyRatio": 1.2, "maxPredictionDisagreement": 0,
                "modes": {"errorRate": "Warn"}, "queries": [{"name": "a", "query": "up", "min": 1}]}, "onFailure": "Pause"}}),
        managed(
            &json!([{"mirror": 50, "hold": "5m"}, {"traffic": 10}, {"pause": true}]),
            json!({"maxErrorRate": 0.01, "maxP95LatencyRatio": 1.2, "queries": [{"name": "a", "query": "up", "min": 1}]}),
        ),
        json!({"target": {"type": "ManagedOnline", "workspaceRef": {"name": "dev"}}, "rollout": {"strategy": "BlueGreen"},
            "model": {"modelRef": {"name": "churn"}, "format": "MLflow"}}),
        json!({"target": {"type": "ArcKubernetes", "workspaceRef": {"name": "dev"}, "computeRef": {"name": "arc"}},
            "model": {"modelRef": {"name": "churn"}, "format": "MLflow"}, "rollout": {"strategy": "Canary", "steps": [{"traffic": 10}]}}),
        json!({"auth": {"mode": "Key", "secretRef": {"name": "keys"}}, "routing": {"rateLimit": {"requestsPerSecond": 0.5}}}),
        json!({"auth": {"mode": "None"}}),
        json!({"auth": {"mode": "None"}, "routing": {"gatewayApi": {"parentRef": {"name": "public"}}}}),
        json!({"routing": {"hosts": ["a.example"], "requestTimeoutSeconds": 5, "gatewayApi": {"url": "https://a.example:8443",
            "parentRef": {"name": "public", "namespace": "gateways", "sectionName": "https", "port": 443}}},
            "rollout": {"strategy": "Canary", "steps": [{"mirror": 20, "hold": "5m"}, {"traffic": 10}],
                "analysis": {"queries": [{"name": "errors", "query": "up", "max": 0.01}]}},
            "scaling": {"minReplicas": 1, "maxReplicas": 3, "target": {"cpuUtilization": 50}}}),
        json!({"capture": {"store": {"uri": "https://a.blob.core.windows.net/captures/churn"}, "mask": ["age"]}}),
        json!({"capture": {"format": "Parquet", "store": {"uri": "https://a.blob.core.windows.net/captures"}}}),
    ]
}

/// What a user may want is accepted, and so is every committed sample.
pub(crate) async fn valid_objects_and_samples_are_accepted(context: &mut Context) -> anyhow::Result<()> {
    let good = [good_endpoints(), good_traffic()].concat();
    for (index, change) in good.iter().enumerate() {
        let mut spec = spec(1);
        for (field, value) in change.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        let path = format!("{}?fieldValidation=Strict", context.endpoint(""));
        let made =
            context.must("POST", &path, JSON, &manifest("Endpoint", &format!("good-{index}"), &spec)).await?;
        ensure!(made["status"]["observedGeneration"] == -1, "a fresh status: {}", made["status"]);
    }
    let folder = xtask::cache::repository().join("config/samples");
    let mut samples = 0;
    for entry in std::fs::read_dir(&folder)? {
        let text = std::fs::read_to_string(entry?.path())?;
        let body: Value = serde_saphyr::from_str(&text)?;
        let crds = api::crds();
        let names = |kind: &Value| crds.iter().map(|crd| &crd.spec.names).find(|names| *kind == names.kind);
        let names = names(&body["kind"]).with_context(|| format!("{} is no kind of ours", body["kind"]))?;
        let path = context.own(&names.plural, "");
        // Admission lets a person ask for a promotion and vote in no other name.
        let person = body["spec"]["requester"].as_str().or_else(|| body["spec"]["approver"].as_str());
        let client = match person {
            Some(name) => {
                e2e::plane::client(&context.plane.user(name, &["owners", "system:masters"])?).await?
            }
            None => context.client.clone(),
        };
        let path = format!("{path}?fieldValidation=Strict");
        let (code, answer) = e2e::context::ask(&client, "POST", &path, JSON, &body).await?;
        ensure!(code == 201, "{path}: {code} {}", answer["message"]);
        samples += 1;
    }
    ensure!(samples >= 16, "only {samples} samples in {}", folder.display());
    Ok(())
}
