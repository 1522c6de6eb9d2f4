//! Rollouts step by step on a real API server: what the gateway is told, what is measured, and what a person says.
use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::context::{JSON, message, spec};
use e2e::gateway::Rates;
use e2e::{Context, Measured, Operator, PATIENCE, holds_for, until};
use plan::ChildKind;
use serde_json::{Value, json};

/// Starts an operator whose gateway reads its routes in the namespace of the case.
fn operator(context: &Context, gateway: &str) -> anyhow::Result<Operator> {
    let mut options = context.options()?;
    options.arguments.extend([
        "--gateway-url=http://gateway.example".to_owned(),
        format!("--gateway-namespace={}", context.namespace),
        format!("--gateway-admin={gateway}"),
    ]);
    Operator::start(options)
}

fn canary(version: u32) -> Value {
    let mut spec = spec(version);
    spec["scaling"] = json!({"replicas": 2});
    spec["rollout"] = json!({
        "strategy": "Canary",
        "steps": [{"mirror": 20, "hold": "1s"}, {"traffic": 50, "hold": "1s"}],
        "analysis": {"minRequests": 100, "maxErrorRate": 0.01, "maxPredictionDisagreement": 0.05},
        "scaleDownDelaySeconds": 5,
    });
    spec
}

async fn routes(context: &Context) -> anyhow::Result<Vec<Value>> {
    let list = context.get(&context.child(ChildKind::ConfigMap, "")).await?.unwrap_or_default();
    let routes = list["items"].as_array().into_iter().flatten();
    Ok(routes.filter_map(|it| serde_json::from_str(it["data"]["route.json"].as_str()?).ok()).collect())
}

/// The weights that the gateway is told, each as `REVISION=WEIGHT`, and the mirrored share.
async fn shares(context: &Context) -> anyhow::Result<(Vec<String>, Value)> {
    let routes = routes(context).await?;
    let route = routes.first().context("there is no routing document")?;
    let revisions = route["revisions"].as_array().into_iter().flatten();
    let shares = revisions.map(|it| format!("{}={}", it["name"].as_str().unwrap_or_default(), it["weight"]));
    Ok((shares.collect(), route["mirror"]["percent"].clone()))
}

async fn rollout(context: &Context) -> anyhow::Result<Value> {
    let endpoint = context.get(&context.endpoint("churn")).await?.context("the Endpoint is gone")?;
    Ok(endpoint["status"]["rollout"].clone())
}

/// Waits until the rollout's status has these fields.
async fn reaches(context: &Context, wanted: &Value) -> anyhow::Result<Value> {
    until(&format!("a rollout with {wanted}"), PATIENCE, async || {
        let seen = rollout(context).await?;
        let fits = wanted.as_object().into_iter().flatten().all(|(field, value)| seen[field] == *value);
        Ok(if fits { Ok(seen) } else { Err(seen.to_string()) })
    })
    .await
}

async fn new_model(context: &Context, version: u32) -> anyhow::Result<()> {
    let change = json!({"spec": {"model": spec(version)["model"]}});
    context.merge(&context.endpoint("churn"), &change).await.map(drop)
}

async fn say(context: &Context, word: &str) -> anyhow::Result<()> {
    let change = json!({"metadata": {"annotations": {"mlops-operator.dev/rollout-action": word}}});
    context.merge(&context.endpoint("churn"), &change).await.map(drop)
}

fn name(rollout: &Value, field: &str) -> String {
    rollout[field].as_str().unwrap_or_default().to_owned()
}

