//! How replicas follow the load.
use super::*;

const TEN: ScalingTarget = ScalingTarget {
    cpu_utilization: None,
    concurrency: Some(10),
    latency_milliseconds: None,
    stabilization_seconds: Some(60),
    idle_seconds: Some(30),
};

fn look(target: &ScalingTarget, min: i32, second: i64, load: Load, old: ScalingStatus) -> ScalingStatus {
    let now = Timestamp::from_second(1_700_000_000 + second).unwrap();
    Scaler { now, target, min, max: 20, load }.next(old)
}

fn busy(concurrency: f64) -> Load {
    Load { concurrency, requests: 100, ..Load::default() }
}

fn with(replicas: i32) -> ScalingStatus {
    ScalingStatus { replicas, ..ScalingStatus::default() }
}

#[test]
fn more_load_brings_more_replicas_at_once_and_no_more_than_twice_as_many_or_four() {
    assert_eq!(look(&TEN, 1, 0, busy(35.0), with(2)).replicas, 4);
    assert_eq!(look(&TEN, 1, 0, busy(1000.0), with(2)).replicas, 6);
    assert_eq!(look(&TEN, 1, 0, busy(1000.0), with(8)).replicas, 16);
    assert_eq!(look(&TEN, 1, 0, busy(1000.0), with(16)).replicas, 20, "the most");
}

#[test]
fn within_a_tenth_of_the_target_nothing_changes() {
    for concurrency in [18.1, 20.0, 21.9] {
        assert_eq!(look(&TEN, 1, 0, busy(concurrency), with(2)), with(2));
    }
}

#[test]
fn fewer_replicas_must_suffice_for_a_while_and_the_most_of_that_while_stay() {
    let first = look(&TEN, 1, 0, busy(5.0), with(8));
    assert_eq!((first.replicas, first.most_since), (8, Some(1)));
    let second = look(&TEN, 1, 30, busy(35.0), first);
    assert_eq!((second.replicas, second.most_since), (8, Some(4)));
    let third = look(&TEN, 1, 59, busy(5.0), second);
    assert_eq!(third.replicas, 8);
    assert_eq!(look(&TEN, 1, 60, busy(5.0), third.clone()).replicas, 4);
    let again = look(&TEN, 1, 59, busy(80.0), third);
    assert_eq!((again.replicas, again.fewer_since), (8, None), "the while begins anew");
}

#[test]
fn without_requests_the_last_pod_goes_only_where_none_is_allowed_and_the_first_request_brings_it_back() {
    let idle = look(&TEN, 0, 0, Load::default(), with(1));
    assert_eq!(idle.replicas, 1);
    let zero = look(&TEN, 0, 30, Load::default(), idle.clone());
    assert_eq!(zero.replicas, 0);
    assert_eq!(look(&TEN, 0, 90, Load::default(), zero.clone()).replicas, 0);
    assert_eq!(look(&TEN, 0, 90, Load { queued: 1, ..Load::default() }, zero).replicas, 1);
    let one_came = look(&TEN, 0, 20, busy(1.0), idle);
    assert_eq!(one_came.idle_since, None);
    assert_eq!(look(&TEN, 1, 3600, Load::default(), with(1)).replicas, 1);
}

#[test]
fn latency_asks_for_more_beside_concurrency() {
    let both = ScalingTarget { latency_milliseconds: Some(100), ..TEN };
    let slow = Load { p95_latency: Some(0.25), ..busy(10.0) };
    assert_eq!(look(&both, 1, 0, slow, with(2)).replicas, 5);
}
