//! Which words make sense when, and what is said to the API server.
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use kube::Client;
use kube::client::Body;

use super::*;
use crate::rollout::tests::{canary, completed, paused, rolled_back, rolling_update};

#[test]
fn a_word_is_the_verb_the_revision_and_the_time() {
    let now: Timestamp = "2026-01-02T03:04:05.678Z".parse().unwrap();
    assert_eq!(value(&Action::SkipStep, now), "skip-step@2026-01-02T03:04:05.678Z");
    let back = Action::Rollback(Some("churn-aaaa1111".to_owned()));
    assert_eq!(value(&back, now), "rollback=churn-aaaa1111@2026-01-02T03:04:05.678Z");
}

#[test]
fn the_one_annotation_is_all_that_is_written() {
    let written = json!({"metadata": {"annotations": {"mlops-operator.dev/rollout-action": "pause@t"}}});
    assert_eq!(patch("pause@t"), written);
}

#[test]
fn words_are_refused_where_they_make_no_sense() {
    let words = [
        Action::Pause,
        Action::Resume,
        Action::SkipStep,
        Action::Abort,
        Action::Promote,
        Action::Retry,
        Action::Rollback(None),
    ];
    let taken = |endpoint: &Endpoint| {
        let taken = words.iter().filter(|word| refusal(endpoint, word).is_none());
        taken.map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(taken(&canary()), ["pause", "skip-step", "abort", "promote", "rollback"]);
    assert_eq!(taken(&paused()), ["resume", "skip-step", "abort", "promote", "rollback"]);
    assert_eq!(taken(&completed()), ["rollback"]);
    assert_eq!(taken(&rolled_back()), ["retry"]);
    assert_eq!(taken(&rolling_update()), [""; 0]);
}

#[test]
fn a_refusal_says_what_to_do() {
    let why = |endpoint: &Endpoint, action| refusal(endpoint, &action).unwrap();
    assert_eq!(
        why(&canary(), Action::Resume),
        "the rollout does not wait for a person; `kubectl mlops rollout churn -w` follows it"
    );
    assert_eq!(
        why(&completed(), Action::Abort),
        "no rollout is under way, revision churn-bbbb2222 answers all requests; `kubectl mlops rollback churn` goes \
         back to an earlier one"
    );
    assert_eq!(
        why(&rolling_update(), Action::Pause),
        "the strategy RollingUpdate can't be steered; set spec.rollout.strategy to Canary or BlueGreen"
    );
}

#[test]
fn a_rollback_to_an_unknown_revision_names_those_that_are_kept() {
    let to =
        |endpoint: &Endpoint, revision: &str| refusal(endpoint, &Action::Rollback(Some(revision.to_owned())));
    assert_eq!(
        to(&completed(), "churn-cccc3333").unwrap(),
        "churn-cccc3333 is no revision that was stable before; name one of churn-aaaa1111 \
         (https://models.example/churn-8.onnx) with --to"
    );
    assert_eq!(to(&completed(), "churn-aaaa1111"), None);
    assert_eq!(
        to(&completed(), "churn-bbbb2222").unwrap(),
        "revision churn-bbbb2222 answers all requests already"
    );
    assert_eq!(to(&canary(), "churn-aaaa1111"), None);
    assert_eq!(
        refusal(&rolled_back(), &Action::Rollback(None)).unwrap(),
        "no revision that was stable before is left; spec.rollout.revisionHistoryLimit says how many are kept"
    );
    let mut there = rolled_back();
    there.spec.target.type_ = api::endpoint::TargetType::ManagedOnline;
    let said = refusal(&there, &Action::Rollback(None)).unwrap();
    assert!(said.contains("scaleDownDelaySeconds") && said.contains("change the spec back"), "{said}");
}

#[test]
fn a_word_is_heard_when_the_status_repeats_it() {
    let endpoint = paused();
    assert!(is_handled(&endpoint, "pause@2026-01-02T03:00:00Z"));
    assert!(!is_handled(&endpoint, "pause@2026-01-02T03:00:01Z"));
}

/// What was asked of the API server: the method, the path with its query, and the body.
type Asked = Arc<Mutex<Vec<(String, String, Value)>>>;

/// An API server that answers every request alike.
fn cluster(code: u16, answer: &Value) -> (Cluster, Asked) {
    let (asked, answer) = (Asked::default(), answer.to_string());
    let log = Arc::clone(&asked);
    let service = tower::service_fn(move |request: Request<Body>| {
        let (log, answer) = (Arc::clone(&log), answer.clone());
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await?;
            let body = serde_json::from_slice(&body).unwrap_or_default();
            log.lock().unwrap().push((parts.method.to_string(), parts.uri.to_string(), body));
            Ok::<_, kube::Error>(
                Response::builder().status(code).body(Body::from(answer.into_bytes())).unwrap(),
            )
        }
    });
    let client = Client::new(service, "team");
    (Cluster { client, namespace: "team".to_owned(), server: "https://cluster.example".to_owned() }, asked)
}

fn endpoints(cluster: &Cluster) -> Api<Endpoint> {
    objects::scoped(cluster, Some("team"))
}

#[tokio::test]
async fn a_word_is_a_merge_of_one_annotation() {
    let metadata = json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": "churn", "namespace": "team"},
    });
    let (cluster, asked) = cluster(200, &metadata);
    say(&cluster, &endpoints(&cluster), "churn", "pause@t").await.unwrap();
    let asked = asked.lock().unwrap().clone();
    let path =
        "/apis/mlops-operator.dev/v1alpha1/namespaces/team/endpoints/churn?&fieldManager=kubectl-mlops";
    assert_eq!(asked, [("PATCH".to_owned(), path.to_owned(), patch("pause@t"))]);
}

#[tokio::test]
async fn who_may_not_act_is_told_whom_to_ask() {
    let message = "endpoints \"churn\" is forbidden: User \"jo\" cannot patch resource";
    let refused = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": "Forbidden", "code": 403,
    });
    let (cluster, _) = cluster(403, &refused);
    let failure = say(&cluster, &endpoints(&cluster), "churn", "pause@t").await.unwrap_err();
    assert_eq!(failure.exit_code(), 3);
    assert_eq!(
        failure.to_string(),
        format!(
            "{message}: ask the cluster's administrator for the right to patch endpoints in namespace team"
        )
    );
}

#[tokio::test]
async fn a_word_that_was_taken_up_is_answered_with_the_story() {
    let list = json!({
        "apiVersion": "mlops-operator.dev/v1alpha1", "kind": "EndpointList", "metadata": {"resourceVersion": "7"},
        "items": [paused()],
    });
    let (cluster, _) = cluster(200, &list);
    let said = "pause@2026-01-02T03:00:00Z";
    let report = await_answer(&cluster, &endpoints(&cluster), "churn", said).await.unwrap();
    assert!(report.handled);
    assert_eq!(report.message, "revision churn-bbbb2222 waits in step 2 of 4");
}
