//! What holds of any evidence: checks can be written down, and more errors never help.
use std::collections::BTreeMap;

use api::endpoint::{Analysis, AnalysisQuery, Check, CheckMode, CheckOutcome};
use plan::endpoint::rollout::evidence::{Evidence, MirrorSample, Sample};
use plan::endpoint::rollout::judge::{Measures, Verdict, checks, verdict};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// The candidate and the stable revision.
const PAIR: (&str, &str) = ("b", "a");

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 2000,
        rng_seed: RngSeed::Fixed(20_260_105),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Counts of every size, small ones more often.
fn count() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..20_u64, 4 => 0..2000_u64, 1 => 0..1_u64 << 40]
}

/// Latencies as the gateway tells them, and as it never would.
fn latency() -> impl Strategy<Value = Vec<(f64, u64)>> {
    let bound = prop_oneof![8 => 1e-5..60.0_f64, 1 => Just(0.0), 1 => any::<f64>()];
    let sorted = prop::collection::vec((bound, count()), 0..12).prop_map(|mut buckets| {
        buckets.sort_by(|left, right| left.0.total_cmp(&right.0));
        buckets
    });
    prop_oneof![4 => sorted, 1 => prop::collection::vec((any::<f64>(), count()), 0..12)]
}

prop_compose! {
    fn mirror()(counts in prop::collection::vec(count(), 7)) -> MirrorSample {
        MirrorSample {
            agreed: counts[0],
            disagreed: counts[1],
            failed: counts[2],
            incomparable: counts[3],
            dropped: counts[4],
            same_predictions: counts[5],
            different_predictions: counts[6],
        }
    }
}

prop_compose! {
    fn sample()(
        good in count(), refused in count(), failed in count(), latency in latency(),
        percentiles in prop_oneof![3 => Just(Vec::new()), 1 => latency()], mirror in mirror(),
    ) -> Sample {
        Sample { good, refused, failed, latency, percentiles, mirror, ..Sample::default() }
    }
}

fn evidence_of(candidate: Sample, stable: Sample) -> Evidence {
    let revisions = BTreeMap::from([("b".to_owned(), candidate), ("a".to_owned(), stable)]);
    Evidence { revisions, ..Evidence::default() }
}

fn evidence() -> impl Strategy<Value = Option<Evidence>> {
    let answer = prop_oneof![any::<f64>().prop_map(Ok), ".{0,600}".prop_map(Err), Just(Ok(f64::NAN))];
    let whole = (sample(), sample(), prop::option::of(answer), prop::option::weighted(0.1, ".{0,600}"));
    let whole = whole.prop_map(|(candidate, stable, answer, unavailable)| {
        let mut evidence = evidence_of(candidate, stable);
        evidence.queries = answer.map(|answer| ("query".to_owned(), answer)).into_iter().collect();
        evidence.unavailable = unavailable;
        evidence
    });
    prop::option::weighted(0.9, whole)
}

fn threshold() -> impl Strategy<Value = Option<f64>> {
    prop::option::of(prop_oneof![4 => 0.0..1.0_f64, 2 => 0.9..3.0_f64, 1 => any::<f64>()])
}

prop_compose! {
    fn analysis()(
        errors in threshold(),
        latency in threshold(),
        predictions in threshold(),
        (max, min) in (threshold(), threshold()),
        fewest in prop_oneof![1..500_i64, any::<i64>()],
    ) -> Analysis {
        let (name, query) = ("query".to_owned(), "up".to_owned());
        Analysis {
            min_requests: fewest,
            max_error_rate: errors,
            max_p95_latency_ratio: latency,
            max_prediction_disagreement: predictions,
            queries: vec![AnalysisQuery { name, query, max, min, mode: CheckMode::Enforce }],
            ..Analysis::default()
        }
    }
}

fn measures() -> impl Strategy<Value = Measures> {
    prop_oneof![Just(Measures::Traffic), Just(Measures::Mirror), Just(Measures::Copies)]
}

fn usual() -> Analysis {
    Analysis {
        min_requests: 200,
        max_error_rate: Some(0.01),
        max_p95_latency_ratio: Some(1.2),
        max_prediction_disagreement: Some(0.05),
        ..Analysis::default()
    }
}

fn outcome(checks: &[Check], name: &str) -> CheckOutcome {
    checks.iter().find(|check| check.name == name).unwrap().outcome
}

