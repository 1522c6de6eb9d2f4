//! Models from Azure Blob Storage, with a real Azurite: every kind of credential, folders, and refusals in words.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Request;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::json;
use xtask::azurite::{self, ACCOUNT, Azurite};

use crate::support::{Certified, Ended, Server, demo, digest, run_with, serve_tls};

const TENANT: &str = "11111111-2222-3333-4444-555555555555";

/// A URI, the variables to read it with, and the words of the refusal.
type Case<'a> = (&'a str, Vec<(&'a str, String)>, &'a [&'a str]);

/// An Azurite with the demo's model and a folder.
struct Storage {
    azurite: Azurite,
    folder: tempfile::TempDir,
}

fn model() -> Vec<u8> {
    std::fs::read(demo("model-v1.onnx")).unwrap()
}

impl Storage {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let azurite = azurite::start(&azurite::Options::new(folder.path().join("azurite"))).unwrap();
        azurite.create_container(ACCOUNT, "models").unwrap();
        let files: [(&str, &[u8]); 4] = [
            ("churn/1/model.onnx", &model()),
            ("flow/MLmodel", b"flavors: {}\n"),
            ("flow/data/model.pkl", b"pickle"),
            ("flower/other.txt", b"not of the folder"),
        ];
        for (name, bytes) in files {
            azurite.put_blob(ACCOUNT, "models", name, bytes).unwrap();
        }
        Self { azurite, folder }
    }

    /// The same storage over https, with bearer tokens.
    fn with_tokens(self, certified: &Certified) -> Self {
        let options = azurite::Options {
            tls: Some((certified.certificate.clone(), certified.key.clone())),
            oauth: true,
            ..azurite::Options::new(self.folder.path().join("azurite"))
        };
        drop(self.azurite);
        Self { azurite: azurite::start(&options).unwrap(), folder: self.folder }
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT.to_owned()),
            ("AZURE_STORAGE_ENDPOINT", self.azurite.endpoint(ACCOUNT)),
        ]
    }

    fn with_key(&self) -> Vec<(&'static str, String)> {
        let key = ("AZURE_STORAGE_ACCOUNT_KEY", self.azurite.key(ACCOUNT).unwrap().to_owned());
        self.variables().into_iter().chain([key]).collect()
    }

    fn with_signature(&self, permissions: &str) -> Vec<(&'static str, String)> {
        let signature = self.azurite.signature(ACCOUNT, permissions).unwrap();
        self.variables().into_iter().chain([("AZURE_STORAGE_SAS_TOKEN", signature)]).collect()
    }

    /// Fetches into a fresh folder.
    fn fetch(&self, uri: &str, variables: &[(&str, String)], more: &[&str]) -> (Ended, tempfile::TempDir) {
        let to = tempfile::tempdir_in(&self.folder).unwrap();
        let mut arguments = vec!["fetch", "--model-uri", uri, "--to", to.path().to_str().unwrap()];
        arguments.extend(more);
        (run_with(&arguments, variables), to)
    }
}

/// A token that Azurite takes: it checks the claims, not the signature.
fn token(audience: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({
        "iss": format!("https://sts.windows.net/{TENANT}/"), "aud": audience,
        "iat": now - 60, "nbf": now - 60, "exp": now + 3600,
    });
    let part = |value: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2lnbmF0dXJl", part(json!({"alg": "RS256", "typ": "JWT"})), part(claims))
}

#[test]
fn account_key_reads_every_form_of_address() {
    let storage = Storage::start();
    let right = digest("model-v1.onnx");
    let direct = format!("{}/models/churn/1/model.onnx", storage.azurite.endpoint(ACCOUNT));
    let lake = format!("abfss://models@{ACCOUNT}.dfs.core.windows.net/churn/1/model.onnx");
    for uri in ["az://models/churn/1/model.onnx", &direct, &lake] {
        let (ended, to) = storage.fetch(uri, &storage.with_key(), &["--model-digest", &right]);
        assert_eq!(ended.code, 0, "{uri}: {}", ended.log);
        assert_eq!(std::fs::read(to.path().join("model.onnx")).unwrap(), model());
    }
}

