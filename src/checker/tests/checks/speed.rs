//! EndpointPerformance. What is measured depends on the machine, so that only bounds that always hold are asserted.
use api::model_promotion::PromotionCheckOutcome::{Failed, Inconclusive, Passed};
use serde_json::{Value, json};

use crate::support::{check, class, classifier, file, finding, server, task};

fn load(expect: &Value) -> Value {
    json!({"type": "EndpointPerformance", "requestsPerSecond": 50, "duration": "1s", "expect": expect})
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_sent_at_a_steady_rate_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let data = file(folder.path(), "data.csv", "x\n1\n2\n");
    let (server, _) = server(classifier(1), |_| class(0, 0.0)).await;
    let expect = json!([
        {"metric": "errorRate", "max": 0}, {"metric": "p99LatencySeconds", "min": 0}, {"metric": "requestsPerSecond", "min": 10, "max": 50},
        {"metric": "memoryBytes", "max": 1_048_576},
    ]);
    let report = check(&task(&load(&expect), &json!({"data": data, "candidate": server}))).await;
    assert_eq!(report.outcome, Passed, "{report:?}");
    assert_eq!(finding(&report, "errorRate").sample_size, 50);
    let slower = json!([{"metric": "p50LatencySeconds", "max": 0.0}]);
    let report = check(&task(&load(&slower), &json!({"data": data, "candidate": server}))).await;
    assert_eq!(report.outcome, Failed, "no answer takes no time: {report:?}");
}

#[tokio::test]
async fn rows_that_the_model_refuses_are_not_measured() {
    let folder = tempfile::tempdir().unwrap();
    let data = file(folder.path(), "data.csv", "x,y\n1,2\n");
    let (server, _) = server(classifier(1), |_| class(0, 0.0)).await;
    let report = check(&task(
        &load(&json!([{"metric": "errorRate", "max": 0}])),
        &json!({"data": data, "candidate": server}),
    ))
    .await;
    assert_eq!(report.outcome, Inconclusive);
    assert!(report.message.contains("takes 1 columns, and would get 2"), "{}", report.message);
}
