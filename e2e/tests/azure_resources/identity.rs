//! Rows Z5 and Z3: rotated secrets, wrong tenants, and an Azure that is away.
use std::time::Duration;

use anyhow::ensure;
use arm_emulator::{Action, Client, Fault};
use e2e::azure::{workspace_id, workspace_spec};
use e2e::context::{JSON, message};
use e2e::{Azure, Context, until};
use serde_json::{Value, json};

const OTHER: &str = "c11e0000-0000-4000-8000-000000000002";

async fn secret(context: &Context, name: &str, tenant: &str, secret: &str) -> anyhow::Result<()> {
    let body = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
        "stringData": {"AZURE_TENANT_ID": tenant, "AZURE_CLIENT_ID": OTHER, "AZURE_CLIENT_SECRET": secret},
    });
    let path = format!("/api/v1/namespaces/{}/secrets/{name}?fieldManager=e2e&force=true", context.namespace);
    context.must("PATCH", &path, e2e::context::APPLY, &body).await.map(drop)
}

pub(crate) async fn a_rotated_secret_of_an_object_needs_no_restart(
    context: &mut Context,
) -> anyhow::Result<()> {
    let azure = Azure::start(context).await?;
    let tenant = arm_emulator::TENANT;
    azure.emulator.set_client(Client::new(OTHER, "first"));
    secret(context, "team", tenant, "first").await?;
    let mut operator = azure.operator(context).await?;
    let mut spec = workspace_spec();
    spec["azure"] = json!({"credentialsRef": {"name": "team"}});
    context.make("MLWorkspace", "mlworkspaces", "dev", &spec).await?;
    let path = context.own("mlworkspaces", "dev");
    context.object_says(&path, "Ready=True/Ready").await?;
    let principal = Client::new(OTHER, "first").object;
    ensure!(azure.writes(0).iter().all(|call| call.principal == principal), "another identity wrote");
    // The old secret is gone in Azure first: tokens that are good stay good, so a new one is asked for by a change.
    azure.emulator.set_client(Client::new(OTHER, "second"));
    secret(context, "team", tenant, "second").await?;
    context.merge(&path, &json!({"spec": {"description": "after the rotation"}})).await?;
    until("the description", Duration::from_mins(1), async || {
        let body = azure.emulator.resource(&workspace_id("dev")).unwrap_or_default();
        let done = body["properties"]["description"] == "after the rotation";
        Ok(if done { Ok(()) } else { Err(body.to_string()) })
    })
    .await?;
    secret(context, "wrong", "11111111-0000-4000-8000-000000000000", "second").await?;
    let mut spec = workspace_spec();
    spec["azure"] = json!({"credentialsRef": {"name": "wrong"}});
    context.make("MLWorkspace", "mlworkspaces", "astray", &spec).await?;
    let astray = context.object_says(&context.own("mlworkspaces", "astray"), "Stalled=True").await?;
    ensure!(message(&astray, "Ready").contains("AADSTS90002"), "{}", message(&astray, "Ready"));
    let mut spec = workspace_spec();
    spec["azure"] = json!({"credentialsRef": {"name": "absent"}});
    context.make("MLWorkspace", "mlworkspaces", "lonely", &spec).await?;
    context.object_says(&context.own("mlworkspaces", "lonely"), "Stalled=True/SecretNotFound").await?;
    let told = operator.log()
        + &context.events().await?.join("\n")
        + &context.get(&path).await?.unwrap_or_default().to_string();
    ensure!(!told.contains("\"second\"") && !told.contains("=second"), "the secret was told");
    operator.check_alive()
}

pub(crate) async fn while_azure_is_away_the_cluster_is_served_and_ready_stays(
    context: &mut Context,
) -> anyhow::Result<()> {
    let azure = Azure::start(context).await?;
    let _operator = azure.operator(context).await?;
    context.make("MLWorkspace", "mlworkspaces", "dev", &workspace_spec()).await?;
    let path = context.own("mlworkspaces", "dev");
    context.object_says(&path, "Ready=True/Ready").await?;
    let away = Fault {
        method: None,
        path: Some("^/subscriptions/".to_owned()),
        nth: 1,
        count: None,
        action: Action::Reset,
    };
    let fault = azure.emulator.faults().set(away).map_err(anyhow::Error::msg)?;
    let object = context.object_says(&path, "AzureReachable=False/AzureUnreachable").await?;
    let conditions = e2e::context::conditions(&object);
    ensure!(conditions.contains(&"Ready=True/Ready".to_owned()), "{conditions:?}");
    // What runs on the cluster is made all the same.
    context.create("churn", &e2e::context::spec(1)).await?;
    context.says("churn", "Ready=True/Ready").await?;
    azure.emulator.faults().remove(fault);
    context.object_says(&path, "AzureReachable=True/AzureReachable").await?;
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
