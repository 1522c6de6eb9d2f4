//! Throttling over the wire.
use arm_emulator::{Emulator, Rate, Rates};
use serde_json::json;

use crate::support::{Session, WORKSPACE};

fn small() -> Rates {
    let rate = Rate { size: 3.0, refill: 10.0 };
    Rates { reads: rate, writes: Rate { size: 1.0, refill: 0.1 }, deletes: rate }
}

#[tokio::test]
async fn an_empty_bucket_answers_429_and_when_to_come_again() {
    let session = Session::of(Emulator::builder().rates(Some(small()))).await;
    let body = json!({"location": "eastus", "properties": {}});
    let first = session.call("PUT", WORKSPACE, &body).await;
    assert_eq!((first.status, first.header("x-ms-ratelimit-remaining-subscription-writes")), (202, "0"));
    let refused = session.call("PUT", WORKSPACE, &body).await;
    assert_eq!((refused.status, refused.code()), (429, "SubscriptionRequestsThrottled"));
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((9..=10).contains(&seconds), "{seconds}");
    assert_eq!(session.get(WORKSPACE).await.status, 200);
}

#[tokio::test]
async fn a_faster_clock_fills_buckets_and_ends_operations_sooner() {
    let builder = Emulator::builder().rates(Some(small())).operation_duration(600_000).time_scale(10_000.0);
    let session = Session::of(builder).await;
    let body = json!({"location": "eastus", "properties": {}});
    let made = session.call("PUT", WORKSPACE, &body).await;
    assert_eq!(session.follow(&made).await.status, 200);
    assert_eq!(session.call("PUT", WORKSPACE, &body).await.status, 202);
}
