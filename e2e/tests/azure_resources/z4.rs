//! Row Z4: operations that outlive the operator, come in every shape, end badly, never end, or are forgotten.
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use arm_emulator::{Action, Emulator, Fault};
use e2e::azure::{Fleet, WORKSPACE, sized, workspace_id, workspace_spec};
use e2e::context::message;
use e2e::{Azure, Context, Operator, PATIENCE, until};
use serde_json::json;

fn put(name: &str, action: Action) -> Fault {
    Fault::new("PUT", &format!("/workspaces/{name}$"), action)
}

pub(crate) async fn an_operation_outlives_crashes_and_is_not_started_again(
    context: &mut Context,
) -> anyhow::Result<()> {
    let (workspaces, crashes) = sized((5, 5), (12, 6));
    let azure = Azure::start_with(context, Emulator::builder().operation_duration(8000)).await?;
    let mut operator = Operator::start(azure.options(context)?)?;
    let names: Vec<String> = (0..workspaces).map(|index| format!("ws-{index}")).collect();
    let fleet = Fleet::make(context, WORKSPACE, &names, |_| workspace_spec()).await?;
    for crash in 1..=crashes {
        // At the first crash answers are on their way; at the later ones operations are being polled.
        let enough = crash * (workspaces + 1);
        until("the next calls", PATIENCE, async || {
            let calls = azure.calls(0).len();
            Ok(if calls >= enough { Ok(()) } else { Err(format!("{calls} calls")) })
        })
        .await?;
        operator.crash()?;
    }
    for object in fleet.all_say("Ready=True/Ready", Duration::from_mins(1)).await? {
        let resource = &object["status"]["resources"][0];
        ensure!(resource["operation"].is_null() && resource["state"] == "Ready", "{resource}");
    }
    let resumed = names.iter().filter(|name| azure.puts(name) == 1).count();
    context.tell(format!(
        "{} crash points, {resumed} of {workspaces} operations started once",
        workspaces * crashes
    ));
    ensure!(resumed == names.len(), "only {resumed} of {} operations were started once", names.len());
    Ok(())
}

/// A header with its new value, or none where it is taken away.
type Header = (&'static str, Option<&'static str>);

/// The shapes in which a write may be answered: the status, and headers that are taken away or changed.
fn shapes() -> Vec<(&'static str, u16, Vec<Header>)> {
    let (operation, location) = (("Azure-AsyncOperation", None), ("Location", None));
    vec![
        ("as-served", 202, vec![]),
        ("created", 201, vec![]),
        ("only-location", 202, vec![operation]),
        ("only-operation", 202, vec![location]),
        ("only-operation-201", 201, vec![location]),
        ("only-body", 201, vec![operation, location]),
        ("only-body-200", 200, vec![operation, location]),
        ("only-body-202", 202, vec![operation, location]),
        ("no-retry-after", 202, vec![("Retry-After", None)]),
        ("milliseconds", 202, vec![("Retry-After", None), ("Retry-After-Ms", Some("300"))]),
    ]
}

/// The operator is killed while operations of all shapes run, and each is followed to its end.
pub(crate) async fn an_operation_of_any_shape_is_followed(context: &mut Context) -> anyhow::Result<()> {
    let azure = Azure::start_with(context, Emulator::builder().operation_duration(4000)).await?;
    let mut names = Vec::new();
    for (name, status, headers) in shapes() {
        let headers: BTreeMap<_, _> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect();
        azure.fault(put(name, Action::Edit { status: Some(status), headers }))?;
        names.push(name.to_owned());
    }
    let mut operator = azure.operator(context).await?;
    let fleet = Fleet::make(context, WORKSPACE, &names, |_| workspace_spec()).await?;
    fleet.all_say("Reconciling=True/InProgress", Duration::from_secs(20)).await?;
    operator.crash()?;
    fleet.all_say("Ready=True/Ready", Duration::from_mins(1)).await?;
    let again: Vec<&String> = names.iter().filter(|name| azure.puts(name) != 1).collect();
    ensure!(again.is_empty(), "started more than once: {again:?}");
    context.tell(format!("{} shapes, each crashed once and started once", names.len()));
    Ok(())
}

