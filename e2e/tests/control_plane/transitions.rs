//! From one spec to another on a real API server: the way does not matter (row R16), and a bad spec leaves no trace
//! while the stable revision goes on answering (row R17). The plan's own tests have two hundred of each.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::azure::sized;
use e2e::context::{JSON, Place, conditions};
use e2e::gateway::Rates;
use e2e::{Context, Measured, Mode, Operator, holds_for, until};
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::Api;
use kube::runtime::watcher::{self, Event, watcher};
use plan::ChildKind;
use serde_json::{Value, json};
use testkit::specs;

/// Where the chart lets captures go, and the domain of the gateway's host names.
const CAPTURES: &str = "https://telemetry.blob.core.windows.net/captures";
const DOMAIN: &str = "models.example";
/// How long a change may take with all its steps.
const CHANGE: Duration = Duration::from_mins(3);

/// Starts an operator for these namespaces, whose gateway reads its routes in the case's.
fn operator(context: &Context, gateway: &Measured, places: &[&Place]) -> anyhow::Result<Operator> {
    let mut options = context.options()?;
    options.arguments.extend(places.iter().map(|place| format!("--watch-namespace={}", place.namespace)));
    options.arguments.extend([
        "--gateway-url=http://gateway.example".to_owned(),
        format!("--gateway-namespace={}", context.namespace),
        format!("--gateway-admin={}", gateway.address()),
        format!("--gateway-domain={DOMAIN}"),
        format!("--gateway-capture-store={CAPTURES}"),
    ]);
    Operator::start(options)
}

fn spec(place: &Place, number: u64, version: u64) -> Value {
    let place = specs::Place { namespace: &place.namespace, domain: DOMAIN, captures: CAPTURES };
    specs::spec(number, version, &place)
}

async fn keys(place: &Place) -> anyhow::Result<()> {
    let path = format!("/api/v1/namespaces/{}/secrets", place.namespace);
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "churn-keys"},
        "stringData": {"primaryKey": "open-sesame"}});
    place.must("POST", &path, JSON, &secret).await.map(drop)
}

/// Replaces the spec as a whole: what the new one does not say goes.
async fn become_like(place: &Place, spec: &Value) -> anyhow::Result<()> {
    until("a new spec", CHANGE, async || {
        let mut endpoint = place.get(&place.endpoint("churn")).await?.context("the Endpoint is gone")?;
        endpoint["spec"] = spec.clone();
        let (code, said) = place.ask("PUT", &place.endpoint("churn"), JSON, &endpoint).await?;
        // The operator may have written in between.
        Ok(if code == 200 { Ok(()) } else { Err(format!("{code} {}", said["message"])) })
    })
    .await
}

/// Waits until the present spec is in force to its last step; the gateway measures that every revision does well.
async fn settled(place: &Place, gateway: &Measured) -> anyhow::Result<Value> {
    until(&format!("a settled Endpoint in {}", place.namespace), CHANGE, async || {
        let endpoint = place.get(&place.endpoint("churn")).await?.context("the Endpoint is gone")?;
        let rollout = &endpoint["status"]["rollout"];
        for field in ["stable", "candidate"] {
            rollout[field].as_str().into_iter().for_each(|it| gateway.set(it, Rates::default()));
        }
        let is_current = endpoint["status"]["observedGeneration"] == endpoint["metadata"]["generation"];
        let is_ready = conditions(&endpoint).contains(&"Ready=True/Ready".to_owned());
        let running = running(place).await?;
        let fits = is_current && is_ready && rollout["candidate"].is_null() && running.len() == 1;
        Ok(if fits { Ok(endpoint) } else { Err(format!("{} {}", endpoint["status"], running.len())) })
    })
    .await
}

/// The Deployments with pods.
async fn running(place: &Place) -> anyhow::Result<Vec<Value>> {
    let list = place.get(&place.child(ChildKind::Deployment, "")).await?.unwrap_or_default();
    let all = list["items"].as_array().cloned().unwrap_or_default();
    Ok(all.into_iter().filter(|it| it["spec"]["replicas"] != 0).collect())
}

fn route_name(place: &Place) -> String {
    format!("route-churn-{}", plan::digest::of(&json!([place.namespace, "churn"]), 10))
}

