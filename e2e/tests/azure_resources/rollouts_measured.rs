//! Rollouts between deployments in Azure that are judged by Azure Monitor: real models answer real requests, and what
//! Azure's metrics tell of them decides.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, ensure};
use arm_emulator::data_plane::{Local, Options, Storage};
use arm_emulator::{Action, Emulator, Fault};
use e2e::azure::{workspace_id, workspace_spec};
use e2e::{Azure, Context, Operator};
use serde_json::{Value, json};

use crate::rollouts::{endpoint_id, rollout};

/// The path of every read of metrics.
const METRICS: &str = "/providers/Microsoft.Insights/metrics$";
/// The name of what a step is judged by.
const CHECK: &str = "errorRate";

/// The versions of the model: a good one, one that takes other inputs, and another good one.
const VERSIONS: [&str; 3] = [
    "config/models/breast-cancer/model-v1.onnx",
    "src/model-server/tests/models/identity.onnx",
    "config/models/breast-cancer/model-v2.onnx",
];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

fn spec(version: &str) -> Value {
    json!({
        "target": {"type": "ManagedOnline", "workspaceRef": {"name": "dev"}, "instanceType": "Standard_DS3_v2"},
        "model": {"modelRef": {"name": "churn", "version": version}, "format": "MLflow"},
        "rollout": {
            "strategy": "Canary",
            "steps": [{"traffic": 50, "hold": "1s"}],
            "analysis": {"minRequests": 40, "maxErrorRate": 0.1, "maxP95LatencyRatio": 100},
            "scaleDownDelaySeconds": 5,
        },
    })
}

/// An Azure that runs deployments, whose metrics come every second.
async fn start(context: &Context, folder: &Path) -> anyhow::Result<(Azure, Operator)> {
    for (number, name) in (1..).zip(VERSIONS) {
        let blob = folder.join(format!("e2estorage/models/churn/{number}/model.onnx"));
        std::fs::create_dir_all(blob.parent().context("a blob lies in a container")?)?;
        std::fs::copy(file(name), &blob).with_context(|| format!("failed to copy {name}"))?;
    }
    let plane = Local::new(Options {
        onnxruntime: Some(xtask::python::onnxruntime_library()?),
        ..Options::new(Storage::Folder(folder.to_owned()))
    })?;
    let builder = Emulator::builder().operation_duration(200).metrics(1000, 0).data_plane(plane);
    let azure = Azure::start_with(context, builder).await?;
    let mut options = azure.options(context)?;
    let pace = ["--azure-metrics-interval-seconds=1", "--azure-metrics-lag-seconds=1"];
    options.arguments.extend(pace.map(str::to_owned));
    let operator = Operator::start(options)?;
    operator.ready().await?;
    Ok((azure, operator))
}

/// An Endpoint whose first version really answers; gives the path of the object.
async fn served(context: &Context, azure: &Azure) -> anyhow::Result<String> {
    context.make("MLWorkspace", "mlworkspaces", "dev", &workspace_spec()).await?;
    context.object_says(&context.own("mlworkspaces", "dev"), "Ready=True/Ready").await?;
    let store = json!({"properties": {
        "datastoreType": "AzureBlob", "accountName": "e2estorage", "containerName": "models",
        "credentials": {"credentialsType": "None"},
    }});
    let path = format!("{}/datastores/models?api-version=2025-12-01", workspace_id("dev"));
    azure.ask("PUT", &path, Some(&store)).await?;
    let version = |number: u32| json!({"version": number.to_string(), "uri": format!("azureml://datastores/models/paths/churn/{number}"), "format": "MLflow"});
    let model = json!({"workspaceRef": {"name": "dev"}, "versions": [version(1), version(2), version(3)]});
    context.make("Model", "models", "churn", &model).await?;
    context.make("Endpoint", "endpoints", "churn", &spec("1")).await?;
    let path = context.own("endpoints", "churn");
    context.object_says(&path, "Ready=True/Ready").await?;
    Ok(path)
}

/// A caller who never rests, until it is dropped.
struct Caller {
    task: tokio::task::JoinHandle<()>,
    good: Arc<AtomicU64>,
}

