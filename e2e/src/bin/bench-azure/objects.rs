//! The objects that are measured: MLWorkspaces, and for each a Model with one version.
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use api::{MLWorkspace, Model};
use e2e::azure::workspace_spec;
use e2e::bench::NAMESPACE;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde_json::{Value, json};

/// How often progress is told.
const TELL: Duration = Duration::from_secs(20);

/// Waits until the API server takes such objects: the first of a kind that was just defined takes it seconds.
pub(crate) async fn accepted(client: &Client) -> anyhow::Result<()> {
    create_with(client, 1, &PostParams { dry_run: true, ..PostParams::default() }).await
}

/// Makes all of them.
pub(crate) async fn create(client: &Client, pairs: u32) -> anyhow::Result<()> {
    create_with(client, pairs, &PostParams::default()).await
}

async fn create_with(client: &Client, pairs: u32, parameters: &PostParams) -> anyhow::Result<()> {
    let workspaces = (0..pairs).map(|number| {
        let name = format!("workspace-{number:04}");
        object::<MLWorkspace>(&name, &workspace_spec())
    });
    let models = (0..pairs).map(|number| {
        let version = json!({
            "version": "1",
            "uri": "azureml://datastores/workspaceblobstore/paths/models/churn/1/model.onnx",
            "format": "ONNX",
        });
        let workspace = json!({"name": format!("workspace-{number:04}")});
        let spec = json!({"workspaceRef": workspace, "versions": [version]});
        object::<Model>(&format!("model-{number:04}"), &spec)
    });
    let create = |(resource, body): (ApiResource, Value)| {
        let objects: Api<DynamicObject> = Api::namespaced_with(client.clone(), NAMESPACE, &resource);
        async move {
            objects.create(parameters, &serde_json::from_value(body)?).await?;
            anyhow::Ok(())
        }
    };
    stream::iter(workspaces.chain(models)).map(create).buffer_unordered(8).try_collect().await
}

fn object<Kind: Resource<DynamicType = ()>>(name: &str, spec: &Value) -> (ApiResource, Value) {
    let resource = ApiResource::erase::<Kind>(&());
    let body = json!({
        "apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": name}, "spec": spec,
    });
    (resource, body)
}

/// Waits until all are ready; gives how long each took since the start, in order.
pub(crate) async fn all_ready(
    client: Client,
    pairs: u32,
    started: Instant,
    limit: Duration,
) -> anyhow::Result<Vec<Duration>> {
    let watch = |resource: &ApiResource| {
        let objects: Api<DynamicObject> = Api::namespaced_with(client.clone(), NAMESPACE, resource);
        watcher(objects, watcher::Config::default()).default_backoff().applied_objects()
    };
    let workspaces = watch(&ApiResource::erase::<MLWorkspace>(&()));
    let models = watch(&ApiResource::erase::<Model>(&()));
    let mut changes = std::pin::pin!(stream::select(workspaces, models));
    let count = pairs as usize * 2;
    let (mut ready, mut times, mut told) = (BTreeSet::new(), Vec::new(), Instant::now());
    while times.len() < count {
        let left = limit.saturating_sub(started.elapsed());
        let change = tokio::time::timeout(left, changes.try_next()).await;
        ensure!(change.is_ok(), "{} of {count} objects are ready after {} s", times.len(), limit.as_secs());
        let object = change??.context("the watch ended")?;
        if is_ready(&object.data["status"]) && ready.insert(object.name_any()) {
            times.push(started.elapsed());
        }
        if told.elapsed() > TELL {
            told = Instant::now();
            eprintln!("{} of {count} objects are ready after {} s", times.len(), started.elapsed().as_secs());
        }
    }
    Ok(times)
}

fn is_ready(status: &Value) -> bool {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}
