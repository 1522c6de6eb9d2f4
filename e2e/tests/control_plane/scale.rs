//! The scale subresource, as `kubectl scale` and autoscalers use it, and the columns of `kubectl get`.
use std::time::Duration;

use anyhow::ensure;
use e2e::context::{CONVERGES, JSON, conditions, message, spec};
use e2e::{Context, Measured, Operator, holds_for, until};
use plan::ChildKind;
use serde_json::{Value, json};

/// Writes `spec.scaling.replicas`, and tells the replicas and the selector.
pub(crate) async fn the_scale_subresource_sets_the_replicas(context: &mut Context) -> anyhow::Result<()> {
    let _operator = context.operator()?;
    context.create("churn", &spec(1)).await?;
    context.says("churn", "Ready=True/Ready").await?;
    let scale = format!("{}/scale", context.endpoint("churn"));
    context.merge(&scale, &json!({"spec": {"replicas": 3}})).await?;
    until("three replicas", CONVERGES, async || {
        let scale = context.get(&scale).await?.unwrap_or_default();
        let right = scale["status"]["replicas"] == 3
            && scale["status"]["selector"] == "mlops-operator.dev/endpoint=churn";
        Ok(if right { Ok(()) } else { Err(scale.to_string()) })
    })
    .await?;
    context.says("churn", "Ready=True/Ready").await?;
    let deployment = context.get(&context.child(ChildKind::Deployment, "churn")).await?.unwrap_or_default();
    ensure!(deployment["spec"]["replicas"] == 3, "{}", deployment["spec"]["replicas"]);
    Ok(())
}

/// What the server prints.
pub(crate) async fn columns_show_readiness_and_reason(context: &mut Context) -> anyhow::Result<()> {
    let _operator = context.operator()?;
    context.create("churn", &spec(1)).await?;
    context.says("churn", "Ready=True/Ready").await?;
    let request = http::Request::get(context.endpoint(""))
        .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
        .body(Vec::new().into())?;
    let body = context.client.send(request).await?.into_body().collect_bytes().await?;
    let table: Value = serde_json::from_slice(&body)?;
    let columns = table["columnDefinitions"].as_array().cloned().unwrap_or_default();
    let cell = |name: &str| {
        let index = columns.iter().position(|column| column["name"] == name)?;
        table["rows"][0]["cells"].get(index).cloned()
    };
    for (name, wanted) in [
        ("Name", json!("churn")),
        ("Ready", json!("True")),
        ("Reason", json!("Ready")),
        ("Serving", json!("True")),
        ("Model", json!("https://models.example/churn/1/model.onnx")),
    ] {
        ensure!(cell(name) == Some(wanted), "{name}: {:?} in {table}", cell(name));
    }
    Ok(())
}

/// Waits until the Deployment wants so many pods.
async fn replicas(context: &Context, wanted: u64) -> anyhow::Result<()> {
    let path = context.child(ChildKind::Deployment, "churn");
    until(&format!("{wanted} replicas"), CONVERGES, async || {
        let found = context.get(&path).await?.unwrap_or_default()["spec"]["replicas"].clone();
        Ok(if found == wanted { Ok(()) } else { Err(found.to_string()) })
    })
    .await
}

/// Waits until the condition `ScalingHeld` is there with this reason, or not at all.
async fn held(context: &Context, reason: Option<&str>) -> anyhow::Result<Value> {
    until(&format!("ScalingHeld: {reason:?}"), CONVERGES, async || {
        let endpoint = context.get(&context.endpoint("churn")).await?.unwrap_or_default();
        let said = conditions(&endpoint).into_iter().find(|it| it.starts_with("ScalingHeld="));
        let wanted = reason.map(|reason| format!("ScalingHeld=True/{reason}"));
        Ok(if said == wanted { Ok(endpoint) } else { Err(endpoint["status"].to_string()) })
    })
    .await
}

