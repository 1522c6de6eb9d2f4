//! The program itself: its ports, its documents, its logs, and its way out.
use std::process::Stdio;

use http_body_util::BodyExt as _;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{ChildStderr, Command};

use crate::support::{Backend, Behaviour, Caller, document};

/// The next line of the log that has a field of a value.
async fn line(log: &mut tokio::io::Lines<BufReader<ChildStderr>>, field: &str, value: &str) -> Value {
    while let Some(line) = log.next_line().await.unwrap() {
        assert!(!line.contains("secret"), "{line}");
        let line: Value = serde_json::from_str(&line).unwrap();
        if line[field] == value {
            return line;
        }
    }
    unreachable!("the log ended before {field}={value}")
}

#[tokio::test]
async fn the_program_serves_a_folder_logs_no_secret_and_leaves_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Backend::start("a", Behaviour::Echo).await;
    let digest = format!("{:x}", Sha256::digest("secret"));
    let auth = json!({"auth": {"mode": "Key", "digests": [digest]}});
    let text = document(&[backend.revision("a", 1)], &auth).to_string();
    std::fs::write(folder.path().join("churn.json"), text).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_mlops-gateway"))
        .args([
            "--http=127.0.0.1:0",
            "--admin=127.0.0.1:0",
            "--drain-seconds=0",
            "--instance=one",
            "--routes",
        ])
        .arg(folder.path())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let admin = line(&mut log, "what", "admin").await["address"].as_str().unwrap().to_owned();
    let address = line(&mut log, "what", "http").await["address"].as_str().unwrap().parse().unwrap();
    let client =
        hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
    let caller = Caller { client, address };
    let read = async |path: &str| {
        let answer = caller.client.get(format!("http://{admin}{path}").parse().unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        (status, String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
    };
    while read("/readyz").await.0 != 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(read("/healthz").await.0, 200);
    let path = "/endpoints/team/churn/score?key=secret";
    assert_eq!(caller.post(path, &[("authorization", "Bearer secret")], "secret").await.status, 200);
    assert_eq!(caller.post(path, &[], "{}").await.status, 401);
    let access = line(&mut log, "target", "access").await;
    assert_eq!((&access["path"], &access["status"]), (&json!("/score"), &json!(200)));
    assert!(read("/metrics").await.1.contains("mlops_gateway_endpoints 1"));
    let process = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    kill_process(process, Signal::TERM).unwrap();
    assert!(child.wait().await.unwrap().success());
    line(&mut log, "message", "drained").await;
}
