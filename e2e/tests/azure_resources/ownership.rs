//! Rows Z6 and Z7: what belongs to others is left alone, and nothing is deleted that must stay.
use std::time::Duration;

use anyhow::ensure;
use e2e::azure::{SUBSCRIPTION, workspace_id, workspace_spec};
use e2e::context::message;
use e2e::{Azure, Context, Operator, holds_for};
use serde_json::{Value, json};

/// Makes a workspace behind the operator's back, with these tags.
async fn make_by_hand(azure: &Azure, name: &str, tags: &Value) -> anyhow::Result<()> {
    let mut body = json!({"location": "westeurope", "identity": {"type": "SystemAssigned"}, "properties": {}, "tags": tags});
    for (field, type_, it) in [
        ("storageAccount", "Microsoft.Storage/storageAccounts", "e2estorage"),
        ("keyVault", "Microsoft.KeyVault/vaults", "e2evault"),
        ("applicationInsights", "Microsoft.Insights/components", "e2einsights"),
    ] {
        body["properties"][field] =
            json!(format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/ml/providers/{type_}/{it}"));
    }
    let ca = reqwest::Certificate::from_pem(azure.emulator.ca_pem().as_bytes())?;
    let client = reqwest::Client::builder().tls_certs_only([ca]).build()?;
    let url = format!("{}{}?api-version=2025-12-01", azure.emulator.url(), workspace_id(name));
    let request = client.put(url).bearer_auth(azure.emulator.token()?).body(body.to_string());
    let answer = request.header("content-type", "application/json").send().await?;
    ensure!(answer.status().is_success(), "{}", answer.text().await?);
    Ok(())
}

pub(crate) async fn a_resource_of_somebody_else_is_a_conflict_and_stays(
    context: &mut Context,
) -> anyhow::Result<()> {
    let azure = Azure::start(context).await?;
    let cases = [
        ("nobodys", json!({}), "Never", false),
        ("adopted", json!({}), "IfUnowned", true),
        ("terraforms", json!({"managed-by": "terraform"}), "IfUnowned", false),
        (
            "clusters",
            json!({"mlops-operator-owner": "another/MLWorkspace/team/clusters"}),
            "IfUnowned",
            false,
        ),
        ("forced", json!({"mlops-operator-owner": "another/MLWorkspace/team/forced"}), "Force", true),
    ];
    for (name, tags, _, _) in &cases {
        make_by_hand(&azure, name, tags).await?;
    }
    let since = azure.emulator.log().last();
    let _operator = azure.operator(context).await?;
    for (name, _, adoption, _) in &cases {
        let mut spec = workspace_spec();
        spec["management"] = json!({"adoption": adoption, "deletion": "Delete"});
        context.make("MLWorkspace", "mlworkspaces", name, &spec).await?;
    }
    for (name, _, _, taken) in &cases {
        let path = context.own("mlworkspaces", name);
        if *taken {
            context.object_says(&path, "Ready=True/Ready").await?;
        } else {
            let object = context.object_says(&path, "Stalled=True/NotOwned").await?;
            ensure!(
                message(&object, "Ready").contains("spec.management.adoption"),
                "{}",
                message(&object, "Ready")
            );
        }
        context.delete(&path).await?;
        context.gone(&path).await?;
        let left = azure.emulator.resource(&workspace_id(name)).is_some();
        ensure!(left != *taken, "{name}: left in Azure: {left}");
    }
    let foreign =
        |path: &str| cases.iter().any(|(name, _, _, taken)| !taken && path.ends_with(&format!("/{name}")));
    let touched: Vec<_> = azure.writes(since).into_iter().filter(|call| foreign(&call.path)).collect();
    ensure!(touched.is_empty(), "{touched:?}");
    Ok(())
}

pub(crate) async fn two_clusters_never_fight_over_one_resource(context: &mut Context) -> anyhow::Result<()> {
    let azure = Azure::start(context).await?;
    let other = context.place("other").await?;
    let start = |cluster: &str, namespace: &str| -> anyhow::Result<Operator> {
        let mut options = azure.options(context)?;
        options.arguments.retain(|it| !it.starts_with("--watch-namespace"));
        options.arguments.push(format!("--watch-namespace={namespace}"));
        options.arguments.push(format!("--cluster-id={cluster}"));
        Operator::start(options)
    };
    let _first = start("one", &context.namespace)?;
    context.make("MLWorkspace", "mlworkspaces", "shared", &workspace_spec()).await?;
    context.object_says(&context.own("mlworkspaces", "shared"), "Ready=True/Ready").await?;
    let _second = start("two", &other.namespace)?;
    let mut spec = workspace_spec();
    spec["description"] = json!("theirs");
    let manifest = e2e::context::manifest("MLWorkspace", "shared", &spec);
    other.must("POST", &other.own("mlworkspaces", ""), e2e::context::JSON, &manifest).await?;
    other.object_says(&other.own("mlworkspaces", "shared"), "Stalled=True/NotOwned").await?;
    let since = azure.emulator.log().last();
    holds_for(Duration::from_secs(6), async || {
        let writes = azure.writes(since);
        Ok(if writes.is_empty() { Ok(()) } else { Err(format!("{writes:?}")) })
    })
    .await
}

pub(crate) async fn nothing_is_deleted_that_must_stay(context: &mut Context) -> anyhow::Result<()> {
    let azure = Azure::start(context).await?;
    let _operator = azure.operator(context).await?;
    let mut production = workspace_spec();
    production["environment"] = json!("Production");
    let mut orphan = workspace_spec();
    orphan["management"] = json!({"deletion": "Orphan"});
    context.make("MLWorkspace", "mlworkspaces", "production", &production).await?;
    context.make("MLWorkspace", "mlworkspaces", "orphan", &orphan).await?;
    context.make("MLWorkspace", "mlworkspaces", "protected", &workspace_spec()).await?;
    for name in ["production", "orphan", "protected"] {
        context.object_says(&context.own("mlworkspaces", name), "Ready=True/Ready").await?;
    }
    let protected = context.own("mlworkspaces", "protected");
    let annotation =
        |value: Value| json!({"metadata": {"annotations": {"mlops-operator.dev/protect": value}}});
    context.merge(&protected, &annotation(json!("true"))).await?;
    for name in ["production", "orphan", "protected"] {
        context.delete(&context.own("mlworkspaces", name)).await?;
    }
    for name in ["production", "orphan"] {
        context.gone(&context.own("mlworkspaces", name)).await?;
        ensure!(azure.emulator.resource(&workspace_id(name)).is_some(), "{name} was deleted");
    }
    context.object_says(&protected, "Stalled=True/DeletionProtected").await?;
    ensure!(
        azure.emulator.resource(&workspace_id("protected")).is_some(),
        "the protected workspace was deleted"
    );
    context.merge(&protected, &annotation(Value::Null)).await?;
    context.gone(&protected).await?;
    ensure!(azure.emulator.resource(&workspace_id("protected")).is_none(), "the workspace is left in Azure");
    Ok(())
}

pub(crate) async fn refusals_of_azure_have_reasons_of_their_own(context: &mut Context) -> anyhow::Result<()> {
    use arm_emulator::{Action, Fault};
    let azure = Azure::start(context).await?;
    let cases = [
        ("denied", Action::AuthorizationFailed, "AzureDenied"),
        ("policy", Action::PolicyDenied, "PolicyDenied"),
        ("provider", Action::UnregisteredProvider, "ProviderNotRegistered"),
        ("quota", Action::OutOfQuota, "QuotaExceeded"),
    ];
    for (name, action, _) in cases.clone() {
        let fault = Fault::new("PUT", &format!("/workspaces/{name}$"), action).count(None);
        azure.emulator.faults().set(fault).map_err(anyhow::Error::msg)?;
    }
    let _operator = azure.operator(context).await?;
    for (name, ..) in &cases {
        context.make("MLWorkspace", "mlworkspaces", name, &workspace_spec()).await?;
    }
    for (name, _, reason) in &cases {
        context.object_says(&context.own("mlworkspaces", name), &format!("Stalled=True/{reason}")).await?;
    }
    // A soft-deleted twin blocks the name, and nothing is purged.
    context.make("MLWorkspace", "mlworkspaces", "twin", &workspace_spec()).await?;
    let path = context.own("mlworkspaces", "twin");
    context.object_says(&path, "Ready=True/Ready").await?;
    context.delete(&path).await?;
    context.gone(&path).await?;
    context.make("MLWorkspace", "mlworkspaces", "twin", &workspace_spec()).await?;
    let blocked = context.object_says(&path, "Stalled=True/SoftDeleted").await?;
    ensure!(
        message(&blocked, "Ready").contains("Soft-deleted workspace exists"),
        "{}",
        message(&blocked, "Ready")
    );
    let purges = azure.writes(0).iter().filter(|call| call.query.contains_key("forceToPurge")).count();
    ensure!(purges == 0, "{purges} purges");
    Ok(())
}
