//! Measures the processor time that serving adds to ONNX Runtime's own, for one small tabular request.
//!
//! `cargo run -p model-server --example overhead -- [REQUESTS]`: starts the server as a child process, sends requests over
//! one kept-alive connection, and runs the same model on the same row in this process. Prints a table and JSON.
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use model_server::session;
use ort::session::SessionInputValue;
use ort::value::Tensor;
use serde_json::{Value, json};

/// The word that makes this program the server.
const SERVE: &str = "serve";
const WARM_UP: usize = 2000;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    if std::env::args_os().nth(1).is_some_and(|word| word == SERVE) {
        let program = arguments.next();
        return model_server::run(program.into_iter().chain(arguments.skip(1)));
    }
    match measure(std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(20_000)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("overhead: failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn demo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/models/breast-cancer").join(name)
}

fn measure(requests: usize) -> Result<()> {
    let rows: Value = serde_json::from_slice(&std::fs::read(demo("rows.json"))?)?;
    let mut results = Vec::new();
    println!(
        "model          ONNX Runtime   server   difference   latency   (µs of processor time; latency is wall time)"
    );
    for name in ["model-v1.onnx", "model-v2.onnx"] {
        let request = &rows["rows"][0]["request"];
        let own = in_process(&demo(name), request, requests)?;
        let (served, latency) = over_http(&demo(name), request, requests)?;
        let difference = served - own;
        println!("{name:<14} {own:>12.1} {served:>8.1} {difference:>12.1} {latency:>9.1}");
        results.push(json!({
            "model": name, "requests": requests, "onnxruntime_cpu_us": own, "server_cpu_us": served,
            "difference_cpu_us": difference, "latency_us": latency,
        }));
    }
    println!("{}", Value::from(results));
    Ok(())
}

/// ONNX Runtime alone: the processor time of one run, in microseconds.
fn in_process(model: &Path, request: &Value, requests: usize) -> Result<f64> {
    let environment = session::environment(&session::library(library().as_deref())?)?;
    let mut session = session::load(&environment, model, 1)?;
    let row: Vec<f32> = serde_json::from_value(request["inputs"][0]["data"].clone())?;
    let inputs: [SessionInputValue<'_>; 1] = [Tensor::from_array(([1, row.len()], row))?.into()];
    for _ in 0..WARM_UP {
        session.run(inputs.as_slice())?;
    }
    let before = processor_time("self")?;
    for _ in 0..requests {
        session.run(inputs.as_slice())?;
    }
    Ok(per_request(processor_time("self")?.saturating_sub(before), requests))
}

fn library() -> Option<PathBuf> {
    std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from)
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The server: its processor time and the wall time of one request, in microseconds.
fn over_http(model: &Path, request: &Value, requests: usize) -> Result<(f64, f64)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([SERVE, "--model-name", "demo", "--http", "127.0.0.1:0", "--model-uri"]).arg(model);
    let mut server = Server(command.stderr(Stdio::piped()).spawn()?);
    let mut lines = BufReader::new(server.0.stderr.take().ok_or("no log")?).lines();
    let mut address = None;
    for line in lines.by_ref() {
        let line = line?;
        let event: Value = serde_json::from_str(&line)?;
        if event["level"] == "ERROR" {
            return Err(line.into());
        }
        address = event["address"].as_str().map(str::to_owned).or(address);
        if event["message"] == "ready" {
            break;
        }
    }
    let mut stream = TcpStream::connect(address.ok_or("the server has no address")?)?;
    stream.set_nodelay(true)?;
    let body = request.to_string();
    let length = body.len();
    let message = format!(
        "POST /v2/models/demo/infer HTTP/1.1\r\nhost: demo\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    let process = server.0.id().to_string();
    for _ in 0..WARM_UP {
        exchange(&mut stream, message.as_bytes())?;
    }
    let (before, started) = (processor_time(&process)?, Instant::now());
    for _ in 0..requests {
        exchange(&mut stream, message.as_bytes())?;
    }
    let latency = per_request(started.elapsed(), requests);
    Ok((per_request(processor_time(&process)?.saturating_sub(before), requests), latency))
}

fn exchange(stream: &mut TcpStream, message: &[u8]) -> Result<()> {
    stream.write_all(message)?;
    let mut buffer = [0; 4096];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..])?;
        if read == 0 {
            return Err("the server closed the connection".into());
        }
        filled += read;
        let text = std::str::from_utf8(&buffer[..filled])?;
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            if !head.starts_with("HTTP/1.1 200") {
                return Err(text.into());
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.ok_or("no content-length")?.parse()? {
                return Ok(());
            }
        }
    }
}

fn per_request(time: Duration, requests: usize) -> f64 {
    time.as_secs_f64() * 1e6 / requests as f64
}

/// The time that a process's threads spent on a processor, in user and in kernel mode.
fn processor_time(process: &str) -> Result<Duration> {
    let mut total = 0;
    for task in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let statistics = std::fs::read_to_string(task?.path().join("schedstat"))?;
        total += statistics.split_whitespace().next().ok_or("schedstat is empty")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(total))
}
