//! ResponsibleAI, PredictionDiff and Signature.
use api::model_promotion::PromotionCheckOutcome::{Failed, Inconclusive, Passed};
use serde_json::{Value, json};

use crate::support::{check, class, classifier, file, finding, server, task};

/// Of each sex 40 rows; the score of a row is its only feature, and every second row is positive.
fn rows() -> String {
    let mut text = "score,sex,income\n".to_owned();
    for sex in ["Female", "Male"] {
        for number in 0..40 {
            text.push_str(&format!(
                "{},{sex},{}\n",
                f64::from(number) / 40.0,
                if number % 2 == 0 { "high" } else { "low" }
            ));
        }
    }
    text
}

fn bias(expect: &Value) -> Value {
    json!({"type": "ResponsibleAI", "label": "income", "positive": "1", "exclude": ["sex"], "sensitiveFeatures": ["sex"], "expect": expect})
}

#[tokio::test]
async fn groups_that_are_treated_alike_pass_and_others_fail_with_their_names() {
    let folder = tempfile::tempdir().unwrap();
    // 0 for women and 1 for men; the model sees it.
    let mut text = "score,sex,income\n".to_owned();
    for sex in [0, 1] {
        for number in 0..40 {
            text.push_str(&format!("{},{sex},{}\n", f64::from(number) / 40.0, number % 2));
        }
    }
    let data = file(folder.path(), "data.csv", &text);
    let (fair, _) = server(classifier(2), |row| class(i64::from(row[0] >= 0.5), row[0])).await;
    let (unfair, _) =
        server(classifier(2), |row| class(i64::from(row[0] >= 0.75 - 0.5 * row[1]), row[0])).await;
    let mut check_of = bias(&json!([
        {"metric": "demographicParityDifference", "max": 0.1}, {"metric": "demographicParityRatio", "min": 0.8},
    ]));
    check_of["exclude"] = json!([]);
    let report = check(&task(&check_of, &json!({"data": data, "candidate": fair}))).await;
    assert_eq!(report.outcome, Passed, "{report:?}");
    let report = check(&task(&check_of, &json!({"data": data, "candidate": unfair}))).await;
    assert_eq!(report.outcome, Failed);
    let difference = finding(&report, "demographicParityDifference");
    assert_eq!((difference.value, difference.sample_size), (Some(0.5), 80));
    assert!(difference.low.unwrap() > 0.2 && difference.high.unwrap() < 0.8, "{difference:?}");
    assert_eq!(finding(&report, "demographicParityRatio").value, Some(1.0 / 3.0));
    assert!(report.message.contains("sex=0 has 0.250, sex=1 has 0.750"), "{}", report.message);
}

#[tokio::test]
async fn performance_is_measured_with_its_interval() {
    let folder = tempfile::tempdir().unwrap();
    let data = file(folder.path(), "data.csv", &rows().replace("high", "1").replace("low", "0"));
    // Right in the upper half when positive, and in the lower half when not.
    let (server, requests) = server(classifier(1), |row| class(i64::from(row[0] >= 0.5), row[0])).await;
    let expect = json!([{"metric": "accuracy", "min": 0.5}, {"metric": "rocAuc", "min": 0.4}, {"metric": "worstSliceErrorRate", "max": 0.9}]);
    let mut check_of = bias(&expect);
    check_of["minimumGroupSize"] = json!(5);
    let report = check(&task(&check_of, &json!({"data": data, "candidate": server}))).await;
    assert_eq!(report.outcome, Passed, "{report:?}");
    let accuracy = finding(&report, "accuracy");
    assert_eq!(accuracy.value, Some(0.5));
    assert!(accuracy.low.unwrap() < 0.5 && accuracy.high.unwrap() > 0.5);
    assert_eq!(finding(&report, "rocAuc").value, Some(0.475), "the positive rows score a little less");
    assert!(finding(&report, "worstSliceErrorRate").detail.contains("score"), "{report:?}");
    assert_eq!(requests.load(std::sync::atomic::Ordering::SeqCst), 1, "80 rows are one request");
}

#[tokio::test]
async fn too_small_groups_and_wrong_columns_can_not_be_told() {
    let folder = tempfile::tempdir().unwrap();
    let data = file(folder.path(), "data.csv", &rows().replace("high", "1").replace("low", "0"));
    let (server, _) = server(classifier(1), |row| class(1, row[0])).await;
    let more = json!({"data": data, "candidate": server});
    let mut small = bias(&json!([{"metric": "demographicParityDifference", "max": 0.1}]));
    small["minimumGroupSize"] = json!(50);
    let report = check(&task(&small, &more)).await;
    assert_eq!(report.outcome, Inconclusive);
    assert!(report.message.contains("0 groups are large enough"), "{}", report.message);
    let mut unknown = bias(&json!([{"metric": "accuracy", "min": 0.1}]));
    unknown["label"] = json!("salary");
    let report = check(&task(&unknown, &more)).await;
    assert_eq!(report.outcome, Inconclusive);
    assert!(
        report.message.contains("there is no column salary; the columns are score, sex, income"),
        "{}",
        report.message
    );
    let mut wide = bias(&json!([{"metric": "accuracy", "min": 0.1}]));
    wide["exclude"] = json!([]);
    let report = check(&task(&wide, &more)).await;
    assert!(report.message.contains("takes 1 columns, and would get 2: score, sex"), "{}", report.message);
}

