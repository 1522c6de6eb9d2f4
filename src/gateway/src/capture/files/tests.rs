//! Tests of batches: what belongs together, what may be seen, and what is counted.
use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::super::growing::PART;
use super::*;
use crate::config::Route;
use crate::exchange::{Asked, Budget, Recording};
use crate::grpc::Dialect;

fn endpoint(name: &str, store: &Value, masks: &[&str]) -> Arc<Endpoint> {
    let route = json!({
        "namespace": "team", "name": name,
        "revisions": [{"name": "a", "address": "a:80"}, {"name": "b", "address": "b:80"}],
        "capture": {"percent": 100, "store": store, "masks": masks},
    });
    Arc::new(Endpoint::new(Route::parse(&route.to_string()).unwrap(), None))
}

fn recording(body: &str) -> Recording {
    let mut recording = Recording::new(&Arc::new(Budget::new(body.len())));
    recording.push(&Bytes::copy_from_slice(body.as_bytes()));
    recording.finish();
    recording
}

fn exchange(endpoint: &Arc<Endpoint>, place: usize, at: &str, id: &str) -> Arc<Exchange> {
    let tensor =
        |name: &str, data: Value| json!({"name": name, "shape": [1], "datatype": "INT64", "data": data});
    let request = json!({"inputs": [tensor("age", json!([30])), tensor("income", json!([1, 2]))]});
    let answer = json!({"outputs": [tensor("age", json!([31]))]});
    let asked = Asked {
        endpoint: Arc::clone(endpoint),
        place,
        request_id: id.to_owned(),
        dialect: Dialect::Http,
        method: Method::POST,
        path: "/score".to_owned(),
        at: at.parse().unwrap(),
        mirror: None,
        is_captured: true,
        headers: HeaderMap::new(),
        trace: None,
    };
    let (request, answer) = (recording(&request.to_string()), recording(&answer.to_string()));
    Arc::new(Exchange { asked, request, status: 200, answer })
}

fn lines(folder: &Path, below: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join(below)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// How many records were written and how many were not, in all files of an endpoint.
fn counts(made: &Made, endpoint: &Endpoint) -> (u64, u64) {
    let own = made.grown.iter().filter(|(of, _)| *of == endpoint.key);
    own.fold((0, 0), |(written, failed), (_, lines)| (written + lines.written, failed + lines.failed))
}

const NOON: &str = "2026-01-02T12:00:00Z";

#[test]
fn each_endpoint_has_its_own_masks_in_a_batch_of_several_even_one_that_changes_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let store = json!({"folder": folder.path()});
    let (open, masked) = (endpoint("open", &store, &[]), endpoint("masked", &store, &["age", "income_1"]));
    let changed = endpoint("masked", &store, &["income"]);
    let all = [(&open, "open"), (&masked, "masked"), (&changed, "changed")];
    let rounds = PART / 200;
    let batch: Vec<_> = (0..rounds).flat_map(|_| all.map(|(one, id)| exchange(one, 0, NOON, id))).collect();
    let made = make(&batch, "one", "batch", &mut Spare::default());

    assert!(made.files.is_empty() && made.lost.is_empty());
    assert_eq!(counts(&made, &open), (2 * rounds as u64, 0));
    assert_eq!(counts(&made, &masked), (4 * rounds as u64, 0));
    let inputs = lines(folder.path(), "team/open/a/model_inputs/2026/01/02/12/one.jsonl");
    let outputs = lines(folder.path(), "team/open/a/model_outputs/2026/01/02/12/one.jsonl");
    assert_eq!((inputs.len(), outputs.len()), (rounds, rounds));
    assert!(inputs.iter().all(|line| line["data"] == json!([{"age": 30, "income_0": 1, "income_1": 2}])));
    assert!(outputs.iter().all(|line| line["data"] == json!([{"age": 31}])));
    let inputs = lines(folder.path(), "team/masked/a/model_inputs/2026/01/02/12/one.jsonl");
    let outputs = lines(folder.path(), "team/masked/a/model_outputs/2026/01/02/12/one.jsonl");
    assert_eq!((inputs.len(), outputs.len()), (2 * rounds, 2 * rounds));
    for (place, (input, output)) in inputs.iter().zip(&outputs).enumerate() {
        let (id, seen, label) = if place % 2 == 0 {
            ("masked", json!([{"age": null, "income_0": 1, "income_1": null}]), Value::Null)
        } else {
            ("changed", json!([{"age": 30, "income_0": null, "income_1": null}]), json!(31))
        };
        assert_eq!((&input["correlationid"], &input["data"]), (&json!(id), &seen));
        assert_eq!((&output["xrequestid"], &output["data"]), (&json!(id), &json!([{"age": label}])));
    }
}

