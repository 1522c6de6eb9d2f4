//! A store for models in a cluster without a registry: files in a ConfigMap, served over http by busybox.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::kubectl::{apply, kubectl};
use crate::cluster::Cluster;
use crate::oci::{File, Image};
use crate::{cache, image};

/// The name of the Service, and of everything else of the store.
pub const NAME: &str = "models";
/// A static busybox and nothing else.
pub const IMAGE: &str = "mlops-operator.dev/demo-files:1";
const PORT: u16 = 8080;

/// The files of the demo's models, by name.
pub fn demo_files() -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let folder = cache::repository().join("config/models/breast-cancer");
    let read = |name: &str| {
        let file = folder.join(name);
        let bytes = std::fs::read(&file).with_context(|| format!("failed to read {}", file.display()))?;
        Ok((name.to_owned(), bytes))
    };
    ["model-v1.onnx", "model-v2.onnx"].into_iter().map(read).collect()
}

/// Serves files at `http://models.NAMESPACE.svc/NAME`; returns when they are served.
pub fn run(cluster: &Cluster, namespace: &str, files: &BTreeMap<String, Vec<u8>>) -> anyhow::Result<()> {
    load(cluster)?;
    serve(cluster, namespace, files)
}

/// Makes the image that serves them available to the cluster's pods.
pub fn load(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.load_image(&write_image()?)
}

/// The same where the image is loaded already.
pub fn serve(cluster: &Cluster, namespace: &str, files: &BTreeMap<String, Vec<u8>>) -> anyhow::Result<()> {
    apply(cluster, namespace, &objects(files))?;
    let deployment = format!("deployment/{NAME}");
    kubectl(cluster, namespace, &["rollout", "status", &deployment, "--timeout=120s"]).map(drop)
}

/// A static busybox, which serves files and has nothing else to run.
fn write_image() -> anyhow::Result<PathBuf> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new).into_iter().find(|path| path.is_file());
    let busybox = busybox.context("busybox is not installed (Debian package busybox-static)")?;
    let archive = image::folder()?.join("demo-files.tar");
    let command = ["/bin/busybox", "httpd", "-f", "-p", &PORT.to_string(), "-h", "/srv"];
    Image {
        reference: IMAGE.to_owned(),
        files: vec![File::copy("/bin/busybox", busybox, 0o755)],
        entrypoint: command.map(str::to_owned).to_vec(),
        user: image::USER.to_owned(),
        ..Image::default()
    }
    .write(&archive)?;
    Ok(archive)
}

pub(super) fn objects(files: &BTreeMap<String, Vec<u8>>) -> Vec<Value> {
    let data: BTreeMap<&String, String> =
        files.iter().map(|(name, bytes)| (name, BASE64_STANDARD.encode(bytes))).collect();
    let metadata = json!({"name": NAME, "labels": {"app.kubernetes.io/name": NAME}});
    let container = json!({
        "name": "files",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"name": "http", "containerPort": PORT}],
        "readinessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "32Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": true,
        },
        "volumeMounts": [{"name": "files", "mountPath": "/srv", "readOnly": true}],
    });
    let pod = json!({
        "automountServiceAccountToken": false,
        "containers": [container],
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "terminationGracePeriodSeconds": 1,
        "volumes": [{"name": "files", "configMap": {"name": NAME}}],
    });
    let labels = json!({"app.kubernetes.io/name": NAME});
    vec![
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "binaryData": data}),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
        }),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_fits_a_config_map() {
        let size: usize = demo_files().unwrap().values().map(Vec::len).sum();
        assert!(size > 0 && size < 500_000, "{size}");
    }
}
