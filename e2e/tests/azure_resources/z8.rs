//! Row Z8: what somebody changes or deletes in Azure is seen, and set back only where that is wanted.
use std::time::{Duration, Instant};

use anyhow::ensure;
use e2e::azure::{DATA, Fleet, WORKSPACE, data_spec, sized, workspace_id, workspace_spec};
use e2e::{Azure, Context, PATIENCE, until};
use serde_json::{Value, json};

/// What is changed behind the operator's back, and the field that it names.
fn changes() -> [(Value, &'static str); 4] {
    [
        (json!({"properties": {"description": "by hand"}}), "/properties/description"),
        (json!({"properties": {"friendlyName": "by hand"}}), "/properties/friendlyName"),
        (json!({"properties": {"publicNetworkAccess": "Disabled"}}), "/properties/publicNetworkAccess"),
        (json!({"tags": {"team": "other"}}), "/tags/team"),
    ]
}

fn spec() -> Value {
    let mut spec = workspace_spec();
    spec["description"] = json!("as declared");
    spec["friendlyName"] = json!("As declared");
    spec["publicNetworkAccess"] = json!("Enabled");
    spec["tags"] = json!({"team": "churn"});
    spec
}

fn names(kind: &str) -> Vec<String> {
    (0..sized(4, 20)).map(|number| format!("{kind}-{number}")).collect()
}

/// How much of what an object wants does not hold.
fn wrong(azure: &Azure, names: &[String]) -> usize {
    let is_wrong = |name: &&String| {
        let body = azure.emulator.resource(&workspace_id(name)).unwrap_or_default();
        let properties = &body["properties"];
        properties["description"] != "as declared"
            || properties["friendlyName"] != "As declared"
            || properties["publicNetworkAccess"] != "Enabled"
            || body["tags"]["team"] != "churn"
            || body["tags"]["cost"] != "42"
    };
    names.iter().filter(is_wrong).count()
}

pub(crate) async fn what_is_changed_in_azure_is_named_and_set_back(
    context: &mut Context,
) -> anyhow::Result<()> {
    let azure = Azure::start(context).await?;
    let _operator = azure.operator(context).await?;
    let names = names("ws");
    let fleet = Fleet::make(context, WORKSPACE, &names, |_| spec()).await?;
    fleet.all_say("Ready=True/Ready", Duration::from_mins(1)).await?;
    let control = azure.emulator.control();
    for (name, (change, _)) in names.iter().zip(changes().iter().cycle()) {
        let id = workspace_id(name);
        // A tag that the spec does not name stays.
        ensure!(
            control.merge(&id, &json!({"tags": {"cost": "42"}})) && control.merge(&id, change),
            "{name} is gone"
        );
    }
    let changed = Instant::now();
    until("the return of what was declared", PATIENCE, async || {
        let wrong = wrong(&azure, &names);
        Ok(if wrong == 0 { Ok(()) } else { Err(format!("{wrong} are wrong")) })
    })
    .await?;
    let back = changed.elapsed().as_secs_f64();
    until("events that name the fields", PATIENCE, async || {
        let events = context.events().await?;
        let named = |(name, (_, field)): &(&String, &(Value, &str))| {
            events.iter().any(|it| it.contains("Drifted") && it.contains(name.as_str()) && it.contains(field))
        };
        let changes = changes();
        let missing: Vec<&String> =
            names.iter().zip(changes.iter().cycle()).filter(|it| !named(it)).map(|(name, _)| name).collect();
        Ok(if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?} of\n{}", events.join("\n"))) })
    })
    .await?;
    context.tell(format!(
        "{} changed by hand: named and set back within {back:.1} s, with a sync of 2 s",
        names.len()
    ));
    Ok(())
}

pub(crate) async fn what_is_deleted_in_azure_is_made_again(context: &mut Context) -> anyhow::Result<()> {
    let azure = Azure::start(context).await?;
    let _operator = azure.operator(context).await?;
    let names = names("deleted");
    let workspaces = Fleet::make(context, WORKSPACE, &names, |_| workspace_spec()).await?;
    let data = Fleet::make(context, DATA, &names, |name| {
        let mut spec = data_spec(name, 1);
        spec["name"] = json!("churn");
        spec
    })
    .await?;
    for fleet in [&workspaces, &data] {
        fleet.all_say("Ready=True/Ready", Duration::from_mins(1)).await?;
    }
    let asset = |name: &str| format!("{}/data/churn/versions/1", workspace_id(name));
    let born = |id: &str| azure.emulator.resource(id).map(|body| body["systemData"]["createdAt"].clone());
    let mut before = Vec::new();
    for (number, name) in names.iter().enumerate() {
        // Every second loses its workspace with all in it; the others lose one asset.
        let workspace = number % 2 == 0;
        let id = if workspace { workspace_id(name) } else { asset(name) };
        let query = if workspace { "&forceToPurge=true" } else { "" };
        azure.ask("DELETE", &format!("{id}?api-version=2025-12-01{query}"), None).await?;
        until("its end in Azure", PATIENCE, async || {
            Ok(azure.emulator.resource(&id).map_or(Ok(()), |_| Err("it is there".to_owned())))
        })
        .await?;
        before.push(id);
    }
    until("their return", PATIENCE, async || {
        let missing = names.iter().filter(|name| born(&asset(name)).is_none()).count();
        Ok(if missing == 0 { Ok(()) } else { Err(format!("{missing} are missing")) })
    })
    .await?;
    for fleet in [&workspaces, &data] {
        fleet.all_say("Ready=True/Ready", Duration::from_mins(1)).await?;
    }
    context.tell(format!("{} deleted by hand and made again", before.len()));
    Ok(())
}

/// Who only looks sees the same changes, and writes nothing.
pub(crate) async fn who_observes_only_tells_the_difference(context: &mut Context) -> anyhow::Result<()> {
    let azure = Azure::start(context).await?;
    let _operator = azure.operator(context).await?;
    let names = names("observed");
    let fleet = Fleet::make(context, WORKSPACE, &names, |_| spec()).await?;
    fleet.all_say("Ready=True/Ready", Duration::from_mins(1)).await?;
    fleet.merge(&json!({"spec": {"management": {"mode": "Plan"}}})).await?;
    fleet.all_say("Ready=True/Ready", Duration::from_mins(1)).await?;
    let since = azure.emulator.log().last();
    let control = azure.emulator.control();
    for (name, (change, _)) in names.iter().zip(changes().iter().cycle()) {
        ensure!(control.merge(&workspace_id(name), change), "{name} is gone");
    }
    let changed = Instant::now();
    for object in fleet.all_say("Ready=False/Planned", Duration::from_secs(30)).await? {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let number = names.iter().position(|it| it == name).unwrap_or_default();
        let (_, field) = &changes()[number % 4];
        let told = object["status"]["plan"].to_string();
        ensure!(told.contains(field), "{name}: {told} does not name {field}");
    }
    let seen = changed.elapsed().as_secs_f64();
    fleet.delete().await?;
    fleet.gone(Duration::from_mins(1)).await?;
    let writes = azure.writes(since);
    ensure!(writes.is_empty(), "{writes:?}");
    context.tell(format!("{} observed: told within {seen:.1} s, 0 writes", names.len()));
    Ok(())
}