#[test]
fn each_revision_and_each_hour_has_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let churn = endpoint("churn", &json!({"folder": folder.path()}), &[]);
    let (last, first) = ("2026-01-02T12:59:59.999Z", "2026-01-02T13:00:00Z");
    let batch = [(0, NOON), (0, last), (1, last), (0, first), (1, NOON), (1, first), (0, NOON)];
    let batch = batch.map(|(place, at)| exchange(&churn, place, at, at));
    assert_eq!(counts(&make(&batch, "one", "batch", &mut Spare::default()), &churn), (14, 0));
    for (below, times) in [
        ("a/model_inputs/2026/01/02/12", vec![NOON, last, NOON]),
        ("a/model_inputs/2026/01/02/13", vec![first]),
        ("b/model_outputs/2026/01/02/12", vec![last, NOON]),
        ("b/model_outputs/2026/01/02/13", vec![first]),
    ] {
        let found = lines(&folder.path().join("team/churn").join(below), "one.jsonl");
        let ids: Vec<&str> = found.iter().map(|line| line["correlationid"].as_str().unwrap()).collect();
        assert_eq!(ids, times, "{below}");
        let revision = &below[..1];
        assert!(found.iter().all(|line| line["modelversion"] == revision));
    }
    let found = &lines(folder.path(), "team/churn/a/model_inputs/2026/01/02/12/one.jsonl")[1];
    assert_eq!(found["time"], last);
}

#[test]
fn a_folder_that_refuses_and_bodies_without_a_form_lose_their_own_records_alone() {
    let (folder, file) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
    let kept = endpoint("kept", &json!({"folder": folder.path()}), &[]);
    let refused = endpoint("refused", &json!({"folder": file.path()}), &[]);
    let mut cut = exchange(&kept, 0, NOON, "cut");
    Arc::get_mut(&mut cut).unwrap().answer = recording("{");
    let rounds = PART / 200;
    let mut batch: Vec<_> =
        (0..rounds).flat_map(|_| [&kept, &refused].map(|one| exchange(one, 0, NOON, "id"))).collect();
    batch.push(cut);
    let made = make(&batch, "one", "batch", &mut Spare::default());
    assert_eq!(counts(&made, &kept), (2 * rounds as u64, 0));
    assert_eq!(counts(&made, &refused), (0, 2 * rounds as u64));
    assert!(made.grown.iter().all(|(of, lines)| (*of == refused.key) == lines.error.is_some()));
    assert_eq!(made.lost, [(Arc::clone(&kept.key), Captured::Unfit)]);
    let found = lines(folder.path(), "team/kept/a/model_inputs/2026/01/02/12/one.jsonl");
    assert_eq!(found.len(), rounds);
}

#[test]
fn a_batch_is_one_blob_of_each_place() {
    let address = "https://acme.blob.core.windows.net/telemetry";
    let churn = endpoint("churn", &json!({"azure": address}), &[]);
    let batch: Vec<_> = (0..PART / 200).map(|_| exchange(&churn, 0, NOON, "id")).collect();
    let made = make(&batch, "one", "batch", &mut Spare::default());
    assert!(made.grown.is_empty());
    let found =
        made.files.iter().map(|file| (file.path.to_str().unwrap(), file.records, file.azure.as_deref()));
    let records = batch.len() as u64;
    assert_eq!(
        found.collect::<Vec<_>>(),
        [
            ("team/churn/a/model_inputs/2026/01/02/12/batch.jsonl", records, Some(address)),
            ("team/churn/a/model_outputs/2026/01/02/12/batch.jsonl", records, Some(address)),
        ]
    );
    let lines = |file: &File| std::str::from_utf8(&file.bytes).unwrap().lines().count();
    assert!(made.files.iter().all(|file| lines(file) == batch.len()));
}
