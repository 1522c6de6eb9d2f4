//! Endpoints behind a gateway of the user's own, on a real API server with the Gateway API's standard definitions: the
//! exact HTTPRoute of every step. No gateway can be had here, so the test says what one would say of a route.
use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::context::{CONVERGES, JSON, MERGE, conditions, message, spec};
use e2e::gateway::Rates;
use e2e::plane::GATEWAY_API;
use e2e::{Context, Measured, Operator, holds_for, until};
use plan::ChildKind;
use serde_json::{Value, json};

/// Starts an operator that may write HTTPRoutes, on a cluster that knows them.
async fn operator(context: &Context) -> anyhow::Result<Operator> {
    context.plane.install_gateway_api().await?;
    start(context)
}

fn start(context: &Context) -> anyhow::Result<Operator> {
    let mut options = context.options()?;
    options.arguments.push("--gateway-api=true".to_owned());
    Operator::start(options)
}

fn parent_ref() -> Value {
    json!({"name": "public", "namespace": "gateways"})
}

fn behind(version: u32) -> Value {
    let mut spec = spec(version);
    spec["routing"] = json!({"gatewayApi": {"parentRef": parent_ref()}});
    spec
}

/// The spec of the route that must be there: for both addresses the rules by which a caller chooses among several
/// revisions, and the rule that splits.
fn wanted(context: &Context, revisions: &[(&str, i64)], mirror: Option<(&str, i64)>) -> Value {
    let prefix = format!("/endpoints/{}/churn", context.namespace);
    let places = [
        (
            json!({"type": "Exact", "value": format!("{prefix}/score")}),
            json!({"type": "ReplaceFullPath", "replaceFullPath": "/v2/models/churn/infer"}),
        ),
        (
            json!({"type": "PathPrefix", "value": prefix}),
            json!({"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}),
        ),
    ];
    let service = |name: &str| json!({"group": "", "kind": "Service", "name": name, "port": 80});
    let backend = |name: &str, weight: i64| {
        let mut backend = service(name);
        backend["weight"] = json!(weight);
        backend
    };
    let mut rules = Vec::new();
    for (path, rewrite) in places {
        let rewrite = json!({"type": "URLRewrite", "urlRewrite": {"path": rewrite}});
        for (name, _) in revisions.iter().filter(|_| revisions.len() > 1) {
            let chosen = json!({"type": "Exact", "name": "azureml-model-deployment", "value": name});
            rules.push(json!({
                "matches": [{"path": path, "headers": [chosen]}], "filters": [rewrite],
                "backendRefs": [backend(name, 100)],
            }));
        }
        let mut filters = vec![rewrite];
        filters.extend(mirror.map(|(name, percent)| {
            json!({"type": "RequestMirror", "requestMirror": {"backendRef": service(name), "percent": percent}})
        }));
        let split = revisions.iter().filter(|(_, weight)| *weight > 0);
        let split: Vec<Value> = split.map(|(name, weight)| backend(name, *weight)).collect();
        rules.push(json!({"matches": [{"path": path}], "filters": filters, "backendRefs": split}));
    }
    let parent = json!({
        "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public", "namespace": "gateways",
    });
    json!({"parentRefs": [parent], "rules": rules})
}

fn path(context: &Context) -> String {
    context.child(ChildKind::HttpRoute, "churn")
}

/// Waits for a route with this spec.
async fn routed(context: &Context, spec: &Value) -> anyhow::Result<Value> {
    until(&format!("a route with {spec}"), CONVERGES, async || {
        let route = context.get(&path(context)).await?.unwrap_or_default();
        Ok(if route["spec"] == *spec { Ok(route) } else { Err(route["spec"].to_string()) })
    })
    .await
}

/// The gateway says this of a route as it is.
async fn say(
    context: &Context,
    route: &Value,
    conditions: &[(&str, &str, &str, &str)],
) -> anyhow::Result<()> {
    let condition = |(type_, status, reason, message): &(&str, &str, &str, &str)| {
        json!({
            "type": type_, "status": status, "reason": reason, "message": message,
            "observedGeneration": route["metadata"]["generation"], "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    let conditions: Vec<Value> = conditions.iter().map(condition).collect();
    let parents = json!([{
        "parentRef": route["spec"]["parentRefs"][0], "controllerName": "example.com/gateway", "conditions": conditions,
    }]);
    let status = format!("{}/status", path(context));
    context.must("PATCH", &status, MERGE, &json!({"status": {"parents": parents}})).await.map(drop)
}

/// Waits for a route with this spec, and lets the gateway take it in.
async fn taken_in(context: &Context, spec: &Value) -> anyhow::Result<()> {
    let route = routed(context, spec).await?;
    let good = [("Accepted", "True", "Accepted", ""), ("ResolvedRefs", "True", "ResolvedRefs", "")];
    say(context, &route, &good).await
}

async fn rollout(context: &Context) -> anyhow::Result<Value> {
    let endpoint = context.get(&context.endpoint("churn")).await?.context("the Endpoint is gone")?;
    Ok(endpoint["status"]["rollout"].clone())
}

/// Waits until the rollout's status has these fields.
async fn reaches(context: &Context, wanted: &Value) -> anyhow::Result<Value> {
    until(&format!("a rollout with {wanted}"), CONVERGES, async || {
        let seen = rollout(context).await?;
        let fits = wanted.as_object().into_iter().flatten().all(|(field, value)| seen[field] == *value);
        Ok(if fits { Ok(seen) } else { Err(seen.to_string()) })
    })
    .await
}

fn name(rollout: &Value, field: &str) -> String {
    rollout[field].as_str().unwrap_or_default().to_owned()
}

async fn ask(context: &Context, word: &str) -> anyhow::Result<()> {
    let change = json!({"metadata": {"annotations": {"mlops-operator.dev/rollout-action": word}}});
    context.merge(&context.endpoint("churn"), &change).await.map(drop)
}

async fn new_model(context: &Context, version: u32) -> anyhow::Result<()> {
    let change = json!({"spec": {"model": spec(version)["model"]}});
    context.merge(&context.endpoint("churn"), &change).await.map(drop)
}

/// A Canary through every step, each route compared with the one that it must be; nothing goes on before the gateway
/// has taken the step in.
pub(crate) async fn a_canary_moves_the_route_step_by_step(context: &mut Context) -> anyhow::Result<()> {
    let mut operator = operator(context).await?;
    let mut wants = behind(1);
    wants["scaling"] = json!({"replicas": 2});
    wants["rollout"] = json!({
        "strategy": "Canary", "scaleDownDelaySeconds": 5,
        "steps": [{"mirror": 20}, {"traffic": 10, "hold": "1s"}, {"hold": "1s"}, {"pause": true}, {"traffic": 50, "hold": "1h"}],
    });
    context.create("churn", &wants).await?;
    let endpoint = context.says("churn", "Reconciling=True/RouteNotAccepted").await?;
    ensure!(message(&endpoint, "Ready").contains("gateways/public"), "{}", message(&endpoint, "Ready"));
    let first = name(&rollout(context).await?, "stable");
    let one = |revision: &str| wanted(context, &[(revision, 100)], None);
    taken_in(context, &one(&first)).await?;
    context.says("churn", "Ready=True/Ready").await?;
    new_model(context, 2).await?;
    let second = name(&reaches(context, &json!({"phase": "Progressing", "mirror": 20})).await?, "candidate");
    let two = |weight: i64, mirror: Option<i64>| {
        let revisions = [(first.as_str(), 100 - weight), (second.as_str(), weight)];
        wanted(context, &revisions, mirror.map(|percent| (second.as_str(), percent)))
    };
    let shadowed = routed(context, &two(0, Some(20))).await?;
    holds_for(Duration::from_secs(2), async || {
        let seen = rollout(context).await?;
        Ok(if seen["step"] == 1 && seen["stepSince"].is_null() { Ok(()) } else { Err(seen.to_string()) })
    })
    .await?;
    say(
        context,
        &shadowed,
        &[("Accepted", "False", "Pending", "wait"), ("ResolvedRefs", "True", "ResolvedRefs", "")],
    )
    .await?;
    taken_in(context, &two(0, Some(20))).await?;
    taken_in(context, &two(10, None)).await?;
    context.says("churn", "Ready=False/AwaitingPerson").await?;
    routed(context, &two(10, None)).await?;
    ask(context, "resume@1").await?;
    taken_in(context, &two(50, None)).await?;
    reaches(context, &json!({"phase": "Progressing", "step": 5, "traffic": 50})).await?;
    ask(context, "abort@2").await?;
    taken_in(context, &one(&first)).await?;
    context.says("churn", "Stalled=True/RolledBack").await?;
    ask(context, "retry@3").await?;
    taken_in(context, &two(0, Some(20))).await?;
    ask(context, "promote@4").await?;
    taken_in(context, &one(&second)).await?;
    context.says("churn", "Ready=True/Ready").await?;
    until("the end of the address of the old revision", CONVERGES, async || {
        let left = context.get(&context.child(ChildKind::Service, &first)).await?;
        Ok(left.map_or(Ok(()), |_| Err("it is there".to_owned())))
    })
    .await?;
    routed(context, &one(&second)).await?;
    context.delete(&context.endpoint("churn")).await?;
    context.gone(&path(context)).await?;
    context.is_empty().await?;
    operator.check_alive()
}

/// A BlueGreen with host names of its own.
pub(crate) async fn a_blue_green_moves_the_route_at_once(context: &mut Context) -> anyhow::Result<()> {
    let _operator = operator(context).await?;
    let mut wants = behind(1);
    wants["routing"]["hosts"] = json!(["churn.example.com"]);
    wants["routing"]["requestTimeoutSeconds"] = json!(30);
    wants["rollout"] = json!({"strategy": "BlueGreen", "steps": [{"mirror": 100}, {"pause": true}]});
    context.create("churn", &wants).await?;
    let first = name(&reaches(context, &json!({"phase": "Completed"})).await?, "stable");
    let hosted = |revisions: &[(&str, i64)], mirror: Option<(&str, i64)>| {
        let mut spec = wanted(context, revisions, mirror);
        spec["hostnames"] = json!(["churn.example.com"]);
        for rule in spec["rules"].as_array_mut().into_iter().flatten() {
            rule["timeouts"] = json!({"request": "30s"});
            if rule["matches"][0]["path"]["type"] == "Exact" {
                rule["matches"][0]["path"]["value"] = json!("/score");
                continue;
            }
            rule["matches"][0]["path"]["value"] = json!("/");
            let filters = rule["filters"].as_array().cloned().unwrap_or_default();
            let left: Vec<Value> = filters.into_iter().filter(|it| it["type"] != "URLRewrite").collect();
            rule["filters"] = json!(left);
            if left.is_empty() {
                rule.as_object_mut().map(|rule| rule.remove("filters"));
            }
        }
        spec
    };
    taken_in(context, &hosted(&[(&first, 100)], None)).await?;
    let endpoint = context.says("churn", "Ready=True/Ready").await?;
    ensure!(
        endpoint["status"]["url"] == "http://churn.example.com/v2/models/churn/infer",
        "{}",
        endpoint["status"]["url"]
    );
    new_model(context, 2).await?;
    let second = name(&reaches(context, &json!({"phase": "Progressing", "mirror": 100})).await?, "candidate");
    taken_in(context, &hosted(&[(&first, 100), (&second, 0)], Some((&second, 100)))).await?;
    context.says("churn", "Ready=False/AwaitingPerson").await?;
    ask(context, "resume@1").await?;
    taken_in(context, &hosted(&[(&second, 100)], None)).await?;
    context.says("churn", "Ready=True/Ready").await.map(drop)
}

/// Behind a gateway of one's own, Prometheus judges: a worse model goes back, and a better one takes over.
pub(crate) async fn a_candidate_is_judged_by_queries_alone(context: &mut Context) -> anyhow::Result<()> {
    context.plane.install_gateway_api().await?;
    let prometheus = Measured::start().await?;
    let mut options = context.options()?;
    options.arguments.extend([
        "--gateway-api=true".to_owned(),
        format!("--prometheus-url=http://{}", prometheus.address()),
    ]);
    let _operator = Operator::start(options)?;
    let mut wants = behind(1);
    let query = json!({"name": "errors", "query": "errors{revision='$revision'}", "max": 0.05});
    wants["rollout"] = json!({
        "strategy": "Canary", "steps": [{"traffic": 50, "hold": "1s"}], "analysis": {"queries": [query]},
    });
    context.create("churn", &wants).await?;
    let first = name(&reaches(context, &json!({"phase": "Completed"})).await?, "stable");
    let one = |revision: &str| wanted(context, &[(revision, 100)], None);
    taken_in(context, &one(&first)).await?;
    context.says("churn", "Ready=True/Ready").await?;
    for (version, errors) in [(2, 20), (3, 1)] {
        new_model(context, version).await?;
        let wanted_traffic = json!({"phase": "Progressing", "traffic": 50});
        let candidate = name(&reaches(context, &wanted_traffic).await?, "candidate");
        prometheus.set(&candidate, Rates { errors, ..Rates::default() });
        taken_in(context, &wanted(context, &[(&first, 50), (&candidate, 50)], None)).await?;
        if errors > 5 {
            let endpoint = context.says("churn", "Stalled=True/RolledBack").await?;
            ensure!(message(&endpoint, "Stalled").contains("errors"), "{}", message(&endpoint, "Stalled"));
            taken_in(context, &one(&first)).await?;
        } else {
            taken_in(context, &one(&candidate)).await?;
            context.says("churn", "Ready=True/Ready").await?;
        }
    }
    Ok(())
}

/// What a gateway says against a route is passed on.
pub(crate) async fn the_gateway_s_refusal_is_passed_on(context: &mut Context) -> anyhow::Result<()> {
    let _operator = operator(context).await?;
    context.create("churn", &behind(1)).await?;
    let spec = wanted(context, &[("churn", 100)], None);
    let route = routed(context, &spec).await?;
    let refusal = [("Accepted", "False", "NotAllowedByListeners", "the namespace may not attach")];
    say(context, &route, &refusal).await?;
    let endpoint = context.says("churn", "Stalled=True/RouteNotAccepted").await?;
    let said = message(&endpoint, "Ready");
    ensure!(said.contains("the namespace may not attach (NotAllowedByListeners)"), "{said}");
    let lost = [
        ("Accepted", "True", "Accepted", ""),
        ("ResolvedRefs", "False", "BackendNotFound", "no Service churn"),
    ];
    say(context, &route, &lost).await?;
    let endpoint = context.says("churn", "Reconciling=True/RouteNotAccepted").await?;
    ensure!(message(&endpoint, "Ready").contains("no Service churn"), "{}", message(&endpoint, "Ready"));
    taken_in(context, &spec).await?;
    context.says("churn", "Ready=True/Ready").await.map(drop)
}

/// What people do to a route by hand is undone, and a route of somebody else's stays.
pub(crate) async fn a_route_is_restored_and_a_stranger_s_is_left_alone(
    context: &mut Context,
) -> anyhow::Result<()> {
    let _operator = operator(context).await?;
    let theirs = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "churn"},
        "spec": {"parentRefs": [{"name": "private"}], "rules": [{"backendRefs": [{"name": "theirs", "port": 80}]}]},
    });
    let made = context.must("POST", &context.child(ChildKind::HttpRoute, ""), JSON, &theirs).await?;
    context.create("churn", &behind(1)).await?;
    let endpoint = context.says("churn", "Stalled=True/Conflict").await?;
    let said = message(&endpoint, "Ready");
    ensure!(said.contains("HTTPRoute churn exists and belongs to somebody else"), "{said}");
    let left = context.get(&path(context)).await?.unwrap_or_default();
    ensure!(left["metadata"]["uid"] == made["metadata"]["uid"] && left["spec"] == made["spec"], "{left}");
    context.delete(&path(context)).await?;
    let spec = wanted(context, &[("churn", 100)], None);
    taken_in(context, &spec).await?;
    context.says("churn", "Ready=True/Ready").await?;
    let mut more = spec["rules"].clone();
    more[1]["backendRefs"] = json!([{"name": "theirs", "port": 80}]);
    context.merge(&path(context), &json!({"spec": {"rules": more}})).await?;
    taken_in(context, &spec).await?;
    let before = context.get(&path(context)).await?.unwrap_or_default();
    context.delete(&path(context)).await?;
    let after = routed(context, &spec).await?;
    ensure!(after["metadata"]["uid"] != before["metadata"]["uid"], "it was not deleted");
    taken_in(context, &spec).await?;
    context.says("churn", "Ready=True/Ready").await.map(drop)
}

/// From the inference gateway to one's own and back: the new way is there before the old one goes.
pub(crate) async fn ways_of_requests_are_changed_without_a_gap(context: &mut Context) -> anyhow::Result<()> {
    context.plane.install_gateway_api().await?;
    let mut options = context.options()?;
    options.arguments.extend([
        "--gateway-api=true".to_owned(),
        "--gateway-url=http://gateway.example".to_owned(),
        format!("--gateway-namespace={}", context.namespace),
    ]);
    let _operator = Operator::start(options)?;
    let documents = async || {
        let list = context.get(&context.child(ChildKind::ConfigMap, "")).await?.unwrap_or_default();
        let all = list["items"].as_array().cloned().unwrap_or_default();
        Ok::<_, anyhow::Error>(all.iter().filter(|it| it["data"]["route.json"].is_string()).count())
    };
    let mut wants = spec(1);
    wants["routing"] = json!({"requestTimeoutSeconds": 5});
    context.create("churn", &wants).await?;
    context.says("churn", "Ready=True/Ready").await?;
    ensure!(documents().await? == 1, "one routing document");
    let own = json!({"gatewayApi": {"parentRef": parent_ref(), "url": "https://own.example"}, "requestTimeoutSeconds": null});
    context.merge(&context.endpoint("churn"), &json!({"spec": {"routing": own}})).await?;
    let spec = wanted(context, &[("churn", 100)], None);
    routed(context, &spec).await?;
    let endpoint = context.says("churn", "Reconciling=True/RouteNotAccepted").await?;
    let url = |endpoint: &Value| endpoint["status"]["url"].as_str().unwrap_or_default().to_owned();
    ensure!(url(&endpoint).starts_with("http://gateway.example/"), "{}", url(&endpoint));
    ensure!(documents().await? == 1, "the old way goes only once the gateway has taken in the new one");
    taken_in(context, &spec).await?;
    let endpoint = context.says("churn", "Ready=True/Ready").await?;
    ensure!(url(&endpoint).starts_with("https://own.example/endpoints/"), "{}", url(&endpoint));
    until("the end of the routing document", CONVERGES, async || {
        let left = documents().await?;
        Ok(if left == 0 { Ok(()) } else { Err(format!("{left} are left")) })
    })
    .await?;
    let back = json!({"gatewayApi": null, "requestTimeoutSeconds": 5});
    context.merge(&context.endpoint("churn"), &json!({"spec": {"routing": back}})).await?;
    context.gone(&path(context)).await?;
    ensure!(documents().await? == 1, "the new way is there");
    let endpoint = context.says("churn", "Ready=True/Ready").await?;
    ensure!(url(&endpoint).starts_with("http://gateway.example/"), "{}", url(&endpoint));
    Ok(())
}

/// Without the definitions, and without the right, it is said what to install; once they are there, it goes on.
pub(crate) async fn missing_definitions_are_said_and_noticed_when_they_come(
    context: &mut Context,
) -> anyhow::Result<()> {
    context.plane.install_gateway_api().await?;
    let definition = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{GATEWAY_API}");
    // Both sentences have one reason, and the operator before may have said the other.
    let needed = async |words: &str| {
        until(words, CONVERGES, async || {
            let endpoint = context.get(&context.endpoint("churn")).await?.unwrap_or_default();
            let is_said = conditions(&endpoint).contains(&"Stalled=True/GatewayApiNeeded".to_owned());
            let fits = is_said && message(&endpoint, "Ready").contains(words);
            Ok(if fits { Ok(()) } else { Err(endpoint["status"].to_string()) })
        })
        .await
    };
    context.delete(&definition).await?;
    context.gone(&definition).await?;
    let without = context.operator()?;
    context.create("churn", &behind(1)).await?;
    needed("install the chart with gatewayApi.enabled=true").await?;
    drop(without);
    let mut operator = start(context)?;
    operator.ready().await?;
    needed("install the Gateway API's standard channel CRDs").await?;
    // It looks now and then, and neither floods its log nor reconciles meanwhile.
    let count = "mlops_operator_watch_restarts_total{kind=\"HTTPRoute\"}";
    ensure!(operator.metric(count).await? < 1.0, "a kind that is not known is no failed watch");
    context.plane.install_gateway_api().await?;
    let spec = wanted(context, &[("churn", 100)], None);
    taken_in(context, &spec).await?;
    context.says("churn", "Ready=True/Ready").await?;
    // They go under a running operator, and come back.
    context.delete(&definition).await?;
    context.gone(&definition).await?;
    until("the word of what is missing", Duration::from_mins(3), async || {
        let endpoint = context.get(&context.endpoint("churn")).await?.unwrap_or_default();
        let said = message(&endpoint, "Stalled");
        Ok(if said.contains("standard channel CRDs") { Ok(()) } else { Err(endpoint["status"].to_string()) })
    })
    .await?;
    context.plane.install_gateway_api().await?;
    taken_in(context, &spec).await?;
    context.says("churn", "Ready=True/Ready").await?;
    let log = operator.log();
    let told = log.matches("HTTPRoute").count() + log.matches("HttpRoute").count();
    ensure!(log.matches("panic").count() == 0 && told < 400, "{told} lines about HTTPRoutes");
    operator.check_alive()
}
