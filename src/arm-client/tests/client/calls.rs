//! Single calls: what is sent, and what each answer comes to.
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arm::{Cloud, Endpoints, ErrorClass, Seen, Started};
use arm_client::{BuildError, Call, Client, Config, CredentialSource, Observer};
use serde_json::{Value, json};

use crate::server::{COLLECTION, Reply, Server, TOKEN, session, workspace};

#[tokio::test]
async fn each_call_sends_what_azure_expects() {
    let server = Server::start(|_, _| Reply::json(200, &json!({"properties": {}}))).await;
    let (session, id) = (server.session(), workspace("w"));
    let body = json!({"location": "westeurope"});
    session.get(&id).await.unwrap();
    session.query("skipValidation=true").put(&id, &body).await.unwrap();
    session.api_version("2024-04-01").patch(&id, &body).await.unwrap();
    session.delete(&id, "forceToPurge=true").await.unwrap();
    session.post(&id, "listKeys", None).await.unwrap();
    let path = format!("{COLLECTION}/w");
    let expected = [
        format!("GET {path}?api-version=2025-12-01"),
        format!("PUT {path}?api-version=2025-12-01&skipValidation=true"),
        format!("PATCH {path}?api-version=2024-04-01"),
        format!("DELETE {path}?api-version=2025-12-01&forceToPurge=true"),
        format!("POST {path}/listKeys?api-version=2025-12-01"),
    ];
    assert_eq!(server.lines(), expected);
    for asked in server.asked() {
        assert_eq!(asked.headers["authorization"], format!("Bearer {TOKEN}"));
        assert!(asked.headers["user-agent"].to_str().unwrap().starts_with("mlops-operator/"));
        let writes = matches!(asked.method.as_str(), "PUT" | "PATCH");
        assert_eq!(asked.body, if writes { body.clone() } else { Value::Null });
    }
}

#[tokio::test]
async fn absence_is_data_but_only_of_the_resource_itself() {
    let missing = |code: &str| Reply::json(404, &json!({"error": {"code": code, "message": "no"}}));
    for code in ["ResourceNotFound", "ResourceGroupNotFound", "ParentResourceNotFound"] {
        let server = Server::start(move |_, _| missing(code)).await;
        assert_eq!(server.session().get(&workspace("w")).await.unwrap(), Seen::Absent, "{code}");
        let deleted = server.session().delete(&workspace("w"), "").await.unwrap();
        assert_eq!(deleted, Started::Done(None), "{code}");
        let error = server.session().put(&workspace("w"), &json!({})).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::NotFound, "{code}");
    }
    for code in ["SubscriptionNotFound", "InvalidResourceType"] {
        let server = Server::start(move |_, _| missing(code)).await;
        server.session().get(&workspace("w")).await.unwrap_err();
        server.session().delete(&workspace("w"), "").await.unwrap_err();
    }
}

#[tokio::test]
async fn an_error_keeps_azure_s_words_and_ids() {
    let server = Server::start(|_, _| {
        let error =
            json!({"error": {"code": "ScopeLocked", "message": "The scope is locked.", "details": null}});
        Reply::json(409, &error)
            .header("x-ms-request-id", "r-1")
            .header("x-ms-correlation-request-id", "c-1")
            .header("retry-after", "17")
    })
    .await;
    let error = server.session().delete(&workspace("w"), "").await.unwrap_err();
    assert_eq!((error.class, error.status), (ErrorClass::Locked, Some(409)));
    assert_eq!(error.retry_after, Some(Duration::from_secs(17)));
    let expected = format!(
        "failed to delete {COLLECTION}/w: 409 ScopeLocked: The scope is locked. (request r-1, correlation c-1)"
    );
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn the_wrong_tenant_is_named_and_no_other_token_is_asked_for() {
    let server = Server::start(|_, _| {
        let message = "The access token is from the wrong issuer. It must match the tenant 'x'.";
        Reply::json(401, &json!({"error": {"code": "InvalidAuthenticationTokenTenant", "message": message}}))
    })
    .await;
    let error = server.session().get(&workspace("w")).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::WrongTenant);
    assert!(error.to_string().contains("the identity is of another tenant"), "{error}");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn answers_that_are_none_are_told_apart() {
    let html = "<html>Welcome to the hotel</html>";
    let cases = [
        (Reply::new(404).text(html), ErrorClass::InvalidResponse),
        (Reply::new(200).text(html), ErrorClass::InvalidResponse),
        (Reply::new(200), ErrorClass::InvalidResponse),
        (Reply::json(200, &json!([])), ErrorClass::InvalidResponse),
        (Reply::new(502).text(html), ErrorClass::Unreachable),
        (Reply::new(500), ErrorClass::Unreachable),
        (Reply::new(403).text(html), ErrorClass::Forbidden),
        (Reply::new(302).header("location", "/elsewhere"), ErrorClass::InvalidResponse),
        (Reply::json(200, &json!({"a": "x".repeat(2000)})), ErrorClass::InvalidResponse),
        (Reply::new(200).delay(Duration::from_secs(30)), ErrorClass::Unreachable),
    ];
    for (reply, class) in cases {
        let case = format!("{reply:?}");
        let server = Server::start(move |_, _| reply.clone()).await;
        let config = Config { body_limit: 1000, timeout: Duration::from_millis(500), ..server.config() };
        let error = session(config).get(&workspace("w")).await.unwrap_err();
        assert_eq!(error.class, class, "{case}: {error}");
        assert_eq!(server.asked().len(), 1, "one attempt: {case}");
    }
}

#[tokio::test]
async fn answers_that_break_off_are_told_apart() {
    let cases: [(&'static [u8], ErrorClass); 4] = [
        (b"", ErrorClass::Unreachable),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\":", ErrorClass::Unreachable),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n{\"id\":", ErrorClass::InvalidResponse),
        (b"SSH-2.0-OpenSSH\r\n", ErrorClass::Unreachable),
    ];
    for (bytes, class) in cases {
        let server = Server::raw(bytes).await;
        let error = server.session().get(&workspace("w")).await.unwrap_err();
        assert_eq!(error.class, class, "{error}");
    }
    let nobody =
        Endpoints { resource_manager: "http://127.0.0.1:1".to_owned(), ..Cloud::AzurePublic.endpoints() };
    let config = Config { cloud: Cloud::Custom(nobody), loopback_http: true, ..Config::default() };
    let error = session(config).get(&workspace("w")).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Unreachable, "{error}");
}

