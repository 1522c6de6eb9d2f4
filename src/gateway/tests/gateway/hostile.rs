//! Callers that mean harm: each is refused as it should be, costs bounded memory, and holds up nobody else.
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gateway::body::whole;
use http::Response;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;

use crate::process::{program, start};
use crate::support::{Backend, Behaviour, Caller, document, serve};

/// The most memory that the process may ever have had, in MiB: twice what it needs for all that it may keep aside.
const MOST: u64 = 256;
const SCORE: &str = "/endpoints/team/churn/score";

/// The program, with a good caller beside whatever else comes.
struct Attacked {
    child: Child,
    address: SocketAddr,
    admin: String,
    caller: Caller,
    good: tokio::task::JoinHandle<usize>,
    answers: Arc<AtomicUsize>,
    done: Arc<AtomicBool>,
    _folder: tempfile::TempDir,
}

impl Attacked {
    async fn start(document: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("churn.json"), document.to_string()).unwrap();
        let arguments = ["--log-level=info,access=off", "--capture-milliseconds=1", "--head-seconds=3"];
        let (child, mut log) = start(program(folder.path()).args(arguments));
        let mut addresses = Vec::new();
        while addresses.len() < 2 {
            let line: Value = serde_json::from_str(&log.next_line().await.unwrap().unwrap()).unwrap();
            addresses.extend(line["address"].as_str().map(str::to_owned));
        }
        tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        let [admin, http] = <[String; 2]>::try_from(addresses).unwrap();
        let address = http.parse().unwrap();
        let caller = Caller { client: Client::builder(TokioExecutor::new()).build_http(), address };
        while caller.score(&[]).await.status != 200 {
            tokio::task::yield_now().await;
        }
        let (answers, done) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let good = tokio::spawn(good(caller.clone(), Arc::clone(&answers), Arc::clone(&done)));
        Self { child, address, admin, caller, good, answers, done, _folder: folder }
    }

    async fn metrics(&self) -> String {
        let uri = format!("http://{}/metrics", self.admin).parse().unwrap();
        let body = self.caller.client.get(uri).await.unwrap().into_body().collect().await.unwrap();
        String::from_utf8(body.to_bytes().to_vec()).unwrap()
    }

    /// Waits until a line of the metrics, by what it begins with, has a value that fits.
    async fn until(&self, line: &str, fits: impl Fn(u64) -> bool) {
        let waiting = async {
            loop {
                let metrics = self.metrics().await;
                let value =
                    metrics.lines().find_map(|text| text.strip_prefix(line)?.trim().parse::<u64>().ok());
                if fits(value.unwrap_or(0)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_mins(1), waiting).await.is_ok(), "never: {line}");
    }

    /// A good caller got answers all the time, and memory was bounded.
    async fn survives(mut self) {
        let before = self.answers.load(Ordering::SeqCst);
        while self.answers.load(Ordering::SeqCst) < before + 10 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.done.store(true, Ordering::SeqCst);
        assert_eq!(self.good.await.unwrap(), 0, "good requests failed");
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        let peak = peak.unwrap().parse::<u64>().unwrap() / 1024;
        assert!(peak <= MOST, "{peak} MiB");
        assert!(self.child.try_wait().unwrap().is_none(), "it goes on");
    }
}

/// Calls all the time, and returns how many of its requests failed.
async fn good(caller: Caller, answers: Arc<AtomicUsize>, done: Arc<AtomicBool>) -> usize {
    let mut failed = 0;
    while !done.load(Ordering::SeqCst) {
        failed += usize::from(caller.score(&[]).await.status != 200);
        answers.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    failed
}

/// A model server that answers what it was sent.
async fn mirror_image() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    serve(listener, |request| async {
        Response::new(whole(request.into_body().collect().await.unwrap().to_bytes()))
    });
    address
}

async fn plain(more: &Value) -> (Attacked, Backend) {
    let backend = Backend::start("a", Behaviour::Says(json!({}))).await;
    (Attacked::start(&document(&[backend.revision("a", 1)], more)).await, backend)
}

