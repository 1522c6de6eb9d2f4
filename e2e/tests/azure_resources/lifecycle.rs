//! The life of objects with resources in Azure, without faults.
use std::time::Duration;

use anyhow::ensure;
use e2e::azure::{data_spec, workspace_id, workspace_spec};
use e2e::context::message;
use e2e::{Azure, Context, until};
use serde_json::json;

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

pub(crate) async fn what_is_changed_in_azure_is_named_and_set_back(
    context: &mut Context,
) -> anyhow::Result<()> {
    let azure = Azure::start(context).await?;
    let _operator = azure.operator(context).await?;
    let mut spec = workspace_spec();
    spec["description"] = json!("as declared");
    context.make("MLWorkspace", "mlworkspaces", "dev", &spec).await?;
    let path = context.own("mlworkspaces", "dev");
    context.object_says(&path, "Ready=True/Ready").await?;
    let control = azure.emulator.control();
    let theirs = json!({"properties": {"description": "by hand"}, "tags": {"cost": "42"}});
    ensure!(control.merge(&workspace_id("dev"), &theirs), "the workspace is gone");
    until("the return of the description", Duration::from_secs(30), async || {
        let body = control.resource(&workspace_id("dev")).unwrap_or_default();
        let back = body["properties"]["description"] == "as declared" && body["tags"]["cost"] == "42";
        Ok(if back { Ok(()) } else { Err(body.to_string()) })
    })
    .await?;
    until("an event that names the field", Duration::from_secs(10), async || {
        let events = context.events().await?;
        let told =
            events.iter().any(|event| event.contains("Drifted") && event.contains("/properties/description"));
        Ok(if told { Ok(()) } else { Err(events.join("\n")) })
    })
    .await
}

pub(crate) async fn a_settled_object_is_read_once_per_sync_and_never_written(
    context: &mut Context,
) -> anyhow::Result<()> {
    let azure = Azure::start(context).await?;
    let _operator = azure.operator(context).await?;
    context.make("MLWorkspace", "mlworkspaces", "dev", &workspace_spec()).await?;
    context.object_says(&context.own("mlworkspaces", "dev"), "Ready=True/Ready").await?;
    for version in 1..=10 {
        context.make("DataAsset", "dataassets", &format!("d{version}"), &data_spec("dev", version)).await?;
    }
    for version in 1..=10 {
        context.object_says(&context.own("dataassets", &format!("d{version}")), "Ready=True/Ready").await?;
    }
    let since = azure.emulator.log().last();
    let id = workspace_id("dev");
    until("three reads of the workspace", Duration::from_secs(30), async || {
        let reads = azure.calls(since).iter().filter(|call| call.path.eq_ignore_ascii_case(&id)).count();
        Ok(if reads >= 3 { Ok(()) } else { Err(format!("{reads} reads")) })
    })
    .await?;
    let writes = azure.writes(since);
    ensure!(writes.is_empty(), "{writes:?}");
    let calls = azure.calls(since).len();
    // Three syncs of eleven objects, each a fifth earlier or later than another's.
    ensure!(calls <= 11 * 4, "{calls} reads for three syncs of eleven objects");
    Ok(())
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
