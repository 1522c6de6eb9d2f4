//! Row Z1: a fault at each call to Azure in the life of a workspace and its data, and row Z2: half of all calls fail.
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::ensure;
use arm_emulator::{Action, Emulator, Entry, Fault, Rates};
use e2e::azure::{data_spec, workspace_id, workspace_spec};
use e2e::{Azure, Context, until};
use serde_json::{Value, json};

/// The calls of one life, by method and the end of the path.
const CALLS: [(&str, &str, &str); 6] = [
    ("get-workspace", "GET", ""),
    ("put-workspace", "PUT", ""),
    ("delete-workspace", "DELETE", ""),
    ("get-data", "GET", "/data/churn/versions/1"),
    ("put-data", "PUT", "/data/churn/versions/1"),
    ("delete-data", "DELETE", "/data/churn/versions/1"),
];

fn answer(status: u16, headers: &[(&str, &str)]) -> Action {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Action::Answer { status, body: None, headers: headers.collect::<BTreeMap<_, _>>() }
}

fn faults() -> Vec<(&'static str, Action)> {
    vec![
        ("blocked", answer(503, &[])),
        ("lost", Action::LoseResponse),
        ("throttled", answer(429, &[("Retry-After", "1")])),
        ("broken", answer(500, &[])),
        ("gateway", answer(502, &[])),
        ("reset", Action::Reset),
        ("stalled", Action::Stall { milliseconds: 400 }),
        ("truncated", Action::Truncate),
        ("html", Action::Html { status: 502 }),
        ("unauthorized", answer(401, &[])),
        ("forbidden", Action::AuthorizationFailed),
        ("hidden", Action::HideAfterCreate { reads: 1 }),
        ("busy", Action::AnotherOperationInProgress),
        ("precondition", answer(412, &[])),
    ]
}

/// Every call of the life with every fault, each in a workspace of its own, all beside each other.
pub(crate) async fn a_fault_at_any_call_leaves_no_trace(context: &mut Context) -> anyhow::Result<()> {
    let azure = Azure::start(context).await?;
    let mut names = Vec::new();
    for (call, method, end) in CALLS {
        for (fault, action) in faults() {
            let name = format!("{call}-{fault}");
            let path = format!("/workspaces/{name}{end}$");
            azure.emulator.faults().set(Fault::new(method, &path, action)).map_err(anyhow::Error::msg)?;
            names.push(name);
        }
    }
    let mut operator = azure.operator(context).await?;
    for name in &names {
        context.make("MLWorkspace", "mlworkspaces", name, &workspace_spec()).await?;
        let mut data = data_spec(name, 1);
        data["name"] = json!("churn");
        context.make("DataAsset", "dataassets", name, &data).await?;
    }
    for name in &names {
        context.object_says(&context.own("dataassets", name), "Ready=True/Ready").await?;
        let changed = json!({"spec": {"description": "changed"}});
        context.merge(&context.own("mlworkspaces", name), &changed).await?;
    }
    for name in &names {
        context.object_says(&context.own("mlworkspaces", name), "Ready=True/Ready").await?;
        let body = azure.emulator.resource(&workspace_id(name)).unwrap_or_default();
        ensure!(body["properties"]["description"] == "changed", "{name}: {body}");
    }
    for name in &names {
        context.delete(&context.own("dataassets", name)).await?;
    }
    for name in &names {
        context.gone(&context.own("dataassets", name)).await?;
        context.delete(&context.own("mlworkspaces", name)).await?;
    }
    for name in &names {
        context.gone(&context.own("mlworkspaces", name)).await?;
        ensure!(azure.emulator.resource(&workspace_id(name)).is_none(), "{name} is left in Azure");
    }
    let hit = azure.emulator.faults().list();
    let missed: Vec<&Value> = hit.iter().filter(|fault| fault["hit"] == 0).collect();
    ensure!(missed.is_empty(), "faults that were never met: {missed:?}");
    no_write_is_repeated(&azure.calls(0))?;
    operator.check_alive()
}

/// At most one write of a resource repeats the one before it.
fn no_write_is_repeated(calls: &[Entry]) -> anyhow::Result<()> {
    let mut last: BTreeMap<String, (Value, u32)> = BTreeMap::new();
    let served = |call: &&Entry| call.method == "PUT" && call.status.is_none_or(|status| status < 300);
    for call in calls.iter().filter(served) {
        let path = call.path.to_lowercase();
        let body = call.body.clone().unwrap_or_default();
        match last.get_mut(&path) {
            Some((before, repeats)) if *before == body => {
                *repeats += 1;
                ensure!(*repeats <= 1, "{path} was written {repeats} times too often: {body}");
            }
            _ => drop(last.insert(path, (body, 0))),
        }
    }
    Ok(())
}

/// Half of all calls are throttled or fail for a while; then everything is ready, and no call came too early.
pub(crate) async fn half_of_all_calls_fail_and_everything_gets_ready(
    context: &mut Context,
) -> anyhow::Result<()> {
    const OBJECTS: u32 = 30;
    let azure =
        Azure::start_with(context, Emulator::builder().operation_duration(100).rates(Some(Rates::default())))
            .await?;
    // Every second matching call, for a while: what is hit waits, so that the calls that follow are others.
    for nth in (1..120).step_by(4) {
        let throttled = Fault::new("(?i)", "never", answer(429, &[("Retry-After", "1")]));
        let throttled = Fault { method: None, path: Some("/workspaces/ws-".to_owned()), nth, ..throttled };
        azure.emulator.faults().set(throttled).map_err(anyhow::Error::msg)?;
        let broken = Fault {
            method: None,
            path: Some("/workspaces/ws-".to_owned()),
            nth: nth + 2,
            count: Some(1),
            action: answer(503, &[]),
        };
        azure.emulator.faults().set(broken).map_err(anyhow::Error::msg)?;
    }
    let _operator = azure.operator(context).await?;
    let started = Instant::now();
    for index in 0..OBJECTS {
        context.make("MLWorkspace", "mlworkspaces", &format!("ws-{index}"), &workspace_spec()).await?;
    }
    until("every workspace", Duration::from_mins(3), async || {
        let mut ready = 0;
        for index in 0..OBJECTS {
            let object =
                context.get(&context.own("mlworkspaces", &format!("ws-{index}"))).await?.unwrap_or_default();
            ready += u32::from(e2e::context::conditions(&object).contains(&"Ready=True/Ready".to_owned()));
        }
        Ok(if ready == OBJECTS {
            Ok(())
        } else {
            Err(format!("{ready} of {OBJECTS} after {:?}", started.elapsed()))
        })
    })
    .await?;
    let calls = azure.calls(0);
    for (index, call) in calls.iter().enumerate().filter(|(_, call)| call.status == Some(429)) {
        let reads = call.method == "GET";
        let until = call.time + i64::try_from(call.milliseconds)? + 1000;
        let early = calls[index + 1..].iter().find(|next| {
            // What was under way when the answer came could not know of it.
            let began = next.time;
            (next.method == "GET") == reads && began > call.time + 250 && began < until - 50
        });
        ensure!(early.is_none(), "{early:?} came before the Retry-After of {call:?}");
    }
    no_write_is_repeated(&calls)
}
