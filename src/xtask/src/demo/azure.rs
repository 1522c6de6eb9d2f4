//! An Azure in the cluster: the emulator as a Deployment, the operator's way to it, and the official SDK's.
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::kubectl::{apply, kubectl};
use super::rows::{Comparison, Rows, probabilities};
use super::{install, make_restricted_namespace, store};
use crate::cluster::{Authority, Cluster};
use crate::image::{self, Built, Component};
use crate::{cache, progress, python, shell};

/// The namespace of the emulator.
pub const NAMESPACE: &str = "mlops-azure";
/// The name of everything of it.
const NAME: &str = "azure";
const PORT: u16 = 8443;
/// The tenant of the emulator.
pub const TENANT: &str = "72f988bf-0000-4000-8000-2d7cd011db47";
/// Who everybody is in it. None of it is secret: it opens an emulator that lives as long as its pod.
const CLIENT: (&str, &str) = ("c11e0000-0000-4000-8000-000000000003", "demo-secret");
const SUBSCRIPTION: &str = "5b2d0c3e-0000-4000-8000-00000000de30";
/// The storage account and container of `config/demo/azure.yaml`.
const MODELS: &str = "breastcancermodels/models";
/// The ConfigMap and the Secret by which the operator knows it.
const AUTHORITY: &str = "mlops-azure-ca";
const IDENTITY: &str = "mlops-azure-identity";

/// Files by name.
type Files = BTreeMap<String, Vec<u8>>;

/// The emulator in the cluster, and the way of this machine to it.
pub struct Azure {
    url: String,
    authority: tempfile::NamedTempFile,
    forward: Option<Child>,
}

impl Azure {
    /// Starts it, or finds it, and tells the operator of it. `elsewhere` says that this machine is not the node.
    pub fn start(cluster: &Cluster, elsewhere: bool) -> anyhow::Result<Self> {
        let images = image::build(&[Component::ArmEmulator], false, &image::folder()?)?;
        let image = images.first().context("no image of the emulator was built")?;
        progress::step("an Azure in the cluster: the emulator, which really runs its deployments", || {
            cluster.load_image(&image.archive)?;
            make_restricted_namespace(cluster, NAMESPACE)?;
            apply(cluster, NAMESPACE, &[service()])?;
            certificates(cluster)?;
            let files = store::demo_files()?;
            apply(cluster, NAMESPACE, &[blobs(&files), deployment(image, &files)])?;
            Self::find(cluster, elsewhere)
        })
    }

    /// Finds the one that was started.
    pub fn find(cluster: &Cluster, elsewhere: bool) -> anyhow::Result<Self> {
        let rollout = ["rollout", "status", "deployment/azure", "--timeout=120s"];
        kubectl(cluster, NAMESPACE, &rollout)?;
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), known_authority(cluster)?)?;
        let (url, forward) = way(cluster, elsewhere)?;
        Ok(Self { url, authority: file, forward })
    }

    /// Upgrades the chart with what the operator needs to know of it.
    pub fn introduce(&self, cluster: &Cluster) -> anyhow::Result<()> {
        progress::step("helm upgrade with the chart's azure values", || {
            let here = ["get", "deployment", install::RELEASE, "-o"];
            let digest = r"jsonpath={.spec.template.metadata.annotations.mlops-operator\.dev/image}";
            let digest = kubectl(cluster, install::NAMESPACE, &[&here[..], &[digest]].concat())?;
            let values = values();
            let values: Vec<&str> = values.iter().flat_map(|value| ["--set", value]).collect();
            install::upgrade(cluster, digest.trim(), &values)
        })
    }

    /// Asks an endpoint for every row by the official SDK, and compares with scikit-learn's answers of a version.
    pub fn score(&self, endpoint: &Online, rows: &Rows, version: &str) -> anyhow::Result<Comparison> {
        let mut command = python::environment("azure")?.command();
        let sources = cache::repository();
        command.current_dir(sources.join("e2e/azure/python")).args(["-W", "ignore", "score.py"]);
        command.args([endpoint.group, endpoint.workspace, endpoint.name]);
        command.arg(sources.join("config/models/breast-cancer/rows.json"));
        let printed = shell::output(command.envs(self.environment()))?;
        let mut lines = printed.lines();
        let deployed = lines.next().unwrap_or_default();
        ensure!(deployed.contains("/models/"), "the SDK knows no deployed model: {printed}");
        let read = |line: &str| probabilities(line).with_context(|| format!("no probabilities in {line}"));
        rows.compare_answers(&lines.map(read).collect::<anyhow::Result<Vec<_>>>()?, version)
    }

    /// What the SDK has to know.
    fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("ARM_ENDPOINT", self.url.clone()),
            ("ARM_TENANT", TENANT.to_owned()),
            ("ARM_CLIENT_ID", CLIENT.0.to_owned()),
            ("ARM_CLIENT_SECRET", CLIENT.1.to_owned()),
            ("ARM_SUBSCRIPTION", SUBSCRIPTION.to_owned()),
            ("REQUESTS_CA_BUNDLE", self.authority.path().display().to_string()),
            ("NO_PROXY", "*".to_owned()),
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
        ]
    }
}

