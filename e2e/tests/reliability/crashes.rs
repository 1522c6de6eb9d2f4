//! Kills the operator at each of its writes, before the API server sees it and after, and compares the end with that of
//! a run without faults.
use std::time::{Duration, Instant};

use anyhow::ensure;
use e2e::context::{CONVERGES, Place, conditions, spec};
use e2e::{Context, Fault, Operator, PATIENCE, Proxy, until};
use serde_json::{Value, json};

/// More writes than any workload makes.
const MOST_WRITES: usize = 40;

/// What a user does.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Work {
    Create,
    NewModel,
    Scale,
    Delete,
}

/// Creating an Endpoint that scales by load, so that all six kinds are written.
pub(crate) async fn a_crash_at_any_write_of_a_creation_leaves_no_trace(
    context: &mut Context,
) -> anyhow::Result<()> {
    every_crash(context, Work::Create, 8).await
}

/// Changing the model.
pub(crate) async fn a_crash_at_any_write_of_a_new_model_leaves_no_trace(
    context: &mut Context,
) -> anyhow::Result<()> {
    every_crash(context, Work::NewModel, 3).await
}

/// From a range to a fixed number: the autoscaler goes, and the operator takes the replicas back.
pub(crate) async fn a_crash_at_any_write_of_a_scaling_leaves_no_trace(
    context: &mut Context,
) -> anyhow::Result<()> {
    every_crash(context, Work::Scale, 3).await
}

/// Deleting: the operator has nothing to write, so it is killed at once.
pub(crate) async fn a_crash_at_any_write_of_a_deletion_leaves_no_trace(
    context: &mut Context,
) -> anyhow::Result<()> {
    every_crash(context, Work::Delete, 0).await
}

async fn every_crash(context: &Context, work: Work, least: usize) -> anyhow::Result<()> {
    let (reference, writes) = run(context, work, None).await?;
    ensure!(writes >= least, "the run without faults made {writes} writes only: {reference:#}");
    let mut reached = 0;
    // How many writes a run makes depends on how news are spread in time, so each goes on to its own end.
    for write in 0..MOST_WRITES {
        let before = reached;
        for after in [false, true] {
            let (end, _) = run(context, work, Some((write, after, &mut reached))).await?;
            let when = if after { "after" } else { "before" };
            ensure!(
                end == reference,
                "a crash {when} write {write} ends otherwise:\n{}",
                differences(&reference, &end)
            );
        }
        if reached == before {
            break;
        }
    }
    context.tell(format!("{reached} crashes; {writes} writes without any"));
    ensure!(reached >= 2 * least, "only {reached} crashes took place, of {}", 2 * least);
    Ok(())
}

/// Runs a workload in a new namespace; returns the masked end and how many writes it took. With a crash, the operator
/// is killed when it makes that write.
async fn run(
    context: &Context,
    work: Work,
    crash: Option<(usize, bool, &mut usize)>,
) -> anyhow::Result<(Value, usize)> {
    let label = match &crash {
        None => "ref".to_owned(),
        Some((write, after, _)) => format!("{write}{}", if *after { "b" } else { "a" }),
    };
    let place = context.place(&label).await?;
    let proxy = context.proxy_named(&place.namespace).await?;
    let mut operator = Operator::start(context.options_for(&place.namespace, proxy.kubeconfig())?)?;
    operator.ready().await?;
    let mut wanted = spec(1);
    wanted["scaling"] = json!({"minReplicas": 2, "maxReplicas": 4});
    if work != Work::Create {
        place.create("churn", &wanted).await?;
        place.says("churn", "Ready=True/Ready").await?;
    }
    arm(&proxy, crash.as_ref().map(|(write, after, _)| (*write, *after)));
    begin(&place, work, &wanted).await?;
    if let Some((_, _, reached)) = crash {
        *reached += usize::from(is_met(&place, &proxy, work).await?);
        operator.kill()?;
        proxy.clear_rule();
        operator.crash()?;
    }
    let end = end(&place, work).await?;
    let writes = proxy.seen().iter().filter(|seen| seen.is_write()).count();
    place.truth.verify()?;
    operator.check_alive()?;
    Ok((end, writes))
}

/// Waits for the write that is held, or until the workload is done without it.
async fn is_met(place: &Place, proxy: &Proxy, work: Work) -> anyhow::Result<bool> {
    if work == Work::Delete {
        return Ok(false);
    }
    let mut done_at: Option<Instant> = None;
    until("the crash or the end", CONVERGES, async || {
        if proxy.held() > 0 {
            return Ok(Ok(true));
        }
        if done_at.is_none() && is_done(place, work).await? {
            done_at = Some(Instant::now());
        }
        // The event of the last transition follows its status.
        let is_over = done_at.is_some_and(|at| at.elapsed() > Duration::from_secs(1));
        Ok(if is_over { Ok(false) } else { Err(String::new()) })
    })
    .await
}

