//! The chart as `helm template` renders it: each value acts, the schema refuses the rest, and the rights are the least.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail their test by a panic")]
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};
use xtask::cache;
use xtask::tools::{self, Module};

#[path = "chart/values.rs"]
mod values;

/// The name of the operator's objects.
const NAME: &str = "mlops-mlops-operator";

fn helm() -> &'static PathBuf {
    static HELM: OnceLock<PathBuf> = OnceLock::new();
    HELM.get_or_init(|| tools::ensure_only(&[Module::Helm]).unwrap().helm())
}

/// What `helm template` prints for these values, or why it refuses them.
fn render(chart: &str, values: &Value, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(helm());
    command.args(["template", "mlops", "--namespace", "mlops-system", "--values", "-"]).args(arguments);
    command.arg(cache::repository().join("charts").join(chart));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(values.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

fn objects(values: &Value) -> Vec<Value> {
    let text = render("mlops-operator", values, &[]).unwrap();
    serde_saphyr::from_multiple(&text).unwrap()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

/// One line for each rule of each role, and for each binding.
fn rights(objects: &[Value]) -> Vec<String> {
    let mut lines = Vec::new();
    for object in objects {
        let kind = object["kind"].as_str().unwrap();
        let place = object["metadata"]["namespace"].as_str().unwrap_or("all namespaces");
        let name = object["metadata"]["name"].as_str().unwrap();
        for rule in object["rules"].as_array().into_iter().flatten() {
            let words = |key: &str| {
                let words: Vec<&str> =
                    rule[key].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
                words.join(",")
            };
            let (group, resources, verbs) = (words("apiGroups"), words("resources"), words("verbs"));
            lines.push(format!("{kind} {name} in {place}: {group}/{resources}: {verbs}"));
        }
        for subject in object["subjects"].as_array().into_iter().flatten() {
            let role = object["roleRef"]["name"].as_str().unwrap();
            let account = subject["name"].as_str().unwrap();
            lines.push(format!("{kind} {name} in {place}: {role} for {account}"));
        }
    }
    lines
}

#[test]
fn the_rights_in_all_namespaces_are_these() {
    insta::assert_snapshot!(rights(&objects(&json!({}))).join("\n"));
}

#[test]
fn the_rights_in_two_namespaces_are_these_and_none_is_cluster_wide() {
    let objects = objects(&json!({"watchNamespaces": ["a", "b"]}));
    assert!(of_kind(&objects, "ClusterRole").is_empty());
    assert!(of_kind(&objects, "ClusterRoleBinding").is_empty());
    insta::assert_snapshot!(rights(&objects).join("\n"));
}

#[test]
fn no_right_is_a_wildcard_or_reaches_secrets_pods_nodes_or_other_rights() {
    let forbidden_resources =
        ["*", "secrets", "pods/exec", "pods/attach", "nodes/proxy", "nodes", "pods/portforward"];
    let forbidden_groups = ["*", "rbac.authorization.k8s.io", "apiextensions.k8s.io"];
    for values in [json!({}), json!({"watchNamespaces": ["a"]})] {
        let objects = objects(&values);
        let rules = objects.iter().flat_map(|object| object["rules"].as_array().into_iter().flatten());
        let mut seen = 0;
        for rule in rules {
            let forbidden = [
                ("verbs", &["*", "escalate", "bind", "impersonate"][..]),
                ("resources", &forbidden_resources),
                ("apiGroups", &forbidden_groups),
            ];
            for (key, words) in forbidden {
                let given = rule[key].as_array().unwrap();
                assert!(words.iter().all(|word| !given.contains(&json!(word))), "{rule}");
            }
            assert!(rule.get("nonResourceURLs").is_none(), "{rule}");
            seen += 1;
        }
        assert!(seen > 10);
    }
}

#[test]
fn every_pod_satisfies_the_restricted_standard() {
    let objects = objects(&json!({}));
    let deployments =
        of_kind(&objects, "Deployment").into_iter().map(|object| &object["spec"]["template"]["spec"]);
    let pods: Vec<&Value> =
        deployments.chain(of_kind(&objects, "Pod").into_iter().map(|object| &object["spec"])).collect();
    assert_eq!(pods.len(), 3);
    for pod in pods {
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        for container in pod["containers"].as_array().unwrap() {
            let context = &container["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"], false);
            assert_eq!(context["readOnlyRootFilesystem"], true);
            assert_eq!(context["capabilities"]["drop"], json!(["ALL"]));
        }
    }
}

#[test]
fn an_unknown_value_is_refused() {
    for values in
        [json!({"replica": 2}), json!({"metrics": {"enabled": true}}), json!({"image": {"name": "x"}})]
    {
        let error = render("mlops-operator", &values, &[]).unwrap_err();
        assert!(error.contains("additional properties"), "{error}");
    }
    let error = render("mlops-operator-crds", &json!({"crd": {}}), &[]).unwrap_err();
    assert!(error.contains("additional properties"), "{error}");
}

#[test]
fn a_value_out_of_bounds_is_refused() {
    let values = [
        json!({"replicas": -1}),
        json!({"logFormat": "xml"}),
        json!({"workers": 0}),
        json!({"image": {"digest": "sha256:1"}}),
        json!({"watchNamespaces": ["Team A"]}),
        json!({"otlpEndpoint": "collector:4318"}),
        json!({"otlpEndpoint": "https://collector:4318"}),
        json!({"replicas": 2, "leaderElection": false}),
        json!({"gateway": {"captured": 0}}),
        json!({"gateway": {"service": {"type": "ExternalName"}}}),
    ];
    for values in values {
        assert!(render("mlops-operator", &values, &[]).is_err(), "{values}");
    }
}

#[test]
fn traces_may_leave_through_the_network_policy() {
    for (endpoint, port) in [("http://collector.example:4318/base", 4318), ("http://collector.example", 80)] {
        let objects = objects(&json!({"otlpEndpoint": endpoint}));
        let policies = of_kind(&objects, "NetworkPolicy");
        for name in [NAME.to_owned(), format!("{NAME}-gateway")] {
            let policy = policies.iter().find(|policy| policy["metadata"]["name"] == *name).unwrap();
            let rules = policy["spec"]["egress"].as_array().unwrap();
            assert!(rules.contains(&json!({"ports": [{"port": port}]})), "{policy}");
        }
    }
}

#[test]
fn the_gateway_is_reached_by_callers_and_its_numbers_by_the_operator_alone_when_metrics_are_limited() {
    let values = json!({
        "networkPolicy": {"metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]},
        "gateway": {"tls": {"secretName": "cert"}},
    });
    let objects = objects(&values);
    let named = |kind: &str, name: &str| {
        let found = of_kind(&objects, kind).into_iter().find(|object| object["metadata"]["name"] == name);
        found.unwrap().clone()
    };
    let gateway = format!("{NAME}-gateway");
    let labels = json!({"app.kubernetes.io/name": "mlops-gateway", "app.kubernetes.io/instance": "mlops"});
    let (deployment, policy) = (named("Deployment", &gateway), named("NetworkPolicy", &gateway));
    assert_eq!(deployment["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(policy["spec"]["podSelector"]["matchLabels"], labels);
    let ingress = &policy["spec"]["ingress"];
    assert_eq!(ingress[0], json!({"ports": [{"port": "http"}, {"port": "https"}]}));
    assert_eq!(ingress[1]["ports"], json!([{"port": "admin"}]));
    let operator = &named("Deployment", NAME)["spec"]["selector"]["matchLabels"].clone();
    assert_eq!(ingress[1]["from"].as_array().unwrap().len(), 2);
    assert_eq!(ingress[1]["from"][1]["podSelector"]["matchLabels"], *operator);
    let ports = named("Service", &gateway)["spec"]["ports"].clone();
    assert_eq!((&ports[0]["port"], &ports[1]["port"]), (&json!(80), &json!(443)));
    let admin = named("Service", &format!("{gateway}-admin"));
    assert_eq!(
        (&admin["spec"]["clusterIP"], &admin["spec"]["publishNotReadyAddresses"]),
        (&json!("None"), &json!(true))
    );
    assert_eq!(admin["spec"]["selector"], labels);
}

#[test]
fn without_the_gateway_nothing_of_it_is_left() {
    let text = render("mlops-operator", &json!({"gateway": {"enabled": false}}), &[]).unwrap();
    assert!(!text.contains("--gateway-") && !text.contains("mlops-gateway"), "{text}");
}

#[test]
fn names_of_the_gateway_fit_whatever_the_release_is_called() {
    let objects = objects(&json!({"fullnameOverride": "a".repeat(52)}));
    for service in of_kind(&objects, "Service") {
        assert!(service["metadata"]["name"].as_str().unwrap().len() <= 63, "{service}");
    }
}

#[test]
fn both_charts_carry_the_same_definitions() {
    let operator = objects(&json!({}));
    let definitions = render("mlops-operator-crds", &json!({}), &[]).unwrap();
    let definitions: Vec<Value> = serde_saphyr::from_multiple(&definitions).unwrap();
    let own = of_kind(&operator, "CustomResourceDefinition");
    assert_eq!(own.len(), 10);
    let definitions_of = of_kind(&definitions, "CustomResourceDefinition");
    assert_eq!(own, definitions_of);
    for kind in ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"] {
        let policies = of_kind(&operator, kind);
        assert!(policies.len() == 4 && policies == of_kind(&definitions, kind), "{policies:?}");
    }
    for definition in definitions_of {
        assert_eq!(definition["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    }
    let removable = render("mlops-operator-crds", &json!({"crds": {"keep": false}}), &[]).unwrap();
    assert!(!removable.contains("helm.sh/resource-policy"));
}

#[test]
fn default_runtimes_wait_for_their_kind_and_are_plain_objects_once_it_is_known() {
    let known = ["--api-versions", "mlops-operator.dev/v1alpha1/ServingRuntime"];
    for (arguments, hook) in [(&[][..], json!("post-install,post-upgrade")), (&known[..], Value::Null)] {
        let text = render("mlops-operator", &json!({}), arguments).unwrap();
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        let runtimes = of_kind(&objects, "ServingRuntime");
        assert_eq!(runtimes.len(), 2);
        for runtime in runtimes {
            assert_eq!(runtime["metadata"]["annotations"]["helm.sh/hook"], hook);
            serde_json::from_value::<api::ServingRuntime>(runtime.clone()).unwrap();
        }
    }
}

#[test]
fn every_template_works_without_asking_the_cluster() {
    let folder = cache::repository().join("charts/mlops-operator/templates");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            assert!(!std::fs::read_to_string(&path).unwrap().contains("lookup"), "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 5);
}

#[test]
fn alerts_and_dashboards_name_only_metrics_that_the_operator_has() {
    let read = |path: &str| std::fs::read_to_string(cache::repository().join(path)).unwrap();
    let table = read("config/metrics.md");
    for path in ["config/alerts/mlops-operator.yaml", "config/dashboards/mlops-operator.json"] {
        let text = read(path);
        let names: BTreeSet<&str> = text
            .split(|character: char| !(character.is_ascii_alphanumeric() || character == '_'))
            .filter(|word| word.starts_with("mlops_operator_"))
            .map(|word| word.trim_end_matches("_bucket"))
            .collect();
        assert!(names.len() > 4, "{path}");
        for name in names {
            assert!(
                table.contains(&format!("`{name}`")),
                "{path} names {name}, which the operator does not have"
            );
        }
    }
}
