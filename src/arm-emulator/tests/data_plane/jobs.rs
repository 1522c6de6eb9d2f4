//! Command jobs with real commands.
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{WORKSPACE, World};

#[tokio::test(flavor = "multi_thread")]
async fn command_gets_its_inputs_and_code_and_leaves_outputs_metrics_and_a_log() {
    let world = World::start().await;
    world.blob("data/numbers.txt", b"1\n2\n3\n");
    world.blob("code/sum.sh", b"awk '{ sum += $1 * FACTOR } END { print sum }' FACTOR=\"$2\" \"$1\"\n");
    let code = json!({"properties": {"codeUri": "azureml://datastores/files/paths/code"}});
    assert_eq!(world.arm("PUT", "codes/sum/versions/1", code).await.status, 201);
    let job = world
        .job(
            "sum",
            json!({
                "command": "sum=$(sh sum.sh ${{inputs.numbers}} ${{inputs.factor}}); echo \"the sum is $sum, $GREETING\"; \
                    echo $sum > ${{outputs.result}}/sum.txt; mkdir outputs; echo kept > outputs/kept.txt; \
                    echo \"{\\\"name\\\": \\\"sum\\\", \\\"value\\\": $sum, \\\"step\\\": 1}\" >> $AZUREML_METRICS",
                "codeId": format!("{WORKSPACE}/codes/sum/versions/1"),
                "environmentVariables": {"GREETING": "hello"},
                "inputs": {
                    "numbers": {"jobInputType": "uri_file", "uri": "azureml://datastores/files/paths/data/numbers.txt"},
                    "factor": {"jobInputType": "literal", "value": "10"},
                },
                "outputs": {"result": {"jobOutputType": "uri_folder", "uri": "azureml://datastores/files/paths/out/sum"}},
            }),
        )
        .await;
    assert_eq!(job["status"], "Completed", "{job} {}", world.log("sum").await);
    assert_eq!(world.read("out/sum/sum.txt"), "60\n");
    assert_eq!(job["properties"]["metrics.sum"], "60");
    assert_eq!(job["outputs"]["result"]["uri"], "azureml://datastores/files/paths/out/sum");
    assert!(world.log("sum").await.starts_with("the sum is 60, hello\n"), "{}", world.log("sum").await);
    let artifacts = world.folder.path().join("data/mlopsstore/azureml/ExperimentRun/dcid.sum");
    assert!(
        std::fs::read_to_string(artifacts.join("user_logs/std_log.txt")).unwrap().contains("the sum is 60")
    );
    assert_eq!(std::fs::read_to_string(artifacts.join("outputs/kept.txt")).unwrap(), "kept\n");
    assert!(artifacts.join("metrics.jsonl").is_file());
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_command_says_its_status_and_its_words() {
    let world = World::start().await;
    let job = world.job("fails", json!({"command": "echo no such luck >&2; exit 3"})).await;
    assert_eq!(job["status"], "Failed");
    assert!(job["properties"]["azureml.error"].as_str().unwrap().contains("status code 3"), "{job}");
    assert!(world.log("fails").await.contains("no such luck"));
    let job = world.job("unbound", json!({"command": "echo ${{inputs.nothing}}"})).await;
    assert!(job["properties"]["azureml.error"].as_str().unwrap().contains("inputs.nothing"), "{job}");
    let job = world.job("spark", json!({"jobType": "Spark", "entry": {}})).await;
    assert!(
        job["properties"]["azureml.error"].as_str().unwrap().contains("no jobs of the type 'Spark'"),
        "{job}"
    );
}

/// Whether a process of this machine has these words in its command.
fn runs(words: &str) -> bool {
    let words = words.replace(' ', "\0");
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        std::fs::read(entry.path().join("cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).starts_with(&words))
    })
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_ends_the_command_and_what_it_started() {
    let world = World::start().await;
    world.submit("long", json!({"command": "echo begun; sleep 4417.25 & sleep 4417.25"})).await;
    until("the command does not start", || runs("sleep 4417.25"));
    assert_eq!(world.arm("GET", "jobs/long", Value::Null).await.json()["properties"]["status"], "Running");
    let refused = world.arm("DELETE", "jobs/long", Value::Null).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert_eq!(world.arm("POST", "jobs/long/cancel", Value::Null).await.status, 202);
    assert_eq!(world.ended("long").await["status"], "Canceled");
    until("the command still runs", || !runs("sleep 4417.25"));
    assert!(world.log("long").await.contains("begun"));
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_end_a_command() {
    let world = World::start().await;
    let limits = json!({"jobLimitsType": "Command", "timeout": "PT1S"});
    let job = world.job("slow", json!({"command": "sleep 4418.25", "limits": limits})).await;
    assert_eq!(job["status"], "Failed");
    assert!(job["properties"]["azureml.error"].as_str().unwrap().contains("ended after 1 seconds"), "{job}");
    until("the command still runs", || !runs("sleep 4418.25"));
    // No file is larger than the sandbox lets it be.
    let job = world.job("fat", json!({"command": "dd if=/dev/zero of=big bs=1M count=300"})).await;
    assert_eq!(job["status"], "Failed", "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_of_the_emulator_ends_its_commands_and_a_restart_says_so() {
    let world = World::start().await;
    world.submit("orphan", json!({"command": "sleep 4419.25"})).await;
    until("the command does not start", || runs("sleep 4419.25"));
    let World { emulator, folder, .. } = world;
    emulator.stop().await.unwrap();
    until("the command still runs", || !runs("sleep 4419.25"));
    let storage = arm_emulator::data_plane::Storage::Folder(folder.path().join("data"));
    let emulator =
        crate::support::start(crate::support::options(storage), Some(&folder.path().join("state.json")))
            .await;
    let world = World::around(emulator, folder);
    let job = world.ended("orphan").await;
    assert_eq!(job["status"], "Failed");
    assert!(job["properties"]["azureml.error"].as_str().unwrap().contains("restarted"), "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn command_is_alone_where_the_machine_allows_it() {
    let world = World::start().await;
    let job = world
        .job("alone", json!({"command": "id -u; tail -n +3 /proc/net/dev | cut -d: -f1; env | cut -d= -f1"}))
        .await;
    assert_eq!(job["status"], "Completed");
    let log = world.log("alone").await;
    assert!(!log.contains("CARGO"), "{log}");
    // Elsewhere the limits alone are left.
    if std::fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own)).unwrap() == 0 {
        let mut lines = log.lines();
        assert_eq!(lines.next().unwrap(), "65534", "{log}");
        assert_eq!(lines.next().unwrap().trim(), "lo", "{log}");
        assert!(!log.contains("eth0"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn schedule_fires_when_told_and_the_history_can_be_changed() {
    let world = World::start().await;
    let schedule = json!({"properties": {
        "trigger": {"triggerType": "Cron", "expression": "0 3 * * *"},
        "action": {"actionType": "CreateJob", "jobDefinition": {"jobType": "Command", "command": "echo fired",
            "environmentId": "azureml:base:1"}},
    }});
    world.settled("schedules/nightly", schedule).await;
    let fired = world.call("POST", "/emulator/schedules/nightly/fire", "", Value::Null).await;
    assert_eq!(fired.status, 201, "{}", fired.text);
    let name = fired.json()["name"].as_str().unwrap().to_owned();
    assert_eq!(world.ended(&name).await["status"], "Completed");
    assert!(world.log(&name).await.contains("fired"));
    assert_eq!(world.call("POST", "/emulator/schedules/nobody/fire", "", Value::Null).await.status, 404);
    let run = format!("/history/v1.0{WORKSPACE}/experiments/Default/runs/{name}");
    let change = json!({"hidden": true, "tags": {"stage": "test"}, "displayName": null});
    assert_eq!(world.call("PATCH", &run, "forged", change.clone()).await.status, 401);
    assert_eq!(world.call("PATCH", &run, &world.token, change).await.status, 200);
    let job = world.arm("GET", &format!("jobs/{name}"), Value::Null).await.json();
    assert_eq!(
        (&job["properties"]["isArchived"], &job["properties"]["tags"]["stage"]),
        (&json!(true), &json!("test"))
    );
}
