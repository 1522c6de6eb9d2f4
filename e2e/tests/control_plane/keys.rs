//! Keys of Endpoints on a real API server: made, kept, replaced once for each word, and told to nobody.
use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::context::{CONVERGES, JSON, message, spec};
use e2e::{Context, Fault, Operator, Proxy, until};
use plan::ChildKind;
use serde_json::{Value, json};

fn options(context: &Context) -> anyhow::Result<e2e::operator::Options> {
    let mut options = context.options()?;
    options.arguments.extend([
        "--gateway-url=http://gateway.example".to_owned(),
        format!("--gateway-namespace={}", context.namespace),
    ]);
    Ok(options)
}

fn keyed() -> Value {
    let mut spec = spec(1);
    spec["auth"] = json!({"mode": "Key"});
    spec
}

fn secrets(context: &Context, name: &str) -> String {
    format!("/api/v1/namespaces/{}/secrets/{name}", context.namespace).trim_end_matches('/').to_owned()
}

/// The keys that the Secret holds, as callers send them.
async fn keys(context: &Context) -> anyhow::Result<Vec<String>> {
    let secret = context.get(&secrets(context, "churn-keys")).await?.context("there is no Secret")?;
    let secret: k8s_openapi::api::core::v1::Secret = serde_json::from_value(secret)?;
    let data = secret.data.unwrap_or_default();
    let key = |name: &str| -> anyhow::Result<String> {
        Ok(String::from_utf8(data.get(name).context("a key is missing")?.0.clone())?)
    };
    Ok(vec![key("primaryKey")?, key("secondaryKey")?])
}

/// The digests that the gateway is told.
async fn told(context: &Context) -> anyhow::Result<Vec<String>> {
    let list = context.get(&context.child(ChildKind::ConfigMap, "")).await?.unwrap_or_default();
    let mut routes = list["items"].as_array().into_iter().flatten();
    let route = routes.find_map(|it| serde_json::from_str::<Value>(it["data"]["route.json"].as_str()?).ok());
    Ok(serde_json::from_value(route.unwrap_or_default()["auth"]["digests"].clone()).unwrap_or_default())
}

fn digests(keys: &[String]) -> Vec<String> {
    keys.iter().map(|key| plan::digest::sha256(key.as_bytes())).collect()
}

/// Waits until the gateway is told of just the keys that the Secret holds; returns them.
async fn settled(context: &Context) -> anyhow::Result<Vec<String>> {
    until("the keys in the routing document", CONVERGES, async || {
        let (keys, told) = (keys(context).await?, told(context).await?);
        Ok(if digests(&keys) == told { Ok(keys) } else { Err(format!("{} digests are told", told.len())) })
    })
    .await
}

async fn say(context: &Context, word: &str) -> anyhow::Result<()> {
    let change = json!({"metadata": {"annotations": {"mlops-operator.dev/keys-action": word}}});
    context.merge(&context.endpoint("churn"), &change).await.map(drop)
}

/// Waits until the status names the word as handled; returns what it says of keys.
async fn handled(context: &Context, word: &str) -> anyhow::Result<Value> {
    until(&format!("the end of {word}"), CONVERGES, async || {
        let endpoint = context.get(&context.endpoint("churn")).await?.context("the Endpoint is gone")?;
        let status = endpoint["status"]["keys"].clone();
        Ok(if status["handledAction"] == word { Ok(status) } else { Err(status.to_string()) })
    })
    .await
}

/// Made with the Endpoint, given back when lost, taken from a person, gone with the Endpoint; and never told.
pub(crate) async fn keys_are_made_kept_and_told_to_nobody(context: &mut Context) -> anyhow::Result<()> {
    let mut options = options(context)?;
    options.arguments.retain(|it| !it.starts_with("--log-level"));
    options.arguments.push("--log-level=debug".to_owned());
    let operator = Operator::start(options)?;
    context.create("churn", &keyed()).await?;
    context.says("churn", "Ready=True/Ready").await?;
    let mut seen = settled(context).await?;
    ensure!(seen.iter().all(|key| key.len() == 43) && seen[0] != seen[1], "two keys of 256 bits");
    let path = secrets(context, "churn-keys");
    let secret = context.get(&path).await?.unwrap_or_default();
    let endpoint = context.get(&context.endpoint("churn")).await?.unwrap_or_default();
    let owner = &secret["metadata"]["ownerReferences"][0];
    ensure!(owner["uid"] == endpoint["metadata"]["uid"] && owner["controller"] == true, "{owner}");
    ensure!(secret["metadata"]["labels"]["mlops-operator.dev/endpoint"] == "churn", "{}", secret["metadata"]);
    // A person's key is taken when the operator looks again, which any change of the Endpoint makes it do.
    context
        .merge(&path, &json!({"stringData": {"primaryKey": "open-sesame"}, "data": {"secondaryKey": null}}))
        .await?;
    context.merge(&context.endpoint("churn"), &json!({"metadata": {"labels": {"look": "again"}}})).await?;
    until("a new second key", CONVERGES, async || {
        let secret = context.get(&path).await?.unwrap_or_default();
        Ok(if secret["data"]["secondaryKey"].is_string() { Ok(()) } else { Err("none".to_owned()) })
    })
    .await?;
    let after = settled(context).await?;
    ensure!(
        after[0] == "open-sesame" && after[1] != seen[1],
        "the person's key stays, and the lost one is new"
    );
    seen.extend(after);
    say(context, "regenerate=primary@1").await?;
    handled(context, "regenerate=primary@1").await?;
    let last = settled(context).await?;
    ensure!(last[0] != "open-sesame" && last[1] == seen[3], "the other key goes on");
    seen.extend(last);
    let mut places = vec![("the log", operator.log()), ("the metrics", operator.get("/metrics").await?.1)];
    places.push(("the events", context.events().await?.join("\n")));
    places.push((
        "the Endpoint",
        context.get(&context.endpoint("churn")).await?.unwrap_or_default().to_string(),
    ));
    let routes = context.get(&context.child(ChildKind::ConfigMap, "")).await?.unwrap_or_default();
    places.push(("the routing document", routes.to_string()));
    ensure!(places[0].1.contains("\"level\":\"DEBUG\""), "the log is not at debug");
    for key in &seen {
        let encoded = json!(k8s_openapi::ByteString(key.clone().into_bytes()));
        let encoded = encoded.as_str().unwrap_or_default();
        for (place, text) in &places {
            ensure!(!text.contains(key.as_str()) && !text.contains(encoded), "{place} tells a key");
        }
    }
    context.delete(&context.endpoint("churn")).await?;
    context.gone(&path).await
}