#[tokio::test]
async fn words_that_do_not_meet_pass_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let words = file(folder.path(), "words.csv", &rows());
    let numbers = file(folder.path(), "numbers.csv", &rows().replace("high", "1").replace("low", "0"));
    let (server, _) = server(classifier(1), |row| class(1, row[0])).await;
    let mut check_of = bias(
        &json!([{"metric": "demographicParityDifference", "max": 0.1}, {"metric": "accuracy", "min": 0}]),
    );
    for (data, positive, word) in [
        (&numbers, "yes", "no row has yes in column income"),
        (&words, "high", "the model predicts none of the values"),
    ] {
        check_of["positive"] = json!(positive);
        let report = check(&task(&check_of, &json!({"data": data, "candidate": server}))).await;
        assert_eq!(report.outcome, Inconclusive);
        assert!(report.message.contains(word), "{}", report.message);
    }
    let lines = file(folder.path(), "rows.jsonl", "{\"b\":1,\"a\":2,\"income\":1}\n");
    check_of["exclude"] = json!([]);
    let report = check(&task(&check_of, &json!({"data": lines, "candidate": server}))).await;
    assert!(report.message.contains("fields of JSON have no order"), "{}", report.message);
}

#[tokio::test]
async fn a_group_without_positive_rows_tells_nothing_of_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "score,sex,income\n".to_owned();
    for number in 0..40 {
        text.push_str(&format!("{0},a,{0}\n0,b,0\n", number % 2));
    }
    let data = file(folder.path(), "data.csv", &text);
    let (server, _) = server(classifier(1), |row| class(row[0] as i64, row[0])).await;
    let check_of = bias(&json!([{"metric": "equalOpportunityDifference", "max": 0.1}]));
    let report = check(&task(&check_of, &json!({"data": data, "candidate": server}))).await;
    assert_eq!(report.outcome, Inconclusive);
    assert!(report.message.contains("sex=b has no row"), "{}", report.message);
}

#[tokio::test]
async fn two_versions_are_compared_row_by_row() {
    let folder = tempfile::tempdir().unwrap();
    let data = file(folder.path(), "data.csv", &rows());
    let (before, _) = server(classifier(1), |row| class(i64::from(row[0] >= 0.5), row[0])).await;
    let (now, _) = server(classifier(1), |row| class(i64::from(row[0] >= 0.6), row[0])).await;
    let check_of = |max: f64| json!({"type": "PredictionDiff", "features": ["score"], "expect": [{"metric": "classDisagreement", "max": max}]});
    let more = json!({"data": data, "candidate": now, "production": before});
    let report = check(&task(&check_of(0.1), &more)).await;
    assert_eq!((report.outcome, finding(&report, "classDisagreement").value), (Passed, Some(0.1)));
    let report = check(&task(&check_of(0.05), &more)).await;
    assert_eq!(report.outcome, Failed);
    assert!(report.message.contains("most often 1 becomes 0, in 8 rows"), "{}", report.message);
}

#[tokio::test]
async fn a_signature_that_clients_would_meet_fails() {
    let (before, _) = server(classifier(4), |_| class(0, 0.0)).await;
    let (wider, _) = server(classifier(5), |_| class(0, 0.0)).await;
    let of = |candidate: &str| {
        task(&json!({"type": "Signature"}), &json!({"candidate": candidate, "production": before}))
    };
    let report = check(&of(&before)).await;
    assert_eq!(
        (report.outcome, report.message.as_str()),
        (Passed, "it takes what clients send, and answers what they read")
    );
    let report = check(&of(&wider)).await;
    assert_eq!(report.outcome, Failed);
    assert!(report.message.contains("x (FP32 [-1, 4]), and it takes x (FP32 [-1, 5])"), "{}", report.message);
}

#[tokio::test]
async fn a_server_that_is_away_can_not_be_told_of() {
    let report = check(&task(
        &json!({"type": "Signature"}),
        &json!({"candidate": "http://127.0.0.1:1", "production": "http://127.0.0.1:1"}),
    ))
    .await;
    assert_eq!(report.outcome, Inconclusive);
    assert!(report.message.contains("m does not answer"), "{}", report.message);
}
