//! Identities that prove themselves to the emulator's authority: secrets, federated tokens, the identity of a host.
use std::path::Path;
use std::process::Command;

use arm::{Cloud, Endpoints, ErrorClass, Seen};
use arm_client::{Client, Config, CredentialSource, Limit, Limits, Session};
use arm_emulator::{Emulator, SECRET, TENANT};

use crate::emulator::{client_secret, config};
use crate::server::workspace;

async fn start() -> Emulator {
    Emulator::builder().start().await.unwrap()
}

/// How many tokens were asked for.
fn tokens(emulator: &Emulator) -> usize {
    emulator.log().entries().iter().filter(|it| it.path.ends_with("/token")).count()
}

async fn read(session: &Session) -> Result<Seen, arm_client::Error> {
    session.get(&workspace("w")).await
}

#[tokio::test]
async fn one_token_serves_all_calls_of_an_identity() {
    let emulator = start().await;
    let client = Client::new(config(&emulator)).unwrap();
    let read = || async {
        let session = client.with(&client_secret(SECRET));
        session.get(&workspace("w")).await.unwrap()
    };
    futures::future::join_all((0..50).map(|_| read())).await;
    assert_eq!(tokens(&emulator), 1);
}

#[tokio::test]
async fn a_wrong_secret_or_tenant_is_said_in_the_authority_s_words() {
    let emulator = start().await;
    let client = Client::new(config(&emulator)).unwrap();
    let error = read(&client.with(&client_secret("wrong"))).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Unauthorized);
    assert!(error.to_string().contains("AADSTS7000215: Invalid client secret provided."), "{error}");
    assert!(!error.to_string().contains("aka.ms"), "{error}");

    let other = CredentialSource::ClientSecret {
        tenant_id: "00000000-0000-0000-0000-000000000000".to_owned(),
        client_id: arm_emulator::CLIENT.to_owned(),
        client_secret: SECRET.into(),
    };
    let error = read(&client.with(&other)).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::WrongTenant);
    assert!(error.to_string().contains("AADSTS90002"), "{error}");
    let calls = emulator.log().entries().iter().filter(|it| it.path.starts_with("/subscriptions")).count();
    assert_eq!(calls, 0, "nothing is asked without a token");
}

#[tokio::test]
async fn who_knows_only_the_name_of_an_identity_has_no_share_in_its_reads() {
    let emulator = start().await;
    let reads = Limit { burst: 1, per_second: 5.0 };
    let limits = Limits { reads, ..Limits::default() };
    let client = Client::new(Config { limits, ..config(&emulator) }).unwrap();
    let (owner, stranger) = (client.with(&client_secret(SECRET)), client.with(&client_secret("guessed")));
    assert_eq!(owner.principal(), stranger.principal());
    read(&owner).await.unwrap();
    let reads = [&owner, &stranger, &owner, &stranger, &owner, &owner].map(read);
    let found: Vec<bool> = futures::future::join_all(reads).await.iter().map(Result::is_ok).collect();
    assert_eq!(found, [true, false, true, false, true, true]);
}

#[tokio::test]
async fn a_rotated_secret_needs_no_restart() {
    let emulator = start().await;
    let client = Client::new(config(&emulator)).unwrap();
    read(&client.with(&client_secret(SECRET))).await.unwrap();
    emulator.set_client(arm_emulator::Client::new(arm_emulator::CLIENT, "rotated"));
    // The token that was got by the old secret is good until it ends.
    read(&client.with(&client_secret(SECRET))).await.unwrap();
    read(&client.with(&client_secret("rotated"))).await.unwrap();
    assert_eq!(tokens(&emulator), 2);
}