/// A model as good as the one before takes over; one that answers otherwise is caught while it answers nobody.
pub(crate) async fn a_candidate_goes_forward_on_evidence_and_back_on_worse(
    context: &mut Context,
) -> anyhow::Result<()> {
    let gateway = Measured::start().await?;
    let _operator = operator(context, gateway.address())?;
    context.create("churn", &canary(1)).await?;
    context.says("churn", "Ready=True/Ready").await?;
    let first = name(&rollout(context).await?, "stable");
    ensure!(shares(context).await? == (vec![format!("{first}=100")], Value::Null), "the first takes all");
    gateway.set(&first, Rates::default());
    new_model(context, 2).await?;
    let second = name(&reaches(context, &json!({"phase": "Progressing"})).await?, "candidate");
    // Nothing was measured of it yet, so that it stays a shadow.
    until("the mirror", PATIENCE, async || {
        let seen = shares(context).await?;
        let wanted = (vec![format!("{first}=100"), format!("{second}=0")], json!(20));
        Ok(if seen == wanted { Ok(()) } else { Err(format!("{seen:?}")) })
    })
    .await?;
    gateway.set(&second, Rates::default());
    context.says("churn", "Ready=True/Ready").await?;
    ensure!(shares(context).await? == (vec![format!("{second}=100")], Value::Null), "the second takes all");
    let service = context.get(&context.child(ChildKind::Service, "churn")).await?.unwrap_or_default();
    ensure!(service["spec"]["selector"]["mlops-operator.dev/revision"] == second, "{}", service["spec"]);
    new_model(context, 3).await?;
    let third = name(&reaches(context, &json!({"phase": "Progressing"})).await?, "candidate");
    gateway.set(&third, Rates { disagreements: 30, ..Rates::default() });
    let endpoint = context.says("churn", "Stalled=True/RolledBack").await?;
    let said = message(&endpoint, "Stalled");
    ensure!(said.contains("predictionDisagreement") && said.contains(&third), "{said}");
    ensure!(shares(context).await? == (vec![format!("{second}=100")], Value::Null), "the second goes on");
    ensure!(endpoint["status"]["rollout"]["rejected"]["revision"] == third.as_str(), "{endpoint:#}");
    let events = context.events().await?;
    for reason in ["Promoted", "RolledBack"] {
        ensure!(events.iter().any(|it| it.contains(reason)), "no event {reason}: {events:?}");
    }
    ensure!(gateway.looks(&format!("{}/churn", context.namespace)) > 0, "nobody asked the gateway");
    // The pods of revisions that get no requests go; their Deployments stay, to go back to.
    until("the end of the old pods", PATIENCE, async || {
        let list = context.get(&context.child(ChildKind::Deployment, "")).await?.unwrap_or_default();
        let left = list["items"].as_array().into_iter().flatten().filter(|it| it["spec"]["replicas"] != 0);
        let left: Vec<&Value> = left.map(|it| &it["metadata"]["name"]).collect();
        Ok(if left == [&json!(second)] { Ok(()) } else { Err(format!("{left:?}")) })
    })
    .await
}

/// The operator is killed in the middle of a step, which neither begins anew nor is skipped.
pub(crate) async fn a_rollout_goes_on_where_it_was_after_a_crash(
    context: &mut Context,
) -> anyhow::Result<()> {
    let gateway = Measured::start().await?;
    let mut operator = operator(context, gateway.address())?;
    let mut wanted = canary(1);
    wanted["rollout"]["steps"] = json!([{"traffic": 10, "hold": "1h"}, {"traffic": 50, "hold": "1s"}]);
    wanted["rollout"]["analysis"] = Value::Null;
    context.create("churn", &wanted).await?;
    context.says("churn", "Ready=True/Ready").await?;
    new_model(context, 2).await?;
    let before = reaches(context, &json!({"phase": "Progressing", "step": 1, "traffic": 10})).await?;
    operator.crash()?;
    operator.ready().await?;
    holds_for(Duration::from_secs(2), async || {
        let seen = rollout(context).await?;
        Ok(if seen["stepSince"] == before["stepSince"] { Ok(()) } else { Err(seen.to_string()) })
    })
    .await?;
    say(context, "skip-step").await?;
    context.says("churn", "Ready=True/Ready").await?;
    operator.check_alive()
}

/// Pause, resume, abort, retry, and a word that makes no sense now.
pub(crate) async fn a_person_steers_a_rollout_by_an_annotation(context: &mut Context) -> anyhow::Result<()> {
    let gateway = Measured::start().await?;
    let _operator = operator(context, gateway.address())?;
    let mut wanted = canary(1);
    wanted["rollout"]["steps"] = json!([{"traffic": 10}, {"pause": true}, {"traffic": 50, "hold": "1h"}]);
    wanted["rollout"]["analysis"] = Value::Null;
    context.create("churn", &wanted).await?;
    context.says("churn", "Ready=True/Ready").await?;
    new_model(context, 2).await?;
    let endpoint = context.says("churn", "Ready=False/AwaitingPerson").await?;
    ensure!(!message(&endpoint, "Reconciling").is_empty(), "waiting for a person is no failure");
    ensure!(message(&endpoint, "Ready").contains("resume"), "{}", message(&endpoint, "Ready"));
    say(context, "resume@1").await?;
    reaches(context, &json!({"phase": "Progressing", "step": 3, "traffic": 50})).await?;
    say(context, "abort@2").await?;
    context.says("churn", "Stalled=True/RolledBack").await?;
    say(context, "dance").await?;
    until("the refusal", PATIENCE, async || {
        let events = context.events().await?;
        let refused = events.iter().any(|it| it.contains("ActionRefused") && it.contains("skip-step"));
        Ok(if refused { Ok(()) } else { Err(events.join("\n")) })
    })
    .await?;
    say(context, "retry@3").await?;
    reaches(context, &json!({"phase": "Paused"})).await?;
    say(context, "promote@4").await?;
    context.says("churn", "Ready=True/Ready").await.map(drop)
}

