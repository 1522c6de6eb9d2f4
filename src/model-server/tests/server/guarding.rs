//! Addresses that no model may come from: each payload ends with words, and nothing is ever connected to.
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};

use crate::support::run_with;

/// Counts the connections to all local addresses, and answers none.
struct Sink {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Sink {
    fn start() -> Self {
        let listener = TcpListener::bind("[::]:0").or_else(|_| TcpListener::bind("0.0.0.0:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        std::thread::spawn(move || {
            while listener.accept().is_ok() {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { port, connections }
    }
}

fn fetch(uri: &str, allowed: &str, variables: &[(&str, String)]) -> crate::support::Ended {
    let folder = tempfile::tempdir().unwrap();
    let arguments =
        ["fetch", "--model-uri", uri, "--to", folder.path().to_str().unwrap(), "--allow-hosts", allowed];
    let ended = run_with(&arguments, variables);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{uri} left something");
    ended
}

/// The hosts of the payloads; each gets the port of the sink.
const HOSTS: [&str; 41] = [
    "169.254.169.254",
    "168.63.129.16",
    "100.100.100.200",
    "[fd00:ec2::254]",
    "127.0.0.1",
    "127.0.0.2",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0x0.0x0.0x1",
    "0177.0.0.1",
    "017700000001",
    "0",
    "0.0.0.0",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:a9fe:a9fe]",
    "[::ffff:169.254.169.254]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:7f00:1::]",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "[fe80::1]",
    "[fc00::1]",
    "localhost",
    "LOCALHOST.",
    "a.localhost",
    "１２７.0.0.1",
    "%31%32%37.0.0.1",
    "kubernetes",
    "kubernetes.default.svc",
    "metadata.google.internal",
];

#[test]
fn addresses_inside_are_refused_in_every_spelling() {
    let sink = Sink::start();
    for host in HOSTS {
        for uri in [format!("http://{host}:{}/a.onnx", sink.port), format!("https://{host}:{}/a", sink.port)]
        {
            let ended = fetch(&uri, "", &[]);
            assert_eq!((ended.code, ended.reason.as_str()), (10, "ModelFetchFailed"), "{uri}: {}", ended.log);
            assert!(ended.message.contains("--allow-hosts"), "{uri}: {}", ended.message);
        }
    }
    assert_eq!(sink.connections.load(Ordering::SeqCst), 0);
    // The sink does count.
    std::net::TcpStream::connect(("127.0.0.1", sink.port)).unwrap();
    while sink.connections.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
}

#[test]
fn addresses_that_pretend_to_be_others_are_refused() {
    let sink = Sink::start();
    let port = sink.port;
    let cases = [
        format!("http://models.example.com@127.0.0.1:{port}/a"),
        format!("http://user:s3cret@127.0.0.1:{port}/a"),
        format!("http://127.0.0.1:{port}\\@models.example.com/a"),
        format!("http://127.0.0.1:{port}#@models.example.com/a"),
        format!("http://127.0.0.1:{port}?@models.example.com/a"),
        format!("http://127.0.\t0.1:{port}/a"),
        format!("http://127.0.0.1:{port}/a\r\nHost: other"),
        format!("http://127.0.0.1:{port}/ a"),
        format!("http:127.0.0.1:{port}/a"),
        format!("http:/127.0.0.1:{port}/a"),
        format!("//127.0.0.1:{port}/a"),
        format!("gopher://127.0.0.1:{port}/a"),
        format!("ftp://127.0.0.1:{port}/a"),
        format!("dict://127.0.0.1:{port}/a"),
        format!("az://127.0.0.1:{port}/a"),
        format!("abfss://models@127.0.0.1:{port}/a"),
        format!("abfss://models@account.dfs.core.windows.net@127.0.0.1:{port}/a"),
        format!("https://account.blob.core.windows.net@127.0.0.1:{port}/models/a"),
        "file:///proc/1/root/etc/shadow-of-nobody".to_owned(),
        "file://localhost.example/etc/passwd".to_owned(),
        "http://kubernetes.default/a".to_owned(),
    ];
    for uri in cases {
        let ended = fetch(&uri, "", &[]);
        assert!(ended.code == 10 || ended.code == 2, "{uri}: {} {}", ended.code, ended.log);
        assert!(!ended.message.contains("s3cret") && !ended.message.is_empty(), "{uri}: {}", ended.message);
    }
    assert_eq!(sink.connections.load(Ordering::SeqCst), 0);
}

#[test]
fn endpoints_of_azure_are_judged_like_addresses() {
    let sink = Sink::start();
    let here = format!("http://127.0.0.1:{}", sink.port);
    let key = ("AZURE_STORAGE_ACCOUNT_KEY", "a2V5".to_owned());
    let account = ("AZURE_STORAGE_ACCOUNT_NAME", "account".to_owned());
    let identity = [("AZURE_CLIENT_ID", "c".to_owned()), ("AZURE_TENANT_ID", "t".to_owned())];
    let secret = ("AZURE_CLIENT_SECRET", "s".to_owned());
    let cases = [
        vec![account.clone(), key, ("AZURE_STORAGE_ENDPOINT", format!("{here}/account"))],
        vec![account.clone(), ("IDENTITY_ENDPOINT", format!("{here}/msi"))],
        [vec![account, secret, ("AZURE_AUTHORITY_HOST", here)], identity.to_vec()].concat(),
    ];
    for variables in cases {
        let ended = fetch("az://models/a.onnx", "", &variables);
        assert_eq!(ended.code, 10, "{}", ended.log);
        assert!(ended.message.contains("--allow-hosts"), "{}", ended.message);
    }
    assert_eq!(sink.connections.load(Ordering::SeqCst), 0);
}

/// Whether every resolver knows a host: an address, or the host itself.
fn is_known(host: &str) -> bool {
    host.to_lowercase().trim_end_matches('.') == "localhost"
        || !host.starts_with(|letter: char| letter.is_ascii_alphabetic())
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_lead_to_allowed_hosts_alone() {
    let sink = Sink::start();
    let port = sink.port;
    let router = Router::new().fallback(move |request: Request| async move {
        let location = match request.uri().path().trim_start_matches('/').parse::<usize>() {
            Ok(number) => format!("http://{}:{port}/latest/meta-data", HOSTS[number]),
            Err(_) => "file:///etc/passwd".to_owned(),
        };
        // A host that no header can hold is written as it would be sent.
        let location = location.replace("１２７", "%EF%BC%91%EF%BC%92%EF%BC%97");
        (StatusCode::FOUND, [(header::LOCATION, location)])
    });
    // Allowed by its address, and nothing else is.
    let listener = tokio::net::TcpListener::bind("127.0.0.9:0").await.unwrap();
    let here = listener.local_addr().unwrap();
    let serve = axum::serve(listener, router);
    tokio::spawn(async move { serve.await });
    // The names that only a cluster's resolver knows are another test's.
    let places = (0..HOSTS.len()).filter(|number| is_known(HOSTS[*number])).map(|number| number.to_string());
    for place in places.chain(["file".to_owned()]) {
        let url = format!("http://{here}/{place}");
        let ended = tokio::task::spawn_blocking(move || fetch(&url, "127.0.0.9", &[])).await.unwrap();
        assert_eq!(ended.code, 10, "{place}: {}", ended.log);
        let words = if place == "file" { "answered 302" } else { "is refused" };
        assert!(ended.message.contains(words), "{place}: {}", ended.message);
    }
    assert_eq!(sink.connections.load(Ordering::SeqCst), 0);
}

#[test]
fn hosts_that_are_no_list_are_refused_with_the_form_to_use() {
    let ended = fetch("http://127.0.0.1/a", "http://host", &[]);
    assert_eq!((ended.code, ended.reason.as_str()), (2, "InvalidArguments"));
    assert!(ended.message.contains("10.0.0.0/8"), "{}", ended.message);
}
