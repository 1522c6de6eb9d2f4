//! Tests of the buckets.
use super::*;

#[test]
fn a_bucket_is_emptied_and_fills_again_at_its_rate() {
    let throttle = Throttle::default();
    let rates = Rates::default();
    let take = |method: &str, now: Milliseconds| throttle.take(&rates, ("s", "p"), method, now);
    for left in (0..250).rev() {
        assert_eq!(take("GET", 0), Verdict::Passed(left));
    }
    assert_eq!(take("GET", 0), Verdict::Refused(40));
    assert_eq!(take("PUT", 0), Verdict::Passed(199));
    assert_eq!(take("DELETE", 0), Verdict::Passed(199));
    assert_eq!(take("GET", 40), Verdict::Passed(0));
    let passed = (0..30).filter(|_| matches!(take("GET", 1040), Verdict::Passed(_))).count();
    assert_eq!(passed, 25);
}

#[test]
fn subscriptions_and_principals_have_buckets_of_their_own() {
    let throttle = Throttle::default();
    let one = Rate { size: 1.0, refill: 1.0 };
    let rates = Rates { reads: one, writes: one, deletes: one };
    assert_eq!(throttle.take(&rates, ("s", "p"), "PUT", 0), Verdict::Passed(0));
    assert_eq!(throttle.take(&rates, ("S", "p"), "POST", 0), Verdict::Refused(1000));
    assert_eq!(throttle.take(&rates, ("s", "q"), "PUT", 0), Verdict::Passed(0));
    assert_eq!(throttle.take(&rates, ("t", "p"), "PUT", 0), Verdict::Passed(0));
}
