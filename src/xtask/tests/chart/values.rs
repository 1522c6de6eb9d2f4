//! Each value of the chart changes what is rendered, and no value is left out of this table.
use std::collections::BTreeSet;

use serde_json::{Value, json};
use xtask::cache;

use super::render;

/// What must be rendered when a value is set.
enum Effect {
    /// This text, which the defaults do not render.
    Adds(&'static str),
    /// Not this text, which the defaults render.
    Removes(&'static str),
}
use Effect::{Adds, Removes};

struct Case {
    /// The path of the value in values.yaml.
    path: &'static str,
    value: Value,
    effect: Effect,
}

fn case(path: &'static str, value: impl Into<Value>, effect: Effect) -> Case {
    Case { path, value: value.into(), effect }
}

const DIGEST: &str = "sha256:0123456789012345678901234567890123456789012345678901234567890123";

fn image_cases() -> Vec<Case> {
    let digest = "image: mlops-operator.dev/operator@sha256:0123";
    let server_digest = "--model-server-image=mlops-operator.dev/model-server@sha256:0123";
    vec![
        case("image.registry", "r.example", Adds("image: r.example/operator:")),
        case("image.repository", "other", Adds("image: mlops-operator.dev/other:")),
        case("image.tag", "dev", Adds("image: mlops-operator.dev/operator:dev")),
        case("image.digest", DIGEST, Adds(digest)),
        case("image.pullPolicy", "Never", Adds("imagePullPolicy: Never")),
        case("modelServer.image.registry", "r.example", Adds("image: r.example/model-server:")),
        case("modelServer.image.repository", "other", Adds("image: mlops-operator.dev/other:")),
        case(
            "modelServer.image.tag",
            "dev",
            Adds("--model-server-image=mlops-operator.dev/model-server:dev"),
        ),
        case("modelServer.image.digest", DIGEST, Adds(server_digest)),
        case("imagePullSecrets", json!([{"name": "pull"}]), Adds("imagePullSecrets:\n        - name: pull")),
    ]
}

fn operator_cases() -> Vec<Case> {
    vec![
        case("fullnameOverride", "short", Adds("kind: Deployment\nmetadata:\n  name: short\n")),
        case("crds.enabled", false, Removes("kind: CustomResourceDefinition")),
        case("crds.keep", false, Removes("helm.sh/resource-policy: keep")),
        case("runtimes.enabled", false, Removes("kind: ServingRuntime\nmetadata:")),
        case("watchNamespaces", json!(["team-a"]), Adds("--watch-namespace=team-a")),
        case("replicas", 3, Adds("replicas: 3\n")),
        case("leaderElection", false, Adds("--leader-election=false")),
        case("workers", 3, Adds("--workers=3")),
        case("logLevel", "debug", Adds("--log-level=debug")),
        case("logFormat", "text", Adds("--log-format=text")),
        case("otlpEndpoint", "http://c:4318", Adds("--otlp-endpoint=http://c:4318")),
        case(
            "modelSources.allowedHosts",
            json!(["*.svc", "10.0.0.0/8"]),
            Adds("--model-allowed-hosts=*.svc,10.0.0.0/8"),
        ),
        case("proxy.httpProxy", "http://p:1", Adds("- name: HTTP_PROXY\n      value: \"http://p:1\"")),
        case("proxy.httpsProxy", "http://p:2", Adds("- name: HTTPS_PROXY\n      value: \"http://p:2\"")),
        case("proxy.noProxy", ".svc", Adds("- name: NO_PROXY\n      value: \".svc\"")),
        case(
            "serviceAccount.existing",
            "mine",
            Removes("kind: ServiceAccount\nmetadata:\n  name: mlops-mlops-operator\n"),
        ),
        case("serviceAccount.annotations", json!({"a": "b"}), Adds("annotations:\n    a: b")),
        case("extraEnv", json!([{"name": "A", "value": "b"}]), Adds("- name: A\n              value: b")),
        case(
            "extraVolumes",
            json!([{"name": "v", "emptyDir": {}}]),
            Adds("volumes:\n        - emptyDir: {}"),
        ),
        case("extraVolumeMounts", json!([{"name": "v", "mountPath": "/v"}]), Adds("- mountPath: /v")),
    ]
}

fn azure_cases() -> Vec<Case> {
    let variable = |name: &str, value: &str| -> &'static str {
        format!("- name: {name}\n              value: \"{value}\"").leak()
    };
    vec![
        case("azure.identity.type", "WorkloadIdentity", Adds("azure.workload.identity/use: \"true\"")),
        case("azure.identity.clientId", "c", Adds("azure.workload.identity/client-id: \"c\"")),
        case("azure.identity.tenantId", "t", Adds("azure.workload.identity/tenant-id: \"t\"")),
        case("azure.identity.secretName", "sp", Adds("name: sp\n                  key: AZURE_CLIENT_SECRET")),
        case("azure.subscriptionId", "s", Adds(variable("AZURE_SUBSCRIPTION_ID", "s"))),
        case("azure.environment", "AzureChinaCloud", Adds("value: AzureChinaCloud")),
        case("azure.resourceManagerEndpoint", "https://arm:8443", Adds("- port: 8443")),
        case("azure.resourceManagerAudience", "a", Adds(variable("AZURE_RESOURCE_MANAGER_AUDIENCE", "a"))),
        case("azure.authorityHost", "https://login:9443", Adds("- port: 9443")),
        case("azure.caConfigMap", "ca", Adds("--azure-ca-file=/etc/mlops-operator/azure/ca.crt")),
        case("azure.syncSeconds", 60, Adds("--azure-sync-seconds=60")),
        case("azure.metricsLagSeconds", 240, Adds("--azure-metrics-lag-seconds=240")),
        case("azure.limitsPercent", 50, Adds("--azure-limits-percent=50")),
        case("azure.workers", 7, Adds("--azure-workers=7")),
        case("azure.clusterId", "one", Adds("--cluster-id=one")),
        case("azure.secrets", true, Adds("resources: [\"secrets\"]")),
        case("azure.configMaps", true, Adds("to export ids and addresses")),
    ]
}

fn gateway_cases() -> Vec<Case> {
    let digest = "image: mlops-operator.dev/gateway@sha256:0123";
    vec![
        case(
            "gateway.enabled",
            false,
            Removes("--gateway-url=http://mlops-mlops-operator-gateway.mlops-system.svc"),
        ),
        case("gateway.image.registry", "r.example", Adds("image: r.example/gateway:")),
        case("gateway.image.repository", "other", Adds("image: mlops-operator.dev/other:")),
        case("gateway.image.tag", "dev", Adds("image: mlops-operator.dev/gateway:dev")),
        case("gateway.image.digest", DIGEST, Adds(digest)),
        case("gateway.replicas", 4, Adds("replicas: 4\n")),
        case("gateway.autoscaling.enabled", true, Removes("replicas: 2\n")),
        case("gateway.autoscaling.minReplicas", 3, Adds("minReplicas: 3\n")),
        case("gateway.autoscaling.maxReplicas", 30, Adds("maxReplicas: 30\n")),
        case("gateway.autoscaling.cpuPercent", 60, Adds("averageUtilization: 60\n")),
        case("gateway.service.type", "LoadBalancer", Adds("type: LoadBalancer")),
        case("gateway.service.annotations", json!({"a": "b"}), Adds("annotations:\n    a: b")),
        case(
            "gateway.tls.secretName",
            "cert",
            Adds("--gateway-url=https://mlops-mlops-operator-gateway.mlops-system.svc"),
        ),
        case("gateway.url", "https://models.example", Adds("--gateway-url=https://models.example\n")),
        case("gateway.domain", "models.example", Adds("--gateway-domain=models.example")),
        case("endpointKeys.enabled", true, Adds("to make the keys of Endpoints, and to read those that")),
        case("gatewayApi.enabled", true, Adds("resources: [\"httproutes\"]")),
        case("gatewayApi.domain", "models.example", Adds("--gateway-api-domain=models.example")),
        case("prometheusUrl", "http://prometheus:9090", Adds("--prometheus-url=http://prometheus:9090")),
        case(
            "gateway.capture.stores",
            json!(["https://a.blob.core.windows.net/c", "https://b.blob.core.windows.net/c"]),
            Adds(
                "--gateway-capture-store=https://a.blob.core.windows.net/c,https://b.blob.core.windows.net/c",
            ),
        ),
        case("gateway.capture.secretName", "store", Adds("- secretRef:\n                name: store")),
        case("gateway.drainSeconds", 60, Adds("terminationGracePeriodSeconds: 145\n")),
        case("gateway.threads", 3, Adds("--threads=3")),
        case("gateway.keptBytes", 1_000_000, Adds("--kept-bytes=1000000\n")),
        case("gateway.traceRatio", 0.5, Adds("--trace-ratio=0.5\n")),
        case("gateway.mirrored", 9, Adds("--mirrored=9\n")),
        case("gateway.captured", 99, Adds("--captured=99\n")),
        case("gateway.logLevel", "info,access=off", Adds("--log-level=info,access=off")),
        case(
            "gateway.serviceAccount.existing",
            "mine",
            Removes("kind: ServiceAccount\nmetadata:\n  name: mlops-mlops-operator-gateway\n"),
        ),
        case("gateway.serviceAccount.annotations", json!({"a": "b"}), Adds("annotations:\n    a: b")),
    ]
}

fn gateway_pod_cases() -> Vec<Case> {
    vec![
        case("gateway.podLabels", json!({"x": "z"}), Adds("labels:\n        x: z")),
        case("gateway.podAnnotations", json!({"x": "z"}), Adds("annotations:\n        x: z")),
        case("gateway.priorityClassName", "high", Adds("priorityClassName: high")),
        case("gateway.resources.requests.cpu", "7m", Adds("cpu: 7m")),
        case("gateway.resources.requests.memory", "7Mi", Adds("memory: 7Mi")),
        case("gateway.resources.limits.memory", "700Mi", Adds("memory: 700Mi")),
        case("gateway.nodeSelector", json!({"disk": "fast"}), Adds("nodeSelector:\n        disk: fast")),
        case("gateway.tolerations", json!([{"operator": "Exists"}]), Adds("- operator: Exists")),
        case("gateway.affinity", json!({"nodeAffinity": {}}), Adds("nodeAffinity: {}")),
        case("gateway.topologySpreadConstraints", json!([{"maxSkew": 5}]), Adds("- maxSkew: 5")),
        case(
            "gateway.extraEnv",
            json!([{"name": "A", "value": "b"}]),
            Adds("- name: A\n              value: b"),
        ),
        case(
            "gateway.extraVolumes",
            json!([{"name": "v", "emptyDir": {}}]),
            Adds("volumes:\n        - emptyDir: {}"),
        ),
        case("gateway.extraVolumeMounts", json!([{"name": "v", "mountPath": "/v"}]), Adds("- mountPath: /v")),
    ]
}

fn pod_cases() -> Vec<Case> {
    vec![
        case("podLabels", json!({"x": "z"}), Adds("labels:\n        x: z")),
        case("podAnnotations", json!({"x": "z"}), Adds("annotations:\n        x: z")),
        case("priorityClassName", "high", Adds("priorityClassName: high")),
        case("resources.requests.cpu", "7m", Adds("cpu: 7m")),
        case("resources.requests.memory", "7Mi", Adds("memory: 7Mi")),
        case("resources.limits.memory", "700Mi", Adds("memory: 700Mi")),
        case("nodeSelector", json!({"disk": "fast"}), Adds("nodeSelector:\n        disk: fast")),
        case("tolerations", json!([{"operator": "Exists"}]), Adds("- operator: Exists")),
        case("affinity", json!({"nodeAffinity": {}}), Adds("nodeAffinity: {}")),
        case("topologySpreadConstraints", json!([{"maxSkew": 5}]), Adds("- maxSkew: 5")),
        case("podSecurityContext.runAsNonRoot", false, Adds("runAsNonRoot: false")),
        case("podSecurityContext.seccompProfile.type", "Unconfined", Adds("type: Unconfined")),
        case("securityContext.allowPrivilegeEscalation", true, Adds("allowPrivilegeEscalation: true")),
        case("securityContext.capabilities.drop", json!(["KILL"]), Adds("- KILL")),
        case("securityContext.readOnlyRootFilesystem", false, Adds("readOnlyRootFilesystem: false")),
        case("pdb.enabled", false, Removes("kind: PodDisruptionBudget\nmetadata:")),
        case("pdb.maxUnavailable", 3, Adds("maxUnavailable: 3")),
        case("networkPolicy.enabled", false, Removes("kind: NetworkPolicy\nmetadata:")),
        case("networkPolicy.apiServerPorts", json!([16443]), Adds("- port: 16443")),
        case(
            "networkPolicy.metricsFrom",
            json!([{"podSelector": {}}]),
            Adds("from:\n        - podSelector: {}"),
        ),
        case("networkPolicy.extraEgress", json!([{"ports": [{"port": 4318}]}]), Adds("- port: 4318")),
    ]
}

fn metrics_cases() -> Vec<Case> {
    vec![
        case("metrics.serviceMonitor.enabled", true, Adds("kind: ServiceMonitor")),
        case("metrics.serviceMonitor.interval", "7s", Adds("path: /metrics\n      interval: 7s")),
        case("metrics.serviceMonitor.labels", json!({"p": "q"}), Adds("p: q")),
        case("metrics.podMonitor.enabled", true, Adds("kind: PodMonitor")),
        case("metrics.podMonitor.interval", "7s", Adds("path: /metrics\n      interval: 7s")),
        case("metrics.podMonitor.labels", json!({"p": "q"}), Adds("p: q")),
        case("metrics.prometheusRule.enabled", true, Adds("alert: MLOpsOperatorHasNoLeader")),
        case("metrics.prometheusRule.labels", json!({"p": "q"}), Adds("p: q")),
        case("metrics.dashboards.enabled", true, Adds("mlops-operator.json: |\n    {")),
        case("metrics.dashboards.labels", json!({"p": "q"}), Adds("p: q")),
    ]
}

fn cases() -> Vec<Case> {
    [
        image_cases(),
        operator_cases(),
        gateway_cases(),
        gateway_pod_cases(),
        azure_cases(),
        pod_cases(),
        metrics_cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The values that set one path; an object of monitoring is enabled when another of its values is tried.
fn values(case: &Case) -> Value {
    let mut values = json!({});
    let mut place = &mut values;
    for part in case.path.split('.') {
        place = &mut place[part];
    }
    *place = case.value.clone();
    match case.path {
        "azure.identity.secretName" => values["azure"]["identity"]["type"] = json!("ClientSecret"),
        "azure.identity.clientId" => values["azure"]["identity"]["type"] = json!("WorkloadIdentity"),
        "azure.identity.tenantId" | "azure.identity.type" => {
            values["azure"]["identity"]["type"] = json!("WorkloadIdentity");
            values["azure"]["identity"]["clientId"] = json!("c");
        }
        _ => {}
    }
    if case.path == "gatewayApi.domain" {
        values["gatewayApi"]["enabled"] = json!(true);
    }
    if case.path.starts_with("gateway.autoscaling.") {
        values["gateway"]["autoscaling"]["enabled"] = json!(true);
    }
    if let Some(rest) = case.path.strip_prefix("metrics.")
        && let Some((object, _)) = rest.split_once('.')
    {
        values["metrics"][object]["enabled"] = json!(true);
    }
    values
}

/// The paths of values.yaml that hold no further values.
fn leaves(path: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value.as_object().filter(|fields| !fields.is_empty() && !path.ends_with(".labels")) {
        Some(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                leaves(&path, value, found);
            }
        }
        None => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn every_value_has_a_case() {
    let text =
        std::fs::read_to_string(cache::repository().join("charts/mlops-operator/values.yaml")).unwrap();
    let mut found = BTreeSet::new();
    leaves("", &serde_saphyr::from_str(&text).unwrap(), &mut found);
    let tried: BTreeSet<String> = cases().iter().map(|case| case.path.to_owned()).collect();
    assert_eq!(found, tried);
}

#[test]
fn every_value_acts() {
    let arguments = ["--api-versions", "monitoring.coreos.com/v1"];
    let defaults = render("mlops-operator", &json!({}), &arguments).unwrap();
    for case in cases() {
        let rendered = render("mlops-operator", &values(&case), &arguments).unwrap();
        match case.effect {
            Adds(text) => {
                assert!(!defaults.contains(text), "{}: {text} is rendered by default", case.path);
                assert!(rendered.contains(text), "{}: {text} is not in\n{rendered}", case.path);
            }
            Removes(text) => {
                assert!(defaults.contains(text), "{}: {text} is not rendered by default", case.path);
                assert!(!rendered.contains(text), "{}: {text} is still rendered", case.path);
            }
        }
    }
}

#[test]
fn http_routes_are_watched_and_written_only_where_the_values_say_so() {
    let enabled = json!({"gatewayApi": {"enabled": true}});
    for (values, wanted) in [(json!({}), false), (enabled, true)] {
        let text = render("mlops-operator", &values, &[]).unwrap();
        assert_eq!(text.contains("- --gateway-api=true"), wanted);
        assert_eq!(text.contains("resources: [\"httproutes\"]"), wanted);
    }
    let few = json!({"gatewayApi": {"enabled": true}, "watchNamespaces": ["a", "b"]});
    assert_eq!(
        render("mlops-operator", &few, &[]).unwrap().matches("resources: [\"httproutes\"]").count(),
        2
    );
}

#[test]
fn monitoring_is_left_out_on_a_cluster_without_its_kinds() {
    let values = json!({"metrics": {
        "serviceMonitor": {"enabled": true},
        "podMonitor": {"enabled": true},
        "prometheusRule": {"enabled": true},
    }});
    assert!(!render("mlops-operator", &values, &[]).unwrap().contains("monitoring.coreos.com"));
}