impl Drop for Azure {
    fn drop(&mut self) {
        if let Some(forward) = &mut self.forward {
            let _ = forward.kill();
            let _ = forward.wait();
        }
    }
}

/// An online endpoint in Azure.
pub struct Online<'a> {
    /// Its resource group.
    pub group: &'a str,
    /// Its workspace.
    pub workspace: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// The chart's values for it.
fn values() -> Vec<String> {
    let url = format!("https://{NAME}.{NAMESPACE}.svc:{PORT}");
    vec![
        format!("azure.resourceManagerEndpoint={url}"),
        format!("azure.authorityHost={url}"),
        format!("azure.caConfigMap={AUTHORITY}"),
        "azure.identity.type=ClientSecret".to_owned(),
        format!("azure.identity.secretName={IDENTITY}"),
        format!("azure.subscriptionId={SUBSCRIPTION}"),
        "azure.syncSeconds=30".to_owned(),
    ]
}

/// The way of this machine: the address of the Service where it is the node, else a forwarded port.
fn way(cluster: &Cluster, elsewhere: bool) -> anyhow::Result<(String, Option<Child>)> {
    if !elsewhere {
        return Ok((format!("https://{}:{PORT}", cluster_ip(cluster)?), None));
    }
    let mut command = cluster.kubectl();
    command.args(["--namespace", NAMESPACE, "port-forward", "service/azure", &format!(":{PORT}")]);
    let mut child = command.stdout(Stdio::piped()).spawn().context("failed to start kubectl port-forward")?;
    let mut line = String::new();
    let output = child.stdout.take().context("kubectl port-forward has no output")?;
    BufReader::new(output).read_line(&mut line)?;
    // "Forwarding from 127.0.0.1:PORT -> 8443"
    let port = line.split([':', ' ']).find_map(|part| part.parse::<u16>().ok());
    let port = port.with_context(|| format!("kubectl port-forward said {line:?}"))?;
    Ok((format!("https://127.0.0.1:{port}"), Some(child)))
}

fn cluster_ip(cluster: &Cluster) -> anyhow::Result<String> {
    let path = "jsonpath={.spec.clusterIP}";
    Ok(kubectl(cluster, NAMESPACE, &["get", "service", NAME, "-o", path])?.trim().to_owned())
}

/// The authority's certificate that the operator knows; empty without one.
fn known_authority(cluster: &Cluster) -> anyhow::Result<String> {
    let path = r"jsonpath={.data.ca\.crt}";
    kubectl(cluster, install::NAMESPACE, &["get", "configmap", AUTHORITY, "--ignore-not-found", "-o", path])
}

