//! Batch endpoints with real files.
use serde_json::{Value, json};

use crate::support::{WORKSPACE, World, reference};

async fn endpoint(world: &World, threshold: i64) {
    world.demo_models().await;
    let body = json!({"location": "eastus", "identity": {"type": "SystemAssigned"}, "properties": {"authMode": "AADToken"}});
    world.settled("batchEndpoints/night", body.clone()).await;
    let deployment = json!({"location": "eastus", "properties": {
        "model": {"referenceType": "Id", "assetId": format!("{WORKSPACE}/models/cancer/versions/1")},
        "errorThreshold": threshold,
    }});
    let deployed = world.settled("batchEndpoints/night/deployments/first", deployment).await;
    assert_eq!(deployed["properties"]["provisioningState"], "Succeeded");
    let mut chosen = body;
    chosen["properties"]["defaults"] = json!({"deploymentName": "first"});
    world.settled("batchEndpoints/night", chosen).await;
}

/// Rows of the reference as CSV, and as JSON lines.
fn files(world: &World) {
    let rows: Vec<Vec<f64>> = reference()
        .iter()
        .map(|row| serde_json::from_value(row["request"]["inputs"][0]["data"].clone()).unwrap())
        .collect();
    let header: Vec<String> = (0..30).map(|at| format!("c{at}")).collect();
    let line = |row: &Vec<f64>| row.iter().map(f64::to_string).collect::<Vec<_>>().join(",");
    let csv: Vec<String> = std::iter::once(header.join(",")).chain(rows[..10].iter().map(line)).collect();
    world.blob("in/a.csv", csv.join("\n").as_bytes());
    let lines: Vec<String> = rows[10..].iter().map(|row| json!(row).to_string()).collect();
    world.blob("in/more/b.jsonl", lines.join("\n").as_bytes());
}

fn invocation(name: &str) -> Value {
    json!({"properties": {
        "name": name,
        "inputData": {"UriFolder": {"jobInputType": "UriFolder", "uri": "azureml://datastores/files/paths/in"}},
        "outputData": {"score": {"jobOutputType": "UriFolder", "uri": "azureml://datastores/files/paths/out/"}},
    }})
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_scored_as_the_reference_says() {
    let world = World::start().await;
    endpoint(&world, 0).await;
    files(&world);
    let path = "/emulator/batch/eastus/night/jobs";
    let made = world.call("POST", path, &world.token, invocation("first-night")).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(
        (&made.json()["name"], &made.json()["properties"]["status"]),
        (&json!("first-night"), &json!("Starting"))
    );
    let job = world.ended("first-night").await;
    assert_eq!(job["status"], "Completed", "{job}");
    assert_eq!(
        (&job["properties"]["scoredRows"], &job["properties"]["failedFiles"]),
        (&json!("20"), &json!("0"))
    );
    let predictions = world.read("out/predictions.csv");
    let mut lines = predictions.lines();
    assert_eq!(lines.next().unwrap(), "file,row,label,probabilities");
    let labels: Vec<String> = lines.map(|line| line.split(',').nth(2).unwrap().to_owned()).collect();
    let wanted: Vec<String> =
        reference().iter().map(|row| row["expected"]["1"]["label"].to_string()).collect();
    assert_eq!(labels, wanted);
    for list in [
        path.to_owned(),
        format!(
            "/mferp/managementfrontend{WORKSPACE}/batchEndpoints/night/jobs?api-version=2020-09-01-dataplanepreview"
        ),
    ] {
        let listed = world.call("GET", &list, &world.token, Value::Null).await;
        assert_eq!(listed.json()["value"][0]["name"], "first-night", "{}", listed.text);
    }
    assert!(world.log("first-night").await.contains("a.csv: 10 rows"));
}

#[tokio::test(flavor = "multi_thread")]
async fn file_that_can_not_be_read_counts_against_the_threshold() {
    let world = World::start().await;
    endpoint(&world, 0).await;
    files(&world);
    world.blob("in/c.parquet", b"PAR1");
    let path = "/emulator/batch/eastus/night/jobs";
    world.call("POST", path, &world.token, invocation("strict")).await;
    let job = world.ended("strict").await;
    assert_eq!(job["status"], "Failed");
    assert!(job["properties"]["azureml.error"].as_str().unwrap().contains("error threshold of 0"), "{job}");
    let mut lenient = invocation("lenient");
    lenient["properties"]["errorThreshold"] = json!(1);
    world.call("POST", path, &world.token, lenient).await;
    let job = world.ended("lenient").await;
    assert_eq!((&job["status"], &job["properties"]["failedFiles"]), (&json!("Completed"), &json!("1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn invocation_that_makes_no_sense_is_refused() {
    let world = World::start().await;
    endpoint(&world, 0).await;
    let path = "/emulator/batch/eastus/night/jobs";
    assert_eq!(world.call("POST", path, "forged", invocation("a")).await.status, 401);
    assert_eq!(world.call("POST", path, &world.token, json!({"properties": {}})).await.status, 400);
    assert_eq!(
        world.call("POST", "/emulator/batch/eastus/nobody/jobs", &world.token, invocation("a")).await.status,
        404
    );
    let named = [("azureml-model-deployment", "second")];
    assert_eq!(world.call_with("POST", path, &world.token, invocation("a"), &named).await.status, 404);
    world.call("POST", path, &world.token, invocation("a")).await;
    assert_eq!(world.call("POST", path, &world.token, invocation("a")).await.status, 409);
    // There are no files.
    assert_eq!(world.ended("a").await["status"], "Failed");
}