#[tokio::test]
async fn a_token_that_the_server_refuses_is_replaced_in_the_same_call() {
    let emulator = start().await;
    emulator.set_token_lifetime(1);
    let session = Client::new(config(&emulator)).unwrap().with(&client_secret(SECRET));
    read(&session).await.unwrap();
    emulator.set_token_lifetime(3600);
    let refused =
        |emulator: &Emulator| emulator.log().entries().iter().filter(|it| it.status == Some(401)).count();
    while refused(&emulator) == 0 {
        read(&session).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!((refused(&emulator), tokens(&emulator)), (1, 2));
}

/// A service account token as the emulator reads it: who signed it is not known there.
fn service_account_token(expires: &str) -> String {
    let text = |expires: &str| match expires {
        "never" => "eyJleHAiOjQxMDI0NDQ4MDB9",
        _ => "eyJleHAiOjF9",
    };
    format!("eyJhbGciOiJub25lIn0.{}.c2lnbmF0dXJl", text(expires))
}

fn workload_identity(token_file: &Path) -> CredentialSource {
    CredentialSource::WorkloadIdentity {
        tenant_id: TENANT.to_owned(),
        client_id: arm_emulator::CLIENT.to_owned(),
        token_file: token_file.to_owned(),
    }
}

#[tokio::test]
async fn a_workload_identity_reads_its_file_anew() {
    let emulator = start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), service_account_token("ended")).unwrap();
    let session = Client::new(config(&emulator)).unwrap().with(&workload_identity(file.path()));
    for _ in 0..5 {
        let error = read(&session).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Unauthorized);
        assert!(error.to_string().contains("AADSTS700024"), "{error}");
    }
    assert_eq!(tokens(&emulator), 1, "a refusal is not asked for again and again");
    std::fs::write(file.path(), service_account_token("never")).unwrap();
    read(&session).await.unwrap();
}

#[tokio::test]
async fn a_chain_takes_the_first_that_gives_a_token() {
    let emulator = start().await;
    let client = Client::new(config(&emulator)).unwrap();
    let missing = workload_identity(Path::new("/nowhere/token"));
    let chain = CredentialSource::Chain(vec![missing.clone(), client_secret(SECRET)]);
    read(&client.with(&chain)).await.unwrap();
    let chain = CredentialSource::Chain(vec![missing, client_secret("wrong")]);
    let error = read(&client.with(&chain)).await.unwrap_err().to_string();
    assert!(error.contains("/nowhere/token") && error.contains("AADSTS7000215"), "{error}");
}

#[tokio::test]
async fn an_authority_that_is_down_is_told_from_a_refusal() {
    let emulator = start().await;
    let mut config = config(&emulator);
    let Cloud::Custom(endpoints) = config.cloud else { panic!("a cloud of its own") };
    config.cloud = Cloud::Custom(Endpoints { authority: "https://127.0.0.1:1".to_owned(), ..endpoints });
    let error = read(&Client::new(config).unwrap().with(&client_secret(SECRET))).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Unreachable, "{error}");
}

#[tokio::test]
async fn a_server_without_a_trusted_certificate_gets_nothing() {
    let emulator = start().await;
    let config = Config { ca: None, ..config(&emulator) };
    let token = CredentialSource::Token(emulator.token().unwrap().into());
    // An image without certificates can't make such a client at all, which is as good.
    if let Ok(client) = Client::new(config) {
        let error = read(&client.with(&token)).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Unreachable, "{error}");
    }
    assert_eq!(emulator.log().entries().len(), 0);
}

/// The identity of a host is found by the environment of the process, which a test can't change for itself: it runs
/// itself once more.
#[tokio::test]
async fn the_managed_identity_of_a_host_is_used() {
    let emulator = start().await;
    let directory = tempfile::tempdir().unwrap();
    let certificate = directory.path().join("ca.pem");
    std::fs::write(&certificate, emulator.ca_pem()).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "identities::read_by_managed_identity", "--ignored"])
        .env("IDENTITY_ENDPOINT", format!("{}/msi/token", emulator.url()))
        .env("IDENTITY_HEADER", emulator.identity_header())
        .env("TEST_ARM", emulator.url())
        .env("TEST_CA", &certificate);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let log = emulator.log().entries();
    let read = log.iter().find(|it| it.path.ends_with("/workspaces/w")).expect("it reads a workspace");
    assert_eq!(read.status, Some(404));
    assert_eq!(tokens(&emulator), 1);
}

#[tokio::test]
#[ignore = "is run by the_managed_identity_of_a_host_is_used, with the environment of such a host"]
async fn read_by_managed_identity() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let endpoints = Endpoints {
        resource_manager: variable("TEST_ARM"),
        authority: variable("TEST_ARM"),
        audience: variable("TEST_ARM"),
        ..Cloud::AzurePublic.endpoints()
    };
    let ca = Some(std::fs::read(variable("TEST_CA")).unwrap());
    let client = Client::new(Config { cloud: Cloud::Custom(endpoints), ca, ..Config::default() }).unwrap();
    let session = client.with(&CredentialSource::ManagedIdentity { client_id: None });
    assert_eq!(read(&session).await.unwrap(), Seen::Absent);
}
