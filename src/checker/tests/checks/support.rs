//! A model behind the Open Inference Protocol, and tasks in one line.
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api::model_promotion::{CheckFinding, CheckReport, CheckTask};
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;

/// The time of every check.
pub(crate) fn now() -> Timestamp {
    "2026-03-02T00:00:00Z".parse().unwrap()
}

/// A server whose model answers each row of its one input with what a function says; it counts its requests.
pub(crate) async fn server(
    metadata: Value,
    answer: impl Fn(&[f64]) -> Value + Clone + Send + Sync + 'static,
) -> (String, Arc<AtomicU64>) {
    let requests = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&requests);
    let infer = move |body: String| {
        let (answer, counted) = (answer.clone(), Arc::clone(&counted));
        async move {
            counted.fetch_add(1, Ordering::SeqCst);
            let body: Value = serde_json::from_str(&body).unwrap();
            let input = &body["inputs"][0];
            let shape: Vec<usize> = serde_json::from_value(input["shape"].clone()).unwrap();
            let values: Vec<f64> = serde_json::from_value(input["data"].clone()).unwrap();
            let rows: Vec<Value> = values.chunks(shape[1]).map(&answer).collect();
            Json(json!({"model_name": "m", "outputs": [
                {"name": "label", "datatype": "INT64", "shape": [rows.len()], "data": rows.iter().map(|it| it["label"].clone()).collect::<Vec<_>>()},
                {"name": "probabilities", "datatype": "FP32", "shape": [rows.len(), 2],
                    "data": rows.iter().flat_map(|it| it["scores"].as_array().cloned().unwrap_or_default()).collect::<Vec<_>>()},
            ]}))
        }
    };
    let memory = "mlops_model_server_peak_memory_bytes 1048576\n";
    let router = Router::new()
        .route("/v2/models/m", get(move || async move { Json(metadata) }))
        .route("/v2/models/m/infer", post(infer))
        .route("/metrics", get(move || async move { memory }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, requests)
}

/// The metadata of a classifier of so many columns.
pub(crate) fn classifier(columns: i64) -> Value {
    json!({
        "name": "m",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, columns]}],
        "outputs": [{"name": "label", "datatype": "INT64", "shape": [-1]}, {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]}],
    })
}

/// A class, with a score for it.
pub(crate) fn class(label: i64, score: f64) -> Value {
    json!({"label": label, "scores": [1.0 - score, score]})
}

/// A file with rows.
pub(crate) fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// A task; `more` names files and servers.
pub(crate) fn task(check: &Value, more: &Value) -> CheckTask {
    let mut task = json!({"check": check, "subject": {"bundle": "sha256:of-the-bundle"}});
    task["check"]["name"] = json!("it");
    for (field, value) in more.as_object().unwrap() {
        task[field] = if ["candidate", "production"].contains(&field.as_str()) {
            json!({"url": value, "model": "m"})
        } else {
            value.clone()
        };
    }
    serde_json::from_value(task).unwrap()
}

/// Does a check. Whatever it finds, the report fits, and its digest is that of the artefact.
pub(crate) async fn check(task: &CheckTask) -> CheckReport {
    let (report, artifact) = checker::check(task, now()).await;
    assert!(json!(report).to_string().len() <= 4096);
    assert_eq!(report.artifact, Some(format!("sha256:{:x}", Sha256::digest(artifact.as_bytes()))));
    assert!(!artifact.contains('\n'));
    report
}

/// The finding of a metric.
pub(crate) fn finding<'a>(report: &'a CheckReport, metric: &str) -> &'a CheckFinding {
    report.findings.iter().find(|it| it.metric == metric).unwrap()
}
