//! Online deployments with real model servers.
use std::net::{SocketAddr, TcpStream};

use arm_emulator::data_plane::{Local, Storage};
use arm_emulator::{Action, Emulator, Fault};
use serde_json::{Value, json};

use crate::support::{Answer, WORKSPACE, World, demo, options, reference, score, start};

/// The outputs of an answer by their names.
fn output(answer: &Value, name: &str) -> Vec<f64> {
    let outputs = answer["outputs"].as_array().unwrap_or_else(|| panic!("no outputs: {answer}"));
    let output = outputs.iter().find(|output| output["name"] == name).unwrap();
    output["data"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

fn check(answer: &Value, expected: &Value) {
    assert_eq!(output(answer, "label"), [expected["label"].as_f64().unwrap()]);
    let wanted = expected["probabilities"].as_array().unwrap();
    for (got, wanted) in output(answer, "probabilities").iter().zip(wanted) {
        assert!((got - wanted.as_f64().unwrap()).abs() < 1e-4, "{got} is not {wanted}");
    }
}

/// Where the server of a deployment listens, as its log says.
async fn address(world: &World, deployment: &str) -> SocketAddr {
    let logs = world.arm("POST", &format!("{deployment}/getLogs"), json!({"tail": 1000})).await.json();
    let lines: Vec<Value> = logs["content"]
        .as_str()
        .unwrap()
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let found = lines.iter().rev().find_map(|line| line["address"].as_str());
    found.unwrap_or_else(|| panic!("no address in {logs}")).parse().unwrap()
}

/// Waits until nobody listens any more.
fn gone(address: SocketAddr) {
    let started = std::time::Instant::now();
    while TcpStream::connect(address).is_ok() {
        assert!(started.elapsed().as_secs() < 30, "the model server still listens");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deployment_answers_as_the_reference_does() {
    let world = World::start().await;
    world.demo_models().await;
    let key = world.endpoint("cancer", json!({})).await;
    let (ended, deployed) =
        world.deploy("onlineEndpoints/cancer/deployments/blue", "cancer/versions/1", json!({})).await;
    assert_eq!(
        (&ended["status"], &deployed["properties"]["provisioningState"]),
        (&json!("Succeeded"), &json!("Succeeded"))
    );
    let path = score("cancer");
    let named = [("azureml-model-deployment", "blue")];
    for row in reference() {
        let answer = world.call_with("POST", &path, &key, row["request"].clone(), &named).await;
        assert_eq!(
            (answer.status, answer.header("azureml-model-deployment")),
            (200, "blue"),
            "{}",
            answer.text
        );
        assert!(!answer.header("x-request-id").is_empty());
        check(&answer.json(), &row["expected"]["1"]);
    }
    // Without traffic only who names the deployment gets an answer.
    let row = reference()[0]["request"].clone();
    assert_eq!(world.call("POST", &path, &key, row.clone()).await.status, 404);
    world.endpoint("cancer", json!({"blue": 100})).await;
    assert_eq!(world.call("POST", &path, &key, row.clone()).await.status, 200);
    for wrong in ["", "no-key"] {
        assert_eq!(world.call("POST", &path, wrong, row.clone()).await.status, 401);
    }
    assert_eq!(world.call("POST", &path, &world.token, row.clone()).await.status, 401);
    let unknown = [("azureml-model-deployment", "green")];
    assert_eq!(world.call_with("POST", &path, &key, row.clone(), &unknown).await.status, 404);
    assert_eq!(world.call("POST", &score("nobody"), &key, row.clone()).await.status, 404);
    let open = path.replace("/score", "/v2/models/cancer");
    assert_eq!(world.call("GET", &open, &key, Value::Null).await.json()["name"], "cancer");
    let answer = world.call("POST", &format!("{open}/infer"), &key, row).await;
    check(&answer.json(), &reference()[0]["expected"]["1"]);
    let swagger = world.call("GET", &path.replace("/score", "/swagger.json"), &key, Value::Null).await.json();
    assert!(swagger["paths"]["/score"]["post"].is_object());
    world.emulator.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_azure_are_translated_and_unfit_ones_are_the_models_error() {
    let world = World::start().await;
    world.demo_models().await;
    let key = world.endpoint("rows", json!({})).await;
    world.deploy("onlineEndpoints/rows/deployments/blue", "cancer/versions/1", json!({})).await;
    world.endpoint("rows", json!({"blue": 100})).await;
    let rows: Vec<Value> =
        reference().iter().take(3).map(|row| row["request"]["inputs"][0]["data"].clone()).collect();
    let labels: Vec<Value> =
        reference().iter().take(3).map(|row| row["expected"]["1"]["label"].clone()).collect();
    let columns: Vec<String> = (0..30).map(|at| format!("c{at}")).collect();
    for body in [
        json!({"input_data": rows}),
        json!({"input_data": {"columns": columns, "index": [0, 1, 2], "data": rows}}),
    ] {
        let answer = world.call("POST", &score("rows"), &key, body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let got: Vec<Value> =
            answer.json().as_array().unwrap().iter().map(|row| row["label"].clone()).collect();
        assert_eq!(got, labels);
    }
    for (body, words) in [
        (json!({"input_data": [[1, 2]]}), "takes 30 columns, but a row has 2"),
        (json!({"inputs": [{"name": "Y", "shape": [1], "datatype": "FP32", "data": [1]}]}), "no input"),
    ] {
        let answer = world.call("POST", &score("rows"), &key, body).await;
        assert_eq!(answer.status, 424, "{}", answer.text);
        assert!(answer.text.contains(words), "{}", answer.text);
        assert!(answer.header("ms-azureml-model-error-statuscode").starts_with('4'));
        assert_eq!(answer.header("ms-azureml-model-error-reason"), "model_error");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn traffic_is_split_by_weights_and_mirrored() {
    let world = World::start().await;
    world.demo_models().await;
    let key = world.endpoint("split", json!({})).await;
    for (name, version) in [("blue", "1"), ("green", "2")] {
        let path = format!("onlineEndpoints/split/deployments/{name}");
        world.deploy(&path, &format!("cancer/versions/{version}"), json!({})).await;
    }
    world.endpoint("split", json!({"blue": 80, "green": 20})).await;
    let row = &reference()[0];
    let mut green = 0;
    for _ in 0..200 {
        let answer = world.call("POST", &score("split"), &key, row["request"].clone()).await;
        let is_green = answer.header("azureml-model-deployment") == "green";
        check(&answer.json(), &row["expected"][if is_green { "2" } else { "1" }]);
        green += u32::from(is_green);
    }
    assert!((20..=60).contains(&green), "{green} of 200 is not near 20 percent");
    let body = json!({"location": "eastus", "identity": {"type": "SystemAssigned"}, "properties": {
        "authMode": "Key", "traffic": {"blue": 100}, "mirrorTraffic": {"green": 50}}});
    world.settled("onlineEndpoints/split", body).await;
    for _ in 0..60 {
        let answer = world.call("POST", &score("split"), &key, row["request"].clone()).await;
        assert_eq!(answer.header("azureml-model-deployment"), "blue");
    }
    let started = std::time::Instant::now();
    loop {
        let counts = world.call("GET", "/emulator/traffic", "", Value::Null).await.json();
        let counts = counts["value"].as_array().unwrap().clone();
        let of = |name: &str| {
            counts.iter().find(|one| one["id"].as_str().unwrap().ends_with(name)).unwrap().clone()
        };
        assert_eq!(of("/green")["answered"], green);
        if (10..=50).contains(&of("/green")["mirrored"].as_u64().unwrap()) {
            break;
        }
        assert!(started.elapsed().as_secs() < 30, "too few or too many are mirrored: {counts:?}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_model_fails_with_words_and_a_good_one_mends_it() {
    let world = World::start().await;
    world.demo_models().await;
    world.blob("broken.onnx", b"this is no model");
    world.model("broken", "1", "broken.onnx").await;
    world.model("absent", "1", "nothing/here.onnx").await;
    world.endpoint("bad", json!({})).await;
    let path = "onlineEndpoints/bad/deployments/blue";
    for (model, container, words) in [
        ("broken", "InferenceServer", "Protobuf parsing failed"),
        ("absent", "StorageInitializer", "there is no blob at"),
    ] {
        let (ended, deployed) = world.deploy(path, &format!("{model}/versions/1"), json!({})).await;
        assert_eq!(
            (&ended["status"], &ended["error"]["code"]),
            (&json!("Failed"), &json!("ResourceNotReady"))
        );
        assert!(
            ended["error"]["message"].as_str().unwrap().contains("User container has crashed or terminated")
        );
        assert_eq!(deployed["properties"]["provisioningState"], "Failed");
        let logs =
            world.arm("POST", &format!("{path}/getLogs"), json!({"containerType": container})).await.json();
        assert!(logs["content"].as_str().unwrap().contains(words), "{logs}");
    }
    let (ended, _) = world.deploy(path, "cancer/versions/1", json!({})).await;
    assert_eq!(ended["status"], "Succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_a_deployment_are_kept() {
    let world = World::start().await;
    world.demo_models().await;
    let key = world.endpoint("limits", json!({})).await;
    let path = "onlineEndpoints/limits/deployments/blue";
    let settings =
        json!({"requestSettings": {"maxConcurrentRequestsPerInstance": 1, "requestTimeout": "PT0S"}});
    world.deploy(path, "cancer/versions/2", settings).await;
    world.endpoint("limits", json!({"blue": 100})).await;
    let late = world.call("POST", &score("limits"), &key, reference()[0]["request"].clone()).await;
    assert_eq!((late.status, &late.json()["error"]["code"]), (408, &json!("RequestTimeout")));
    let settings = json!({"requestSettings": {"maxConcurrentRequestsPerInstance": 1, "requestTimeout": "PT1M",
        "maxQueueWait": "PT1M"}});
    world.deploy(path, "cancer/versions/2", settings).await;
    let row = reference()[0]["request"]["inputs"][0]["data"].as_array().unwrap().clone();
    let rows: Vec<Vec<Value>> = std::iter::repeat_n(row, 500).collect();
    let body = json!({"input_data": rows});
    let path = score("limits");
    let calls = (0..40).map(|_| world.call("POST", &path, &key, body.clone()));
    let calls: Vec<_> = calls.collect();
    let statuses: Vec<u16> = futures_of(calls).await.iter().map(|answer| answer.status).collect();
    assert!(statuses.contains(&200) && statuses.contains(&429), "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
}

/// All answers, asked for at the same time.
async fn futures_of<T>(calls: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut calls: Vec<_> = calls.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<T>> = calls.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (call, done) in calls.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(answer) = call.as_mut().poll(context)
            {
                *done = Some(answer);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_end_with_their_deployment_and_come_back_with_the_state() {
    let world = World::start().await;
    world.demo_models().await;
    let key = world.endpoint("life", json!({})).await;
    for name in ["blue", "green"] {
        let path = format!("onlineEndpoints/life/deployments/{name}");
        world.deploy(&path, "cancer/versions/1", json!({})).await;
    }
    let (blue, green) = (
        address(&world, "onlineEndpoints/life/deployments/blue").await,
        address(&world, "onlineEndpoints/life/deployments/green").await,
    );
    assert_eq!(world.arm("DELETE", "onlineEndpoints/life/deployments/blue", Value::Null).await.status, 202);
    world.until("onlineEndpoints/life/deployments/blue", |answer| answer.status == 404).await;
    gone(blue);
    world.endpoint("life", json!({"green": 100})).await;
    let World { emulator, folder, .. } = world;
    emulator.stop().await.unwrap();
    gone(green);
    let storage = arm_emulator::data_plane::Storage::Folder(folder.path().join("data"));
    let emulator: Emulator = start(options(storage), Some(&folder.path().join("state.json"))).await;
    let world = World::around(emulator, folder);
    let started = std::time::Instant::now();
    let row = &reference()[0];
    loop {
        let answer = world.call("POST", &score("life"), &key, row["request"].clone()).await;
        if answer.status == 200 {
            check(&answer.json(), &row["expected"]["1"]);
            break;
        }
        assert_eq!(answer.status, 424, "{}", answer.text);
        assert!(started.elapsed().as_secs() < 60, "the deployment does not come back");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    drop(world);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_open_an_endpoint_of_tokens() {
    let world = World::start().await;
    world.blob("model.onnx", &std::fs::read(demo("model-v1.onnx")).unwrap());
    world.model("cancer", "1", "model.onnx").await;
    let body = json!({"location": "eastus", "identity": {"type": "SystemAssigned"}, "properties": {"authMode": "AMLToken"}});
    world.settled("onlineEndpoints/tokens", body).await;
    world.deploy("onlineEndpoints/tokens/deployments/blue", "cancer/versions/1", json!({})).await;
    let token = world.arm("POST", "onlineEndpoints/tokens/token", Value::Null).await.json();
    let token = token["accessToken"].as_str().unwrap().to_owned();
    let named = [("azureml-model-deployment", "blue")];
    let row = reference()[0]["request"].clone();
    assert_eq!(world.call_with("POST", &score("tokens"), &token, row.clone(), &named).await.status, 200);
    assert_eq!(world.call_with("POST", &score("tokens"), "forged", row, &named).await.status, 401);
}

/// A call for a metric of the endpoint `split`, since a time.
async fn metric(world: &World, name: &str, since: jiff::Timestamp, more: &str) -> Answer {
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(1);
    let path = format!(
        "{WORKSPACE}/onlineEndpoints/split/providers/Microsoft.Insights/metrics?api-version=2023-10-01&metricnames={name}\
         &timespan={since}/{until}&interval=PT1S&aggregation=Average{more}"
    );
    world.call("GET", &path, &world.token, Value::Null).await
}

/// The sums of all series, by the values of their dimensions.
fn sums(answer: &Answer) -> Vec<(String, f64)> {
    let body = answer.json();
    let series =
        body["value"][0]["timeseries"].as_array().unwrap_or_else(|| panic!("{}", answer.text)).clone();
    let label = |series: &Value| {
        let labels = series["metadatavalues"].as_array().unwrap();
        let one = |label: &Value| format!("{}={}", label["name"]["value"], label["value"]).replace('"', "");
        labels.iter().map(one).collect::<Vec<_>>().join(" ")
    };
    let sum = |series: &Value| {
        series["data"].as_array().unwrap().iter().filter_map(|it| it["average"].as_f64()).sum()
    };
    series.iter().map(|series| (label(series), sum(series))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_what_each_deployment_really_answered() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(Storage::Folder(folder.path().join("data")));
    let builder = Emulator::builder().http().rates(None).operation_duration(20).metrics(1000, 0);
    let emulator = builder.data_plane(Local::new(options).unwrap()).start().await.unwrap();
    let world = World::around(emulator, folder);
    world.workspace("mlopsstore").await;
    world.demo_models().await;
    let key = world.endpoint("split", json!({})).await;
    for (deployment, version) in [("blue", 1), ("green", 2)] {
        let path = format!("onlineEndpoints/split/deployments/{deployment}");
        world.deploy(&path, &format!("cancer/versions/{version}"), json!({})).await;
    }
    world.endpoint("split", json!({"blue": 100})).await;
    let since = jiff::Timestamp::now();
    let row = reference()[0]["request"].clone();
    let named = [("azureml-model-deployment", "green")];
    for _ in 0..5 {
        assert_eq!(world.call("POST", &score("split"), &key, row.clone()).await.status, 200);
        let answer = world.call_with("POST", &score("split"), &key, json!({"inputs": []}), &named).await;
        assert_eq!(answer.status, 424, "{}", answer.text);
    }
    // Who has no key was never sent to a deployment.
    assert_eq!(world.call("POST", &score("split"), "wrong", row.clone()).await.status, 401);
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let by_class = "&$filter=deployment eq '*' and statusCodeClass eq '*'";
    let answer = metric(&world, "RequestsPerMinute", since, by_class).await;
    let wanted =
        [("deployment=blue statuscodeclass=2xx", 5.0), ("deployment=green statuscodeclass=4xx", 5.0)];
    assert_eq!(sums(&answer), wanted.map(|(label, sum)| (label.to_owned(), sum)));
    let body = answer.json();
    assert_eq!(body["value"][0]["unit"], "Count");
    assert_eq!(body["namespace"], "Microsoft.MachineLearningServices/workspaces/onlineEndpoints");
    // What the model itself answered is told beside what Azure made of it.
    let by_model = "&$filter=deployment eq 'green' and modelStatusCode eq '*'";
    let answer = metric(&world, "RequestsPerMinute", since, by_model).await;
    assert_eq!(sums(&answer), [("deployment=green modelstatuscode=422".to_owned(), 5.0)]);
    assert_eq!(sums(&metric(&world, "RequestsPerMinute", since, "").await), [(String::new(), 10.0)]);
    let answer = metric(&world, "RequestLatency_P95", since, "&$filter=deployment eq '*'").await;
    let latencies = sums(&answer);
    assert_eq!(latencies.len(), 2, "{latencies:?}");
    assert!(latencies.iter().all(|(_, milliseconds)| *milliseconds > 0.0), "{latencies:?}");
    // Without a word, ten series are answered; a call may ask for fewer or more.
    assert_eq!(
        sums(&metric(&world, "RequestsPerMinute", since, &format!("{by_class}&top=1")).await).len(),
        1
    );
    for (name, more) in [
        ("RequestsPerHour", ""),
        ("RequestLatency_P95", "&$filter=statusCodeClass eq '*'"),
        ("RequestsPerMinute", "&$filter=deployment like 'a'"),
    ] {
        let answer = metric(&world, name, since, more).await;
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (400, &json!("BadRequest")),
            "{name} {more}"
        );
    }
    // A fault hits it like any other read.
    let fault = Fault::new("GET", "/providers/Microsoft.Insights/metrics$", Action::AuthorizationFailed);
    world.emulator.faults().set(fault).unwrap();
    assert_eq!(metric(&world, "RequestsPerMinute", since, "").await.status, 403);
    assert_eq!(metric(&world, "RequestsPerMinute", since, "").await.status, 200);
}
