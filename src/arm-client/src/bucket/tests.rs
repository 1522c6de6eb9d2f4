//! Buckets under a clock that stands still.
use futures::future::join_all;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

fn bucket(burst: u32, per_second: f64) -> Bucket {
    Bucket::new(Limit { burst, per_second })
}

/// When each of several calls that come at once gets its turn, in milliseconds.
async fn turns(bucket: &Bucket, calls: usize) -> Vec<u128> {
    let begun = Instant::now();
    join_all((0..calls).map(|_| async {
        bucket.acquire(PATIENCE).await.unwrap();
        begun.elapsed().as_millis()
    }))
    .await
}

#[tokio::test(start_paused = true)]
async fn a_burst_passes_at_once_and_the_rest_as_fast_as_the_bucket_fills() {
    let turns = turns(&bucket(3, 10.0), 6).await;
    assert_eq!(turns[..3], [0, 0, 0]);
    let rest: Vec<u128> = turns[3..].iter().map(|it| it / 10 * 10).collect();
    assert_eq!(rest, [100, 200, 300]);
}

#[tokio::test(start_paused = true)]
async fn who_comes_first_is_served_first() {
    let bucket = Arc::new(bucket(1, 100.0));
    let order = Arc::new(Mutex::new(Vec::new()));
    let calls = (0..50).map(|number| {
        let (bucket, order) = (bucket.clone(), order.clone());
        async move {
            bucket.acquire(PATIENCE).await.unwrap();
            order.lock().unwrap().push(number);
        }
    });
    join_all(calls).await;
    assert_eq!(*order.lock().unwrap(), (0..50).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_closed_bucket_lets_nothing_pass_and_then_flows_slowly() {
    let bucket = bucket(100, 10.0);
    bucket.close(Duration::from_secs(5));
    let turns = turns(&bucket, 3).await;
    assert!(turns[0] >= 5000 && turns[0] < 5700, "{turns:?}");
    assert!(turns[2] - turns[0] >= 199, "{turns:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_in_the_queue_heeds_a_bucket_that_is_closed_meanwhile() {
    let bucket = Arc::new(bucket(1, 1.0));
    bucket.acquire(PATIENCE).await.unwrap();
    let begun = Instant::now();
    let waiting = tokio::spawn({
        let bucket = bucket.clone();
        async move { bucket.acquire(PATIENCE).await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    bucket.close(Duration::from_secs(10));
    assert!(waiting.await.unwrap().unwrap() >= Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_bucket_closed_for_longer_than_the_caller_waits_fails_at_once() {
    let bucket = bucket(1, 1.0);
    bucket.close(Duration::from_mins(10));
    let begun = Instant::now();
    let Err(Closed(wait)) = bucket.acquire(PATIENCE).await else { panic!("it is closed") };
    assert!(wait >= Duration::from_mins(10) && begun.elapsed().is_zero(), "{wait:?}");
}

#[tokio::test(start_paused = true)]
async fn the_server_s_word_lowers_a_bucket_and_never_raises_it() {
    let bucket = bucket(100, 10.0);
    bucket.lower_to(2.0);
    bucket.lower_to(50.0);
    let turns = turns(&bucket, 3).await;
    assert_eq!(turns[..2], [0, 0]);
    assert!(turns[2] >= 99, "{turns:?}");
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_not_used_is_given_back() {
    let bucket = bucket(1, 0.001);
    for _ in 0..5 {
        assert_eq!(bucket.acquire(PATIENCE).await, Ok(Duration::ZERO));
        bucket.give_back();
    }
}

#[test]
fn buckets_are_apart_by_principal_subscription_and_kind() {
    let buckets = Buckets::new(Limits::default());
    let one = buckets.get("p", "S", Kind::Read);
    assert!(Arc::ptr_eq(&one, &buckets.get("p", "s", Kind::Read)));
    for other in [
        buckets.get("q", "s", Kind::Read),
        buckets.get("p", "t", Kind::Read),
        buckets.get("p", "s", Kind::Write),
    ] {
        assert!(!Arc::ptr_eq(&one, &other));
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_silence_calls_flow_little_faster_than_the_bucket_fills() {
    let bucket = bucket(100, 10.0);
    bucket.unanswered();
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(turns(&bucket, 1).await, [0]);
    bucket.answered();
    // What it held lasts for a while; then only what flows in is left.
    let turns = turns(&bucket, 300).await;
    assert!((62..70).contains(&turns[0]) && (186..200).contains(&turns[2]), "{turns:?}");
    assert!((98..103).contains(&(turns[299] - turns[298])), "{turns:?}");
    assert!(
        (19_000..21_000).contains(&turns[299]),
        "100 of 300 calls need not wait for a refill: {}",
        turns[299]
    );
    // It was answered before too, so nothing was silent.
    tokio::time::sleep(Duration::from_mins(1)).await;
    bucket.answered();
    assert_eq!(self::turns(&bucket, 3).await, [0, 0, 0]);
}
