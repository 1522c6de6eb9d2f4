//! What each check says of what was measured.
use std::collections::BTreeMap;

use api::endpoint::{AnalysisModes, CheckOutcome};

use super::*;
use crate::endpoint::rollout::evidence::MirrorSample;

/// The candidate and the stable revision.
const PAIR: (&str, &str) = ("churn-b", "churn-a");

fn analysis() -> Analysis {
    Analysis {
        min_requests: 200,
        max_error_rate: Some(0.01),
        max_p95_latency_ratio: Some(1.2),
        max_prediction_disagreement: Some(0.05),
        ..Analysis::default()
    }
}

fn errors_alone() -> Analysis {
    Analysis { min_requests: 200, max_error_rate: Some(0.01), ..Analysis::default() }
}

fn answers(good: u64, refused: u64, failed: u64) -> Sample {
    Sample { good, refused, failed, latency: vec![(0.02, good + refused + failed)], ..Sample::default() }
}

fn mirrored(mirror: MirrorSample) -> Sample {
    Sample { mirror, ..Sample::default() }
}

fn evidence(candidate: Sample, stable: Sample) -> Evidence {
    Evidence {
        revisions: BTreeMap::from([("churn-b".to_owned(), candidate), ("churn-a".to_owned(), stable)]),
        ..Evidence::default()
    }
}

/// The one check of errors, in a step with traffic.
fn errors(candidate: Sample, stable: Sample, over: bool) -> Check {
    let evidence = evidence(candidate, stable);
    checks(&errors_alone(), Measures::Traffic, PAIR, Some(&evidence), over).remove(0)
}

fn named(checks: &[Check], name: &str) -> Check {
    checks.iter().find(|check| check.name == name).unwrap().clone()
}

#[test]
fn each_kind_of_step_has_the_checks_that_it_can_measure() {
    let mut analysis = analysis();
    analysis.queries = vec![AnalysisQuery {
        name: "revenue".to_owned(),
        query: "sum(revenue)".to_owned(),
        max: None,
        min: Some(1.0),
        mode: CheckMode::Warn,
    }];
    let names = |measures| {
        let checks = checks(&analysis, measures, PAIR, None, false);
        checks.into_iter().map(|check| check.name).collect::<Vec<_>>()
    };
    assert_eq!(names(Measures::Traffic), ["errorRate", "p95LatencyRatio", "revenue"]);
    assert_eq!(names(Measures::Mirror), ["errorRate", "predictionDisagreement", "revenue"]);
}

#[test]
fn a_failure_tells_value_bound_and_both_numbers_of_answers() {
    let check = errors(answers(399, 0, 13), answers(3701, 0, 0), true);
    assert_eq!(check.outcome, CheckOutcome::Failed);
    assert_eq!((check.samples, check.stable_samples), (Some(412), Some(3701)));
    assert_eq!(
        check.message,
        "3.2 % of 412 answers are errors, at most 1.0 % are allowed; stable: 0.0 % of 3,701"
    );
}

#[test]
fn a_candidate_passes_at_the_end_and_not_before() {
    let check = errors(answers(1000, 0, 1), answers(3000, 0, 3), false);
    assert_eq!(check.outcome, CheckOutcome::Inconclusive);
    assert!(check.message.starts_with("so far 0.1 % of 1,001 answers"), "{}", check.message);
    assert_eq!(errors(answers(1000, 0, 1), answers(3000, 0, 3), true).outcome, CheckOutcome::Passed);
}

#[test]
fn too_few_requests_decide_nothing() {
    let check = errors(answers(84, 0, 3), answers(800, 0, 0), true);
    assert_eq!(check.outcome, CheckOutcome::Inconclusive);
    assert!(check.message.starts_with("87 of 200 requests so far: 3.4 % of 87"), "{}", check.message);
    let none = errors(Sample::default(), answers(800, 0, 0), true);
    assert_eq!((none.outcome, none.value), (CheckOutcome::Inconclusive, None));
    assert_eq!(none.message, "no requests so far, 200 are needed");
}

#[test]
fn ten_answers_that_all_fail_are_enough_to_go_back() {
    assert_eq!(errors(answers(0, 0, 9), answers(90, 0, 0), false).outcome, CheckOutcome::Inconclusive);
    assert_eq!(errors(answers(0, 0, 10), answers(90, 0, 0), false).outcome, CheckOutcome::Failed);
    // Half of them is bad, but not so bad that the numbers may be this small.
    assert_eq!(errors(answers(10, 0, 10), answers(90, 0, 0), false).outcome, CheckOutcome::Inconclusive);
}

