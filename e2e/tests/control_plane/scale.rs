//! The scale subresource, as `kubectl scale` and autoscalers use it, and the columns of `kubectl get`.
use anyhow::ensure;
use e2e::Context;
use e2e::context::{CONVERGES, spec};
use e2e::until;
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
