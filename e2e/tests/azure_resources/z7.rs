//! Row Z7: nothing is deleted that must stay, and each refusal of Azure says what to do.
use std::time::Duration;

use anyhow::ensure;
use arm_emulator::{Action, Fault};
use e2e::azure::{Fleet, WORKSPACE, sized, workspace_id, workspace_spec};
use e2e::context::message;
use e2e::{Azure, Context};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_mins(1);

fn names(kind: &str) -> Vec<String> {
    (0..sized(1, 10)).map(|number| format!("{kind}-{number}")).collect()
}

fn left<'a>(azure: &Azure, fleet: &'a Fleet) -> Vec<&'a String> {
    fleet.names.iter().filter(|name| azure.emulator.resource(&workspace_id(name)).is_some()).collect()
}

pub(crate) async fn nothing_is_deleted_that_must_stay(context: &mut Context) -> anyhow::Result<()> {
    let azure = Azure::start(context).await?;
    let _operator = azure.operator(context).await?;
    let make = async |kind: &str, field: &str, value: Value| {
        let mut spec = workspace_spec();
        spec[field] = value;
        Fleet::make(context, WORKSPACE, &names(kind), |_| spec.clone()).await
    };
    let production = make("production", "environment", json!("Production")).await?;
    let orphan = make("orphan", "management", json!({"deletion": "Orphan"})).await?;
    let protected = make("protected", "management", json!({})).await?;
    for fleet in [&production, &orphan, &protected] {
        fleet.all_say("Ready=True/Ready", LIMIT).await?;
    }
    let annotation =
        |value: Value| json!({"metadata": {"annotations": {"mlops-operator.dev/protect": value}}});
    protected.merge(&annotation(json!("true"))).await?;
    for fleet in [&production, &orphan, &protected] {
        fleet.delete().await?;
    }
    for fleet in [&production, &orphan] {
        fleet.gone(LIMIT).await?;
        ensure!(left(&azure, fleet).len() == fleet.names.len(), "only {:?} are left", left(&azure, fleet));
    }
    protected.all_say("Stalled=True/DeletionProtected", LIMIT).await?;
    ensure!(
        left(&azure, &protected).len() == protected.names.len(),
        "only {:?} are left",
        left(&azure, &protected)
    );
    protected.merge(&annotation(Value::Null)).await?;
    protected.gone(LIMIT).await?;
    ensure!(left(&azure, &protected).is_empty(), "left in Azure: {:?}", left(&azure, &protected));
    context.tell(format!("{} of each of production, orphan and protected", protected.names.len()));
    Ok(())
}

/// A lock on a workspace, and one on what it lies in.
pub(crate) async fn a_lock_is_told_and_deletion_goes_on_without_it(
    context: &mut Context,
) -> anyhow::Result<()> {
    let azure = Azure::start(context).await?;
    let _operator = azure.operator(context).await?;
    let fleet = Fleet::make(context, WORKSPACE, &names("locked"), |_| workspace_spec()).await?;
    fleet.all_say("Ready=True/Ready", LIMIT).await?;
    let locks: Vec<String> = fleet
        .names
        .iter()
        .map(|name| {
            let lock = "providers/Microsoft.Authorization/locks/keep?api-version=2020-05-01";
            format!("{}/{lock}", workspace_id(name))
        })
        .collect();
    for lock in &locks {
        azure.ask("PUT", lock, Some(&json!({"properties": {"level": "CanNotDelete"}}))).await?;
    }
    let since = azure.emulator.log().last();
    fleet.delete().await?;
    for object in fleet.all_say("Stalled=True/Locked", LIMIT).await? {
        let told = message(&object, "Ready");
        ensure!(told.contains("ScopeLocked") && told.contains("emove the lock"), "{told}");
    }
    ensure!(left(&azure, &fleet).len() == fleet.names.len(), "only {:?} are left", left(&azure, &fleet));
    let tries = azure.writes(since).iter().filter(|call| call.method == "DELETE").count();
    for lock in &locks {
        azure.ask("DELETE", lock, None).await?;
    }
    fleet.gone(LIMIT).await?;
    ensure!(left(&azure, &fleet).is_empty(), "left in Azure: {:?}", left(&azure, &fleet));
    context.tell(format!("{} locked: {tries} refused deletions, gone after the locks", locks.len()));
    Ok(())
}

pub(crate) async fn refusals_of_azure_have_reasons_of_their_own(context: &mut Context) -> anyhow::Result<()> {
    let azure = Azure::start(context).await?;
    let cases = [
        ("denied", Action::AuthorizationFailed, "AzureDenied"),
        ("policy", Action::PolicyDenied, "PolicyDenied"),
        ("provider", Action::UnregisteredProvider, "ProviderNotRegistered"),
        ("quota", Action::OutOfQuota, "QuotaExceeded"),
    ];
    for (name, action, _) in cases.clone() {
        azure.fault(Fault::new("PUT", &format!("/workspaces/{name}$"), action).count(None))?;
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
    let told = message(&blocked, "Ready");
    ensure!(told.contains("Soft-deleted workspace exists"), "{told}");
    let purges = azure.writes(0).iter().filter(|call| call.query.contains_key("forceToPurge")).count();
    ensure!(purges == 0, "{purges} purges");
    Ok(())
}
