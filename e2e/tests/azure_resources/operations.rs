//! Row Z4: operations that outlive the operator, end badly, never end, or are forgotten.
use std::time::Duration;

use anyhow::ensure;
use arm_emulator::{Action, Emulator, Fault};
use e2e::azure::{workspace_id, workspace_spec};
use e2e::context::message;
use e2e::{Azure, Context, Operator, until};
use serde_json::json;

fn set(azure: &Azure, method: &str, path: &str, action: Action) -> anyhow::Result<u64> {
    azure.emulator.faults().set(Fault::new(method, path, action)).map_err(anyhow::Error::msg)
}

fn puts(azure: &Azure, name: &str) -> usize {
    let id = workspace_id(name);
    azure.writes(0).iter().filter(|call| call.method == "PUT" && call.path.eq_ignore_ascii_case(&id)).count()
}

pub(crate) async fn an_operation_outlives_crashes_and_is_not_started_again(
    context: &mut Context,
) -> anyhow::Result<()> {
    let azure = Azure::start_with(context, Emulator::builder().operation_duration(6000).rates(None)).await?;
    let mut operator = Operator::start(azure.options(context)?)?;
    let names: Vec<String> = (0..5).map(|index| format!("ws-{index}")).collect();
    for name in &names {
        context.make("MLWorkspace", "mlworkspaces", name, &workspace_spec()).await?;
    }
    for crash in 1..=5 {
        // At the first crash answers are on their way; at the later ones operations are being polled.
        until("the next calls", Duration::from_secs(20), async || {
            let calls = azure.calls(0).len();
            Ok(if calls >= crash * 6 { Ok(()) } else { Err(format!("{calls} calls")) })
        })
        .await?;
        operator.crash()?;
    }
    for name in &names {
        let object = context.object_says(&context.own("mlworkspaces", name), "Ready=True/Ready").await?;
        let resource = &object["status"]["resources"][0];
        ensure!(resource["operation"].is_null() && resource["state"] == "Ready", "{resource}");
        ensure!(puts(&azure, name) == 1, "{name} was put {} times", puts(&azure, name));
    }
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
    set(&azure, "PUT", "/workspaces/fails$", fails)?;
    set(&azure, "PUT", "/workspaces/canceled$", Action::OperationCanceled)?;
    for name in ["fails", "canceled"] {
        context.make("MLWorkspace", "mlworkspaces", name, &workspace_spec()).await?;
    }
    let failed =
        context.object_says(&context.own("mlworkspaces", "fails"), "Stalled=True/OperationFailed").await?;
    ensure!(message(&failed, "Ready").contains("the vault is locked up"), "{}", message(&failed, "Ready"));
    context.object_says(&context.own("mlworkspaces", "canceled"), "Ready=False").await?;
    // A change of the spec tries it at once.
    for name in ["fails", "canceled"] {
        context.merge(&context.own("mlworkspaces", name), &json!({"spec": {"description": "again"}})).await?;
        context.object_says(&context.own("mlworkspaces", name), "Ready=True/Ready").await?;
    }
    Ok(())
}

pub(crate) async fn a_forgotten_operation_is_answered_by_the_resource(
    context: &mut Context,
) -> anyhow::Result<()> {
    let azure = Azure::start(context).await?;
    let _operator = azure.operator(context).await?;
    set(&azure, "PUT", "/workspaces/gone$", Action::OperationUrlGone)?;
    context.make("MLWorkspace", "mlworkspaces", "gone", &workspace_spec()).await?;
    context.object_says(&context.own("mlworkspaces", "gone"), "Ready=True/Ready").await?;
    ensure!(puts(&azure, "gone") == 1, "it was put {} times", puts(&azure, "gone"));
    Ok(())
}

pub(crate) async fn an_object_deleted_while_its_operation_runs_ends_clean(
    context: &mut Context,
) -> anyhow::Result<()> {
    let azure = Azure::start_with(context, Emulator::builder().operation_duration(2500).rates(None)).await?;
    let _operator = azure.operator(context).await?;
    context.make("MLWorkspace", "mlworkspaces", "brief", &workspace_spec()).await?;
    let path = context.own("mlworkspaces", "brief");
    context.object_says(&path, "Reconciling=True/InProgress").await?;
    context.delete(&path).await?;
    context.gone(&path).await?;
    ensure!(azure.emulator.resource(&workspace_id("brief")).is_none(), "the workspace is left in Azure");
    Ok(())
}
