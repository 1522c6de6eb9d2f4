//! Rollouts between deployments in Azure: every step compared with what Azure was told, crashes in the middle, a version
//! that fails.
use std::time::Duration;

use anyhow::{Context as _, ensure};
use arm_emulator::{Action, Emulator, Fault};
use e2e::azure::{workspace_id, workspace_spec};
use e2e::{Azure, Context, until};
use serde_json::{Map, Value, json};

/// How long a rollout may take to get somewhere, with crashes.
const LIMIT: Duration = Duration::from_mins(3);

pub(crate) fn endpoint_id() -> String {
    format!("{}/onlineEndpoints/churn", workspace_id("dev"))
}

fn spec(version: u32) -> Value {
    json!({
        "target": {"type": "ManagedOnline", "workspaceRef": {"name": "dev"}, "instanceType": "Standard_DS3_v2"},
        "model": {"modelRef": {"name": "churn", "version": version.to_string()}, "format": "MLflow"},
        "rollout": {
            "strategy": "Canary",
            "steps": [{"mirror": 20, "hold": "2s"}, {"traffic": 10, "hold": "2s"}, {"pause": true}, {"traffic": 50, "hold": "2s"}],
            "scaleDownDelaySeconds": 5,
        },
    })
}

/// An Endpoint whose first version Azure serves; gives the path of the object, and the name of the deployment.
async fn served(context: &Context) -> anyhow::Result<(String, String)> {
    let version = |number: u32| json!({"version": number.to_string(), "uri": format!("azureml://datastores/models/paths/churn/{number}"), "format": "MLflow"});
    let model = json!({"workspaceRef": {"name": "dev"}, "versions": [version(1), version(2)]});
    context.make("MLWorkspace", "mlworkspaces", "dev", &workspace_spec()).await?;
    context.make("Model", "models", "churn", &model).await?;
    context.make("Endpoint", "endpoints", "churn", &spec(1)).await?;
    let path = context.own("endpoints", "churn");
    let object = context.object_says(&path, "Ready=True/Ready").await?;
    let stable = object["status"]["rollout"]["stable"].as_str().context("no revision is stable")?;
    Ok((path, stable.to_owned()))
}

/// Waits until the rollout's status is as asked for.
pub(crate) async fn rollout(
    context: &Context,
    path: &str,
    what: &str,
    is_there: impl Fn(&Value) -> bool,
) -> anyhow::Result<Value> {
    until(what, LIMIT, async || {
        let object = context.get(path).await?.unwrap_or_default();
        let current = object["status"]["observedGeneration"] == object["metadata"]["generation"];
        let is_there = current && is_there(&object["status"]["rollout"]);
        Ok(if is_there { Ok(object) } else { Err(format!("{}", object["status"])) })
    })
    .await
}

/// A share of a deployment, nothing where it has none.
fn share(map: &Value, name: &str) -> i64 {
    map[name].as_i64().unwrap_or(0)
}

/// Who was given what, write by write: live and mirrored shares of the first and of the second deployment.
fn told(azure: &Azure, since: u64, first: &str, second: &str) -> Vec<[i64; 3]> {
    let is_ours = |path: &str| path.eq_ignore_ascii_case(&endpoint_id());
    let writes = azure.writes(since).into_iter().filter(|call| call.method == "PUT" && is_ours(&call.path));
    let shares = writes.filter_map(|call| {
        let body = call.body?;
        let (traffic, mirror) = (&body["properties"]["traffic"], &body["properties"]["mirrorTraffic"]);
        Some([share(traffic, first), share(traffic, second), share(mirror, second)])
    });
    let mut all: Vec<[i64; 3]> = shares.collect();
    all.dedup();
    all
}

fn in_azure(azure: &Azure, first: &str, second: &str) -> [i64; 3] {
    let body = azure.emulator.resource(&endpoint_id()).unwrap_or_default();
    let (traffic, mirror) = (&body["properties"]["traffic"], &body["properties"]["mirrorTraffic"]);
    [share(traffic, first), share(traffic, second), share(mirror, second)]
}

fn deployments(azure: &Azure, names: &[&str]) -> Vec<bool> {
    let is_there =
        |name: &&str| azure.emulator.resource(&format!("{}/deployments/{name}", endpoint_id())).is_some();
    names.iter().map(is_there).collect()
}

