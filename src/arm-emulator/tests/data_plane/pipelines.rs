//! Pipelines and sweeps of real commands.
use serde_json::{Value, json};

use crate::support::{WORKSPACE, World};

/// A component as the official client registers it.
async fn component(world: &World, name: &str, command: &str, more: Value) -> String {
    let mut spec =
        json!({"name": name, "type": "command", "command": command, "environment": "azureml:base:1"});
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    let path = format!("components/{name}/versions/1");
    let answer = world.arm("PUT", &path, json!({"properties": {"componentSpec": spec}})).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    format!("{WORKSPACE}/{path}")
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_run_in_order_and_hand_on_what_they_made() {
    let world = World::start().await;
    let prepare =
        json!({"inputs": {"text": {"type": "string"}}, "outputs": {"made": {"type": "uri_folder"}}});
    let prepare =
        component(&world, "prepare", "echo ${{inputs.text}} > ${{outputs.made}}/text.txt", prepare).await;
    let train = json!({
        "inputs": {"data": {"type": "uri_folder"}, "times": {"type": "integer", "default": "2"},
            "more": {"type": "string", "optional": true}},
        "outputs": {"model": {"type": "uri_folder"}},
    });
    let command = "for i in $(seq ${{inputs.times}}); do cat ${{inputs.data}}/text.txt; done > ${{outputs.model}}/model.txt \
        $[[ && echo ${{inputs.more}}]]";
    let train = component(&world, "train", command, train).await;
    let pipeline = json!({
        "jobType": "Pipeline",
        "inputs": {"word": {"jobInputType": "literal", "value": "learned"}},
        "outputs": {"final": {"jobOutputType": "uri_folder", "uri": "azureml://datastores/files/paths/trained"}},
        "jobs": {
            // The later step comes first, so that only the bindings give the order.
            "a_train": {"name": "a_train", "type": "command", "componentId": train,
                "inputs": {"data": {"value": "${{parent.jobs.b_prepare.outputs.made}}", "job_input_type": "literal"}},
                "outputs": {"model": {"value": "${{parent.outputs.final}}", "type": "literal"}}},
            "b_prepare": {"name": "b_prepare", "type": "command", "componentId": prepare,
                "inputs": {"text": {"value": "${{parent.inputs.word}}", "job_input_type": "literal"}}},
        },
    });
    let job = world.job("trains", pipeline).await;
    assert_eq!(job["status"], "Completed", "{job} {}", world.log("trains").await);
    assert_eq!(world.read("trained/model.txt"), "learned\nlearned\n");
    assert_eq!(job["outputs"]["final"]["uri"], "azureml://datastores/files/paths/trained");
    for step in ["trains_a_train", "trains_b_prepare"] {
        let child = world.arm("GET", &format!("jobs/{step}"), Value::Null).await.json();
        assert_eq!(child["properties"]["status"], "Completed");
        assert_eq!(child["properties"]["properties"]["azureml.parentRunId"], "trains");
    }
    let children = format!("/history/v1.0{WORKSPACE}/runs/trains/children");
    let children = world.call("GET", &children, &world.token, Value::Null).await.json();
    assert_eq!(children["value"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn pipeline_with_a_failing_step_fails_and_names_it() {
    let world = World::start().await;
    let step = |command: &str, input: &str| {
        json!({"type": "command", "command": command, "environmentId": "azureml:base:1",
            "inputs": {"x": {"value": input, "job_input_type": "literal"}}, "outputs": {"o": {"job_output_type": "uri_folder"}}})
    };
    let jobs = json!({"one": step("exit 1", "0"), "two": step("true", "${{parent.jobs.one.outputs.o}}")});
    let job = world.job("breaks", json!({"jobType": "Pipeline", "jobs": jobs})).await;
    assert_eq!(job["status"], "Failed");
    assert!(job["properties"]["azureml.error"].as_str().unwrap().contains("The steps one failed"), "{job}");
    assert_eq!(world.arm("GET", "jobs/breaks_two", Value::Null).await.status, 404);
    let jobs = json!({"one": step("true", "${{parent.jobs.two.outputs.o}}"), "two": step("true", "${{parent.jobs.one.outputs.o}}")});
    let job = world.job("circles", json!({"jobType": "Pipeline", "jobs": jobs})).await;
    assert!(job["properties"]["azureml.error"].as_str().unwrap().contains("wait for"), "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn canceled_pipeline_cancels_its_steps() {
    let world = World::start().await;
    let jobs =
        json!({"one": {"type": "command", "command": "sleep 4420.25", "environmentId": "azureml:base:1"}});
    world.submit("waits", json!({"jobType": "Pipeline", "jobs": jobs})).await;
    let running = |answer: &crate::support::Answer| answer.json()["properties"]["status"] == "Running";
    world.until("jobs/waits_one", running).await;
    assert_eq!(world.arm("POST", "jobs/waits/cancel", Value::Null).await.status, 202);
    assert_eq!(world.ended("waits").await["status"], "Canceled");
    assert_eq!(world.ended("waits_one").await["status"], "Canceled");
}

#[tokio::test(flavor = "multi_thread")]
async fn sweep_finds_the_best_trial() {
    let world = World::start().await;
    let job = world
        .job(
            "search",
            json!({
                "jobType": "Sweep",
                "trial": {"command": "echo \"{\\\"name\\\": \\\"loss\\\", \\\"value\\\": $((( ${{search_space.x}} - 3 ) * ( ${{search_space.x}} - 3 )))}\" > $AZUREML_METRICS; \
                    echo ${{search_space.x}} > ${{outputs.o}}/x.txt",
                    "environmentId": "azureml:base:1"},
                "searchSpace": {"x": ["choice", [[1, 3, 6]]]},
                "samplingAlgorithm": {"samplingAlgorithmType": "Grid"},
                "objective": {"goal": "Minimize", "primaryMetric": "loss"},
                "limits": {"jobLimitsType": "Sweep", "maxTotalTrials": 5, "maxConcurrentTrials": 2},
                "outputs": {"o": {"jobOutputType": "uri_folder"}},
            }),
        )
        .await;
    assert_eq!(job["status"], "Completed", "{job} {}", world.log("search").await);
    assert_eq!(
        (&job["properties"]["best_child_run_id"], &job["properties"]["score"]),
        (&json!("search_1"), &json!("0"))
    );
    assert!(job["outputs"]["o"]["uri"].as_str().unwrap().contains("search_1"));
}
