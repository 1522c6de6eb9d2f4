//! Journeys of models that come another way: from a claim, and into a container of one's own.
use std::os::unix::fs::PermissionsExt as _;

use anyhow::Context as _;
use serde_json::json;
use xtask::demo::kubectl::apply;

use crate::journey::{Journey, NAME};

pub(crate) async fn model_on_a_claim_is_verified_and_served(journey: &Journey<'_>) -> anyhow::Result<()> {
    // This machine is the node, so that a folder of it can be a volume.
    let folder = tempfile::Builder::new().prefix("mlops-journey-").tempdir()?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    std::fs::write(folder.path().join("model.onnx"), journey.stage.file("model-v2.onnx")?)?;
    let volume = journey.namespace.clone();
    let result = serve_from_claim(journey, folder.path(), &volume).await;
    journey.stage.kubectl(&volume, &["delete", "persistentvolume", &volume, "--wait=false"])?;
    result
}

async fn serve_from_claim(
    journey: &Journey<'_>,
    folder: &std::path::Path,
    volume: &str,
) -> anyhow::Result<()> {
    let size = json!({"storage": "1Mi"});
    let persistent_volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume},
        "spec": {
            "accessModes": ["ReadOnlyMany"],
            "capacity": size,
            "hostPath": {"path": folder, "type": "Directory"},
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
        },
    });
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"},
        "spec": {
            "accessModes": ["ReadOnlyMany"],
            "resources": {"requests": size},
            "storageClassName": "",
            "volumeName": volume,
        },
    });
    // kubectl refuses a namespace that differs, and a volume has none.
    apply(&journey.stage.cluster, "default", &[persistent_volume])?;
    apply(&journey.stage.cluster, &journey.namespace, &[claim])?;
    let mut spec = journey.spec("model-v2.onnx")?;
    spec["model"]["uri"] = json!("pvc://models/model.onnx");
    journey.apply(&spec).await?;
    journey.until_ready().await?;
    journey.compare("2")
}

/// Our own model server plays the container of somebody else: it only finds a file.
pub(crate) async fn container_of_one_s_own_finds_the_model_mounted(
    journey: &Journey<'_>,
) -> anyhow::Result<()> {
    let path = "jsonpath={.spec.image}";
    let runtime = ["get", "servingruntimes.mlops-operator.dev", "onnx", "-o", path];
    let image = journey.stage.kubectl(xtask::demo::install::NAMESPACE, &runtime)?;
    let mut spec = journey.spec("model-v1.onnx")?;
    spec["model"]["format"] = json!("Custom");
    spec["container"] = json!({
        "image": image,
        "args": ["--model-uri=$(MODEL_PATH)", "--model-name=$(MODEL_NAME)", "--http=0.0.0.0:$(HTTP_PORT)"],
    });
    journey.apply(&spec).await?;
    journey.until_ready().await?;
    journey.compare("1")?;
    let init = "jsonpath={.spec.template.spec.initContainers[*].name}";
    let init = journey.stage.kubectl(&journey.namespace, &["get", "deployment", NAME, "-o", init])?;
    (init == "fetch-model").then_some(()).with_context(|| format!("init containers: {init:?}"))
}
