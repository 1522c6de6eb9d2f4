//! DataQuality.
use api::model_promotion::PromotionCheckOutcome::{Failed, Inconclusive, Passed};
use serde_json::{Value, json};

use crate::support::{check, file, finding, task};

const BASELINE: &str = "age,plan,at\n20,basic,2026-02-01T00:00:00Z\n60,pro,2026-02-01T00:00:00Z\n";
const ROWS: &str = "age,plan,at\n30,basic,2026-03-01T00:00:00Z\n,basic,2026-03-01T12:00:00Z\n90,gold,2026-03-01T00:00:00Z\n40,pro,2026-03-01T00:00:00Z\n";

async fn found(expect: &Value, baseline: bool) -> api::model_promotion::CheckReport {
    let folder = tempfile::tempdir().unwrap();
    let mut more = json!({"data": file(folder.path(), "data.csv", ROWS)});
    if baseline {
        more["baseline"] = json!(file(folder.path(), "baseline.csv", BASELINE));
    }
    check(&task(&json!({"type": "DataQuality", "timestamp": "at", "expect": expect}), &more)).await
}

#[tokio::test]
async fn each_metric_is_measured_and_held_against_both_ends() {
    for (metric, value) in [
        ("nullRate", 0.25),
        ("nullRateIncrease", 0.25),
        ("changedColumns", 0.0),
        ("outOfRangeRate", 0.25),
        ("unseenCategoryRate", 0.25),
        ("rows", 4.0),
        ("rowCountChange", 1.0),
        ("ageSeconds", 12.0 * 3600.0),
    ] {
        let well = found(&json!([{"metric": metric, "max": value, "min": value}]), true).await;
        assert_eq!((well.outcome, finding(&well, metric).value), (Passed, Some(value)), "{metric}: {well:?}");
        let much = found(&json!([{"metric": metric, "max": value - 0.01}]), true).await;
        assert_eq!(much.outcome, Failed, "{metric}");
        let little = found(&json!([{"metric": metric, "min": value + 0.01}]), true).await;
        assert_eq!(little.outcome, Failed, "{metric}");
    }
}

#[tokio::test]
async fn the_column_is_named() {
    let report = found(&json!([{"metric": "nullRate", "max": 0.1}]), false).await;
    assert_eq!(report.message, "nullRate is 0.25 of 4 samples, and must be at most 0.1: column age");
}

#[tokio::test]
async fn without_a_baseline_what_needs_one_can_not_be_told() {
    let report =
        found(&json!([{"metric": "outOfRangeRate", "max": 0.1}, {"metric": "rows", "min": 1}]), false).await;
    assert_eq!(report.outcome, Inconclusive);
    assert_eq!(finding(&report, "outOfRangeRate").detail, "it needs a baseline");
    assert_eq!(finding(&report, "rows").outcome, Passed);
}

#[tokio::test]
async fn files_that_can_not_be_read_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let expect = json!([{"metric": "rows", "min": 1}]);
    for (name, text, word) in [
        ("a.csv", "a,b\n1\n", "failed to read CSV"),
        ("a.jsonl", "{\"a\":1}\n[2]\n", "line 2 of"),
        ("a.json", "{}", "must be an array of JSON objects"),
        ("b.csv", "a,b\n", "has no rows"),
    ] {
        let data = file(folder.path(), name, text);
        let report =
            check(&task(&json!({"type": "DataQuality", "expect": expect}), &json!({"data": data}))).await;
        assert_eq!(report.outcome, Inconclusive, "{name}");
        assert!(report.message.contains(word), "{}", report.message);
    }
    let lines = file(folder.path(), "good.jsonl", "{\"a\":1}\n\n{\"a\":2}\n");
    let report =
        check(&task(&json!({"type": "DataQuality", "expect": expect}), &json!({"data": lines}))).await;
    assert_eq!(finding(&report, "rows").value, Some(2.0));
}
