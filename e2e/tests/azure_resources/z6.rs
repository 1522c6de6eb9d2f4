//! Row Z6: what belongs to others is left alone.
use std::time::Duration;

use anyhow::ensure;
use e2e::azure::{Fleet, WORKSPACE, seconds, sized, workspace_id, workspace_spec};
use e2e::context::message;
use e2e::{Azure, Context, Operator, holds_for};
use serde_json::{Value, json};

use super::by_hand;

/// A resource that somebody made before, and whether it may be taken over.
struct Case {
    name: &'static str,
    tags: Value,
    adoption: &'static str,
    taken: bool,
}

fn cases() -> Vec<Case> {
    let case = |name, tags, adoption, taken| Case { name, tags, adoption, taken };
    let owner = |tag: &str| json!({"mlops-operator-owner": tag});
    vec![
        case("nobodys", json!({}), "Never", false),
        case("adopted", json!({}), "IfUnowned", true),
        case("terraforms", json!({"managed-by": "terraform"}), "IfUnowned", false),
        case("asos", json!({"managed-by": "aso"}), "IfUnowned", false),
        case("clusters", owner("another/MLWorkspace/team/clusters"), "IfUnowned", false),
        case("forced", owner("another/MLWorkspace/team/forced"), "Force", true),
    ]
}

pub(crate) async fn a_resource_of_somebody_else_is_a_conflict_and_stays(
    context: &mut Context,
) -> anyhow::Result<()> {
    let azure = Azure::start(context).await?;
    let cases = cases();
    let each = sized(1, 10);
    let names =
        |case: &Case| -> Vec<String> { (0..each).map(|number| format!("{}-{number}", case.name)).collect() };
    for case in &cases {
        for name in names(case) {
            by_hand(&azure, &name, &case.tags).await?;
        }
    }
    let since = azure.emulator.log().last();
    let _operator = azure.operator(context).await?;
    let mut fleets = Vec::new();
    for case in &cases {
        let mut spec = workspace_spec();
        spec["management"] = json!({"adoption": case.adoption, "deletion": "Delete"});
        fleets.push(Fleet::make(context, WORKSPACE, &names(case), |_| spec.clone()).await?);
    }
    let limit = Duration::from_mins(1);
    for (case, fleet) in cases.iter().zip(&fleets) {
        let wanted = if case.taken { "Ready=True/Ready" } else { "Stalled=True/NotOwned" };
        for object in fleet.all_say(wanted, limit).await? {
            let told = message(&object, "Ready");
            ensure!(case.taken || told.contains("spec.management.adoption"), "{told}");
        }
        fleet.delete().await?;
    }
    for (case, fleet) in cases.iter().zip(&fleets) {
        fleet.gone(limit).await?;
        for name in &fleet.names {
            let left = azure.emulator.resource(&workspace_id(name)).is_some();
            ensure!(left != case.taken, "{name}: left in Azure: {left}");
        }
    }
    let foreign = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        cases.iter().any(|case| !case.taken && name.rsplit_once('-').is_some_and(|(it, _)| it == case.name))
    };
    let touched: Vec<_> = azure.writes(since).into_iter().filter(|call| foreign(&call.path)).collect();
    ensure!(touched.is_empty(), "{touched:?}");
    context.tell(format!("{} cases of {each}: what belongs to others got no write", cases.len()));
    Ok(())
}

pub(crate) async fn two_clusters_never_fight_over_one_resource(context: &mut Context) -> anyhow::Result<()> {
    let azure = Azure::start(context).await?;
    let other = context.place("other").await?;
    let start = |cluster: &str, mut options: e2e::operator::Options| -> anyhow::Result<Operator> {
        options.arguments.push(format!("--cluster-id={cluster}"));
        Operator::start(options)
    };
    let names: Vec<String> = (0..sized(1, 10)).map(|number| format!("shared-{number}")).collect();
    let _first = start("one", azure.options(context)?)?;
    let limit = Duration::from_mins(1);
    let ours = Fleet::make(context, WORKSPACE, &names, |_| workspace_spec()).await?;
    ours.all_say("Ready=True/Ready", limit).await?;
    let _second = start("two", azure.options_in(context, &other)?)?;
    let theirs = Fleet::make(&other, WORKSPACE, &names, |_| {
        let mut spec = workspace_spec();
        spec["description"] = json!("theirs");
        spec
    })
    .await?;
    theirs.all_say("Stalled=True/NotOwned", limit).await?;
    let since = azure.emulator.log().last();
    let span = seconds(6, 600);
    holds_for(span, async || {
        let writes = azure.writes(since);
        Ok(if writes.is_empty() { Ok(()) } else { Err(format!("{writes:?}")) })
    })
    .await?;
    ours.all_say("Ready=True/Ready", limit).await?;
    let reads = azure.calls(since).len();
    context.tell(format!("{} shared, for {} s: 0 writes, {reads} reads", names.len(), span.as_secs()));
    Ok(())
}