#[test]
fn before_the_end_a_failure_needs_more_certainty() {
    let (candidate, stable) = (answers(287, 0, 13), answers(2000, 0, 2));
    assert_eq!(errors(candidate.clone(), stable.clone(), true).outcome, CheckOutcome::Failed);
    let check = errors(answers(291, 0, 9), stable.clone(), false);
    assert_eq!(check.outcome, CheckOutcome::Inconclusive);
    assert!(check.message.ends_with("; this may still be chance"), "{}", check.message);
    assert_eq!(errors(answers(291, 0, 9), stable.clone(), true).outcome, CheckOutcome::Failed);
    assert_eq!(errors(answers(270, 0, 30), stable, false).outcome, CheckOutcome::Failed);
}

#[test]
fn an_error_more_than_allowed_may_be_chance() {
    let check = errors(answers(197, 0, 3), answers(2000, 0, 2), true);
    assert_eq!(check.outcome, CheckOutcome::Inconclusive);
    assert!(
        check.message.ends_with("; this may still be chance, more requests will tell"),
        "{}",
        check.message
    );
}

#[test]
fn callers_who_ask_for_nonsense_do_not_count_against_the_candidate() {
    let check = errors(answers(285, 15, 0), answers(2850, 150, 0), true);
    assert_eq!((check.outcome, check.value), (CheckOutcome::Passed, Some(0.0)));
    // Nor do a few more of them than its share.
    let unlucky = errors(answers(280, 20, 0), answers(2850, 150, 0), true);
    assert_eq!(unlucky.outcome, CheckOutcome::Inconclusive);
}

#[test]
fn a_candidate_that_refuses_what_the_stable_revision_takes_fails() {
    let check = errors(answers(200, 100, 0), answers(2850, 150, 0), false);
    assert_eq!(check.outcome, CheckOutcome::Failed);
    assert_eq!(
        check.message,
        "28.3 % of 300 answers are errors, at most 1.0 % are allowed (0.0 % with 5xx, 28.3 % with 4xx beyond the \
         stable revision's); stable: 0.0 % of 3,000"
    );
}

#[test]
fn refusals_without_anything_to_compare_with_are_not_judged() {
    let check = errors(answers(900, 100, 0), answers(4, 0, 0), true);
    assert_eq!(check.outcome, CheckOutcome::Inconclusive);
    assert_eq!(errors(answers(1000, 3, 0), Sample::default(), true).outcome, CheckOutcome::Passed);
    assert_eq!(errors(answers(900, 3, 97), Sample::default(), true).outcome, CheckOutcome::Failed);
}

/// A histogram with all of a number of answers around one latency, the slowest tenth around another.
fn timed(answers: u64, seconds: f64, slow: f64) -> Sample {
    let latency = vec![(seconds, answers - answers / 10), (slow, answers / 10)];
    Sample { good: answers, latency, ..Sample::default() }
}

fn latency(candidate: Sample, stable: Sample, over: bool) -> Check {
    let evidence = evidence(candidate, stable);
    named(&checks(&analysis(), Measures::Traffic, PAIR, Some(&evidence), over), "p95LatencyRatio")
}

#[test]
fn a_slower_candidate_fails_against_the_stable_revision() {
    let check = latency(timed(1000, 0.02, 0.06), timed(1000, 0.02, 0.04), true);
    assert_eq!(check.outcome, CheckOutcome::Failed);
    assert_eq!(
        check.message,
        "the 95th percentile of 1,000 answers is 58 ms, 1.50 times that of 1,000 answers of the stable revision, 39 ms; \
         at most 1.20 times is allowed"
    );
    assert_eq!(latency(timed(1000, 0.02, 0.04), timed(1000, 0.02, 0.04), true).outcome, CheckOutcome::Passed);
    assert_eq!(latency(timed(1000, 0.02, 0.02), timed(1000, 0.02, 0.04), true).outcome, CheckOutcome::Passed);
}

#[test]
fn a_latency_without_anything_to_compare_with_is_not_judged() {
    let unknown = latency(timed(1000, 0.02, 0.06), Sample::default(), true);
    assert_eq!((unknown.outcome, unknown.value), (CheckOutcome::Inconclusive, None));
    assert!(unknown.message.contains("nothing to compare with"), "{}", unknown.message);
    let few = latency(timed(1000, 0.02, 0.04), timed(100, 0.02, 0.04), true);
    assert_eq!(few.outcome, CheckOutcome::Inconclusive);
    assert!(few.message.starts_with("the stable revision has 100 of 200 requests"), "{}", few.message);
}

