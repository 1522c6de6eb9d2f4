//! The program itself: its ports, its documents, its logs, and its way out.
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gateway::body::whole;
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStderr, Command};

use crate::support::{Backend, Behaviour, Caller, document, serve, until};

/// The log of the program, line by line.
pub(crate) type Log = tokio::io::Lines<BufReader<ChildStderr>>;

/// The program on ports of its own, with the documents of a folder, before anything particular to a test.
pub(crate) fn program(routes: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mlops-gateway"));
    command.args(["--http=127.0.0.1:0", "--admin=127.0.0.1:0", "--instance=one", "--routes"]).arg(routes);
    command.stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Starts the program.
pub(crate) fn start(command: &mut Command) -> (Child, Log) {
    let mut child = command.spawn().unwrap();
    let log = BufReader::new(child.stderr.take().unwrap()).lines();
    (child, log)
}

/// The next line of the log that has a field of a value.
pub(crate) async fn line(log: &mut Log, field: &str, value: &str) -> Value {
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
    let (mut child, mut log) = start(program(folder.path()).arg("--drain-seconds=0"));
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

#[tokio::test]
async fn it_stays_as_long_as_connections_come() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, mut log) = start(program(folder.path()).arg("--drain-seconds=1"));
    let address = line(&mut log, "what", "http").await["address"].as_str().unwrap().to_owned();
    let process = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    kill_process(process, Signal::TERM).unwrap();
    line(&mut log, "message", "draining").await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        let connected = TcpStream::connect(&address).await;
        assert!(connected.is_ok(), "{connected:?} after {:?}", begun.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test]
async fn captures_reach_a_container_with_the_credentials_of_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Backend::start("a", Behaviour::Says(json!([1]))).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let store = format!("http://{}/account/telemetry/churn", listener.local_addr().unwrap());
    let blobs = Arc::<Mutex<Vec<(String, String)>>>::default();
    let kept = Arc::clone(&blobs);
    serve(listener, move |request| {
        let blobs = Arc::clone(&kept);
        async move {
            let is_signed = request
                .headers()
                .get("authorization")
                .is_some_and(|value| value.to_str().unwrap().starts_with("SharedKey account:"));
            let (what, body) =
                (format!("{} {}", request.method(), request.uri().path()), request.into_body());
            let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
            let mut response = Response::new(whole(""));
            *response.status_mut() = if is_signed { StatusCode::CREATED } else { StatusCode::FORBIDDEN };
            response.headers_mut().insert("etag", "\"1\"".parse().unwrap());
            if is_signed {
                blobs.lock().unwrap().push((what, body));
            }
            response
        }
    });
    let capture = json!({"capture": {"percent": 100, "store": {"azure": store}}});
    let text = document(&[backend.revision("a", 1)], &capture).to_string();
    std::fs::write(folder.path().join("churn.json"), text).unwrap();
    let (_child, mut log) = start(
        program(folder.path()).arg("--capture-milliseconds=1").env("AZURE_STORAGE_ACCOUNT_KEY", "c2VjcmV0"),
    );
    let address = line(&mut log, "what", "http").await["address"].as_str().unwrap().parse().unwrap();
    let client =
        hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
    let caller = Caller { client, address };
    while caller.post("/endpoints/team/churn/score", &[], "[[5]]").await.status != 200 {
        tokio::task::yield_now().await;
    }
    until("both blobs are written", || blobs.lock().unwrap().len() >= 2).await;
    let blobs = blobs.lock().unwrap().clone();
    let inputs = blobs.iter().find(|(what, _)| what.contains("/model_inputs/")).unwrap();
    assert!(inputs.0.starts_with("PUT /account/telemetry/churn/team/churn/a/model_inputs/2"), "{}", inputs.0);
    let name = inputs.0.rsplit('/').next().unwrap();
    assert!(name.starts_with("one-") && name.ends_with("-000001.jsonl"), "{name}");
    let record: Value = serde_json::from_str(inputs.1.trim()).unwrap();
    assert_eq!(record["data"], json!([{"0": 5}]));
}