/// An operator that is killed in every step goes on where it was, and no share is ever written that no step has.
pub(crate) async fn a_version_takes_over_step_by_step_through_crashes(
    context: &mut Context,
) -> anyhow::Result<()> {
    let azure = Azure::start_with(context, Emulator::builder().operation_duration(1500)).await?;
    let mut operator = azure.operator(context).await?;
    let (path, first) = served(context).await?;
    let since = azure.emulator.log().last();
    context.merge(&path, &json!({"spec": {"model": {"modelRef": {"version": "2"}}}})).await?;
    let object = rollout(context, &path, "a candidate", |it| it["candidate"].is_string()).await?;
    let second = object["status"]["rollout"]["candidate"].as_str().unwrap_or_default().to_owned();
    operator.crash()?;
    for (step, shares) in [(1, [100, 0, 20]), (2, [90, 10, 0])] {
        let is_there = |it: &Value| it["step"] == step && it["stepSince"].is_string();
        rollout(context, &path, &format!("step {step}"), is_there).await?;
        let seen = in_azure(&azure, &first, &second);
        // The next step may have begun since.
        let next = told(&azure, since, &first, &second).last().copied();
        ensure!(seen == shares || Some(seen) == next, "in step {step}, Azure has {seen:?}");
        operator.crash()?;
    }
    rollout(context, &path, "the pause", |it| it["phase"] == "Paused").await?;
    ensure!(in_azure(&azure, &first, &second) == [90, 10, 0], "{:?}", in_azure(&azure, &first, &second));
    operator.crash()?;
    let word = json!({"metadata": {"annotations": {api::meta::ROLLOUT_ACTION_ANNOTATION: "resume@1"}}});
    context.merge(&path, &word).await?;
    rollout(context, &path, "the promotion", |it| it["phase"] == "Completed" && it["stable"] == *second)
        .await?;
    operator.crash()?;
    context.object_says(&path, "Ready=True/Ready").await?;
    until("the end of the first deployment", LIMIT, async || {
        let left = deployments(&azure, &[&first, &second]);
        Ok(if left == [false, true] { Ok(()) } else { Err(format!("{left:?}")) })
    })
    .await?;
    let told = told(&azure, since, &first, &second);
    let steps = [[100, 0, 20], [90, 10, 0], [50, 50, 0], [0, 100, 0]];
    ensure!(told == steps, "Azure was told {told:?}");
    let made = azure
        .writes(since)
        .into_iter()
        .filter(|call| call.method == "PUT" && call.path.to_lowercase().contains("/deployments/"));
    ensure!(made.count() == 1, "the deployment was made more than once");
    context.tell(format!("{} writes of shares through 5 crashes", told.len()));
    Ok(())
}

/// A version that Azure fails to make, and one that it refuses, get no request and go.
pub(crate) async fn a_version_that_fails_gets_no_request_and_goes(
    context: &mut Context,
) -> anyhow::Result<()> {
    let azure = Azure::start(context).await?;
    let mut operator = azure.operator(context).await?;
    let (path, first) = served(context).await?;
    let since = azure.emulator.log().last();
    let deployment = |action| Fault::new("PUT", "/deployments/[^/]+$", action);
    let fails = Action::OperationFails {
        code: "ResourceNotReady".to_owned(),
        message: "User container has crashed or terminated".to_owned(),
    };
    azure.fault(deployment(fails))?;
    context.merge(&path, &json!({"spec": {"model": {"modelRef": {"version": "2"}}}})).await?;
    let object = rollout(context, &path, "the rollback", |it| it["phase"] == "RolledBack").await?;
    let rejected = &object["status"]["rollout"]["rejected"];
    ensure!(rejected["message"].to_string().contains("has crashed"), "{rejected}");
    let second = rejected["revision"].as_str().unwrap_or_default().to_owned();
    until("the end of what failed", LIMIT, async || {
        let left = deployments(&azure, &[&first, &second]);
        Ok(if left == [true, false] { Ok(()) } else { Err(format!("{left:?}")) })
    })
    .await?;
    context.object_says(&path, "Stalled=True/RolledBack").await?;
    context.object_says(&path, "Serving=True/Answering").await?;
    azure.fault(deployment(Action::OutOfQuota))?;
    let word = |word: &str| -> Value {
        let annotations: Map<String, Value> =
            [(api::meta::ROLLOUT_ACTION_ANNOTATION.to_owned(), json!(word))].into_iter().collect();
        json!({"metadata": {"annotations": annotations}})
    };
    context.merge(&path, &word("retry@1")).await?;
    let refused = |it: &Value| it["handledAction"] == "retry@1" && it["phase"] == "RolledBack";
    let object = rollout(context, &path, "the second rollback", refused).await?;
    let rejected = &object["status"]["rollout"]["rejected"];
    ensure!(rejected["message"].to_string().to_lowercase().contains("quota"), "{rejected}");
    ensure!(told(&azure, since, &first, &second).is_empty(), "requests were moved");
    ensure!(in_azure(&azure, &first, &second) == [100, 0, 0], "{:?}", in_azure(&azure, &first, &second));
    // Once there is room, a person's word is enough.
    context.merge(&path, &word("retry@2")).await?;
    let copies = |it: &Value| it["mirror"] == 20 && it["stepSince"].is_string();
    rollout(context, &path, "copies", copies).await?;
    operator.check_alive()
}