#[test]
fn neighbouring_buckets_are_no_difference() {
    let mut analysis = analysis();
    analysis.max_p95_latency_ratio = Some(1.01);
    let edge = |seconds| Sample { latency: vec![(seconds, 1_000_000)], ..Sample::default() };
    let judge = |slow| {
        let evidence = evidence(edge(slow), edge(0.032));
        named(&checks(&analysis, Measures::Traffic, PAIR, Some(&evidence), true), "p95LatencyRatio").outcome
    };
    assert_eq!(judge(0.034), CheckOutcome::Inconclusive);
    assert_eq!(judge(0.036), CheckOutcome::Failed);
}

/// So many intervals with the same percentile but for a little noise, of a hundred answers each.
fn by_interval(seconds: f64, intervals: u64) -> Sample {
    let noise = |at: u64| seconds * if at.is_multiple_of(2) { 0.98 } else { 1.02 };
    Sample { percentiles: (0..intervals).map(|at| (noise(at), 100)).collect(), ..Sample::default() }
}

#[test]
fn percentiles_of_intervals_are_judged_by_their_mean_once_there_are_enough() {
    let slow = latency(by_interval(0.06, 8), by_interval(0.03, 8), true);
    assert_eq!(
        (slow.outcome, slow.samples, slow.stable_samples),
        (CheckOutcome::Failed, Some(800), Some(800))
    );
    assert_eq!(
        slow.message,
        "the mean 95th percentile of 800 answers is 60 ms, 2.00 times that of 800 answers of the stable revision, 30 ms; at most 1.20 times is allowed"
    );
    let early = latency(by_interval(0.06, 4), by_interval(0.03, 4), true);
    assert_eq!(early.outcome, CheckOutcome::Inconclusive);
    assert!(early.message.contains("this may still be chance"), "{}", early.message);
    let as_fast = latency(by_interval(0.03, 4), by_interval(0.03, 4), true);
    assert_eq!(as_fast.outcome, CheckOutcome::Passed);
    let few = latency(by_interval(0.03, 1), by_interval(0.03, 4), true);
    assert_eq!(few.outcome, CheckOutcome::Inconclusive);
    let alone = latency(by_interval(0.03, 4), Sample::default(), true);
    assert!(alone.message.contains("nothing to compare with"), "{}", alone.message);
}

#[test]
fn copies_that_azure_made_are_counted_like_answers_to_callers() {
    let copies = |candidate| {
        let evidence = evidence(candidate, answers(9900, 100, 0));
        let checks = checks(&analysis(), Measures::Copies, PAIR, Some(&evidence), true);
        assert_eq!(checks.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["errorRate"]);
        checks[0].outcome
    };
    assert_eq!(copies(answers(990, 10, 0)), CheckOutcome::Passed);
    assert_eq!(copies(answers(900, 100, 0)), CheckOutcome::Failed);
    assert_eq!(copies(answers(900, 10, 90)), CheckOutcome::Failed);
}

fn mirror(sample: MirrorSample) -> Vec<Check> {
    let evidence = evidence(mirrored(sample), answers(2000, 0, 0));
    checks(&analysis(), Measures::Mirror, PAIR, Some(&evidence), true)
}

#[test]
fn predictions_that_differ_too_often_fail_and_few_pass() {
    let copies = |agreed, disagreed| MirrorSample {
        agreed,
        disagreed,
        same_predictions: agreed,
        different_predictions: disagreed,
        ..MirrorSample::default()
    };
    let worse = mirror(copies(360, 42));
    let check = named(&worse, "predictionDisagreement");
    assert_eq!((check.outcome, verdict(&worse)), (CheckOutcome::Failed, Verdict::Failed));
    assert_eq!(check.message, "10.4 % of 402 predictions for 402 copies differ, at most 5.0 % are allowed");
    assert_eq!(verdict(&mirror(copies(400, 2))), Verdict::Passed);
}

#[test]
fn predictions_for_one_request_are_one_sample() {
    let copies = MirrorSample {
        agreed: 185,
        disagreed: 15,
        same_predictions: 18_500,
        different_predictions: 1500,
        ..MirrorSample::default()
    };
    let check = named(&mirror(copies), "predictionDisagreement");
    assert_eq!((check.outcome, check.samples), (CheckOutcome::Inconclusive, Some(200)));
}

