//! Captures of requests and answers.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use serde_json::{Value, json};
use tokio::sync::watch;
use xtask::azurite::{self, ACCOUNT, Azurite};

use crate::process::{line, program, start};
use crate::support::{Backend, Behaviour, Caller, Gateway, document, until};

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

async fn backend() -> Backend {
    let output = json!({"name": "label", "datatype": "INT64", "shape": [1], "data": [1]});
    Backend::start("a", Behaviour::Says(json!({"outputs": [output]}))).await
}

async fn capturing(store: &Value, arguments: &[&str]) -> Gateway {
    let capture = json!({"capture": {"percent": 100, "store": store, "masks": ["email"]}});
    Gateway::with(&document(&[backend().await.revision("a", 1)], &capture), arguments).await
}

/// The rows of a file of Parquet, by the names of their columns.
fn table(bytes: Vec<u8>) -> Vec<BTreeMap<String, Field>> {
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
    let rows = reader.get_row_iter(None).unwrap().map(Result::unwrap);
    rows.map(|row| row.get_column_iter().map(|(name, field)| (name.clone(), field.clone())).collect())
        .collect()
}

fn text(text: &str) -> Field {
    Field::Str(text.to_owned())
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

#[tokio::test]
async fn parquet_holds_the_same_in_typed_columns() {
    let folder = tempfile::tempdir().unwrap();
    let capture =
        json!({"percent": 100, "store": {"folder": folder.path()}, "masks": ["email"], "format": "Parquet"});
    let capture = json!({"capture": capture});
    let backend = backend().await;
    let mut gateway = Gateway::start(&document(&[backend.revision("a", 1)], &capture)).await;
    let (stop, stopped) = watch::channel(false);
    let writer = tokio::spawn(gateway.writer.take().unwrap().run(Arc::clone(&gateway.state), stopped));
    let caller = gateway.caller();
    for number in 0..20_u32 {
        let headers = [("x-request-id", &*format!("id-{number}"))];
        assert_eq!(caller.post("/endpoints/team/churn/score", &headers, inference(number)).await.status, 200);
    }
    assert_eq!(caller.post("/endpoints/team/churn/score", &[], "no json").await.status, 200);
    stop.send_replace(true);
    writer.await.unwrap();

    let rows = |collection: &str| -> Vec<BTreeMap<String, Field>> {
        let collection = format!("/{collection}/");
        let mut files = files(folder.path());
        files.retain(|path| path.to_str().unwrap().contains(&collection));
        assert!(files.iter().all(|path| path.extension().is_some_and(|extension| extension == "parquet")));
        files.into_iter().flat_map(|path| table(std::fs::read(path).unwrap())).collect()
    };
    let (inputs, outputs) = (rows("model_inputs"), rows("model_outputs"));
    assert_eq!((inputs.len(), outputs.len()), (20, 20));
    for (number, (input, output)) in (0_i64..).zip(inputs.iter().zip(&outputs)) {
        assert_eq!((&input["age"], &output["label"]), (&Field::Long(number), &Field::Long(1)));
        assert_eq!((&input["email"], &input["row"]), (&Field::Null, &Field::Int(0)));
        assert_eq!(input["correlationid"], text(&format!("id-{number}")));
        assert_eq!(input["correlationid"], output["correlationid"]);
        assert_eq!(input["source"], text("/namespaces/team/endpoints/churn/revisions/a"));
        assert_eq!(output["type"], text("azureml.inference.outputs"));
    }
    assert_eq!((gateway.captured("written"), gateway.captured("unfit")), (40, 1));
}

/// The names of the blobs of a container, and what is in one.
struct Blobs {
    azurite: Azurite,
    client: reqwest::Client,
}

impl Blobs {
    async fn get(&self, path: &str, query: &str) -> Vec<u8> {
        let signature = self.azurite.signature(ACCOUNT, "rl").unwrap();
        let address = format!("{}/telemetry{path}?{query}{signature}", self.azurite.endpoint(ACCOUNT));
        let answer = self.client.get(address).send().await.unwrap().error_for_status().unwrap();
        answer.bytes().await.unwrap().to_vec()
    }

    async fn names(&self) -> Vec<String> {
        let list = String::from_utf8(self.get("", "restype=container&comp=list&").await).unwrap();
        let names = list.split("<Name>").skip(1).filter_map(|rest| rest.split("</Name>").next());
        names.map(str::to_owned).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_reaches_a_real_store_and_what_it_refuses_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let azurite = azurite::start(&azurite::Options::new(folder.path().join("azurite"))).unwrap();
    azurite.create_container(ACCOUNT, "telemetry").unwrap();
    let key = azurite.key(ACCOUNT).unwrap().to_owned();
    let blobs = Blobs { azurite, client: gateway::start::client().unwrap() };
    let (backend, routes) = (backend().await, folder.path().join("routes"));
    std::fs::create_dir(&routes).unwrap();
    for (name, container) in [("churn", "telemetry"), ("lost", "missing")] {
        let store = json!({"azure": format!("{}/{container}/kept", blobs.azurite.endpoint(ACCOUNT))});
        let capture = json!({"percent": 100, "store": store, "masks": ["email"], "format": "Parquet"});
        let route = document(&[backend.revision("a", 1)], &json!({"name": name, "capture": capture}));
        std::fs::write(routes.join(format!("{name}.json")), route.to_string()).unwrap();
    }
    let (_child, mut log) =
        start(program(&routes).arg("--capture-milliseconds=1").env("AZURE_STORAGE_ACCOUNT_KEY", key));
    let address = line(&mut log, "what", "http").await["address"].as_str().unwrap().parse().unwrap();
    let caller = Caller { client: Client::builder(TokioExecutor::new()).build_http(), address };
    let score = async |name: &str, body: String| {
        caller.post(&format!("/endpoints/team/{name}/score"), &[("x-request-id", "mine")], body).await.status
    };
    while score("churn", inference(30)).await != 200 {
        tokio::task::yield_now().await;
    }
    // Nothing is written while the caller waits, and the caller does not learn of a store that refuses.
    assert_eq!(score("lost", inference(31)).await, 200);
    line(&mut log, "message", "captures can't be written and are lost").await;

    let names = async {
        loop {
            let names = blobs.names().await;
            if names.len() >= 2 {
                return names;
            }
            tokio::task::yield_now().await;
        }
    };
    let names = tokio::time::timeout(std::time::Duration::from_mins(1), names).await.unwrap();
    let inputs: Vec<&String> = names.iter().filter(|name| name.contains("/model_inputs/")).collect();
    assert_eq!((names.len(), inputs.len()), (2, 1), "{names:?}");
    assert!(inputs[0].starts_with("kept/team/churn/a/model_inputs/2") && inputs[0].ends_with(".parquet"));
    let bytes = blobs.get(&format!("/{}", inputs[0]), "").await;
    let rows = table(bytes);
    assert_eq!((rows.len(), &rows[0]["age"], &rows[0]["email"]), (1, &Field::Long(30), &Field::Null));
    assert_eq!(rows[0]["correlationid"], text("mine"));
}
