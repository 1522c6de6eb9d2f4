//! The process itself: health, metrics, the log level, its end, a watch that died, and what it never says.
use std::time::{Duration, Instant};

use anyhow::ensure;
use e2e::context::{JSON, manifest, message, spec};
use e2e::{Context, Operator, PATIENCE, in_time, until};
use plan::ChildKind;
use serde_json::json;

/// `/healthz`, `/readyz`, `/metrics`, and `PUT /log-level`.
pub(crate) async fn health_and_metrics_answer_and_the_log_level_changes(
    context: &mut Context,
) -> anyhow::Result<()> {
    let mut options = context.options()?;
    options.arguments.retain(|it| !it.starts_with("--log-level"));
    let operator = Operator::start(options)?;
    operator.ready().await?;
    ensure!(operator.get("/healthz").await? == (200, "ok\n".to_owned()), "/healthz");
    context.create("churn", &spec(1)).await?;
    context.says("churn", "Ready=True/Ready").await?;
    until("the metrics", PATIENCE, async || {
        let objects =
            operator.metric("mlops_operator_objects{controller=\"endpoint\",ready=\"true\"}").await?;
        let steps = "mlops_operator_steps_total{controller=\"endpoint\",outcome=\"done\",step=\"apply\"}";
        let (steps, leader) =
            (operator.metric(steps).await?, operator.metric("mlops_operator_leader").await?);
        let right = objects >= 1.0 && steps >= 5.0 && leader >= 1.0;
        Ok(if right { Ok(()) } else { Err(format!("objects {objects}, steps {steps}, leader {leader}")) })
    })
    .await?;
    ensure!(!operator.log().contains("\"level\":\"DEBUG\""), "the log holds debug lines at info");
    ensure!(operator.put("/log-level", "debug").await?.0 == 200, "PUT /log-level debug");
    let refused = operator.put("/log-level", "operator=shout").await?;
    ensure!(refused.0 == 400 && refused.1.contains("operator=shout"), "{refused:?}");
    context.merge(&context.endpoint("churn"), &json!({"spec": spec(2)})).await?;
    until("debug lines in the log", PATIENCE, async || {
        let log = operator.log();
        Ok(if log.contains("\"level\":\"DEBUG\"") { Ok(()) } else { Err("only info".to_owned()) })
    })
    .await?;
    let lines = operator.log();
    let broken: Vec<_> =
        lines.lines().filter(|line| serde_json::from_str::<serde_json::Value>(line).is_err()).collect();
    ensure!(broken.is_empty(), "not JSON: {broken:?}");
    Ok(())
}

/// SIGTERM, while it has work to do.
pub(crate) async fn it_stops_within_five_seconds(context: &mut Context) -> anyhow::Result<()> {
    let mut operator = context.operator()?;
    operator.ready().await?;
    for index in 0..5 {
        context.create(&format!("churn-{index}"), &spec(1)).await?;
    }
    let took = operator.terminate().await?;
    in_time("the end", took, Duration::from_secs(5))?;
    Ok(())
}

/// A connection that stays open and says nothing: what happened meanwhile is seen within 70 s.
pub(crate) async fn a_silent_watch_is_noticed_within_70_seconds(context: &mut Context) -> anyhow::Result<()> {
    let proxy = context.proxy().await?;
    let _operator = context.operator_behind(&proxy).await?;
    context.create("before", &spec(1)).await?;
    context.says("before", "Ready=True/Ready").await?;
    proxy.silence_watches();
    let started = Instant::now();
    context.create("after", &spec(1)).await?;
    until("the end of the silence", PATIENCE, async || {
        let seen = context.get(&context.child(ChildKind::ServiceAccount, "after")).await?.is_some();
        Ok(if seen { Ok(()) } else { Err("the new Endpoint is not seen".to_owned()) })
    })
    .await?;
    let took = started.elapsed();
    in_time("the end of the silence", took, Duration::from_secs(70))?;
    ensure!(took > Duration::from_secs(1), "the watches were not silent at all");
    context.says("after", "Ready=True/Ready").await.map(drop)
}

/// What stands in a URI's query, in environment variables and in arguments may be secret.
pub(crate) async fn secrets_stay_out_of_logs_events_status_and_metrics(
    context: &mut Context,
) -> anyhow::Result<()> {
    let mut options = context.options()?;
    options.arguments.retain(|it| !it.starts_with("--log-level"));
    options.arguments.push("--log-level=debug".to_owned());
    let proxy = context.proxy().await?;
    options.kubeconfig = proxy.kubeconfig().to_owned();
    let operator = Operator::start(options)?;
    let canary = |index: usize| format!("canary-{index:03}-5f1c");
    for index in (0..100).step_by(5) {
        let name = format!("churn-{index}");
        let runtime = json!({
            "supportedFormats": ["Custom"], "image": "mine:1",
            "env": [{"name": "A", "value": canary(index)}], "args": [canary(index + 1)],
        });
        context
            .must("POST", &context.runtime(""), JSON, &manifest("ServingRuntime", &name, &runtime))
            .await?;
        let uri = format!("https://models.example/m?sig={}#{}", canary(index + 2), canary(index + 2));
        let spec = json!({
            "model": {"uri": uri, "format": "Custom"}, "runtimeRef": {"name": name},
            "container": {"env": [{"name": "B", "value": canary(index + 3)}], "command": [canary(index + 4)]},
        });
        context.create(&name, &spec).await?;
    }
    // Refusals and failures too: they tell what was tried.
    proxy.set_rule(|seen| {
        let refused = seen.resource == "deployments" && seen.is_write() && seen.name == "churn-5";
        if refused { e2e::Fault::Answer(422, "no", 0) } else { e2e::Fault::Pass }
    });
    for index in (0..100).step_by(5).filter(|index| *index != 5) {
        let ready = context.says(&format!("churn-{index}"), "Ready=True/Ready").await?;
        ensure!(message(&ready, "Ready").contains("answer"), "{}", ready["status"]);
    }
    let deployment = context.get(&context.child(ChildKind::Deployment, "churn-0")).await?.unwrap_or_default();
    for index in [0, 2, 3, 4] {
        ensure!(deployment["spec"].to_string().contains(&canary(index)), "the canary {index} is not in use");
    }
    let statuses: String = (0..100)
        .step_by(5)
        .map(|index| context.endpoint(&format!("churn-{index}")))
        .collect::<Vec<_>>()
        .join(",");
    let mut places = vec![
        ("the log", operator.log()),
        ("events", context.events().await?.join("\n")),
        ("metrics", operator.get("/metrics").await?.1),
    ];
    for path in statuses.split(',') {
        places.push(("a status", context.get(path).await?.unwrap_or_default()["status"].to_string()));
    }
    ensure!(places[0].1.contains("\"level\":\"DEBUG\""), "the log is not at debug");
    for (place, text) in places {
        let hits: Vec<&str> = text.lines().filter(|line| line.contains("canary-")).take(3).collect();
        ensure!(hits.is_empty(), "{place} tells secrets:\n{}", hits.join("\n"));
    }
    Ok(())
}