#[test]
fn copies_without_a_good_answer_count_as_errors() {
    let copies = MirrorSample { agreed: 280, failed: 20, same_predictions: 280, ..MirrorSample::default() };
    let check = named(&mirror(copies), "errorRate");
    assert_eq!((check.outcome, check.stable_samples), (CheckOutcome::Failed, None));
    assert_eq!(check.message, "6.7 % of 300 copies are errors, at most 1.0 % are allowed");
}

#[test]
fn answers_that_cannot_be_compared_say_so() {
    let check = named(
        &mirror(MirrorSample { incomparable: 300, ..MirrorSample::default() }),
        "predictionDisagreement",
    );
    assert_eq!(check.outcome, CheckOutcome::Inconclusive);
    assert!(check.message.starts_with("none of 300 copies"), "{}", check.message);
}

#[test]
fn a_gateway_that_does_not_answer_leaves_it_open() {
    let mut away = evidence(answers(0, 0, 5000), answers(5000, 0, 0));
    away.unavailable = Some("the gateway can't be asked: connection refused".to_owned());
    for evidence in [None, Some(&away)] {
        let checks = checks(&analysis(), Measures::Traffic, PAIR, evidence, true);
        assert!(checks.iter().all(|check| check.outcome == CheckOutcome::Inconclusive));
        assert_eq!(verdict(&checks), Verdict::Inconclusive);
        assert!(!checks[0].message.is_empty());
    }
    let checks = checks(&analysis(), Measures::Traffic, PAIR, Some(&away), true);
    assert_eq!(checks[0].message, "the gateway can't be asked: connection refused");
}

fn asked(answer: Option<Result<f64, String>>, over: bool) -> Check {
    let query = AnalysisQuery {
        name: "revenue".to_owned(),
        query: "sum(revenue)".to_owned(),
        max: Some(9.0),
        min: Some(0.8),
        mode: CheckMode::Enforce,
    };
    let analysis = Analysis { queries: vec![query], ..Analysis::default() };
    let queries = answer.map(|answer| ("revenue".to_owned(), answer)).into_iter().collect();
    let evidence = Evidence { queries, ..Evidence::default() };
    checks(&analysis, Measures::Mirror, PAIR, Some(&evidence), over).remove(0)
}

#[test]
fn a_query_is_judged_at_the_end_by_its_bounds() {
    let check = asked(Some(Ok(0.7)), true);
    assert_eq!((check.outcome, check.threshold), (CheckOutcome::Failed, 0.8));
    assert_eq!(check.message, "the query answers 0.7, from 0.8 to 9 is wanted");
    assert!(asked(Some(Ok(9.5)), true).threshold > 8.9);
    assert_eq!(asked(Some(Ok(1.0)), true).outcome, CheckOutcome::Passed);
    assert_eq!(asked(Some(Ok(0.7)), false).outcome, CheckOutcome::Inconclusive);
    for answer in [None, Some(Ok(f64::NAN)), Some(Ok(f64::INFINITY)), Some(Err("it is down".to_owned()))] {
        let check = asked(answer.clone(), true);
        assert_eq!((check.outcome, check.value), (CheckOutcome::Inconclusive, None), "{answer:?}");
    }
}

#[test]
fn only_what_is_enforced_decides() {
    let mut analysis = errors_alone();
    let evidence = evidence(answers(0, 0, 500), answers(500, 0, 0));
    let mut judge = |mode| {
        analysis.modes = Some(AnalysisModes { error_rate: mode, ..AnalysisModes::default() });
        verdict(&checks(&analysis, Measures::Traffic, PAIR, Some(&evidence), true))
    };
    assert_eq!(judge(CheckMode::Enforce), Verdict::Failed);
    assert_eq!(judge(CheckMode::Warn), Verdict::Passed);
    assert_eq!(judge(CheckMode::DryRun), Verdict::Passed);
    assert_eq!(verdict(&[]), Verdict::Passed);
}

#[test]
fn a_bound_below_a_percent_is_written_in_full() {
    let analysis = Analysis { max_error_rate: Some(0.0005), ..errors_alone() };
    let evidence = evidence(answers(10_000, 0, 3), answers(10_000, 0, 0));
    let check = checks(&analysis, Measures::Traffic, PAIR, Some(&evidence), true).remove(0);
    assert!(
        check.message.starts_with("0.03 % of 10,003 answers are errors, at most 0.05 %"),
        "{}",
        check.message
    );
}