#[test]
fn shared_access_signature_reads_files_and_folders_as_far_as_it_permits() {
    let storage = Storage::start();
    let variables = storage.with_signature("rl");
    let (ended, to) = storage.fetch("az://models/churn/1/model.onnx", &variables, &[]);
    assert_eq!(ended.code, 0, "{}", ended.log);
    assert_eq!(std::fs::read(to.path().join("model.onnx")).unwrap(), model());
    assert_eq!(storage.fetch("az://models/flow", &variables, &[]).0.code, 0);

    let variables = storage.with_signature("r");
    assert_eq!(storage.fetch("az://models/churn/1/model.onnx", &variables, &[]).0.code, 0);
    let (ended, _) = storage.fetch("az://models/flow/", &variables, &["--log-level", "trace"]);
    assert_eq!((ended.code, ended.reason.as_str()), (10, "ModelFetchFailed"), "{}", ended.log);
    assert!(
        ended.message.contains("AZURE_STORAGE_SAS_TOKEN") && ended.message.contains("list"),
        "{}",
        ended.message
    );
    assert!(!ended.log.contains("sig=") && !ended.message.contains("sig="));
}

#[tokio::test(flavor = "multi_thread")]
async fn server_answers_with_a_model_of_a_container() {
    let storage = Storage::start();
    let server = Server::ready_with("az://models/churn/1/", &[], &storage.with_key()).await;
    let (status, metadata) = server.get("/v2/models/demo").await;
    assert_eq!((status, metadata["name"].as_str()), (200, Some("demo")));
}

#[test]
fn folder_is_brought_whole_with_the_digest_of_its_list() {
    let storage = Storage::start();
    let (ended, to) = storage.fetch("az://models/flow", &storage.with_key(), &["--file-name", "model"]);
    assert_eq!(ended.code, 0, "{}", ended.log);
    let folder = to.path().join("model");
    assert_eq!(std::fs::read(folder.join("MLmodel")).unwrap(), b"flavors: {}\n");
    assert_eq!(std::fs::read(folder.join("data/model.pkl")).unwrap(), b"pickle");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);

    // The same as people compute it.
    let list = "find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum";
    let output = std::process::Command::new("sh").args(["-c", list]).current_dir(&folder).output().unwrap();
    let known = String::from_utf8(output.stdout).unwrap();
    let known = format!("sha256:{}", known.split_whitespace().next().unwrap());
    let (ended, again) = storage.fetch("az://models/flow/", &storage.with_key(), &["--model-digest", &known]);
    assert_eq!(ended.code, 0, "{}", ended.log);
    assert!(again.path().join("flow/data/model.pkl").is_file());

    let wrong = digest("model-v2.onnx");
    let (ended, none) = storage.fetch("az://models/flow/", &storage.with_key(), &["--model-digest", &wrong]);
    assert_eq!((ended.code, ended.reason.as_str()), (11, "DigestMismatch"));
    assert!(ended.message.contains(&known) && ended.message.contains("sha256sum"), "{}", ended.message);
    assert_eq!(std::fs::read_dir(none.path()).unwrap().count(), 0);
}

#[test]
fn folder_beyond_the_limit_is_refused_before_it_is_read() {
    let storage = Storage::start();
    let (ended, to) = storage.fetch("az://models/flow", &storage.with_key(), &["--max-model-bytes", "15"]);
    assert_eq!(ended.code, 10);
    assert!(ended.message.contains("--max-model-bytes"), "{}", ended.message);
    assert_eq!(std::fs::read_dir(to.path()).unwrap().count(), 0);
}

#[test]
fn refusals_say_what_to_change() {
    let storage = Storage::start();
    let key = |key: &str| {
        let key = ("AZURE_STORAGE_ACCOUNT_KEY", key.to_owned());
        storage.variables().into_iter().chain([key]).collect::<Vec<_>>()
    };
    let file = "az://models/churn/1/model.onnx";
    let nameless = vec![("AZURE_STORAGE_ACCOUNT_KEY", azurite::key_of(ACCOUNT))];
    let unsigned = storage.variables();
    let cases: [Case<'_>; 7] = [
        (
            file,
            key(&azurite::key_of("s3cret")),
            &["the account key", "AuthorizationFailure", "AZURE_STORAGE_ACCOUNT_KEY"],
        ),
        (file, key("no base64 s3cret"), &["the account key can't be used", "AZURE_STORAGE_ACCOUNT_KEY"]),
        (file, unsigned, &["no credentials", "spec.model.credentialsRef"]),
        (file, nameless, &["AZURE_STORAGE_ACCOUNT_NAME"]),
        (
            "az://models/churn/2/model.onnx",
            storage.with_key(),
            &["churn/2/model.onnx", "does not exist", "path"],
        ),
        ("az://missing/model.onnx", storage.with_key(), &["does not exist", "ContainerNotFound"]),
        ("az://models/nowhere/", storage.with_key(), &["does not exist", "path"]),
    ];
    for (uri, variables, words) in cases {
        let (ended, _) = storage.fetch(uri, &variables, &[]);
        assert_eq!((ended.code, ended.reason.as_str()), (10, "ModelFetchFailed"), "{uri}: {}", ended.log);
        for word in words {
            assert!(ended.message.contains(word), "{word} is not in: {}", ended.message);
        }
        assert!(!ended.log.contains("s3cret") && !ended.log.contains(&azurite::key_of("s3cret")));
    }
}