/// A candidate that does worse, request by request, in one of the ways in which it can.
fn worsened(mut sample: Sample, way: u8, by: u64) -> Sample {
    let mirror = &mut sample.mirror;
    match way {
        0 => sample.failed += by,
        1 => {
            let moved = by.min(sample.good);
            sample.good -= moved;
            sample.failed += moved;
        }
        2 => {
            let moved = by.min(sample.good);
            sample.good -= moved;
            sample.refused += moved;
        }
        3 => mirror.failed += by,
        _ => {
            let moved = by.min(mirror.same_predictions);
            mirror.same_predictions -= moved;
            mirror.different_predictions += moved;
        }
    }
    sample
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_was_measured_can_be_written_down(
        analysis in analysis(), evidence in evidence(), measures in measures(), over in any::<bool>(),
    ) {
        let checks = checks(&analysis, measures, PAIR, evidence.as_ref(), over);
        for check in &checks {
            prop_assert!(check.threshold.is_finite() && check.value.is_none_or(f64::is_finite), "{check:?}");
            prop_assert!(check.message.chars().count() <= 512 && !check.message.contains("NaN of"));
            let read: Check = serde_json::from_str(&serde_json::to_string(check).unwrap()).unwrap();
            prop_assert_eq!((&read.name, read.outcome), (&check.name, check.outcome));
        }
    }

    #[test]
    fn nothing_passes_before_the_end_or_on_too_few_requests(
        analysis in analysis(), evidence in evidence(), measures in measures(), over in any::<bool>(),
    ) {
        for check in checks(&analysis, measures, PAIR, evidence.as_ref(), over) {
            if check.outcome == CheckOutcome::Passed {
                prop_assert!(over, "{:?}", check);
                prop_assert!(check.samples.is_none_or(|samples| samples >= analysis.min_requests), "{:?}", check);
                prop_assert!(check.name == "query" || check.value.unwrap() <= check.threshold, "{:?}", check);
            }
        }
    }

    #[test]
    fn nothing_fails_within_its_threshold(
        analysis in analysis(), evidence in evidence(), measures in measures(), over in any::<bool>(),
    ) {
        for check in checks(&analysis, measures, PAIR, evidence.as_ref(), over) {
            if check.outcome == CheckOutcome::Failed && check.name != "query" {
                prop_assert!(check.value.unwrap() > check.threshold, "{:?}", check);
            }
        }
    }

    #[test]
    fn more_errors_never_turn_a_failure_into_a_pass(
        candidate in sample(), stable in sample(), way in 0..5_u8, by in count(), over in any::<bool>(),
    ) {
        let (name, measures) = match way {
            0..=2 => ("errorRate", Measures::Traffic),
            3 => ("errorRate", Measures::Mirror),
            _ => ("predictionDisagreement", Measures::Mirror),
        };
        let judge = |candidate| {
            let evidence = evidence_of(candidate, stable.clone());
            outcome(&checks(&usual(), measures, PAIR, Some(&evidence), over), name)
        };
        let (before, after) = (judge(candidate.clone()), judge(worsened(candidate, way, by)));
        prop_assert!(
            !(before == CheckOutcome::Failed && after == CheckOutcome::Passed),
            "{before:?} became {after:?}"
        );
    }

    #[test]
    fn the_same_shares_on_more_requests_are_judged_alike_or_with_less_doubt(
        good in 150..5000_u64, failed in 0..200_u64, others in 200..5000_u64, times in 2..50_u64,
    ) {
        let judge = |times| {
            let candidate = Sample { good: good * times, failed: failed * times, ..Sample::default() };
            let stable = Sample { good: others * times, ..Sample::default() };
            let evidence = evidence_of(candidate, stable);
            outcome(&checks(&usual(), Measures::Traffic, PAIR, Some(&evidence), true), "errorRate")
        };
        let (before, after) = (judge(1), judge(times));
        prop_assert!(before == after || before == CheckOutcome::Inconclusive, "{before:?} became {after:?}");
    }

    #[test]
    fn a_verdict_is_a_failure_if_and_only_if_an_enforced_check_failed(
        analysis in analysis(), evidence in evidence(), measures in measures(), over in any::<bool>(),
    ) {
        let checks = checks(&analysis, measures, PAIR, evidence.as_ref(), over);
        let failed = checks.iter().any(|check| check.outcome == CheckOutcome::Failed);
        prop_assert_eq!(verdict(&checks) == Verdict::Failed, failed);
        prop_assert_eq!(verdict(&[]), Verdict::Passed);
    }
}