#[tokio::test(flavor = "multi_thread")]
async fn json_as_deep_as_it_gets_is_passed_on_and_neither_compared_nor_captured() {
    let folder = tempfile::tempdir().unwrap();
    let revision =
        |name: &str, address: &str, weight: u32| json!({"name": name, "address": address, "weight": weight});
    let (a, b) = (mirror_image().await, mirror_image().await);
    let more = json!({
        "mirror": {"revision": "b", "percent": 100},
        "capture": {"percent": 100, "store": {"folder": folder.path()}, "masks": ["age"]},
    });
    let attacked = Attacked::start(&document(&[revision("a", &a, 1), revision("b", &b, 0)], &more)).await;
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let tensor = |values: &str| format!(r#"[{{"name":"x","shape":[1],"datatype":"FP32","data":{values}}}]"#);
    for depth in [10_000, 500_000] {
        let values = deep(depth);
        let bodies = [
            values.clone(),
            format!(r#"{{"inputs":{0},"outputs":{0}}}"#, tensor(&values)),
            format!(r#"{{"input_data":{values}}}"#),
            format!("{}1{}", r#"{"a":"#.repeat(depth / 5), "}".repeat(depth / 5)),
        ];
        for body in bodies {
            assert_eq!(attacked.caller.post(SCORE, &[], body.clone()).await.body, body.as_bytes());
        }
    }
    attacked
        .until("mlops_gateway_capture_records_total{endpoint=\"team/churn\",result=\"unfit\"}", |it| it >= 8)
        .await;
    attacked.survives().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_end_is_refused_once_it_is_too_large() {
    let (attacked, backend) = plain(&json!({"limits": {"bodyBytes": 1_000_000}})).await;
    let told = "POST /endpoints/team/churn/score HTTP/1.1\r\nhost: a\r\n";
    let mut one = TcpStream::connect(attacked.address).await.unwrap();
    one.write_all(format!("{told}content-length: 1000000000000\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    one.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    for _ in 0..8 {
        let mut endless = TcpStream::connect(attacked.address).await.unwrap();
        endless.write_all(format!("{told}transfer-encoding: chunked\r\n\r\n").as_bytes()).await.unwrap();
        let chunk = [format!("{:x}\r\n", 1 << 20).as_bytes(), &vec![b'1'; 1 << 20], b"\r\n"].concat();
        // A gigabyte, were it taken.
        let mut sent = 0;
        while sent < 1024 && endless.write_all(&chunk).await.is_ok() {
            sent += 1;
        }
        assert!(sent < 1024, "it was taken");
    }
    assert!(backend.hits() > 0);
    attacked.survives().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_say_little_and_slowly_are_freed() {
    let (attacked, _backend) = plain(&json!({"timeouts": {"requestMilliseconds": 1_000}})).await;
    let beginnings: [&[u8]; 5] = [
        b"",
        b"P",
        b"PRI * HTTP/2.0\r\n",
        b"POST /endpoints/team/churn/score HTTP/1.1\r\nhost: a\r\nx-slow: ",
        b"POST /endpoints/team/churn/score HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{",
    ];
    let mut slow = Vec::new();
    for number in 0..500 {
        let mut stream = TcpStream::connect(attacked.address).await.unwrap();
        stream.write_all(beginnings[number % beginnings.len()]).await.unwrap();
        slow.push(stream);
    }
    attacked.until("mlops_gateway_connections", |it| it < 20).await;
    for mut stream in slow {
        let mut rest = Vec::new();
        // It is closed, with a refusal or without.
        let read = tokio::time::timeout(Duration::from_mins(1), stream.read_to_end(&mut rest)).await;
        assert!(read.is_ok(), "still open");
    }
    attacked.survives().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_does_not_take_its_answer_loses_it() {
    let answer = Bytes::from(vec![b'1'; 64 << 20]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let large = listener.local_addr().unwrap().to_string();
    serve(listener, move |_| {
        let answer = answer.clone();
        async move { Response::new(whole(answer)) }
    });
    let good = Backend::start("a", Behaviour::Says(json!({}))).await;
    let revision = json!({"name": "large", "address": large, "weight": 0});
    let attacked = Attacked::start(&document(&[good.revision("a", 1), revision], &json!({}))).await;
    let mut lazy = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(attacked.address).await.unwrap();
        let head =
            "GET /endpoints/team/churn/score HTTP/1.1\r\nhost: a\r\nazureml-model-deployment: large\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        lazy.push(stream);
    }
    let of_large = "code=\"2xx\",endpoint=\"team/churn\",revision=\"large\"";
    // None of them can end by itself.
    attacked.until(&format!("mlops_gateway_requests_total{{{of_large}}}"), |it| it == 50).await;
    drop(lazy);
    attacked.survives().await;
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The code of the frame that says farewell.
fn farewell(mut frames: &[u8]) -> Option<u32> {
    while let Some((head, rest)) = frames.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (payload, rest) = rest.split_at_checked(length)?;
        if head[3] == 7 {
            return Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        frames = rest;
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_taken_back_at_once_cost_their_caller_its_connection() {
    let (attacked, _backend) = plain(&json!({})).await;
    let mut head = vec![0x83, 0x86, 0x44, u8::try_from(SCORE.len()).unwrap()];
    head.extend_from_slice(SCORE.as_bytes());
    let mut attack = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    attack.extend(frame(4, 0, 0, &[]));
    for stream in (1..20_000).step_by(2) {
        attack.extend(frame(1, 5, stream, &head));
        attack.extend(frame(3, 0, stream, &8_u32.to_be_bytes()));
    }
    for _ in 0..10 {
        let stream = TcpStream::connect(attacked.address).await.unwrap();
        let (mut reading, mut writing) = stream.into_split();
        let attack = attack.clone();
        let sent = tokio::spawn(async move { writing.write_all(&attack).await });
        let mut answer = Vec::new();
        let _ = reading.read_to_end(&mut answer).await;
        let _ = sent.await.unwrap();
        assert_eq!(farewell(&answer), Some(11), "the caller is to calm down");
    }
    attacked.until("mlops_gateway_connections", |it| it < 20).await;
    attacked
        .until("mlops_gateway_requests_in_flight{endpoint=\"team/churn\",revision=\"a\"}", |it| it <= 1)
        .await;
    attacked.survives().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_do_not_exist_leave_no_trace_in_the_metrics() {
    let (attacked, _backend) = plain(&json!({})).await;
    let mut stream = BufReader::new(TcpStream::connect(attacked.address).await.unwrap());
    let ask = async |stream: &mut BufReader<TcpStream>, from: usize, to: usize| {
        let heads = (from..to).map(|number| {
            format!("GET /endpoints/team-{number}/model-{number}/score HTTP/1.1\r\nhost: h{number}.example\r\n\r\n")
        });
        stream.write_all(heads.collect::<String>().as_bytes()).await.unwrap();
        for _ in from..to {
            let (mut status, mut line, mut length) = (String::new(), String::new(), 0);
            stream.read_line(&mut status).await.unwrap();
            assert_eq!(status, "HTTP/1.1 404 Not Found\r\n");
            while line != "\r\n" {
                line.clear();
                stream.read_line(&mut line).await.unwrap();
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.trim().parse().unwrap();
                }
            }
            stream.read_exact(&mut vec![0; length]).await.unwrap();
        }
    };
    ask(&mut stream, 0, 10).await;
    let before = attacked.metrics().await.lines().count();
    for batch in 0..1_000 {
        ask(&mut stream, batch * 100, batch * 100 + 100).await;
    }
    let after = attacked.metrics().await;
    assert!(after.lines().count() <= before + 5, "{after}");
    assert!(!after.contains("model-7"), "{after}");
    attacked.survives().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_too_large_are_refused() {
    let (attacked, _backend) = plain(&json!({})).await;
    let begin = "POST /endpoints/team/churn/score HTTP/1.1\r\nhost: a\r\n";
    let one = format!("{begin}x-large: {}\r\n\r\n", "x".repeat(200_000));
    let many = (0..1_000).map(|number| format!("x-{number}: 1\r\n")).collect::<Vec<_>>().concat();
    let path = format!("POST /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(200_000));
    for (head, status) in [(one, "431"), (format!("{begin}{many}\r\n"), "431"), (path, "431")] {
        let stream = TcpStream::connect(attacked.address).await.unwrap();
        let (mut reading, mut writing) = stream.into_split();
        let sent = tokio::spawn(async move { writing.write_all(head.as_bytes()).await });
        let mut answer = [0; 12];
        reading.read_exact(&mut answer).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"));
        let _ = sent.await.unwrap();
    }
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Full<Bytes>>();
    let uri = format!("http://{}{SCORE}", attacked.address);
    let request =
        http::Request::post(uri).header("x-large", "x".repeat(100_000)).body(Full::default()).unwrap();
    assert_eq!(client.request(request).await.unwrap().status().as_u16(), 431);
    attacked.survives().await;
}