impl Caller {
    fn start(azure: &Azure) -> anyhow::Result<Self> {
        let ca = reqwest::Certificate::from_pem(azure.emulator.ca_pem().as_bytes())?;
        let client = reqwest::Client::builder().tls_certs_only([ca]).build()?;
        let url = format!("{}/emulator/inference/westeurope/churn/score", azure.emulator.url());
        let keys = azure.emulator.control().secret(&endpoint_id(), "/properties/keys");
        let keys = keys.context("the endpoint has no keys")?;
        let key = keys["primaryKey"].as_str().context("the endpoint has no primary key")?.to_owned();
        let rows = std::fs::read_to_string(file("config/models/breast-cancer/rows.json"))?;
        let row = serde_json::from_str::<Value>(&rows)?["rows"][0]["request"].to_string();
        let good = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&good);
        let task = tokio::spawn(async move {
            loop {
                let request = client.post(&url).bearer_auth(&key).header("content-type", "application/json");
                // What fails is what the rollout is to notice.
                if let Ok(answer) = request.body(row.clone()).send().await
                    && answer.status().is_success()
                {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        });
        Ok(Self { task, good })
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// When metrics were read since a call, in milliseconds, and by which question.
fn reads(azure: &Azure, since: u64) -> Vec<(i64, String)> {
    let is_metrics = |path: &str| path.to_lowercase().ends_with("/providers/microsoft.insights/metrics");
    let reads = azure.calls(since).into_iter().filter(|call| is_metrics(&call.path));
    reads.map(|call| (call.time, call.query.get("metricnames").cloned().unwrap_or_default())).collect()
}

fn version(number: &str) -> Value {
    json!({"spec": {"model": {"modelRef": {"version": number}}}})
}

/// A version whose answers are errors is given up, and one that answers well takes over: by Azure's metrics alone, which
/// are read during a step, once for each of their intervals at most. Who may not read them waits, and is told what is
/// missing.
pub(crate) async fn azure_monitor_tells_which_version_takes_over(
    context: &mut Context,
) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (azure, mut operator) = start(context, folder.path()).await?;
    let path = served(context, &azure).await?;
    let caller = Caller::start(&azure)?;
    context.merge(&path, &version("2")).await?;
    let object = rollout(context, &path, "the rollback", |it| it["phase"] == "RolledBack").await?;
    let told = &object["status"]["rollout"];
    let message = told["rejected"]["message"].as_str().unwrap_or_default();
    ensure!(message.starts_with(CHECK) && message.contains("4xx beyond the stable revision's"), "{message}");
    context.object_says(&path, "Stalled=True/RolledBack").await?;
    let first = told["stable"].as_str().unwrap_or_default().to_owned();
    // Without the role, nothing is known: the step waits, and nobody is rolled back for it.
    let denied = azure.fault(Fault::every(METRICS, Action::AuthorizationFailed))?;
    let since = azure.emulator.log().last();
    context.merge(&path, &version("3")).await?;
    let waits = |it: &Value| it["checks"][0]["message"].to_string().contains("the role Monitoring Reader");
    let object = rollout(context, &path, "the word about the role", waits).await?;
    let told = &object["status"]["rollout"];
    ensure!(told["checks"][0]["outcome"] == "Inconclusive" && told["phase"] == "Progressing", "{told}");
    ensure!(told["stable"] == *first && azure.emulator.faults().remove(denied), "{told}");
    let promoted = |it: &Value| it["phase"] == "Completed" && it["stable"] != *first;
    rollout(context, &path, "the promotion", promoted).await?;
    context.object_says(&path, "Ready=True/Ready").await?;
    let all = reads(&azure, 0);
    let entered = azure.writes(0).into_iter().find(|call| call.body.as_ref().is_some_and(is_split));
    let entered = entered.context("no step was entered")?.time;
    ensure!(
        all.first().is_some_and(|(time, _)| *time > entered),
        "metrics were read before any step: {all:?}"
    );
    for name in ["RequestsPerMinute", "RequestLatency_P95"] {
        let times: Vec<i64> = all.iter().filter(|(_, asked)| asked == name).map(|(time, _)| *time).collect();
        let (Some(first), Some(last)) = (times.first(), times.last()) else {
            anyhow::bail!("{name} was never read: {all:?}");
        };
        let intervals = usize::try_from((last - first) / 1000)? + 1;
        ensure!(times.len() <= intervals, "{name} was read more often than it changes: {times:?}");
    }
    context.tell(format!(
        "{} reads of metrics, {} of them for the good version; {} good answers",
        all.len(),
        reads(&azure, since).len(),
        caller.good.load(Ordering::Relaxed)
    ));
    operator.check_alive()
}

/// Whether a body gives requests to two deployments.
fn is_split(body: &Value) -> bool {
    let traffic = body["properties"]["traffic"].as_object();
    traffic.is_some_and(|all| all.values().filter(|share| share.as_i64() != Some(0)).count() == 2)
}
