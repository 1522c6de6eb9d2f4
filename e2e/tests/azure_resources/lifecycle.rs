//! The life of objects with resources in Azure, without faults.
use anyhow::ensure;
use e2e::azure::{data_spec, workspace_id, workspace_spec};
use e2e::context::{JSON, message};
use e2e::{Azure, Context};
use serde_json::{Value, json};

pub(crate) async fn a_workspace_and_its_data_are_made_changed_and_deleted(
    context: &mut Context,
) -> anyhow::Result<()> {
    let azure = Azure::start(context).await?;
    let mut operator = azure.operator(context).await?;
    // The asset comes first, and waits.
    context.make("DataAsset", "dataassets", "churn", &data_spec("dev", 1)).await?;
    let waiting =
        context.object_says(&context.own("dataassets", "churn"), "Ready=False/DependencyNotReady").await?;
    ensure!(message(&waiting, "Ready").contains("no MLWorkspace dev"), "{}", message(&waiting, "Ready"));
    context.make("MLWorkspace", "mlworkspaces", "dev", &workspace_spec()).await?;
    let workspace = context.object_says(&context.own("mlworkspaces", "dev"), "Ready=True/Ready").await?;
    ensure!(workspace["status"]["id"] == workspace_id("dev"), "{}", workspace["status"]);
    let guid = azure.emulator.resource(&workspace_id("dev")).unwrap_or_default()["properties"]["workspaceId"]
        .clone();
    ensure!(workspace["status"]["outputs"]["workspaceId"] == guid, "{}", workspace["status"]["outputs"]);
    context.object_says(&context.own("dataassets", "churn"), "Ready=True/Ready").await?;
    let version = format!("{}/data/churn/versions/1", workspace_id("dev"));
    ensure!(azure.emulator.resource(&version).is_some(), "{version} does not exist");

    let path = context.own("mlworkspaces", "dev");
    context.merge(&path, &json!({"spec": {"description": "for churn"}})).await?;
    context.object_says(&path, "Ready=True/Ready").await?;
    let body = azure.emulator.resource(&workspace_id("dev")).unwrap_or_default();
    ensure!(body["properties"]["description"] == "for churn", "{body}");

    context.delete(&context.own("dataassets", "churn")).await?;
    context.gone(&context.own("dataassets", "churn")).await?;
    ensure!(azure.emulator.resource(&version).is_none(), "{version} is still there");
    context.delete(&path).await?;
    context.gone(&path).await?;
    ensure!(azure.emulator.resource(&workspace_id("dev")).is_none(), "the workspace is still there");
    operator.check_alive()
}

pub(crate) async fn the_mode_plan_tells_every_write_and_makes_none(
    context: &mut Context,
) -> anyhow::Result<()> {
    let azure = Azure::start(context).await?;
    let _operator = azure.operator(context).await?;
    let mut spec = workspace_spec();
    spec["management"] = json!({"mode": "Plan"});
    context.make("MLWorkspace", "mlworkspaces", "dev", &spec).await?;
    let path = context.own("mlworkspaces", "dev");
    let planned = context.object_says(&path, "Ready=False/Planned").await?;
    let plan = &planned["status"]["plan"];
    let step = plan["steps"][0]["step"].as_str().unwrap_or_default();
    ensure!(step.contains("PUT") && step.contains(&workspace_id("dev")), "{plan}");
    ensure!(plan["hash"].as_str().is_some_and(|hash| hash.starts_with("sha256:")), "{plan}");
    ensure!(planned["metadata"]["finalizers"].is_null(), "{}", planned["metadata"]);
    ensure!(azure.writes(0).is_empty(), "{:?}", azure.writes(0));
    context.merge(&path, &json!({"spec": {"management": {"mode": "Manage"}}})).await?;
    context.object_says(&path, "Ready=True/Ready").await?;
    Ok(())
}

pub(crate) async fn ids_and_keys_are_exported_and_a_stranger_s_secret_is_kept(
    context: &mut Context,
) -> anyhow::Result<()> {
    let azure = Azure::start(context).await?;
    let _operator = azure.operator(context).await?;
    let mut spec = workspace_spec();
    spec["export"] = json!({"secretName": "dev-keys", "configMapName": "dev-ids"});
    context.make("MLWorkspace", "mlworkspaces", "dev", &spec).await?;
    context.object_says(&context.own("mlworkspaces", "dev"), "Ready=True/Ready").await?;
    let of = |kind: &str, name: &str| format!("/api/v1/namespaces/{}/{kind}/{name}", context.namespace);
    let ids = context.get(&of("configmaps", "dev-ids")).await?.unwrap_or_default();
    ensure!(ids["data"].to_string().contains(&workspace_id("dev")), "{ids}");
    let keys = context.get(&of("secrets", "dev-keys")).await?.unwrap_or_default();
    ensure!(keys["data"].as_object().is_some_and(|data| !data.is_empty()), "{}", keys["metadata"]);
    let stranger = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "theirs"}, "stringData": {"a": "b"}});
    context.must("POST", of("secrets", "").trim_end_matches('/'), JSON, &stranger).await?;
    let mut spec = workspace_spec();
    spec["export"] = json!({"secretName": "theirs"});
    context.make("MLWorkspace", "mlworkspaces", "second", &spec).await?;
    context.object_says(&context.own("mlworkspaces", "second"), "Stalled=True/Conflict").await?;
    let theirs = context.get(&of("secrets", "theirs")).await?.unwrap_or_default();
    ensure!(theirs["data"] == json!({"a": "Yg=="}), "a stranger's Secret was changed");
    let dev = context.get(&context.own("mlworkspaces", "dev")).await?.unwrap_or_default();
    let values: Vec<&Value> = keys["data"].as_object().into_iter().flat_map(|data| data.values()).collect();
    let told = dev["status"].to_string();
    ensure!(
        values.iter().all(|value| !told.contains(value.as_str().unwrap_or("-"))),
        "a key is in the status"
    );
    Ok(())
}
