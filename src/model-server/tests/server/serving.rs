//! A model that serves: metadata, inference, errors, metrics.
use std::sync::Arc;

use axum::body::Body;
use axum::response::IntoResponse as _;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::{Files, Server, demo, digest, model, rows};

fn path(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_scikit_learn() {
    for version in ["1", "2"] {
        let name = format!("model-v{version}.onnx");
        let server = Server::ready(path(&demo(&name)), &["--model-digest", &digest(&name)]).await;
        let rows = rows();
        assert!(rows.len() >= 20);
        for row in rows {
            let (status, answer) = server.infer(&row["request"]).await;
            assert_eq!((status, &answer["id"]), (200, &row["request"]["id"]), "{answer}");
            let expected = &row["expected"][version];
            assert_eq!(answer["outputs"][0]["data"][0], expected["label"]);
            for class in 0..2 {
                let ours = answer["outputs"][1]["data"][class].as_f64().unwrap();
                let theirs = expected["probabilities"][class].as_f64().unwrap();
                assert!((ours - theirs).abs() <= 1e-5, "{ours} {theirs}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn server_is_live_at_once_and_ready_only_after_the_model_is() {
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    let bytes = std::fs::read(demo("model-v1.onnx")).unwrap();
    let files = Files::start(move |_, _| {
        let (held, bytes) = (Arc::clone(&held), bytes.clone());
        let body = async move {
            held.notified().await;
            Ok::<_, std::convert::Infallible>(bytes)
        };
        Body::from_stream(futures_once(body)).into_response()
    })
    .await;
    let server = Server::start(&files.url("/model.onnx?sig=s3cret"), &[]);
    assert_eq!(server.get("/v2/health/live").await, (200, json!({"live": true})));
    assert_eq!(server.get("/v2/health/ready").await, (503, json!({"ready": false})));
    assert_eq!(server.get("/v2/models/demo/ready").await.0, 503);
    assert_eq!(server.get("/v2/models/demo").await.0, 503);
    let (status, answer) = server.infer(&rows()[0]["request"]).await;
    assert_eq!(status, 503);
    assert!(answer["error"].as_str().unwrap().contains("loading"));
    gate.notify_one();
    server.wait_until_ready().await;
    assert_eq!(server.infer(&rows()[0]["request"]).await.0, 200);
    assert_eq!(std::fs::read_to_string(&server.termination).unwrap(), "");
}

/// A stream of one item.
fn futures_once<T>(
    item: impl Future<Output = T> + Send + 'static,
) -> impl futures::Stream<Item = T> + Send + 'static {
    futures::stream::once(item)
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_tells_inputs_outputs_and_version() {
    let server = Server::ready(path(&demo("model-v1.onnx")), &["--model-version", "1"]).await;
    let expected = json!({
        "name": "demo", "versions": ["1"], "platform": "onnxruntime_onnx",
        "inputs": [{"name": "X", "datatype": "FP32", "shape": [-1, 30]}],
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]},
        ],
    });
    assert_eq!(server.get("/v2/models/demo").await, (200, expected.clone()));
    assert_eq!(server.get("/v2/models/demo/versions/1").await, (200, expected));
    assert_eq!(server.get("/v2/models/demo/ready").await, (200, json!({"name": "demo", "ready": true})));
    assert_eq!(server.get("/v2/models/demo/versions/1/ready").await.0, 200);
    let (status, answer) = server.get("/v2").await;
    assert_eq!((status, &answer["name"]), (200, &json!("mlops-model-server")));
    let request = rows()[0]["request"].to_string();
    let (status, answer) = server.post("/v2/models/demo/versions/1/infer", request).await;
    assert_eq!((status, &answer["model_version"]), (200, &json!("1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_get_an_error_that_says_what_to_change() {
    let server = Server::ready(path(&demo("model-v1.onnx")), &["--max-body-bytes", "10000"]).await;
    let good = rows()[0]["request"].clone();
    let with = |key: &str, value: Value| {
        let mut request = good.clone();
        request["inputs"][0][key] = value;
        request.to_string()
    };
    let infer = "/v2/models/demo/infer";
    let cases = [
        (infer, with("shape", json!([1, 29])), 422, "[-1, 30]"),
        (infer, with("datatype", json!("INT64")), 422, "FP32"),
        (infer, with("name", json!("y")), 422, "`X` (FP32 [-1, 30])"),
        (infer, with("data", json!([1, 2])), 422, "needs 30"),
        (infer, "{".to_owned(), 400, "\"inputs\""),
        (infer, " ".repeat(10_001), 413, "--max-body-bytes"),
        ("/v2/models/other/infer", good.to_string(), 404, "`demo`"),
        ("/v2/models/demo/versions/1/infer", good.to_string(), 404, "no versions"),
        ("/v2/nothing", String::new(), 404, "/v2/models/NAME/infer"),
        ("/v2/health/ready", String::new(), 405, "GET"),
    ];
    for (path, body, status, words) in cases {
        let (actual, answer) = server.post(path, body).await;
        let message = answer["error"].as_str().unwrap_or_default();
        assert_eq!(actual, status, "{path}: {answer}");
        assert!(message.contains(words), "{path}: {message}");
    }
    assert_eq!(server.infer(&good).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_datatype_survives_the_model() {
    let server = Server::ready(path(&model("identity.onnx")), &[]).await;
    let values = json!({
        "fp32": [0.1, -3.5], "fp64": [0.1, 1e300], "int64": [i64::MIN, 1], "int32": [-5, 5], "bool": [true, false],
        "bytes": ["a", "ä \" \n"], "uint8": [0, 255], "int8": [-128, 127], "int16": [-300, 300],
        "uint16": [0, 65535], "uint32": [0, 4_294_967_295_u32], "uint64": [0, u64::MAX],
    });
    let values = values.as_object().unwrap();
    let inputs: Vec<Value> = values
        .iter()
        .map(|(name, data)| json!({"name": name, "datatype": name.to_uppercase(), "shape": [1, 2], "data": [data]}))
        .collect();
    let (status, answer) = server.infer(&json!({"inputs": inputs})).await;
    assert_eq!(status, 200, "{answer}");
    let outputs = answer["outputs"].as_array().unwrap();
    assert_eq!(outputs.len(), values.len());
    for output in outputs {
        let name = output["name"].as_str().unwrap().trim_end_matches("_out");
        assert_eq!(output["data"], values[name], "{name}");
        assert_eq!(output["datatype"], name.to_uppercase());
        assert_eq!(output["shape"], json!([1, 2]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_inferences_and_name_the_model() {
    let server = Server::ready(path(&demo("model-v1.onnx")), &["--model-version", "1"]).await;
    for _ in 0..3 {
        assert_eq!(server.infer(&rows()[0]["request"]).await.0, 200);
    }
    assert_eq!(server.post("/v2/models/demo/infer", "{").await.0, 400);
    let (status, text) = server.get_text("/metrics").await;
    assert_eq!(status, 200);
    let info = format!(
        r#"mlops_model_server_info{{digest="{}",model="demo",version="1"}} 1"#,
        digest("model-v1.onnx")
    );
    let expected = [
        r#"mlops_model_server_requests_total{code="2xx"} 3"#,
        r#"mlops_model_server_requests_total{code="4xx"} 1"#,
        r#"mlops_model_server_requests_total{code="5xx"} 0"#,
        "mlops_model_server_request_duration_seconds_count 4",
        "mlops_model_server_inference_duration_seconds_count 3",
        "mlops_model_server_requests_in_flight 0",
        "mlops_model_server_model_load_seconds 0.",
        &info,
    ];
    for line in expected {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_batch_is_answered_in_its_order() {
    let server = Server::ready(path(&demo("model-v1.onnx")), &[]).await;
    let rows = rows();
    let many: Vec<&Value> = rows.iter().cycle().take(200).collect();
    let data: Vec<&Value> = many.iter().map(|row| &row["request"]["inputs"][0]["data"]).collect();
    let input = json!({"name": "X", "datatype": "FP32", "shape": [many.len(), 30], "data": data});
    let request = json!({"inputs": [input], "outputs": [{"name": "probabilities"}]});
    assert!(request.to_string().len() > 16 * 1024, "the batch is small enough for the thread of its request");
    let (status, answer) = server.infer(&request).await;
    assert_eq!((status, &answer["outputs"][0]["shape"]), (200, &json!([200, 2])));
    assert_eq!(answer["outputs"].as_array().unwrap().len(), 1);
    for (place, row) in many.iter().enumerate() {
        let ours = answer["outputs"][0]["data"][place * 2].as_f64().unwrap();
        let theirs = row["expected"]["1"]["probabilities"][0].as_f64().unwrap();
        assert!((ours - theirs).abs() <= 1e-5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_get_their_own_answers() {
    let server = Server::ready(path(&demo("model-v2.onnx")), &["--threads", "2"]).await;
    let server = Arc::new(server);
    let tasks: Vec<_> = rows()
        .into_iter()
        .map(|row| {
            let server = Arc::clone(&server);
            tokio::spawn(async move {
                for _ in 0..50 {
                    let (status, answer) = server.infer(&row["request"]).await;
                    assert_eq!((status, &answer["id"]), (200, &row["request"]["id"]));
                    let ours = answer["outputs"][1]["data"][0].as_f64().unwrap();
                    let theirs = row["expected"]["2"]["probabilities"][0].as_f64().unwrap();
                    assert!((ours - theirs).abs() <= 1e-5);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}