#[tokio::test]
async fn an_unknown_type_needs_a_version() {
    let server = Server::start(|_, _| Reply::json(200, &json!({}))).await;
    let id = arm::ResourceId::parse("/subscriptions/s/providers/Contoso.Things/things/t").unwrap();
    let error = server.session().get(&id).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Invalid);
    assert!(error.to_string().contains("Contoso.Things/things"), "{error}");
    server.session().api_version("2020-01-01").get(&id).await.unwrap();
}

#[test]
fn plain_http_is_for_tests_on_this_host_only() {
    let client = |url: &str, loopback_http| {
        let endpoints = Endpoints { resource_manager: url.to_owned(), ..Cloud::AzurePublic.endpoints() };
        Client::new(Config { cloud: Cloud::Custom(endpoints), loopback_http, ..Config::default() })
    };
    assert!(client("http://127.0.0.1:8080", true).is_ok());
    assert!(client("http://[::1]:8080", true).is_ok());
    let refused = [
        ("http://127.0.0.1:8080", false),
        ("http://management.azure.com", true),
        ("http://localhost.evil.example", true),
        ("ftp://127.0.0.1", true),
        ("https://user:password@management.azure.com", true),
        ("management.azure.com", true),
    ];
    for (url, loopback_http) in refused {
        let error = client(url, loopback_http).err().unwrap();
        assert!(matches!(error, BuildError::ResourceManager { .. }), "{url}");
    }
}

#[derive(Default)]
struct Calls(Mutex<Vec<String>>);

impl Observer for Calls {
    fn on_call(&self, call: &Call<'_>) {
        let line = format!("{} {} {}", call.method, call.resource_type, call.outcome);
        self.0.lock().unwrap().push(line);
    }
}

#[tokio::test]
async fn the_observer_is_told_of_every_call() {
    let server = Server::start(|_, before| match before {
        0 => Reply::json(200, &json!({})),
        _ => Reply::new(200).delay(Duration::from_secs(30)),
    })
    .await;
    let calls = Arc::new(Calls::default());
    let config =
        Config { observer: Some(calls.clone()), timeout: Duration::from_millis(200), ..server.config() };
    let session = session(config);
    session.get(&workspace("w")).await.unwrap();
    session.delete(&workspace("w"), "").await.unwrap_err();
    let type_ = "Microsoft.MachineLearningServices/workspaces";
    let expected =
        ["TOKEN token 200".to_owned(), format!("GET {type_} 200"), format!("DELETE {type_} timeout")];
    assert_eq!(*calls.0.lock().unwrap(), expected);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_token_is_logged_or_shown() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let server =
        Server::start(|_, _| Reply::json(403, &json!({"error": {"code": "X", "message": "no"}}))).await;
    let source = CredentialSource::Chain(vec![CredentialSource::Token(TOKEN.into())]);
    let client = Client::new(server.config()).unwrap();
    let error = client.with(&source).get(&workspace("w")).await.unwrap_err();
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("called Azure"), "the log is taken: {log}");
    for text in [log, format!("{error} {error:?}"), format!("{source:?} {}", source.principal())] {
        assert!(!text.contains(TOKEN), "{text}");
    }
}
