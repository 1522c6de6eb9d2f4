//! Copies for a revision that answers nobody.
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{Backend, Behaviour, Gateway, document, until};

fn labels(labels: &[u8]) -> Behaviour {
    let output = json!({"name": "label", "datatype": "INT64", "shape": [labels.len()], "data": labels});
    Behaviour::Says(json!({"outputs": [output]}))
}

async fn shadowed(shadow: Behaviour, arguments: &[&str]) -> (Gateway, Backend, Backend) {
    let stable = Backend::start("stable", labels(&[0, 1, 1, 0])).await;
    let shadow = Backend::start("shadow", shadow).await;
    let revisions: [Value; 2] = [stable.revision("stable", 1), shadow.revision("shadow", 0)];
    let more = json!({"mirror": {"revision": "shadow", "percent": 100}});
    (Gateway::with(&document(&revisions, &more), arguments).await, stable, shadow)
}

#[tokio::test]
async fn copies_are_compared_with_what_the_caller_got() {
    let (gateway, stable, shadow) = shadowed(labels(&[0, 1, 1, 0]), &[]).await;
    let caller = gateway.caller();
    assert_eq!(caller.score(&[]).await.status, 200);
    until("the first agrees", || gateway.mirrored("shadow", "agreed") == 1).await;
    *shadow.behaviour.lock().unwrap() = labels(&[0, 1, 0, 0]);
    assert_eq!(caller.score(&[]).await.header("azureml-model-deployment"), "stable");
    until("the second does not", || gateway.mirrored("shadow", "disagreed") == 1).await;
    let labels = |same| format!("{{endpoint=\"team/churn\",revision=\"shadow\",same=\"{same}\"}}");
    let predictions =
        |same| gateway.metric(&format!("mlops_gateway_mirror_predictions_total{}", labels(same)));
    assert_eq!((predictions(true), predictions(false)), (7, 1));
    assert_eq!((stable.hits(), shadow.hits()), (2, 2));
}

#[tokio::test]
async fn a_copy_is_the_request_without_the_key_and_is_told_to_be_one() {
    let (gateway, stable, shadow) = shadowed(Behaviour::Echo, &[]).await;
    *stable.behaviour.lock().unwrap() = Behaviour::Echo;
    let digest = format!("{:x}", Sha256::digest("secret"));
    let more = json!({
        "mirror": {"revision": "shadow", "percent": 100}, "auth": {"mode": "Key", "digests": [digest]},
    });
    gateway.put(&document(&[stable.revision("stable", 1), shadow.revision("shadow", 0)], &more));
    let path = "/endpoints/team/churn/v2/models/m/infer?a=1";
    let headers = [("authorization", "Bearer secret"), ("x-request-id", "id-1")];
    assert_eq!(gateway.caller().post(path, &headers, "x".repeat(100_000)).await.status, 200);
    until("the copy arrives", || !shadow.seen.lock().unwrap().is_empty()).await;
    let (copy, original) = (shadow.seen.lock().unwrap()[0].clone(), stable.seen.lock().unwrap()[0].clone());
    assert_eq!((&copy["uri"], &copy["body"]), (&original["uri"], &original["body"]));
    assert_eq!(copy["headers"]["x-request-id"], "id-1");
    assert_eq!(copy["headers"]["authorization"], Value::Null);
    assert_eq!(
        (&copy["headers"]["x-mlops-mirrored"], &original["headers"]["x-mlops-mirrored"]),
        (&json!("true"), &Value::Null)
    );
}

#[tokio::test]
async fn a_shadow_that_fails_or_is_away_changes_nothing_for_callers() {
    let (gateway, stable, shadow) = shadowed(Behaviour::Fails, &[]).await;
    let caller = gateway.caller();
    for _ in 0..10 {
        let answer = caller.score(&[]).await;
        assert_eq!((answer.status, answer.header("azureml-model-deployment")), (200, "stable"));
    }
    until("ten copies failed", || gateway.mirrored("shadow", "failed") == 10).await;
    let mut away = shadow.revision("shadow", 0);
    away["address"] = json!("127.0.0.1:1");
    let more = json!({"mirror": {"revision": "shadow", "percent": 100}});
    gateway.put(&document(&[stable.revision("stable", 1), away], &more));
    for _ in 0..10 {
        assert_eq!(caller.score(&[]).await.status, 200);
    }
    until("ten more failed", || gateway.mirrored("shadow", "failed") == 20).await;
}

#[tokio::test]
async fn a_shadow_that_never_answers_holds_up_nobody_and_its_copies_stay_bounded() {
    let (gateway, stable, shadow) = shadowed(Behaviour::Never, &["--mirrored=3"]).await;
    let caller = gateway.caller();
    for _ in 0..50 {
        // Every one of these would hang were the copy waited for.
        assert_eq!(caller.score(&[]).await.status, 200);
    }
    until("the rest is dropped", || gateway.mirrored("shadow", "dropped") == 47).await;
    until("the copies hang", || shadow.hits() == 3).await;
    assert_eq!(stable.hits(), 50);
}

#[tokio::test]
async fn a_body_that_is_too_large_for_a_copy_is_answered_and_counted() {
    let (gateway, stable, shadow) = shadowed(labels(&[0]), &["--kept-bytes=1000"]).await;
    *stable.behaviour.lock().unwrap() = Behaviour::Echo;
    let answer = gateway.caller().post("/endpoints/team/churn/score", &[], "x".repeat(5_000)).await;
    assert_eq!(answer.json()["body"].as_str().unwrap().len(), 5_000);
    until("the copy is dropped", || gateway.mirrored("shadow", "dropped") == 1).await;
    assert_eq!(shadow.hits(), 0);
    // What was kept aside is given back: a small body is copied again.
    *stable.behaviour.lock().unwrap() = labels(&[0]);
    assert_eq!(gateway.caller().score(&[]).await.status, 200);
    until("the next copy agrees", || gateway.mirrored("shadow", "agreed") == 1).await;
}
