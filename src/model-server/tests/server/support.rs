//! Starts servers, talks to them, and serves files to them.
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// ONNX Runtime's library: ORT_DYLIB_PATH, else where `xtask::python::onnxruntime_library` puts it.
pub(crate) fn library() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/mlops-operator");
    let cache = std::env::var_os("MLOPS_CACHE").map_or_else(
        || {
            std::env::var_os("XDG_CACHE_HOME")
                .map_or_else(home, |path| PathBuf::from(path).join("mlops-operator"))
        },
        PathBuf::from,
    );
    let path = std::env::var_os("ORT_DYLIB_PATH")
        .map_or_else(|| cache.join("onnxruntime-1.31.1/libonnxruntime.so.1.31.1"), PathBuf::from);
    assert!(path.is_file(), "{} is missing; run `cargo xtask test`, which fetches it", path.display());
    path
}

/// A file of the demo model.
pub(crate) fn demo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/models/breast-cancer").join(name)
}

/// A small model of the tests.
pub(crate) fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models").join(name)
}

/// The digest of a demo model, as committed.
pub(crate) fn digest(name: &str) -> String {
    let digests = std::fs::read_to_string(demo("digests.txt")).unwrap();
    let line = digests.lines().find(|line| line.ends_with(name)).unwrap();
    format!("sha256:{}", line.split_whitespace().next().unwrap())
}

/// The reference rows.
pub(crate) fn rows() -> Vec<Value> {
    let text = std::fs::read_to_string(demo("rows.json")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    document["rows"].as_array().unwrap().clone()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mlops-model-server"));
    command.args(arguments).env("ORT_DYLIB_PATH", library()).stdin(Stdio::null()).stderr(Stdio::piped());
    // What a developer is to Azure is nothing to the tests; their servers are on the loopback address.
    let foreign = std::env::vars_os().map(|(name, _)| name);
    let foreign =
        foreign.filter(|name| name.to_string_lossy().starts_with("AZURE_") || name == "IDENTITY_ENDPOINT");
    for name in foreign {
        command.env_remove(name);
    }
    command.env("MODEL_ALLOWED_HOSTS", "127.0.0.0/8,localhost");
    command
}

/// How a process ended that was expected to end by itself.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) log: String,
}

/// Runs the program to its end, with a termination message file.
pub(crate) fn run(arguments: &[&str]) -> Ended {
    run_with(arguments, &[])
}

