//! TLS, HTTP/2 by negotiation, and certificates that change.
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gateway::tls::{Certificate, Files};
use http::{Request, Version};
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

use crate::support::{Backend, Behaviour, Gateway, document, until};

fn issue(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("tls.crt"), made.cert.pem()).unwrap();
    made.cert.der().clone()
}

/// The versions of HTTP that a request over a new connection gets and is answered with; none when the certificate is
/// not trusted.
async fn call(
    address: std::net::SocketAddr,
    trusted: &CertificateDer<'static>,
    protocol: &str,
) -> Option<Version> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
    let uri = "https://localhost/endpoints/team/churn/score";
    let request =
        Request::post(uri).header("host", "localhost").body(Full::new(Bytes::from_static(b"{}"))).unwrap();
    let answer = if protocol == "h2" {
        let made = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (mut sender, connection) = made.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    } else {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    };
    assert_eq!(answer.status().as_u16(), 200);
    Some(answer.version())
}

#[tokio::test]
async fn both_versions_are_negotiated_and_a_new_certificate_is_taken_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let first = issue(folder.path());
    let backend = Backend::start("a", Behaviour::Echo).await;
    let gateway = Gateway::start(&document(&[backend.revision("a", 1)], &json!({}))).await;
    let files = Files { certificate: folder.path().join("tls.crt"), key: folder.path().join("tls.key") };
    let certificate = Certificate::read(files).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_stop, stopped) = watch::channel(false);
    let config = certificate.config().unwrap();
    tokio::spawn(gateway::connections::serve(listener, Some(config), Arc::clone(&gateway.state), stopped));
    tokio::spawn(certificate.watch(Arc::clone(&gateway.state), Duration::from_millis(5)));

    assert_eq!(call(address, &first, "h2").await, Some(Version::HTTP_2));
    assert_eq!(call(address, &first, "http/1.1").await, Some(Version::HTTP_11));

    let errors = "mlops_gateway_config_errors_total{kind=\"certificate\"}";
    std::fs::write(folder.path().join("tls.crt"), "no certificate").unwrap();
    until("the broken pair is counted", || gateway.metric(errors) > 0).await;
    assert!(call(address, &first, "h2").await.is_some(), "the former pair stays in use");

    let second = issue(folder.path());
    while call(address, &second, "h2").await.is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(call(address, &first, "h2").await, None);
}