/// A HorizontalPodAutoscaler of a user over our Deployment, as KEDA makes one too: the operator steps back, says so, and
/// takes the number back when it has gone.
pub(crate) async fn an_autoscaler_of_somebody_else_is_not_fought(
    context: &mut Context,
) -> anyhow::Result<()> {
    let _operator = context.operator()?;
    let path = context.child(ChildKind::HorizontalPodAutoscaler, "");
    let theirs = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "theirs"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "churn"},
            "minReplicas": 1, "maxReplicas": 9,
        },
    });
    let scale = format!("{}/scale", context.child(ChildKind::Deployment, "churn"));
    for scaling in [json!({"replicas": 2}), json!({"minReplicas": 2, "maxReplicas": 4})] {
        let mut wanted = spec(1);
        wanted["scaling"] = scaling.clone();
        context.create("churn", &wanted).await?;
        context.says("churn", "Ready=True/Ready").await?;
        context.must("POST", &path, JSON, &theirs).await?;
        let endpoint = held(context, Some("ScaledElsewhere")).await?;
        let said = message(&endpoint, "ScalingHeld");
        ensure!(
            said.contains("HorizontalPodAutoscaler theirs") && said.contains("scaling.replicas"),
            "{said}"
        );
        context.gone(&context.child(ChildKind::HorizontalPodAutoscaler, "churn")).await?;
        // Their autoscaler sets the number, and a new model comes meanwhile.
        context.merge(&scale, &json!({"spec": {"replicas": 5}})).await?;
        context.merge(&context.endpoint("churn"), &json!({"spec": {"model": spec(2)["model"]}})).await?;
        context.says("churn", "Ready=True/Ready").await?;
        let deployment = context.child(ChildKind::Deployment, "churn");
        holds_for(Duration::from_secs(2), async || {
            let found = context.get(&deployment).await?.unwrap_or_default()["spec"]["replicas"].clone();
            Ok(if found == 5 { Ok(()) } else { Err(format!("the replicas became {found}")) })
        })
        .await?;
        context.delete(&format!("{path}/theirs")).await?;
        held(context, None).await?;
        if scaling["replicas"] == 2 {
            replicas(context, 2).await?;
        } else {
            let own = context.child(ChildKind::HorizontalPodAutoscaler, "churn");
            until("the operator's own autoscaler", CONVERGES, async || {
                Ok(context.get(&own).await?.map(drop).ok_or_else(|| "none".to_owned()))
            })
            .await?;
        }
        context.says("churn", "Ready=True/Ready").await?;
        context.delete(&context.endpoint("churn")).await?;
        context.gone(&context.endpoint("churn")).await?;
        context.is_empty().await?;
    }
    Ok(())
}

/// Prometheus tells a number, the replicas follow; while it tells none, they stay, and the Endpoint says so.
pub(crate) async fn a_query_of_prometheus_sets_the_replicas(context: &mut Context) -> anyhow::Result<()> {
    let prometheus = Measured::start().await?;
    prometheus.set_metric(Some(30.0));
    let mut options = context.options()?;
    options.arguments.push(format!("--prometheus-url=http://{}", prometheus.address()));
    let _operator = Operator::start(options)?;
    let mut wanted = spec(1);
    wanted["scaling"] = json!({
        "minReplicas": 1, "maxReplicas": 9,
        "target": {"query": {"query": "sum(queue{namespace=\"$namespace\",name=\"$endpoint\"})", "perReplica": 10}},
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
    });
    context.create("churn", &wanted).await?;
    replicas(context, 3).await?;
    let asked = prometheus.queries().pop().unwrap_or_default();
    ensure!(asked.contains(&context.namespace) && asked.contains("churn"), "{asked}");
    prometheus.set_metric(None);
    let endpoint = held(context, Some("MetricUnavailable")).await?;
    ensure!(message(&endpoint, "ScalingHeld").contains("no result yet"), "{}", endpoint["status"]);
    replicas(context, 3).await?;
    prometheus.set_metric(Some(12.0));
    let endpoint = held(context, None).await?;
    ensure!(endpoint["status"]["scaling"]["message"].is_string(), "{}", endpoint["status"]);
    replicas(context, 2).await
}
