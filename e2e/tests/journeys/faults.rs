//! Rollouts under load while what carries them goes away in the middle: `cargo xtask faults rollouts` at full size.
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use api::Endpoint;
use api::endpoint::RolloutPhase;
use e2e::azure::sized;
use e2e::until;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::{Value, json};
use xtask::demo::install;

use crate::journey::{Journey, NAME, PATIENCE, digest, without_failure};
use crate::rollouts::{GATEWAY_PODS, canary, load, reaches, rollout};
use crate::stage::{CORRUPT, Stage};

/// The label of the operator's pods.
const OPERATOR_PODS: &str = "app.kubernetes.io/name=mlops-operator,app.kubernetes.io/component=operator";
/// How long the API server is away.
const AWAY: Duration = Duration::from_secs(3);
/// How long it may take until everything works as before.
const RECOVERY: Duration = Duration::from_mins(5);

/// What goes away in the middle of a rollout.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Gateway,
    ApiServer,
    Operator,
    Nothing,
}

/// One after the other; each meets promotions and revisions that crash.
const FAULTS: [Fault; 5] =
    [Fault::Gateway, Fault::ApiServer, Fault::Operator, Fault::Gateway, Fault::Nothing];

/// What has happened.
#[derive(Debug, Default)]
struct Tally {
    promoted: u32,
    rolled_back: u32,
    gateways: u32,
    restarts: u32,
    operators: u32,
}

fn spec(journey: &Journey<'_>, file: &str) -> anyhow::Result<Value> {
    let mut spec = canary(journey, file)?;
    spec["rollout"]["steps"] = json!([{"mirror": 50, "hold": "1s"}, {"traffic": 50, "hold": "1s"}]);
    Ok(spec)
}

/// Specs whose pods crash one after the other.
fn crashing(journey: &Journey<'_>, number: u32) -> anyhow::Result<Value> {
    let mut bad = spec(journey, CORRUPT)?;
    match number % 4 {
        1 => bad["model"]["digest"] = json!(digest(b"another file")),
        3 => bad["model"]["uri"] = json!(Stage::uri("absent.onnx")),
        _ => {}
    }
    Ok(bad)
}

/// Good revisions take over one after the other, and those that crash are given up, whatever goes away meanwhile.
pub(crate) async fn rollouts_go_on_while_gateways_and_the_api_server_go_away(
    journey: &Journey<'_>,
) -> anyhow::Result<()> {
    let asked = std::env::var(xtask::faults::ROLLOUTS).ok().and_then(|text| text.parse().ok());
    let count: u32 = sized(2, asked.unwrap_or(50));
    journey.apply(&spec(journey, "model-v1.onnx")?).await?;
    journey.until_ready().await?;
    let (load, started) = (load(journey, &["1", "2"])?, Instant::now());
    let mut tally = Tally::default();
    for number in 0..count {
        one(journey, number, &mut tally)
            .await
            .with_context(|| format!("rollout {number}, after {tally:?}"))?;
        if sized(false, true) {
            println!(
                "    {:.0} s, {} requests: {tally:?}",
                started.elapsed().as_secs_f64(),
                load.answers().iter().sum::<u64>()
            );
        }
        let failure = load.first_failure();
        ensure!(failure.is_none(), "in rollout {number}, after {tally:?}: {failure:?}");
    }
    load.wait_for(50, Duration::from_mins(1))?;
    let outcome = load.stop();
    println!(
        "{} rollouts promoted and {} rolled back in {:.0} s, while {} pods of the gateway and {} of the operator were \
         deleted and the API server was killed {} times: {} requests, {} failed",
        tally.promoted,
        tally.rolled_back,
        started.elapsed().as_secs_f64(),
        tally.gateways,
        tally.operators,
        tally.restarts,
        outcome.requests(),
        outcome.failed
    );
    without_failure(&outcome)?;
    ensure!(
        tally.promoted == count && tally.rolled_back > 0 && tally.gateways > 0 && tally.restarts > 0,
        "{tally:?}"
    );
    Ok(())
}

