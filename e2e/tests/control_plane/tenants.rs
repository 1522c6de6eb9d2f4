//! What a tenant can't reach through an Endpoint or a ServingRuntime.
use anyhow::ensure;
use e2e::Context;
use e2e::context::{APPLY, JSON, manifest, spec};
use plan::ChildKind;
use serde_json::{Value, json};

/// Fields of pods that would widen what a pod may do.
fn widening() -> Vec<(&'static str, Value)> {
    vec![
        ("volumes", json!([{"name": "host", "hostPath": {"path": "/"}}])),
        ("volumeMounts", json!([{"name": "host", "mountPath": "/host"}])),
        ("hostNetwork", json!(true)),
        ("hostPID", json!(true)),
        ("hostIPC", json!(true)),
        ("hostUsers", json!(true)),
        ("hostPorts", json!([80])),
        ("hostAliases", json!([{"ip": "127.0.0.1", "hostnames": ["a"]}])),
        ("serviceAccountName", json!("admin")),
        ("serviceAccount", json!("admin")),
        ("automountServiceAccountToken", json!(true)),
        (
            "securityContext",
            json!({"privileged": true, "procMount": "Unmasked", "sysctls": [{"name": "a", "value": "1"}]}),
        ),
        ("privileged", json!(true)),
        ("capabilities", json!({"add": ["SYS_ADMIN"]})),
        ("initContainers", json!([{"name": "a", "image": "a"}])),
        ("ephemeralContainers", json!([{"name": "a", "image": "a"}])),
        ("containers", json!([{"name": "a", "image": "a"}])),
        ("template", json!({"spec": {"hostNetwork": true}})),
        ("podTemplate", json!({"spec": {"hostPID": true}})),
        ("podSpec", json!({"nodeName": "control-plane"})),
        ("nodeName", json!("control-plane")),
        ("nodeSelector", json!({"role": "control-plane"})),
        ("tolerations", json!([{"operator": "Exists"}])),
        ("priorityClassName", json!("system-node-critical")),
        ("runtimeClassName", json!("host")),
        ("schedulerName", json!("mine")),
        ("envFrom", json!([{"secretRef": {"name": "other"}}])),
        ("imagePullSecrets", json!([{"name": "other"}])),
        ("lifecycle", json!({"postStart": {"exec": {"command": ["a"]}}})),
        ("namespace", json!("kube-system")),
        ("metadata", json!({"ownerReferences": []})),
        ("resourcesClaims", json!([{"name": "a"}])),
        ("shareProcessNamespace", json!(true)),
        ("dnsConfig", json!({"nameservers": ["10.0.0.1"]})),
        ("volumeDevices", json!([{"name": "a", "devicePath": "/dev/sda"}])),
    ]
}