/// The same with variables of the environment.
pub(crate) fn run_with(arguments: &[&str], variables: &[(&str, String)]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let termination = folder.path().join("termination-log");
    std::fs::write(&termination, "").unwrap();
    let mut command = command(arguments);
    command.env("MLOPS_TERMINATION_MESSAGE", &termination).envs(variables.iter().cloned());
    let output = command.output().unwrap();
    let text = std::fs::read_to_string(&termination).unwrap();
    let written: Value = serde_json::from_str(&text).unwrap_or_default();
    let word = |key: &str| written[key].as_str().unwrap_or_default().to_owned();
    Ended {
        code: output.status.code().unwrap(),
        reason: word("reason"),
        message: word("message"),
        log: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs a server that must not come up.
pub(crate) fn fail(uri: &str, more: &[&str]) -> Ended {
    let mut arguments = vec!["--model-uri", uri, "--model-name", "demo", "--http", "127.0.0.1:0"];
    arguments.extend(more);
    run(&arguments)
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) client: reqwest::Client,
    pub(crate) termination: PathBuf,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts a server and waits until it listens.
    pub(crate) fn start(uri: &str, more: &[&str]) -> Self {
        Self::start_with(uri, more, &[])
    }

    fn start_with(uri: &str, more: &[&str], variables: &[(&str, String)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let termination = folder.path().join("termination-log");
        std::fs::write(&termination, "left by an earlier start").unwrap();
        let mut arguments = vec!["--model-uri", uri, "--model-name", "demo", "--http", "127.0.0.1:0"];
        arguments.extend(more);
        let mut command = command(&arguments);
        command.env("MLOPS_TERMINATION_MESSAGE", &termination).envs(variables.iter().cloned());
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut first = String::new();
        log.read_line(&mut first).unwrap();
        let line: Value = serde_json::from_str(&first).unwrap_or_else(|_| panic!("no log line: {first}"));
        let address =
            line["address"].as_str().unwrap_or_else(|| panic!("no address: {first}")).parse().unwrap();
        std::thread::spawn(move || {
            let mut rest = String::new();
            let _ = log.read_to_string(&mut rest);
            // Shown by the test harness when the test fails.
            println!("{rest}");
        });
        Self { child, address, client: client(), termination, _folder: folder }
    }

    /// Starts a server and waits until it is ready.
    pub(crate) async fn ready(uri: &str, more: &[&str]) -> Self {
        let server = Self::start(uri, more);
        server.wait_until_ready().await;
        server
    }

    /// The same with variables of the environment.
    pub(crate) async fn ready_with(uri: &str, more: &[&str], variables: &[(&str, String)]) -> Self {
        let server = Self::start_with(uri, more, variables);
        server.wait_until_ready().await;
        server
    }

    pub(crate) async fn wait_until_ready(&self) {
        let started = Instant::now();
        while self.get("/v2/health/ready").await.0 != 200 {
            assert!(started.elapsed() < DEADLINE, "the server does not become ready");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn get_text(&self, path: &str) -> (u16, String) {
        let response = self.client.get(self.url(path)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let (status, text) = self.get_text(path).await;
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let response = self.client.post(self.url(path)).body(body).send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
    }

    pub(crate) async fn infer(&self, request: &Value) -> (u16, Value) {
        self.post("/v2/models/demo/infer", request.to_string()).await
    }

    pub(crate) fn terminate(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }

    /// Waits for the process to end by itself and returns its exit code.
    pub(crate) async fn exit_code(&mut self) -> i32 {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap();
            }
            assert!(started.elapsed() < DEADLINE, "the server does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap()
}

/// An HTTP server of files; counts its requests.
pub(crate) struct Files {
    pub(crate) address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Files {
    /// Answers every request with `answer`, which is given the number of the request, from 1.
    pub(crate) async fn start<F>(answer: F) -> Self
    where
        F: Fn(usize, Request) -> Response + Clone + Send + Sync + 'static,
    {
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        let router = Router::new().fallback(move |request: Request| {
            let response = answer(counter.fetch_add(1, Ordering::SeqCst) + 1, request);
            async move { response }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = axum::serve(listener, router);
        tokio::spawn(async move { serve.await });
        Self { address, requests }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// An HTTPS server of one file with a certificate of its own; `/to-http` redirects to a plain address.
pub(crate) struct TlsFiles {
    address: SocketAddr,
    pub(crate) certificate: String,
}

impl TlsFiles {
    pub(crate) async fn start(file: Vec<u8>, plain: String) -> Self {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let _ = rustls::crypto::ring::default_provider().install_default();
        let signed = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
        let configuration = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![signed.cert.der().clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(configuration));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that does not trust the certificate leaves here.
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut head = vec![0; 8192];
                let length = stream.read(&mut head).await.unwrap_or(0);
                let answer = if head[..length].starts_with(b"GET /to-http ") {
                    let head = "HTTP/1.1 302 Found\r\nconnection: close\r\ncontent-length: 0";
                    format!("{head}\r\nlocation: {plain}\r\n\r\n").into_bytes()
                } else {
                    let head = "HTTP/1.1 200 OK\r\nconnection: close";
                    [format!("{head}\r\ncontent-length: {}\r\n\r\n", file.len()).as_bytes(), &file].concat()
                };
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { address, certificate: signed.cert.pem() }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }
}

/// A certificate for the loopback address, and its key, as files.
pub(crate) struct Certified {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    configuration: Arc<rustls::ServerConfig>,
}

impl Certified {
    pub(crate) fn new(folder: &Path) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let signed = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
        std::fs::write(&certificate, signed.cert.pem()).unwrap();
        std::fs::write(&key, signed.signing_key.serialize_pem()).unwrap();
        let private = rustls::pki_types::PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
        let configuration = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![signed.cert.der().clone()], private)
            .unwrap();
        Self { certificate, key, configuration: Arc::new(configuration) }
    }
}

/// Serves a router over https on the loopback address; returns where.
pub(crate) async fn serve_tls(certified: &Certified, router: Router) -> String {
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&certified.configuration));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let service = hyper_util::service::TowerToHyperService::new(router.clone());
            let stream = hyper_util::rt::TokioIo::new(stream);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(stream, service));
        }
    });
    format!("https://{address}")
}

/// A response with a status only.
pub(crate) fn status(code: u16) -> Response {
    StatusCode::from_u16(code).unwrap().into_response()
}