/// The gateway gets digests; the keys themselves stay in the Secret, and are read in the Endpoint's namespace alone.
pub(crate) async fn keys_are_read_from_the_named_secret_alone(context: &mut Context) -> anyhow::Result<()> {
    let gateway = Measured::start().await?;
    let _operator = operator(context, gateway.address())?;
    let mut wanted = spec(1);
    wanted["auth"] = json!({"mode": "Key", "secretRef": {"name": "keys"}});
    context.create("churn", &wanted).await?;
    let endpoint = context.says("churn", "Stalled=True/SecretNotFound").await?;
    ensure!(message(&endpoint, "Stalled").contains("keys"), "{}", message(&endpoint, "Stalled"));
    ensure!(routes(context).await?.is_empty(), "nobody is let in before there is a key");
    let path = format!("/api/v1/namespaces/{}/secrets", context.namespace);
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"},
        "stringData": {"primaryKey": "open-sesame"}});
    context.must("POST", &path, JSON, &secret).await?;
    context.says("churn", "Ready=True/Ready").await?;
    let routes = routes(context).await?;
    let digest = plan::digest::sha256(b"open-sesame");
    ensure!(routes[0]["auth"] == json!({"mode": "Key", "digests": [digest]}), "{}", routes[0]["auth"]);
    ensure!(!routes[0].to_string().contains("open-sesame"), "the key itself is told");
    Ok(())
}

/// Deleted while the operator runs, and while it does not.
pub(crate) async fn an_endpoint_that_is_gone_leaves_no_route(context: &mut Context) -> anyhow::Result<()> {
    let gateway = Measured::start().await?;
    let mut operator = operator(context, gateway.address())?;
    for is_running in [true, false] {
        let mut wanted = spec(1);
        wanted["routing"] = json!({"queueTimeoutSeconds": 5});
        context.create("churn", &wanted).await?;
        let endpoint = context.says("churn", "Ready=True/Ready").await?;
        let url = format!("http://gateway.example/endpoints/{}/churn/", context.namespace);
        let told = endpoint["status"]["url"].as_str().unwrap_or_default();
        ensure!(told.starts_with(&url), "{told}");
        ensure!(routes(context).await?.len() == 1, "one routing document");
        if !is_running {
            operator.kill()?;
        }
        context.delete(&context.endpoint("churn")).await?;
        context.gone(&context.endpoint("churn")).await?;
        if !is_running {
            ensure!(routes(context).await?.len() == 1, "nobody is there to take it away");
            operator.crash()?;
        }
        until("the end of the route", PATIENCE, async || {
            let left = routes(context).await?.len();
            Ok(if left == 0 { Ok(()) } else { Err(format!("{left} are left")) })
        })
        .await?;
        context.is_empty().await?;
    }
    operator.check_alive()
}

/// A Deployment that bears the labels of a revision but belongs to nobody gets no requests and is not touched; a
/// routing document in a namespace other than the gateway's moves none.
pub(crate) async fn what_bears_our_labels_and_is_not_ours_is_left_alone(
    context: &mut Context,
) -> anyhow::Result<()> {
    let gateway = Measured::start().await?;
    let _operator = operator(context, gateway.address())?;
    context.create("churn", &canary(1)).await?;
    context.says("churn", "Ready=True/Ready").await?;
    let stable = name(&rollout(context).await?, "stable");
    let path = context.child(ChildKind::Deployment, &stable);
    let ours = context.get(&path).await?.context("the revision has no Deployment")?;
    let mut copy = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": ours["spec"],
        "metadata": {"name": "churn-intruder", "labels": ours["metadata"]["labels"]}});
    copy["spec"]["template"]["metadata"]["labels"]["mlops-operator.dev/revision"] = json!("churn-intruder");
    copy["spec"]["selector"]["matchLabels"]["mlops-operator.dev/revision"] = json!("churn-intruder");
    copy["spec"]["replicas"] = json!(1);
    let made = context.must("POST", &context.child(ChildKind::Deployment, ""), JSON, &copy).await?;
    say(context, "rollback=churn-intruder").await?;
    until("the refusal", PATIENCE, async || {
        let events = context.events().await?;
        let refused = events.iter().any(|it| it.contains("ActionRefused"));
        Ok(if refused { Ok(()) } else { Err(events.join("\n")) })
    })
    .await?;
    ensure!(shares(context).await?.0 == [format!("{stable}=100")], "the intruder gets requests");
    new_model(context, 2).await?;
    gateway.set(&stable, Rates::default());
    let candidate = name(&reaches(context, &json!({"phase": "Progressing"})).await?, "candidate");
    gateway.set(&candidate, Rates::default());
    context.says("churn", "Ready=True/Ready").await?;
    let after = context.get(&context.child(ChildKind::Deployment, "churn-intruder")).await?;
    let after = after.context("the intruder's Deployment was deleted")?;
    ensure!(after["spec"] == made["spec"], "the intruder's Deployment was changed");
    Ok(())
}
