//! Who may call, and how often.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{Backend, Behaviour, Gateway, document, until};

fn keys(keys: &[&str]) -> Value {
    let digest = |key: &&str| format!("{:x}", Sha256::digest(key));
    json!({"auth": {"mode": "Key", "digests": keys.iter().map(digest).collect::<Vec<_>>()}})
}

#[tokio::test]
async fn both_keys_open_the_endpoint_and_never_reach_the_revision() {
    let backend = Backend::start("a", Behaviour::Echo).await;
    let gateway = Gateway::start(&document(&[backend.revision("a", 1)], &keys(&["first", "second"]))).await;
    let caller = gateway.caller();
    for key in ["Bearer first", "Bearer second"] {
        let answer = caller.score(&[("authorization", key)]).await;
        assert_eq!((answer.status, &answer.json()["headers"]["authorization"]), (200, &Value::Null));
    }
    for headers in [&[][..], &[("authorization", "Bearer third")]] {
        let answer = caller.score(headers).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Bearer"));
    }
    assert_eq!(backend.hits(), 2);
}

/// Waits until every task has begun and ended a request since.
async fn pass(rounds: &[AtomicUsize]) {
    let before: Vec<usize> = rounds.iter().map(|round| round.load(Ordering::SeqCst)).collect();
    until("every caller goes on", || {
        rounds.iter().zip(&before).all(|(round, before)| round.load(Ordering::SeqCst) >= before + 2)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_keys_are_regenerated_under_load_without_a_refused_request() {
    let backend = Backend::start("a", Behaviour::Echo).await;
    let with = |keys_now: &[&str]| document(&[backend.revision("a", 1)], &keys(keys_now));
    let gateway = Gateway::start(&with(&["key 0", "key 1"])).await;
    let current = Arc::new(Mutex::new("key 0".to_owned()));
    let (refused, done) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let rounds: Arc<Vec<AtomicUsize>> = Arc::new((0..8).map(|_| AtomicUsize::new(0)).collect());
    let callers: Vec<_> = (0..8)
        .map(|number| {
            let (caller, current, rounds) = (gateway.caller(), Arc::clone(&current), Arc::clone(&rounds));
            let (refused, done) = (Arc::clone(&refused), Arc::clone(&done));
            tokio::spawn(async move {
                while done.load(Ordering::SeqCst) == 0 {
                    let key = format!("Bearer {}", current.lock().unwrap());
                    let answer = caller.score(&[("authorization", &key)]).await;
                    refused.fetch_add(usize::from(answer.status != 200), Ordering::SeqCst);
                    rounds[number].fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for generation in 0..20 {
        // The key that nobody uses is replaced, then everyone takes it.
        let (used, next) = (format!("key {generation}"), format!("key {}", generation + 1));
        gateway.put(&with(&[&used, &next]));
        *current.lock().unwrap() = next;
        pass(&rounds).await;
    }
    done.store(1, Ordering::SeqCst);
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(refused.load(Ordering::SeqCst), 0);
    assert_eq!(gateway.caller().score(&[("authorization", "Bearer key 3")]).await.status, 401);
}

#[tokio::test]
async fn tokens_are_judged_by_the_published_keys_which_stay_known_when_the_issuer_is_away() {
    let fixture: Value = serde_json::from_str(include_str!("token.json")).unwrap();
    let issuer = Backend::start("issuer", Behaviour::Says(json!({"keys": [fixture["jwk"]]}))).await;
    let backend = Backend::start("a", Behaviour::Echo).await;
    let with = |audience: &str, role: &str| {
        let auth = json!({
            "mode": "AadToken", "issuer": "https://login.example/tenant", "audience": audience,
            "jwksUri": format!("http://{}/keys", issuer.address), "role": role,
        });
        document(&[backend.revision("a", 1)], &json!({"auth": auth}))
    };
    let gateway = Gateway::start(&with("api://churn", "Score")).await;
    let (caller, token) = (gateway.caller(), fixture["token"].as_str().unwrap());
    let status = async |token: &str| {
        let answer = caller.score(&[("authorization", &format!("Bearer {token}"))]).await;
        (answer.status, answer.json()["error"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(status(token).await.0, 200);
    *issuer.behaviour.lock().unwrap() = Behaviour::Fails;
    for _ in 0..5 {
        assert_eq!(status(token).await.0, 200);
    }
    assert_eq!(issuer.hits(), 1, "the keys are read once");

    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    let forged = format!("{header}.eyJpc3MiOiJ4In0.{signature}");
    assert!(status(&forged).await.1.contains("signature"));
    let unsigned = format!("eyJhbGciOiJub25lIiwia2lkIjoib25lIn0.{}.", signed.split_once('.').unwrap().1);
    assert!(status(&unsigned).await.1.contains("RS256"));
    assert!(status("no-token").await.1.contains("JSON Web Token"));
    gateway.put(&with("api://other", "Score"));
    assert!(status(token).await.1.contains("audience"));
    gateway.put(&with("api://churn", "Administrate"));
    assert_eq!(
        status(token).await,
        (
            403,
            "the token lacks the app role `Administrate`; assign it to the caller and get a new token"
                .to_owned()
        )
    );
    assert_eq!(backend.hits(), 6);
}

#[tokio::test]
async fn a_token_is_not_judged_without_keys() {
    let fixture: Value = serde_json::from_str(include_str!("token.json")).unwrap();
    let issuer = Backend::start("issuer", Behaviour::Fails).await;
    let backend = Backend::start("a", Behaviour::Echo).await;
    let auth = json!({
        "mode": "AadToken", "issuer": "https://login.example/tenant", "audience": "api://churn",
        "jwksUri": format!("http://{}/keys", issuer.address),
    });
    let gateway = Gateway::start(&document(&[backend.revision("a", 1)], &json!({"auth": auth}))).await;
    let token = format!("Bearer {}", fixture["token"].as_str().unwrap());
    for _ in 0..3 {
        let answer = gateway.caller().score(&[("authorization", &token)]).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "5"));
    }
    assert_eq!((issuer.hits(), backend.hits()), (1, 0), "the issuer is not asked for each request");
}

#[tokio::test]
async fn a_caller_beyond_its_rate_is_told_when_to_come_back() {
    let backend = Backend::start("a", Behaviour::Echo).await;
    let mut more = keys(&["first", "second"]);
    more["rateLimit"] = json!({"requestsPerSecond": 0.01, "burst": 3});
    let gateway = Gateway::start(&document(&[backend.revision("a", 1)], &more)).await;
    let caller = gateway.caller();
    for _ in 0..3 {
        assert_eq!(caller.score(&[("authorization", "Bearer first")]).await.status, 200);
    }
    let answer = caller.score(&[("authorization", "Bearer first")]).await;
    assert_eq!((answer.status, &*answer.code()), (429, "TooManyRequests"));
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    assert!((90..=100).contains(&seconds), "{seconds}");
    assert_eq!(caller.score(&[("authorization", "Bearer second")]).await.status, 200, "another caller");
    assert_eq!(backend.hits(), 4);
}