/// Killed at each write of a regeneration, before it and after it: one new key, the other as it was.
pub(crate) async fn a_crash_at_any_write_makes_no_second_key(context: &mut Context) -> anyhow::Result<()> {
    let proxy = context.proxy().await?;
    let mut options = options(context)?;
    options.kubeconfig = proxy.kubeconfig().to_owned();
    let mut operator = Operator::start(options)?;
    operator.ready().await?;
    context.create("churn", &keyed()).await?;
    context.says("churn", "Ready=True/Ready").await?;
    let mut before = settled(context).await?;
    let mut crashes = 0;
    for (round, (write, after)) in (0..8).flat_map(|write| [(write, false), (write, true)]).enumerate() {
        let word = format!("regenerate=secondary@{round}");
        hold(&proxy, write, after);
        say(context, &word).await?;
        let met = until("the crash or the end", CONVERGES, async || {
            let endpoint = context.get(&context.endpoint("churn")).await?.unwrap_or_default();
            let is_done = endpoint["status"]["keys"]["handledAction"] == *word;
            Ok(if proxy.held() > 0 {
                Ok(true)
            } else if is_done {
                Ok(false)
            } else {
                Err(String::new())
            })
        })
        .await?;
        let made = keys(context).await?;
        if met {
            crashes += 1;
            operator.kill()?;
            proxy.clear_rule();
            operator.crash()?;
        }
        handled(context, &word).await?;
        let now = settled(context).await?;
        ensure!(now[0] == before[0], "the other key has changed");
        ensure!(now[1] != before[1], "no new key was made");
        ensure!(
            made[1] == before[1] || made[1] == now[1],
            "write {write}, after {after}: a second key was made"
        );
        before = now;
        proxy.clear_rule();
        if !met && after {
            break;
        }
    }
    context.tell(format!("{crashes} crashes"));
    ensure!(crashes >= 4, "only {crashes} crashes took place");
    operator.check_alive()
}

/// Holds the write with this number, or its answer.
fn hold(proxy: &Proxy, write: usize, after: bool) {
    let mut writes = 0;
    proxy.set_rule(move |seen| {
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

/// A Secret of the same name that is a person's stays as it is, and so does one that the Endpoint names.
pub(crate) async fn a_person_s_secret_is_never_written(context: &mut Context) -> anyhow::Result<()> {
    let _operator = Operator::start(options(context)?)?;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "churn-keys"},
        "stringData": {"primaryKey": "open-sesame"}});
    let made = context.must("POST", &secrets(context, ""), JSON, &secret).await?;
    context.create("churn", &keyed()).await?;
    let endpoint = context.says("churn", "Stalled=True/Conflict").await?;
    let said = message(&endpoint, "Stalled");
    ensure!(said.contains("auth.secretRef") && said.contains("churn-keys"), "{said}");
    ensure!(told(context).await?.is_empty(), "nobody is let in by a key that is not the Endpoint's");
    let named = json!({"spec": {"auth": {"secretRef": {"name": "churn-keys"}}}});
    context.merge(&context.endpoint("churn"), &named).await?;
    context.says("churn", "Ready=True/Ready").await?;
    ensure!(told(context).await? == [plan::digest::sha256(b"open-sesame")], "the named key opens");
    say(context, "regenerate=primary@1").await?;
    let status = handled(context, "regenerate=primary@1").await?;
    let refused = status["actionRefused"].as_str().unwrap_or_default();
    ensure!(refused.contains("which is yours"), "{status}");
    let after = context.get(&secrets(context, "churn-keys")).await?.unwrap_or_default();
    ensure!(after["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"], "it was written");
    Ok(())
}

/// Without the right on Secrets, the condition names the chart's value; with it, all goes on by itself.
pub(crate) async fn a_missing_right_names_the_chart_s_value(context: &mut Context) -> anyhow::Result<()> {
    let user = context.user();
    super::rights::grant(context, &user, &context.namespace, &|resource, verb| {
        resource != "secrets" || verb == "patch"
    })
    .await?;
    let mut options = options(context)?;
    options.kubeconfig = context.plane.user(&user, &[])?;
    let _operator = Operator::start(options)?;
    context.create("churn", &keyed()).await?;
    let endpoint = context.says("churn", "Stalled=True/Denied").await?;
    let said = message(&endpoint, "Stalled");
    ensure!(said.contains("endpointKeys.enabled"), "{said}");
    super::rights::grant(context, &user, &context.namespace, &|_, _| true).await?;
    until("the keys", Duration::from_mins(1), async || {
        let found = context.get(&secrets(context, "churn-keys")).await?;
        Ok(found.map(drop).ok_or_else(|| "no Secret".to_owned()))
    })
    .await?;
    context.says("churn", "Ready=True/Ready").await.map(drop)
}