pub(crate) async fn an_operation_that_fails_says_why_and_is_tried_again(
    context: &mut Context,
) -> anyhow::Result<()> {
    let azure = Azure::start(context).await?;
    let _operator = azure.operator(context).await?;
    let fails = Action::OperationFails {
        code: "ValidationError".to_owned(),
        message: "the vault is locked up".to_owned(),
    };
    azure.fault(put("fails", fails.clone()))?;
    azure.fault(put("canceled", Action::OperationCanceled))?;
    azure.fault(put("alone", fails))?;
    for name in ["fails", "canceled", "alone"] {
        context.make("MLWorkspace", "mlworkspaces", name, &workspace_spec()).await?;
    }
    let failed =
        context.object_says(&context.own("mlworkspaces", "fails"), "Stalled=True/OperationFailed").await?;
    ensure!(message(&failed, "Ready").contains("the vault is locked up"), "{}", message(&failed, "Ready"));
    context.object_says(&context.own("mlworkspaces", "canceled"), "Stalled=True/OperationFailed").await?;
    // A change of the spec tries it at once.
    for name in ["fails", "canceled"] {
        context.merge(&context.own("mlworkspaces", name), &json!({"spec": {"description": "again"}})).await?;
        context.object_says(&context.own("mlworkspaces", name), "Ready=True/Ready").await?;
    }
    // Without one, it is tried after half a minute.
    context.object_says(&context.own("mlworkspaces", "alone"), "Ready=True/Ready").await?;
    ensure!(azure.puts("alone") == 2, "it was put {} times", azure.puts("alone"));
    Ok(())
}

/// An operation whose address answers 404 before its end, and one that does not end by the server's own word.
pub(crate) async fn an_operation_that_is_forgotten_or_never_ends_is_told(
    context: &mut Context,
) -> anyhow::Result<()> {
    let azure = Azure::start(context).await?;
    let _operator = azure.operator(context).await?;
    azure.fault(put("gone", Action::OperationUrlGone))?;
    azure.fault(put("endless", Action::OperationNeverEnds))?;
    let timeout = ("x-ms-async-operation-timeout".to_owned(), Some("PT3S".to_owned()));
    azure.fault(put("endless", Action::Edit { status: None, headers: BTreeMap::from([timeout]) }))?;
    for name in ["gone", "endless"] {
        context.make("MLWorkspace", "mlworkspaces", name, &workspace_spec()).await?;
    }
    context.object_says(&context.own("mlworkspaces", "gone"), "Ready=True/Ready").await?;
    let stuck =
        context.object_says(&context.own("mlworkspaces", "endless"), "Stalled=True/OperationStuck").await?;
    ensure!(
        message(&stuck, "Ready").contains("has not ended by its deadline"),
        "{}",
        message(&stuck, "Ready")
    );
    for name in ["gone", "endless"] {
        ensure!(azure.puts(name) == 1, "{name} was put {} times", azure.puts(name));
    }
    Ok(())
}

pub(crate) async fn an_object_deleted_while_its_operation_runs_ends_clean(
    context: &mut Context,
) -> anyhow::Result<()> {
    let azure = Azure::start_with(context, Emulator::builder().operation_duration(2500)).await?;
    let _operator = azure.operator(context).await?;
    context.make("MLWorkspace", "mlworkspaces", "brief", &workspace_spec()).await?;
    let path = context.own("mlworkspaces", "brief");
    context.object_says(&path, "Reconciling=True/InProgress").await?;
    context.delete(&path).await?;
    context.gone(&path).await?;
    ensure!(azure.emulator.resource(&workspace_id("brief")).is_none(), "the workspace is left in Azure");
    Ok(())
}
