//! A journey between the cluster and Azure: a model moves, and the official SDK finds it there.
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use xtask::demo::azure::{Azure, Online};
use xtask::demo::kubectl::apply;
use xtask::demo::rows::{client, score};

use crate::journey::{Journey, NAME, digest, says};

/// The resource group, and the workspace and the model in it.
const GROUP: &str = "journeys";
const WORKSPACE: &str = "journeys";

pub(crate) async fn model_moves_to_azure_while_it_answers_and_the_sdk_scores_it(
    journey: &Journey<'_>,
) -> anyhow::Result<()> {
    let azure = Azure::find(&journey.stage.cluster, false)?;
    azure.introduce(&journey.stage.cluster)?;
    let mut spec = journey.spec("model-v1.onnx")?;
    journey.apply(&spec).await?;
    journey.until_ready().await?;
    journey.compare("1")?;
    let (url, client) = (journey.url()?, client(false));
    apply(&journey.stage.cluster, &journey.namespace, &registered(journey)?)?;
    spec["model"] = json!({"modelRef": {"name": NAME, "version": "1"}, "format": "ONNX"});
    spec["target"] = managed_online();
    let _ = spec.as_object_mut().context("no spec")?.remove("resources");
    journey.apply(&spec).await?;
    // The address on the cluster goes only once Azure answers.
    let row = journey.stage.rows.rows.first().context("no rows")?.request.to_string();
    let mut answered = 0;
    while score(&client, &url, &row).is_ok() {
        answered += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let left = journey.endpoints().get(NAME).await?;
    let serves = left.status.as_ref().and_then(|status| status.url.clone()).unwrap_or_default();
    ensure!(answered > 0, "the address on the cluster went at once");
    ensure!(serves.ends_with("/score"), "the address on the cluster went while the status said {serves:?}");
    ensure!(says(&left, "Serving", "True", None), "the address on the cluster went while nothing served");
    let name = serves.trim_end_matches("/score").rsplit('/').next().context("no name")?;
    let online = Online { group: GROUP, workspace: WORKSPACE, name };
    let comparison = azure.score(&online, &journey.stage.rows, "1")?;
    ensure!(comparison.lines.len() >= 10, "only {} rows", comparison.lines.len());
    ensure!(comparison.largest <= journey.stage.rows.tolerance, "{} apart", comparison.largest);
    journey.until("readiness in Azure", |it| says(it, "Ready", "True", None)).await?;
    journey.endpoints().delete(NAME, &kube::api::DeleteParams::default()).await?;
    let gone = ["wait", "--for=delete", "endpoint.mlops-operator.dev/tumour", "--timeout=60s"];
    journey.stage.kubectl(&journey.namespace, &gone)?;
    let deletion = ["delete", "models.mlops-operator.dev,mlworkspaces.mlops-operator.dev", "--all"];
    journey.stage.kubectl(&journey.namespace, &deletion)?;
    Ok(())
}

/// A workspace with the model of the demo's storage account.
fn registered(journey: &Journey<'_>) -> anyhow::Result<Vec<Value>> {
    let object = |kind: &str, name: &str, spec: Value| {
        json!({
            "apiVersion": "mlops-operator.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec,
        })
    };
    let workspace = json!({
        "environment": "Development",
        "resourceGroup": GROUP,
        "location": "westeurope",
        "storageAccount": {"create": {"sku": "Standard_LRS"}},
        "keyVault": {"create": {"tenantId": xtask::demo::azure::TENANT}},
        "applicationInsights": {"create": {"retentionInDays": 30}},
        "datastores": [{
            "name": "models", "type": "AzureBlob", "accountName": "breastcancermodels", "containerName": "models",
        }],
    });
    let model = json!({
        "workspaceRef": {"name": WORKSPACE},
        "versions": [{
            "version": "1",
            "uri": "azureml://datastores/models/paths/model-v1.onnx",
            "format": "ONNX",
            "digest": digest(journey.stage.file("model-v1.onnx")?),
        }],
    });
    Ok(vec![object("MLWorkspace", WORKSPACE, workspace), object("Model", NAME, model)])
}

fn managed_online() -> Value {
    let route = |path: &str| json!({"path": path, "port": 8080});
    json!({
        "type": "ManagedOnline",
        "workspaceRef": {"name": WORKSPACE},
        "instanceType": "Standard_DS3_v2",
        "environment": {
            "image": "mlops-operator.dev/model-server:0.1.0",
            "livenessRoute": route("/v2/health/live"),
            "readinessRoute": route("/v2/health/ready"),
            "scoringRoute": route("/v2/models/tumour/infer"),
        },
    })
}