/// Each field at each place where a tenant could put it: refused when checked strictly, dropped otherwise.
pub(crate) async fn a_spec_can_t_widen_what_a_pod_may_do(context: &mut Context) -> anyhow::Result<()> {
    let mut specs = Vec::new();
    for (field, value) in widening() {
        let mut endpoint = spec(1);
        endpoint[field] = value.clone();
        specs.push(("Endpoint", endpoint, field));
        let mut container =
            json!({"model": {"uri": "https://a/b", "format": "Custom"}, "container": {"image": "a"}});
        container["container"][field] = value.clone();
        specs.push(("Endpoint", container, field));
        let mut runtime = json!({"supportedFormats": ["ONNX"], "image": "a"});
        runtime[field] = value;
        specs.push(("ServingRuntime", runtime, field));
    }
    let value_from = json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "other", "key": "a"}}}]);
    let secret = json!({"supportedFormats": ["ONNX"], "image": "a", "env": value_from});
    specs.push(("ServingRuntime", secret, "valueFrom"));
    ensure!(specs.len() >= 40, "only {} specs", specs.len());
    let mut wrong = Vec::new();
    for (kind, spec, field) in specs {
        let path = if kind == "Endpoint" { context.endpoint("") } else { context.runtime("") };
        let body = manifest(kind, "churn", &spec);
        let (code, said) =
            context.ask("POST", &format!("{path}?fieldValidation=Strict"), JSON, &body).await?;
        if code != 400 || !said["message"].as_str().unwrap_or_default().contains("unknown field") {
            wrong.push(format!("{kind} with {field}, strict: {code} {}", said["message"]));
        }
        let loose = format!("{path}?fieldValidation=Ignore&dryRun=All");
        let (code, kept) = context.ask("POST", &loose, JSON, &body).await?;
        if code != 201 || kept["spec"].to_string().contains(&format!("\"{field}\"")) {
            wrong.push(format!("{kind} with {field}, loose: {code} {}", kept["spec"]));
        }
    }
    ensure!(wrong.is_empty(), "{} specs got through:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

/// The pods of every shape of Endpoint pass the admission of a namespace that enforces the `restricted` standard.
pub(crate) async fn every_pod_is_admitted_where_restricted_is_enforced(
    context: &mut Context,
) -> anyhow::Result<()> {
    let _operator = context.operator()?;
    let label = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    context.merge(&format!("/api/v1/namespaces/{}", context.namespace), &label).await?;
    let digest = testkit::DIGEST;
    let custom = |uri: &str, more: Value| {
        let mut spec = json!({"model": {"uri": uri, "format": "Custom"}, "container": {"image": "mine:1"}});
        for (field, value) in more.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        spec
    };
    let onnx = |model: Value| json!({"model": model});
    let shapes = [
        onnx(json!({"uri": "https://a/b.onnx", "format": "ONNX", "digest": digest})),
        onnx(json!({"uri": "pvc://claim/b.onnx", "format": "ONNX"})),
        custom("https://a/b", json!({})),
        custom("pvc://claim", json!({})),
        custom("pvc://claim/folder", json!({"scaling": {"maxReplicas": 3}})),
        custom("https://a/b", json!({"model": {"uri": "pvc://c/b", "format": "Custom", "digest": digest}})),
        custom("https://a/b", json!({"resources": {"limits": {"nvidia.com/gpu": "1", "cpu": "1"}}})),
        custom("https://a/b", json!({"rollout": {"strategy": "Recreate"}})),
        custom(
            "https://a/b",
            json!({"container": {"image": "a", "command": ["a"], "args": ["b"], "env": [{"name": "A", "value": "b"}]}}),
        ),
    ];
    let pods = format!("/api/v1/namespaces/{}/pods?dryRun=All", context.namespace);
    for (index, shape) in shapes.iter().enumerate() {
        let name = format!("shape-{index}");
        context.create(&name, shape).await?;
        context.says(&name, "Ready=True/Ready").await?;
        let deployment = context.get(&context.child(ChildKind::Deployment, &name)).await?.unwrap_or_default();
        let template = &deployment["spec"]["template"];
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"]});
        pod["metadata"]["name"] = json!(name);
        context.must("POST", &pods, JSON, &pod).await?;
        // The same pod with one more right is refused: the namespace does enforce.
        pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
        let (code, said) = context.ask("POST", &pods, JSON, &pod).await?;
        ensure!(code == 403 && said.to_string().contains("PodSecurity"), "{code} {said}");
    }
    // A tenant who edits the Deployment itself is put back.
    let path = context.child(ChildKind::Deployment, "shape-0");
    let hostile = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shape-0"},
        "spec": {"template": {"spec": {"serviceAccountName": "admin"}}}});
    context.must("PATCH", &format!("{path}?fieldManager=tenant&force=true"), APPLY, &hostile).await?;
    e2e::until("the Deployment's own service account", e2e::context::CONVERGES, async || {
        let found =
            context.get(&path).await?.unwrap_or_default()["spec"]["template"]["spec"]["serviceAccountName"]
                .clone();
        Ok(if found == "shape-0" { Ok(()) } else { Err(found.to_string()) })
    })
    .await
}
