//! How replicas follow the load.
use api::endpoint::{PolicyType, ScalingBehavior, ScalingPolicy, ScalingQuery, ScalingRules, SelectPolicy};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;

fn ten() -> Scaling {
    let target = ScalingTarget { concurrency: Some(10), idle_seconds: Some(30), ..ScalingTarget::default() };
    Scaling {
        min_replicas: Some(1),
        max_replicas: Some(20),
        target: Some(target),
        behavior: Some(ScalingBehavior { scale_down: Some(window(60)), scale_up: None }),
        ..Scaling::default()
    }
}

fn from_zero() -> Scaling {
    Scaling { min_replicas: Some(0), ..ten() }
}

fn window(seconds: i32) -> ScalingRules {
    ScalingRules { stabilization_window_seconds: Some(seconds), ..ScalingRules::default() }
}

fn policy(type_: PolicyType, value: i32, period_seconds: i32) -> ScalingPolicy {
    ScalingPolicy { type_, value, period_seconds }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn look(scaling: &Scaling, second: i64, load: Load, old: ScalingStatus) -> ScalingStatus {
    Scaler::new(at(second), scaling, scaling.target.as_ref().unwrap(), Some(load), None).next(old)
}

fn busy(concurrency: f64) -> Load {
    Load { concurrency, requests: 100, ..Load::default() }
}

fn with(replicas: i32) -> ScalingStatus {
    ScalingStatus { replicas, ..ScalingStatus::default() }
}

#[test]
fn more_load_brings_more_replicas_at_once_and_no_more_than_twice_as_many_or_four() {
    assert_eq!(look(&ten(), 0, busy(35.0), with(2)).replicas, 4);
    assert_eq!(look(&ten(), 0, busy(1000.0), with(2)).replicas, 6);
    assert_eq!(look(&ten(), 0, busy(1000.0), with(8)).replicas, 16);
    assert_eq!(look(&ten(), 0, busy(1000.0), with(16)).replicas, 20, "the most");
    let first = look(&ten(), 0, busy(1000.0), with(2));
    let second = look(&ten(), 5, busy(1000.0), first);
    assert_eq!(second.replicas, 6, "in 15 seconds");
    assert_eq!(look(&ten(), 15, busy(1000.0), second).replicas, 12);
}

#[test]
fn within_a_tenth_of_the_target_nothing_changes() {
    for concurrency in [18.1, 20.0, 21.9] {
        assert_eq!(look(&ten(), 0, busy(concurrency), with(2)).replicas, 2);
    }
}

#[test]
fn fewer_replicas_must_suffice_for_a_while_and_the_most_of_that_while_stay() {
    let start = look(&ten(), 0, busy(80.0), with(8));
    let first = look(&ten(), 10, busy(5.0), start);
    let second = look(&ten(), 30, busy(35.0), first);
    let third = look(&ten(), 50, busy(5.0), second);
    assert_eq!(third.replicas, 8);
    let fourth = look(&ten(), 70, busy(5.0), third);
    assert_eq!(fourth.replicas, 4, "80 requests were 60 seconds ago, and 35 were not");
    let fifth = look(&ten(), 105, busy(5.0), fourth.clone());
    assert_eq!(fifth.replicas, 4);
    assert_eq!(look(&ten(), 110, busy(5.0), fifth).replicas, 1);
    assert_eq!(look(&ten(), 75, busy(60.0), fourth).replicas, 6, "up goes at once");
}

#[test]
fn without_requests_the_last_pod_goes_only_where_none_is_allowed_and_the_first_request_brings_it_back() {
    let idle = look(&from_zero(), 0, Load::default(), with(1));
    assert_eq!(idle.replicas, 1);
    let zero = look(&from_zero(), 30, Load::default(), idle.clone());
    assert_eq!(zero.replicas, 0);
    assert_eq!(look(&from_zero(), 90, Load::default(), zero.clone()).replicas, 0);
    assert_eq!(look(&from_zero(), 90, Load { queued: 1, ..Load::default() }, zero).replicas, 1);
    let one_came = look(&from_zero(), 20, busy(1.0), idle.clone());
    assert_eq!(one_came.idle_since, None);
    assert_eq!(look(&ten(), 3600, Load::default(), with(1)).replicas, 1);
    let many = look(&from_zero(), 30, Load::default(), look(&from_zero(), 0, Load::default(), with(5)));
    assert_eq!(many.replicas, 0, "no window holds it up");
    let disabled = ScalingRules { select_policy: Some(SelectPolicy::Disabled), ..ScalingRules::default() };
    let behavior = Some(ScalingBehavior { scale_down: Some(disabled), scale_up: None });
    assert_eq!(look(&Scaling { behavior, ..from_zero() }, 30, Load::default(), idle).replicas, 1);
}

#[test]
fn latency_asks_for_more_beside_concurrency() {
    let mut both = ten();
    both.target.as_mut().unwrap().latency_milliseconds = Some(100);
    let slow = Load { p95_latency: Some(0.25), ..busy(10.0) };
    assert_eq!(look(&both, 0, slow, with(2)).replicas, 5);
}

#[test]
fn a_query_asks_for_replicas_beside_concurrency_and_alone() {
    let mut scaling = ten();
    let query = ScalingQuery { query: "sum(queue)".to_owned(), per_replica: 50.0 };
    scaling.target.as_mut().unwrap().query = Some(query);
    let next = |scaling: &Scaling, load, metric: &Result<f64, String>, replicas| {
        let target = scaling.target.as_ref().unwrap();
        Scaler::new(at(0), scaling, target, load, Some(metric)).next(with(replicas))
    };
    let number = next(&scaling, Some(busy(10.0)), &Ok(210.0), 2);
    assert_eq!(number.replicas, 5);
    assert!(number.message.contains("the query tells 210"), "{}", number.message);
    assert_eq!(next(&scaling, Some(busy(60.0)), &Ok(10.0), 2).replicas, 6, "whichever asks for most");
    scaling.target.as_mut().unwrap().concurrency = None;
    assert_eq!(next(&scaling, None, &Ok(149.0), 2).replicas, 3);
    assert_eq!(next(&scaling, None, &Ok(105.0), 2).replicas, 2, "within a tenth");
}

#[test]
fn a_source_that_is_silent_takes_nothing_away_and_all_together_change_nothing() {
    let mut scaling = ten();
    scaling.behavior = Some(ScalingBehavior { scale_down: Some(window(0)), scale_up: None });
    let query = ScalingQuery { query: "sum(queue)".to_owned(), per_replica: 50.0 };
    scaling.target.as_mut().unwrap().query = Some(query);
    let next = |load, metric: &Result<f64, String>| {
        let target = scaling.target.as_ref().unwrap();
        Scaler::new(at(0), &scaling, target, load, Some(metric)).next(with(4)).replicas
    };
    let silent = Err("no answer".to_owned());
    assert_eq!(next(Some(busy(5.0)), &silent), 4);
    assert_eq!(next(Some(busy(60.0)), &silent), 6);
    assert_eq!(next(None, &Ok(10.0)), 4);
    assert_eq!(next(None, &silent), 4);
    assert_eq!(next(Some(busy(5.0)), &Ok(10.0)), 1, "both speak");
}

#[test]
fn policies_hold_the_pace_in_both_directions() {
    let rules = |select, policies| ScalingRules {
        stabilization_window_seconds: Some(0),
        select_policy: select,
        policies,
    };
    let mut scaling = ten();
    let down = vec![policy(PolicyType::Pods, 2, 60), policy(PolicyType::Percent, 50, 60)];
    let pace = |scaling: &mut Scaling, up, down| {
        scaling.behavior = Some(ScalingBehavior { scale_up: up, scale_down: down });
    };
    pace(
        &mut scaling,
        Some(rules(None, vec![policy(PolicyType::Pods, 1, 30)])),
        Some(rules(None, down.clone())),
    );
    let one = look(&scaling, 0, busy(100.0), with(4));
    let same = look(&scaling, 25, busy(100.0), one.clone());
    let two = look(&scaling, 30, busy(100.0), same.clone());
    assert_eq!((one.replicas, same.replicas, two.replicas), (5, 5, 6));
    let first = look(&scaling, 0, busy(5.0), with(10));
    let second = look(&scaling, 59, busy(5.0), first.clone());
    let third = look(&scaling, 60, busy(5.0), second.clone());
    assert_eq!((first.replicas, second.replicas, third.replicas), (5, 5, 2), "the larger change");
    pace(&mut scaling, None, Some(rules(Some(SelectPolicy::Min), down)));
    assert_eq!(look(&scaling, 0, busy(5.0), with(10)).replicas, 8, "the smaller change");
    pace(&mut scaling, Some(rules(Some(SelectPolicy::Disabled), vec![])), None);
    assert_eq!(look(&scaling, 0, busy(100.0), with(4)).replicas, 4);
}

#[test]
fn upwards_too_the_load_must_ask_for_a_while_where_that_is_said() {
    let mut scaling = ten();
    scaling.behavior = Some(ScalingBehavior { scale_up: Some(window(30)), scale_down: None });
    let calm = look(&scaling, 0, busy(20.0), with(2));
    let first = look(&scaling, 10, busy(60.0), calm);
    let second = look(&scaling, 20, busy(40.0), first.clone());
    assert_eq!((first.replicas, second.replicas), (2, 2));
    let third = look(&scaling, 40, busy(60.0), second);
    assert_eq!(third.replicas, 4, "the least of the last 30 seconds");
}

/// A behavior, and loads that follow each other.
fn behaviors() -> impl Strategy<Value = ScalingBehavior> {
    let policy = (any::<bool>(), 1..120_i32, 1..120_i32).prop_map(|(pods, value, period)| ScalingPolicy {
        type_: if pods { PolicyType::Pods } else { PolicyType::Percent },
        value: if pods { value % 6 + 1 } else { value },
        period_seconds: period,
    });
    let select = prop_oneof![
        2 => Just(None),
        2 => Just(Some(SelectPolicy::Min)),
        1 => Just(Some(SelectPolicy::Max)),
    ];
    let rules = (prop::option::of(0..120_i32), select, prop::collection::vec(policy, 0..3));
    let rules = rules.prop_map(|(seconds, select_policy, policies)| ScalingRules {
        stabilization_window_seconds: seconds,
        select_policy,
        policies,
    });
    let rules = || prop::option::of(rules.clone());
    (rules(), rules()).prop_map(|(scale_up, scale_down)| ScalingBehavior { scale_up, scale_down })
}

/// What the number was when a period began, by everything that happened.
fn before(history: &[(i64, i32)], now: i64, period: i32) -> i32 {
    let begins = now - i64::from(period);
    let at_begin = history.iter().rev().find(|(second, _)| *second <= begins);
    at_begin.or(history.first()).map_or(0, |(_, replicas)| *replicas)
}

/// Whether a change keeps to one policy.
fn keeps(policy: &ScalingPolicy, from: i32, to: i32) -> bool {
    let allowed = f64::from(policy.value)
        * if policy.type_ == PolicyType::Pods { 1.0 } else { f64::from(from) / 100.0 };
    f64::from((to - from).abs()) <= allowed.ceil() + 0.001
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        rng_seed: RngSeed::Fixed(20_261_130),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_change_is_faster_than_the_policies_allow(
        behavior in behaviors(),
        loads in prop::collection::vec((0.0..250.0_f64, 5..40_i64), 1..60),
    ) {
        let scaling = Scaling { behavior: Some(behavior.clone()), ..ten() };
        let mut status = with(3);
        let (mut second, mut history) = (0, vec![(-10_000, 3)]);
        for (concurrency, wait) in loads {
            second += wait;
            let next = look(&scaling, second, busy(concurrency), status.clone());
            let rules = if next.replicas > status.replicas { &behavior.scale_up } else { &behavior.scale_down };
            let policies = rules.as_ref().map(|it| it.policies.as_slice()).unwrap_or_default();
            let select = rules.as_ref().and_then(|it| it.select_policy);
            let kept = |policy: &ScalingPolicy| {
                // A change against the one before may undo it.
                let from = before(&history, second, policy.period_seconds);
                keeps(policy, from, next.replicas) || (next.replicas - from).signum() != (next.replicas - status.replicas).signum()
            };
            let fits = match select {
                Some(SelectPolicy::Min) => policies.iter().all(kept),
                _ => policies.is_empty() || policies.iter().any(kept),
            };
            prop_assert!(next.replicas == status.replicas || fits, "{:?} {history:?} -> {}", rules, next.replicas);
            prop_assert!((1..=20).contains(&next.replicas));
            prop_assert!(next.most.len() <= 64 && next.least.len() <= 64 && next.changes.len() <= 64);
            if next.replicas != status.replicas {
                history.push((second, next.replicas));
            }
            status = next;
        }
    }

    #[test]
    fn a_load_that_stays_ends_at_what_it_needs_and_then_nothing_changes(
        behavior in behaviors(),
        loads in prop::collection::vec((0.0..250.0_f64, 5..40_i64), 0..20),
        last in 0.0..250.0_f64,
    ) {
        let scaling = Scaling { behavior: Some(behavior), ..ten() };
        let (mut status, mut second) = (with(3), 0);
        for (concurrency, wait) in loads {
            second += wait;
            status = look(&scaling, second, busy(concurrency), status);
        }
        for _ in 0..2000 {
            second += 5;
            status = look(&scaling, second, busy(last), status);
        }
        let wanted = last / 10.0;
        let near = (wanted - f64::from(status.replicas)).abs() <= TOLERANCE * f64::from(status.replicas);
        let exact = (wanted.ceil() as i32).clamp(1, 20) == status.replicas;
        prop_assert!(near || exact, "{last} requests in progress and {} replicas", status.replicas);
        let after = look(&scaling, second + 5, busy(last), status.clone());
        prop_assert_eq!(&after, &status, "and nothing is written");
    }

    #[test]
    fn a_load_that_swings_within_the_tolerance_moves_nothing(
        behavior in behaviors(),
        swings in prop::collection::vec(-0.9..0.9_f64, 1..60),
    ) {
        let scaling = Scaling { behavior: Some(behavior), ..ten() };
        let mut status = with(10);
        for (place, swing) in (0..).zip(swings) {
            status = look(&scaling, place * 5, busy(100.0 + swing * 10.0), status);
            prop_assert_eq!(status.replicas, 10);
        }
    }

    #[test]
    fn the_window_holds_no_less_than_the_most_that_was_asked_for_in_it(
        loads in prop::collection::vec((0.0..200.0_f64, 5..20_i64), 1..80),
    ) {
        let scaling = ten();
        let (mut status, mut second, mut asked) = (with(20), 0, Vec::new());
        for (concurrency, wait) in loads {
            second += wait;
            let wanted = concurrency / 10.0;
            let near = (wanted - f64::from(status.replicas)).abs() <= TOLERANCE * f64::from(status.replicas);
            asked.push((second, if near { status.replicas } else { (wanted.ceil() as i32).clamp(1, 20) }));
            let next = look(&scaling, second, busy(concurrency), status.clone());
            let most = asked.iter().filter(|(at, _)| second - at < 60).map(|(_, it)| *it).max().unwrap_or(0);
            prop_assert!(next.replicas >= most.min(status.replicas), "{asked:?} at {second}: {next:?}");
            status = next;
        }
    }
}