/// One good revision; with every second, one that crashes takes its place in the middle.
async fn one(journey: &Journey<'_>, number: u32, tally: &mut Tally) -> anyhow::Result<()> {
    let good = spec(journey, if number.is_multiple_of(2) { "model-v2.onnx" } else { "model-v1.onnx" })?;
    let before = rollout(&journey.endpoints().get(NAME).await?)?.stable;
    journey.apply(&good).await?;
    let in_force =
        |it: &Endpoint| rollout(it).is_ok_and(|it| it.candidate.is_some() && it.step_since.is_some());
    let begun = rollout(&journey.until("a step in force", in_force).await?)?;
    let crashes = number % 2 == 1;
    if crashes {
        let shared = |it: &Endpoint| rollout(it).is_ok_and(|it| it.traffic > Some(0));
        journey.until("a share of the requests", shared).await?;
        journey.apply(&crashing(journey, number)?).await?;
    }
    happen(journey, FAULTS[number as usize % FAULTS.len()], tally).await?;
    if crashes {
        let given_up = reaches(journey, RolloutPhase::RolledBack).await?;
        ensure!(given_up.stable == before, "{given_up:?}");
        tally.rolled_back += 1;
        journey.apply(&good).await?;
    }
    let took_over = |it: &Endpoint| rollout(it).is_ok_and(|it| Some(&it.stable) == begun.candidate.as_ref());
    let done = rollout(&journey.until("the promotion", took_over).await?)?;
    ensure!(done.stable != before, "{done:?}");
    tally.promoted += 1;
    Ok(())
}

async fn happen(journey: &Journey<'_>, fault: Fault, tally: &mut Tally) -> anyhow::Result<()> {
    match fault {
        Fault::Gateway => {
            delete_one(journey, GATEWAY_PODS, 2).await?;
            tally.gateways += 1;
        }
        Fault::Operator => {
            delete_one(journey, OPERATOR_PODS, 1).await?;
            tally.operators += 1;
        }
        Fault::ApiServer => {
            // While it is away, nobody can tell the node that a gateway leaves.
            settled(journey, GATEWAY_PODS, 2).await?;
            let cluster = journey.stage.cluster.clone();
            tokio::task::spawn_blocking(move || cluster.restart_api_server(AWAY)).await??;
            answers_again(journey).await?;
            tally.restarts += 1;
        }
        Fault::Nothing => {}
    }
    Ok(())
}

/// Deletes a pod once enough of its kind are ready and none is leaving.
async fn delete_one(journey: &Journey<'_>, label: &str, least: usize) -> anyhow::Result<()> {
    let leaving = settled(journey, label, least).await?;
    let pods = Api::<Pod>::namespaced(journey.client.clone(), install::NAMESPACE);
    pods.delete(&leaving, &DeleteParams::default()).await?;
    Ok(())
}

/// Waits until enough pods with a label are ready and none is leaving; returns the name of one.
async fn settled(journey: &Journey<'_>, label: &str, least: usize) -> anyhow::Result<String> {
    let pods = Api::<Pod>::namespaced(journey.client.clone(), install::NAMESPACE);
    until(&format!("{least} pods {label}"), PATIENCE, async || {
        let listed = pods.list(&ListParams::default().labels(label)).await?.items;
        let quiet = listed.iter().all(|pod| pod.metadata.deletion_timestamp.is_none() && is_ready(pod));
        let names: Vec<String> = listed.iter().map(kube::ResourceExt::name_any).collect();
        Ok(match names.first() {
            Some(first) if quiet && names.len() >= least => Ok(first.clone()),
            _ => Err(names.join(", ")),
        })
    })
    .await
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Waits until the API server answers this client too, whose connections went with it.
async fn answers_again(journey: &Journey<'_>) -> anyhow::Result<()> {
    let endpoints = journey.endpoints();
    until("an answer of the API server", RECOVERY, async || {
        Ok(endpoints.get(NAME).await.map(drop).map_err(|error| error.to_string()))
    })
    .await
}