/// What there is, without what tells when and by which way it came.
async fn masked(context: &Context, place: &Place) -> anyhow::Result<Value> {
    let endpoint = place.get(&place.endpoint("churn")).await?.unwrap_or_default();
    let is_fixed = endpoint["spec"]["scaling"]["maxReplicas"].is_null();
    let (mut objects, mut revisions) = (Vec::new(), BTreeMap::new());
    for deployment in running(place).await? {
        let revision = &deployment["spec"]["template"]["metadata"]["labels"]["mlops-operator.dev/revision"];
        let name = deployment["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        revisions.insert(name, revision.as_str().unwrap_or_default().to_owned());
        let mut spec = deployment["spec"].clone();
        spec["selector"] = Value::Null;
        if !is_fixed {
            spec["replicas"] = Value::Null;
        }
        objects.push(spec);
    }
    let children = place.children("churn").await?.into_iter();
    for (kind, child) in children.filter(|(kind, _)| *kind != ChildKind::Deployment) {
        let mut spec = child["spec"].clone();
        for field in ["clusterIP", "clusterIPs"].into_iter().filter(|it| child["spec"].get(it).is_some()) {
            spec[field] = Value::Null;
        }
        if let Some(scaled) = spec.pointer_mut("/scaleTargetRef/name") {
            *scaled = json!(revisions.get(scaled.as_str().unwrap_or_default()));
        }
        objects.push(json!([kind.to_string(), child["metadata"]["labels"], spec]));
    }
    let route = context.get(&context.child(ChildKind::ConfigMap, &route_name(place))).await?;
    let status = &endpoint["status"];
    let text = json!({
        "objects": objects,
        "route": route.map(|it| it["data"]["route.json"].clone()),
        "conditions": conditions(&endpoint),
        "url": status["url"],
        "stable": status["rollout"]["stable"],
    })
    .to_string();
    Ok(serde_json::from_str(&text.replace(&place.namespace, "NAMESPACE"))?)
}

/// Pairs of specs one after the other, and the second alone.
pub(crate) async fn it_does_not_matter_by_which_way_a_spec_is_reached(
    context: &mut Context,
) -> anyhow::Result<()> {
    let context = &*context;
    let gateway = Measured::start().await?;
    let mut pairs = Vec::new();
    for number in 0..sized(5, 20) {
        let (there, fresh) =
            (context.place(&format!("{number}")).await?, context.place(&format!("{number}-fresh")).await?);
        keys(&there).await?;
        keys(&fresh).await?;
        pairs.push((number, there, fresh));
    }
    let places: Vec<&Place> = pairs.iter().flat_map(|(_, there, fresh)| [there, fresh]).collect();
    let _operator = operator(context, &gateway, &places)?;
    let one = async |(number, there, fresh): &(u64, Place, Place)| -> anyhow::Result<()> {
        let number = *number;
        let specs =
            |place: &Place| [0, 1, 2].map(|at| spec(place, 40 + 3 * number + at, 1 + (number + at) % 3));
        let (ways, last) = (specs(there), specs(fresh)[2].clone());
        there.create("churn", &ways[0]).await?;
        fresh.create("churn", &last).await?;
        settled(there, &gateway).await?;
        become_like(there, &ways[1]).await?;
        if number % 2 == 0 {
            settled(there, &gateway).await?;
        }
        become_like(there, &ways[2]).await?;
        settled(there, &gateway).await?;
        settled(fresh, &gateway).await?;
        // The last objects that nobody needs go behind the last step.
        until(&format!("the same end of pair {number}"), CHANGE, async || {
            let (there, fresh) = (masked(context, there).await?, masked(context, fresh).await?);
            Ok(if there == fresh {
                Ok(())
            } else {
                Err(format!("{ways:#?}\n{there:#}\ninstead of\n{fresh:#}"))
            })
        })
        .await?;
        there.truth.verify()?;
        fresh.truth.verify()
    };
    futures::future::try_join_all(pairs.iter().map(one)).await?;
    context.tell(format!("{} pairs", pairs.len()));
    Ok(())
}

/// The routing documents as the gateway saw them, one after the other.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Value>>>);

impl Seen {
    /// Records what becomes of the document with this name for as long as the task lives.
    fn of(context: &Context, name: String) -> (Self, tokio::task::JoinHandle<()>) {
        let (seen, api) =
            (Self::default(), Api::<ConfigMap>::namespaced(context.client.clone(), &context.namespace));
        let kept = seen.clone();
        let task = tokio::spawn(async move {
            let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
            let mut events = std::pin::pin!(watcher(api, config));
            while let Ok(Some(event)) = events.try_next().await {
                let map = match event {
                    Event::Apply(map) | Event::InitApply(map) => map,
                    Event::Delete(_) => ConfigMap::default(),
                    Event::Init | Event::InitDone => continue,
                };
                let text = map.data.and_then(|data| data.get("route.json").cloned()).unwrap_or_default();
                kept.all().push(serde_json::from_str(&text).unwrap_or_default());
            }
        });
        (seen, task)
    }

    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Value>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A revision whose pods never start, of each strategy; then the good spec again.
pub(crate) async fn a_bad_spec_leaves_no_trace_while_the_stable_revision_answers(
    context: &mut Context,
) -> anyhow::Result<()> {
    let gateway = Measured::start().await?;
    let _operator = operator(context, &gateway, &[])?;
    let steps = json!([{"traffic": 20, "hold": "1s"}, {"traffic": 60, "hold": "1s"}]);
    let strategies = [
        json!({"strategy": "Canary", "steps": steps}),
        json!({"strategy": "BlueGreen"}),
        json!({"strategy": "RollingUpdate"}),
    ];
    let mut good = json!({"model": e2e::context::spec(1)["model"], "scaling": {"replicas": 2}, "routing": {"queueTimeoutSeconds": 5}});
    good["rollout"] = strategies[0].clone();
    context.create("churn", &good).await?;
    let (seen, task) = Seen::of(context, route_name(context));
    for (round, strategy) in strategies.iter().enumerate() {
        good["rollout"] = strategy.clone();
        become_like(context, &good).await?;
        settled(context, &gateway).await?;
        let before = masked(context, context).await?;
        let stable = running(context).await?[0]["spec"]["template"]["metadata"]["labels"].clone();
        seen.all().clear();
        context.stand_in.set(Mode::Stuck);
        let mut bad = good.clone();
        bad["model"] = e2e::context::spec(90 + round as u32)["model"].clone();
        become_like(context, &bad).await?;
        context.says("churn", "Ready=False").await?;
        context.stand_in.set(Mode::Late);
        context.says("churn", "Stalled=True").await?;
        holds_for(Duration::from_secs(1), async || {
            let running = running(context).await?;
            let kept = running.iter().any(|it| {
                let is_whole = it["spec"]["replicas"] == 2 && it["status"]["availableReplicas"] == 2;
                is_whole
                    && (it["spec"]["template"]["metadata"]["labels"] == stable
                        || strategy["strategy"] == "RollingUpdate")
            });
            Ok(if kept { Ok(()) } else { Err(format!("the stable revision lost pods: {running:?}")) })
        })
        .await?;
        become_like(context, &good).await?;
        context.stand_in.set(Mode::Ready);
        settled(context, &gateway).await?;
        until("the state of before", CHANGE, async || {
            let now = masked(context, context).await?;
            Ok(if now == before { Ok(()) } else { Err(format!("{now:#}\ninstead of\n{before:#}")) })
        })
        .await?;
        for route in seen.all().iter() {
            let fits = sends_all_to(route, &stable["mlops-operator.dev/revision"])?;
            ensure!(fits, "with {}, requests did not all go to what answers: {route}", strategy["strategy"]);
        }
    }
    task.abort();
    Ok(())
}

/// Whether a routing document sends everything to one revision, which answers.
fn sends_all_to(route: &Value, revision: &Value) -> anyhow::Result<bool> {
    let revisions = route["revisions"].as_array().context("a document without revisions")?;
    let asked: Vec<&Value> = revisions.iter().filter(|it| it["weight"] != 0).collect();
    let [only] = asked.as_slice() else { return Ok(false) };
    let is_that = only["name"] == *revision || only["name"] == "churn";
    Ok(is_that && only["weight"] == 100 && only["ready"] == true)
}
