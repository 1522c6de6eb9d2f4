//! Captures of requests and answers.
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::{Backend, Behaviour, Gateway, document, until};

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> =
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    found.sort();
    found
}

fn records(folder: &Path, collection: &str) -> Vec<Value> {
    let collection = format!("/{collection}/");
    let files = files(folder).into_iter().filter(|path| path.to_str().unwrap().contains(&collection));
    let texts = files.map(|path| std::fs::read_to_string(path).unwrap());
    texts
        .flat_map(|text| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>())
        .collect()
}

fn inference(age: u32) -> String {
    json!({"inputs": [
        {"name": "age", "shape": [1], "datatype": "INT64", "data": [age]},
        {"name": "email", "shape": [1], "datatype": "BYTES", "data": ["anna@example.com"]},
    ]})
    .to_string()
}

async fn capturing(store: &Value, arguments: &[&str]) -> Gateway {
    let output = json!({"name": "label", "datatype": "INT64", "shape": [1], "data": [1]});
    let backend = Backend::start("a", Behaviour::Says(json!({"outputs": [output]}))).await;
    let capture = json!({"capture": {"percent": 100, "store": store, "masks": ["email"]}});
    Gateway::with(&document(&[backend.revision("a", 1)], &capture), arguments).await
}

#[tokio::test]
async fn files_hold_what_was_sent_and_answered_with_its_id_and_without_masked_columns() {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = capturing(&json!({"folder": folder.path()}), &[]).await;
    let (stop, stopped) = watch::channel(false);
    let writer = tokio::spawn(gateway.writer.take().unwrap().run(Arc::clone(&gateway.state), stopped));
    let caller = gateway.caller();
    for number in 0..20_u32 {
        let headers = [("x-request-id", &*format!("id-{number}"))];
        let path = "/endpoints/team/churn/v2/models/m/infer";
        assert_eq!(caller.post(path, &headers, inference(number)).await.status, 200);
    }
    // What is in the buffer is written before the gateway leaves.
    stop.send_replace(true);
    writer.await.unwrap();

    let inputs = records(folder.path(), "model_inputs");
    let outputs = records(folder.path(), "model_outputs");
    assert_eq!((inputs.len(), outputs.len()), (20, 20));
    for (number, (input, output)) in inputs.iter().zip(&outputs).enumerate() {
        assert_eq!(input["data"], json!([{"age": number, "email": null}]));
        assert_eq!(output["data"], json!([{"label": 1}]));
        assert_eq!(input["correlationid"], format!("id-{number}"));
        assert_eq!(input["correlationid"], output["correlationid"]);
        assert_eq!(input["type"], "azureml.inference.inputs");
        assert_eq!(output["type"], "azureml.inference.outputs");
        assert_eq!(input["source"], "/namespaces/team/endpoints/churn/revisions/a");
    }
    for path in files(folder.path()) {
        let below = path.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned();
        let parts: Vec<&str> = below.split('/').collect();
        assert_eq!(
            (parts.len(), parts[..3].join("/"), parts[8]),
            (9, "team/churn/a".to_owned(), "one.jsonl")
        );
        let lengths: Vec<usize> = parts[4..8].iter().map(|part| part.len()).collect();
        assert_eq!(lengths, [4, 2, 2, 2], "{below}");
        assert!(!std::fs::read_to_string(path).unwrap().contains("anna"));
    }
    assert_eq!(gateway.captured("written"), 40);
}

#[tokio::test]
async fn what_finds_no_room_is_dropped_and_counted_and_callers_notice_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = capturing(&json!({"folder": folder.path()}), &["--captured=2"]).await;
    let caller = gateway.caller();
    for _ in 0..10 {
        let answer = caller.post("/endpoints/team/churn/score", &[], inference(1)).await;
        assert_eq!(answer.status, 200);
    }
    until("eight are dropped", || gateway.captured("full") == 8).await;
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(gateway.writer.take().unwrap().run(Arc::clone(&gateway.state), stopped));
    until("two are written", || gateway.captured("written") == 4).await;
    assert_eq!(records(folder.path(), "model_inputs").len(), 2);
}

#[tokio::test]
async fn a_store_that_refuses_loses_records_and_says_so() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut gateway = capturing(&json!({"folder": file.path()}), &[]).await;
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(gateway.writer.take().unwrap().run(Arc::clone(&gateway.state), stopped));
    assert_eq!(gateway.caller().post("/endpoints/team/churn/score", &[], inference(1)).await.status, 200);
    until("both records are lost", || gateway.captured("failed") == 2).await;
    assert_eq!(gateway.caller().post("/endpoints/team/churn/score", &[], "no json").await.status, 200);
    until("what can't be masked is not written", || gateway.captured("unfit") == 1).await;
}