async fn is_done(place: &Place, work: Work) -> anyhow::Result<bool> {
    let endpoint = place.get(&place.endpoint("churn")).await?.unwrap_or_default();
    let is_current = endpoint["status"]["observedGeneration"] == endpoint["metadata"]["generation"];
    let is_ready = conditions(&endpoint).iter().any(|it| it == "Ready=True/Ready");
    Ok(is_current && is_ready && place.labelled().await?.len() == objects(work))
}

/// How many objects there are at the end.
fn objects(work: Work) -> usize {
    match work {
        Work::Create | Work::NewModel => 6,
        Work::Scale => 5,
        Work::Delete => 0,
    }
}

/// Holds the write with this number, or its answer.
fn arm(proxy: &Proxy, crash: Option<(usize, bool)>) {
    let mut writes = 0;
    proxy.set_rule(move |seen| {
        let Some((write, after)) = crash else { return Fault::Pass };
        if !seen.is_write() {
            return Fault::Pass;
        }
        writes += 1;
        match (writes - 1 == write, after) {
            (true, false) => Fault::HoldRequest,
            (true, true) => Fault::HoldAnswer,
            (false, _) => Fault::Pass,
        }
    });
}

async fn begin(place: &Place, work: Work, wanted: &Value) -> anyhow::Result<()> {
    let path = place.endpoint("churn");
    match work {
        Work::Create => place.create("churn", wanted).await.map(drop),
        Work::NewModel => place.merge(&path, &json!({"spec": {"model": spec(2)["model"]}})).await.map(drop),
        Work::Scale => {
            let fixed = json!({"replicas": 3, "minReplicas": null, "maxReplicas": null});
            place.merge(&path, &json!({"spec": {"scaling": fixed}})).await.map(drop)
        }
        Work::Delete => place.delete(&path).await,
    }
}

/// Waits for the end of a workload and returns it without what differs from run to run.
async fn end(place: &Place, work: Work) -> anyhow::Result<Value> {
    if work == Work::Delete {
        place.is_empty().await?;
        return Ok(json!({"objects": []}));
    }
    place.says("churn", "Ready=True/Ready").await?;
    let count = objects(work);
    until("the number of objects", PATIENCE, async || {
        let found = place.labelled().await?;
        Ok(if found.len() == count { Ok(()) } else { Err(found.join(", ")) })
    })
    .await?;
    let endpoint = place.says("churn", "Ready=True/Ready").await?;
    let mut objects: Vec<Value> = vec![endpoint];
    objects.extend(place.children("churn").await?.into_values());
    let text = serde_json::to_string(&objects.iter().map(masked).collect::<Vec<_>>())?;
    Ok(json!({
        "objects": serde_json::from_str::<Value>(&text.replace(&place.namespace, "NAMESPACE"))?,
        "labelled": place.labelled().await?,
    }))
}

fn masked(object: &Value) -> Value {
    let mut object = object.clone();
    let metadata = &mut object["metadata"];
    for field in ["uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"] {
        metadata[field] = Value::Null;
    }
    for owner in metadata["ownerReferences"].as_array_mut().into_iter().flatten() {
        owner["uid"] = Value::Null;
    }
    // It holds a digest of the owner's identity, among others.
    metadata["annotations"]["mlops-operator.dev/applied"] = Value::Null;
    for field in ["clusterIP", "clusterIPs"] {
        if object["spec"].get(field).is_some() {
            object["spec"][field] = Value::Null;
        }
    }
    let is_endpoint = object["kind"] == "Endpoint";
    if let Some(conditions) = object["status"]["conditions"].as_array_mut() {
        for condition in conditions {
            condition["lastTransitionTime"] = Value::Null;
        }
    }
    if !is_endpoint {
        object["status"] = Value::Null;
    }
    object
}

fn differences(left: &Value, right: &Value) -> String {
    let lines = |value: &Value| -> Vec<String> { format!("{value:#}").lines().map(str::to_owned).collect() };
    let (left, right) = (lines(left), lines(right));
    let pairs = left.iter().zip(&right).filter(|(left, right)| left != right);
    let mut text: Vec<String> = pairs.take(10).map(|(left, right)| format!("- {left}\n+ {right}")).collect();
    if left.len() != right.len() {
        text.push(format!("{} lines and {}", left.len(), right.len()));
    }
    text.join("\n")
}
