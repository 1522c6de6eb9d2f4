//! Which words make sense when, and what is said to the API server.
use serde_json::json;

use super::*;
use crate::rollout::tests::{canary, completed, paused, rolled_back, rolling_update};
use crate::word::tests::{cluster, endpoints};

#[test]
fn a_word_is_the_verb_the_revision_and_the_time() {
    let now: Timestamp = "2026-01-02T03:04:05.678Z".parse().unwrap();
    let word = |action| Word::new(ROLLOUT_ACTION_ANNOTATION, &action, now).value;
    assert_eq!(word(Action::SkipStep), "skip-step@2026-01-02T03:04:05.678Z");
    let back = Action::Rollback(Some("churn-aaaa1111".to_owned()));
    assert_eq!(word(back), "rollback=churn-aaaa1111@2026-01-02T03:04:05.678Z");
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
    assert_eq!(handled(&endpoint), Some("pause@2026-01-02T03:00:00Z"));
}

#[tokio::test]
async fn a_word_that_was_taken_up_is_answered_with_the_story() {
    let list = json!({
        "apiVersion": "mlops-operator.dev/v1alpha1", "kind": "EndpointList", "metadata": {"resourceVersion": "7"},
        "items": [paused()],
    });
    let (cluster, _) = cluster(200, &list);
    let said: Timestamp = "2026-01-02T03:00:00Z".parse().unwrap();
    let mut word = Word::new(ROLLOUT_ACTION_ANNOTATION, &Action::Pause, said);
    "pause@2026-01-02T03:00:00Z".clone_into(&mut word.value);
    let endpoint = word.heard(&endpoints(&cluster), "churn", handled).await.unwrap();
    let report = report("team", "churn", &word, endpoint.as_ref());
    assert!(report.handled);
    assert_eq!(report.message, "revision churn-bbbb2222 waits in step 2 of 4");
}
