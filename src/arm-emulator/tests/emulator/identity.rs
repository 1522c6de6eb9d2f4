//! Tokens: who gets one, and which are accepted.
use arm_emulator::{CLIENT, Client, Emulator, SECRET, TENANT};
use serde_json::{Value, json};

use crate::support::{Session, WORKSPACE};

async fn ask(session: &Session, tenant: &str, fields: &[(&str, &str)]) -> (u16, Value) {
    let form: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let url = format!("{}/{tenant}/oauth2/v2.0/token", session.emulator.url());
    let request = session.http.post(url).header("content-type", "application/x-www-form-urlencoded");
    let response = request.body(form.join("&")).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

fn form(secret: &str) -> Vec<(&str, &str)> {
    vec![
        ("grant_type", "client_credentials"),
        ("client_id", CLIENT),
        ("client_secret", secret),
        ("scope", "https%3A%2F%2Fmanagement.azure.com%2F.default"),
    ]
}

#[tokio::test]
async fn a_client_with_its_secret_gets_a_token_that_is_accepted() {
    let mut session = Session::start().await;
    let (status, body) = ask(&session, TENANT, &form(SECRET)).await;
    assert_eq!(
        (status, body["expires_in"].as_u64(), body["token_type"].as_str()),
        (200, Some(3600), Some("Bearer"))
    );
    session.token = body["access_token"].as_str().unwrap().to_owned();
    assert_eq!(session.token.split('.').count(), 3);
    assert_eq!(session.get(WORKSPACE).await.status, 404);
    assert_ne!(session.emulator.log().entries().last().unwrap().principal, "");
}

#[tokio::test]
async fn a_wrong_secret_or_tenant_or_client_is_told_in_entra_s_words() {
    let session = Session::start().await;
    let (status, body) = ask(&session, TENANT, &form("wrong")).await;
    assert_eq!((status, body["error"].as_str()), (401, Some("invalid_client")));
    assert!(body["error_description"].as_str().unwrap().starts_with("AADSTS7000215:"));
    let (status, body) = ask(&session, "11111111-0000-0000-0000-000000000000", &form(SECRET)).await;
    assert_eq!(status, 400);
    assert!(body["error_description"].as_str().unwrap().starts_with("AADSTS90002:"));
    let mut fields = form(SECRET);
    fields[1].1 = "nobody";
    assert_eq!(ask(&session, TENANT, &fields).await.1["error_codes"], json!([700_016]));
}

#[tokio::test]
async fn a_rotated_secret_takes_effect_at_once() {
    let session = Session::start().await;
    session.emulator.set_client(Client::new(CLIENT, "second"));
    assert_eq!(ask(&session, TENANT, &form(SECRET)).await.0, 401);
    assert_eq!(ask(&session, TENANT, &form("second")).await.0, 200);
}

#[tokio::test]
async fn a_federated_token_is_good_until_it_expires() {
    let session = Session::start().await;
    // Claims of exp 4102444800 (the year 2100) and exp 1, without a signature that anybody knows.
    let good = "eyJhbGciOiJub25lIn0.eyJleHAiOjQxMDI0NDQ4MDB9.c2ln";
    let old = "eyJhbGciOiJub25lIn0.eyJleHAiOjF9.c2ln";
    for (assertion, expected) in [(good, 200), (old, 401), ("nonsense", 401)] {
        let mut fields = form("");
        fields[2] = ("client_assertion", assertion);
        assert_eq!(ask(&session, TENANT, &fields).await.0, expected, "{assertion}");
    }
}

#[tokio::test]
async fn without_a_good_token_the_answer_is_401_with_a_challenge() {
    let mut session = Session::of(Emulator::builder().token_lifetime(0)).await;
    let expired = session.get(WORKSPACE).await;
    assert_eq!((expired.status, expired.code()), (401, "ExpiredAuthenticationToken"));
    assert!(expired.header("www-authenticate").starts_with("Bearer authorization_uri="));
    session.emulator.set_token_lifetime(600);
    let good = session.emulator.token().unwrap();
    let (rest, signature) = good.rsplit_once('.').unwrap();
    session.token = format!("{rest}.{}", signature.chars().rev().collect::<String>());
    assert_eq!(session.get(WORKSPACE).await.code(), "InvalidAuthenticationToken");
    session.token = good;
    assert_eq!(session.get(WORKSPACE).await.status, 404);
    let bare = session.http.get(session.url(WORKSPACE)).send().await.unwrap();
    assert_eq!(bare.status(), 401);
}

#[tokio::test]
async fn managed_identities_are_given_tokens_by_their_two_services() {
    let session = Session::start().await;
    let url = format!(
        "{}/msi/token?api-version=2019-08-01&resource=https://management.azure.com",
        session.emulator.url()
    );
    let request = session.http.get(&url).header("x-identity-header", session.emulator.identity_header());
    let body: Value = request.send().await.unwrap().json().await.unwrap();
    assert!(body["expires_on"].as_str().unwrap().parse::<u64>().unwrap() > 1_700_000_000);
    assert_eq!(session.http.get(&url).send().await.unwrap().status(), 401);
    let url = format!(
        "{}/metadata/identity/oauth2/token?resource=https://management.azure.com",
        session.emulator.url()
    );
    assert_eq!(session.http.get(&url).send().await.unwrap().status(), 400);
    let answer = session.http.get(&url).header("metadata", "true").send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn the_tenant_is_discovered_with_its_keys() {
    let session = Session::start().await;
    let url = format!("{}/{TENANT}/v2.0/.well-known/openid-configuration", session.emulator.url());
    let found: Value = session.http.get(url).send().await.unwrap().json().await.unwrap();
    let keys: Value =
        session.http.get(found["jwks_uri"].as_str().unwrap()).send().await.unwrap().json().await.unwrap();
    assert_eq!(keys["keys"][0]["alg"], "ES256");
}