/// A stand-in for the places where tokens come from.
async fn tokens(certified: &Certified, audience: &'static str) -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let router = Router::new().fallback(move |request: Request| {
        counter.fetch_add(1, Ordering::SeqCst);
        async move {
            let is_exchange = request.uri().path() == format!("/{TENANT}/oauth2/v2.0/token");
            let query = request.uri().query().unwrap_or_default().to_owned();
            let has_header = request.headers().contains_key("metadata");
            let body = axum::body::to_bytes(request.into_body(), 65536).await.unwrap();
            let body = String::from_utf8(body.to_vec()).unwrap();
            let is_right = if is_exchange {
                body.contains("client_assertion=federated") && body.contains("client_id=client")
            } else {
                has_header && query.contains("resource=https%3A%2F%2Fstorage.azure.com")
            };
            assert!(is_right, "{query} {body}");
            let expires =
                std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 3600;
            axum::Json(json!({
                "token_type": "Bearer", "access_token": token(audience),
                "expires_in": 3600, "expires_on": expires.to_string(),
            }))
        }
    });
    // The two answers differ in the type of their times only.
    (serve_tls(certified, router).await, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn identities_get_a_token_and_read_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let certified = Certified::new(folder.path());
    let storage = Storage::start().with_tokens(&certified);
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, "federated").unwrap();
    let ca = certified.certificate.to_str().unwrap();
    for (audience, code) in [("https://storage.azure.com", 0), ("https://management.azure.com", 10)] {
        let (authority, asked) = tokens(&certified, audience).await;
        let workload = vec![
            ("AZURE_CLIENT_ID", "client".to_owned()),
            ("AZURE_TENANT_ID", TENANT.to_owned()),
            ("AZURE_FEDERATED_TOKEN_FILE", token_file.to_str().unwrap().to_owned()),
            ("AZURE_AUTHORITY_HOST", format!("{authority}/")),
        ];
        let managed = vec![("IDENTITY_ENDPOINT", format!("{authority}/msi/token"))];
        for (number, identity) in [workload, managed].into_iter().enumerate() {
            let variables: Vec<_> = storage.variables().into_iter().chain(identity).collect();
            let (ended, _) = tokio::task::block_in_place(|| {
                storage.fetch("az://models/churn/1/model.onnx", &variables, &["--ca-file", ca])
            });
            assert_eq!(ended.code, code, "{}", ended.log);
            assert_eq!(asked.load(Ordering::SeqCst), number + 1);
            if code != 0 {
                assert!(ended.message.contains("Storage Blob Data Reader"), "{}", ended.message);
            }
        }
    }
}

/// Neither a ServiceAccount's token nor one for storage goes to a host that is neither Azure's nor allowed.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_go_to_azure_and_to_allowed_hosts_alone() {
    let folder = tempfile::tempdir().unwrap();
    let certified = Certified::new(folder.path());
    let storage = Storage::start();
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, "federated").unwrap();
    let (authority, asked) = tokens(&certified, "https://storage.azure.com").await;
    let identity = |authority: &str| {
        let identity = [
            ("AZURE_CLIENT_ID", "client".to_owned()),
            ("AZURE_TENANT_ID", TENANT.to_owned()),
            ("AZURE_FEDERATED_TOKEN_FILE", token_file.to_str().unwrap().to_owned()),
            ("AZURE_AUTHORITY_HOST", authority.to_owned()),
        ];
        storage.variables().into_iter().chain(identity).collect::<Vec<_>>()
    };
    let ca = certified.certificate.to_str().unwrap();
    let fetch = |variables: &[(&str, String)], more: &[&str]| {
        tokio::task::block_in_place(|| storage.fetch("az://models/churn/1/model.onnx", variables, more)).0
    };
    let ended = fetch(&identity("https://1.1.1.1"), &["--ca-file", ca]);
    assert!(ended.code == 10 && ended.message.contains("AZURE_AUTHORITY_HOST"), "{}", ended.message);
    // The token is there, and the storage answers over http alone.
    let ended = fetch(&identity(&authority), &["--ca-file", ca]);
    assert!(ended.code == 10 && ended.message.contains("over https"), "{}", ended.message);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}
