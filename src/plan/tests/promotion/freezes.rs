//! Freezes: when a stage does not get a version.
use api::model_promotion::PromotionPhase;
use serde_json::{Value, json};

use crate::support::{Scene, scene};

/// A promotion that meets a freeze at a time.
fn at(time: &str, freeze: &Value) -> Scene {
    let mut scene = scene();
    scene.now = time.parse().unwrap();
    scene.promote("churn-v1", "1", &json!([{"name": "production", "freeze": freeze}]));
    scene.settle();
    scene
}

#[test]
fn a_stage_waits_for_the_end_of_its_freeze() {
    let weekend = json!([{"cron": "0 16 * * FRI", "duration": "64h", "timeZone": "Europe/Berlin"}]);
    // Friday in winter, half past four in Berlin.
    let mut scene = at("2026-03-06T15:30:00Z", &weekend);
    assert_eq!(scene.phase("churn-v1"), PromotionPhase::Frozen);
    assert!(
        scene.message("churn-v1").contains("before 2026-03-09T07:00:00Z"),
        "{}",
        scene.message("churn-v1")
    );
    let next = scene.look("churn-v1");
    assert_eq!(next, plan::Next::After(std::time::Duration::from_mins(63 * 60 + 30)));
    scene.now = "2026-03-09T07:00:00Z".parse().unwrap();
    scene.settle();
    assert_eq!(scene.phase("churn-v1"), PromotionPhase::Succeeded);
}

#[test]
fn the_hour_is_that_of_the_time_zone_in_summer_too() {
    let weekend = json!([{"cron": "0 16 * * FRI", "duration": "64h", "timeZone": "Europe/Berlin"}]);
    for (time, phase) in [
        ("2026-07-03T13:59:59Z", PromotionPhase::Succeeded),
        ("2026-07-03T14:00:00Z", PromotionPhase::Frozen),
        ("2026-03-06T14:59:59Z", PromotionPhase::Succeeded),
    ] {
        assert_eq!(at(time, &weekend).phase("churn-v1"), phase, "{time}");
    }
}

#[test]
fn the_last_of_several_windows_decides() {
    let windows = json!([{"cron": "0 0 * * *", "duration": "24h"}, {"cron": "0 12 * * *", "duration": "1h"}]);
    let scene = at("2026-03-06T12:30:00Z", &windows);
    assert!(
        scene.message("churn-v1").contains("before 2026-03-07T00:00:00Z"),
        "{}",
        scene.message("churn-v1")
    );
}

#[test]
fn a_window_that_can_not_be_read_says_what_to_write() {
    for (window, word) in [
        (json!({"cron": "0 16 * * FRYDAY", "duration": "64h"}), "0 16 * * FRYDAY"),
        (
            json!({"cron": "0 16 * * FRI", "duration": "64h", "timeZone": "Europe/Berlyn"}),
            "use one such as Europe/Berlin",
        ),
    ] {
        let scene = at("2026-03-06T12:30:00Z", &json!([window]));
        assert_eq!(scene.phase("churn-v1"), PromotionPhase::Failed);
        assert!(scene.message("churn-v1").contains(word), "{}", scene.message("churn-v1"));
    }
}

#[test]
fn an_override_breaks_a_freeze() {
    let mut scene = at("2026-03-06T12:30:00Z", &json!([{"cron": "0 0 * * *", "duration": "24h"}]));
    scene.vote_for_check("olga", "Override", None, "churn-v1", "production");
    scene.settle();
    assert_eq!(scene.phase("churn-v1"), PromotionPhase::Succeeded);
}