/// Makes the emulator's certificate and tells the operator of its authority, once for a cluster.
fn certificates(cluster: &Cluster) -> anyhow::Result<()> {
    let secret = ["get", "secret", NAME, "--ignore-not-found", "-o", "name"];
    if !known_authority(cluster)?.is_empty() && !kubectl(cluster, NAMESPACE, &secret)?.is_empty() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let authority = Authority::create(folder.path())?;
    let address = cluster_ip(cluster)?;
    let service = format!("{NAME}.{NAMESPACE}.svc");
    let pair = authority.server(NAME, NAME, &[], &[&service, &address, "127.0.0.1", "localhost"])?;
    let read = |path: &Path| {
        std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
    };
    let tls = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": NAME},
        "stringData": {"tls.crt": read(&pair.certificate)?, "tls.key": read(&pair.key)?},
    });
    apply(cluster, NAMESPACE, &[tls])?;
    let trusted = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": AUTHORITY},
        "data": {"ca.crt": read(&authority.certificate())?},
    });
    let identity = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": IDENTITY},
        "stringData": {
            "AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT.0, "AZURE_CLIENT_SECRET": CLIENT.1,
        },
    });
    apply(cluster, install::NAMESPACE, &[trusted, identity])
}

fn labels() -> Value {
    json!({"app.kubernetes.io/name": NAME})
}

fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME, "labels": labels()},
        "spec": {"selector": labels(), "ports": [{"name": "https", "port": PORT, "targetPort": "https"}]},
    })
}

/// The models' files, as blobs of the storage account.
fn blobs(files: &Files) -> Value {
    let mut objects = store::objects(files);
    objects[0]["metadata"] = json!({"name": "blobs", "labels": labels()});
    objects.swap_remove(0)
}

fn deployment(image: &Built, files: &Files) -> Value {
    let data = "/data";
    // One by one: a whole ConfigMap is mounted as links, which the emulator does not follow.
    let blob = |name: &String| {
        let path = format!("{data}/blobs/{MODELS}/{name}");
        json!({"name": "blobs", "mountPath": path, "subPath": name, "readOnly": true})
    };
    let mounts = [
        json!({"name": "data", "mountPath": data}),
        json!({"name": "tls", "mountPath": "/tls", "readOnly": true}),
        json!({"name": "tmp", "mountPath": "/tmp"}),
    ];
    let mounts: Vec<Value> = mounts.into_iter().chain(files.keys().map(blob)).collect();
    let container = json!({
        "name": NAME,
        "image": image.reference,
        "imagePullPolicy": "IfNotPresent",
        "args": [
            format!("--listen=0.0.0.0:{PORT}"), "--tls-cert=/tls/tls.crt", "--tls-key=/tls/tls.key",
            format!("--tenant={TENANT}"), format!("--client={}={}", CLIENT.0, CLIENT.1),
            format!("--state={data}/state.json"), format!("--data={data}/blobs"),
            "--model-server=/usr/bin/mlops-model-server", "--onnxruntime=/usr/lib/libonnxruntime.so",
        ],
        "ports": [{"name": "https", "containerPort": PORT}],
        "readinessProbe": {"tcpSocket": {"port": "https"}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": true,
        },
        "volumeMounts": mounts,
    });
    let pod = json!({
        "automountServiceAccountToken": false,
        "containers": [container],
        "securityContext": {
            "fsGroup": 65532, "runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": 5,
        "volumes": [
            {"name": "data", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
            {"name": "blobs", "configMap": {"name": "blobs"}},
            {"name": "tls", "secret": {"secretName": NAME}},
        ],
    });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": NAME, "labels": labels()},
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": labels()},
            "template": {
                "metadata": {"labels": labels(), "annotations": {"mlops-operator.dev/image": image.digest}},
                "spec": pod,
            },
        },
    })
}
