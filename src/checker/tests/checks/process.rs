//! The program itself: beside a container of the user's own, it reads once that has ended.
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use api::model_promotion::CheckReport;
use api::model_promotion::PromotionCheckOutcome::{self, Failed, Inconclusive, Passed};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// What the program reports of what a container left.
fn report(check: &Value, leave: impl FnOnce(&Path)) -> CheckReport {
    let folder = tempfile::tempdir().unwrap();
    let (results, said) = (folder.path().join("results"), folder.path().join("said"));
    std::fs::create_dir(&results).unwrap();
    let task = json!({"check": check, "results": results});
    let mut child = Command::new(env!("CARGO_BIN_EXE_mlops-checker"))
        .env("MLOPS_CHECK", task.to_string())
        .env("MLOPS_TERMINATION_MESSAGE", &said)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "waits for the container to end");
    leave(&results);
    let process = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(process, Signal::TERM).unwrap();
    let last = lines.last().unwrap().unwrap();
    assert!(child.wait().unwrap().success());
    let report: CheckReport = serde_json::from_slice(&std::fs::read(said).unwrap()).unwrap();
    assert_eq!(report.artifact, Some(format!("sha256:{:x}", Sha256::digest(last.as_bytes()))));
    report
}

#[test]
fn tests_are_read_from_junit_s_xml() {
    let job = json!({"name": "unit", "type": "Job"});
    let outcome = |text: &'static str| -> (PromotionCheckOutcome, String) {
        let report = report(&job, |results| std::fs::write(results.join("report.xml"), text).unwrap());
        (report.outcome, report.message)
    };
    assert_eq!(outcome("<testsuite><testcase name='a'/></testsuite>").0, Passed);
    let (failed, message) = outcome("<testsuite><testcase name='a'><failure/></testcase></testsuite>");
    assert_eq!((failed, message.as_str()), (Failed, "failures is 1 of 1 samples, and must be at most 0: a"));
    assert_eq!(outcome("<testsuite/>").0, Failed, "no test at all proves nothing");
    assert_eq!(outcome("<html/>").0, Inconclusive);
    let nothing = report(&job, |_| {});
    assert_eq!(nothing.outcome, Inconclusive);
    assert!(nothing.message.contains("left no JUnit XML"), "{}", nothing.message);
}

#[test]
fn metrics_are_read_from_json() {
    let retrain = json!({"name": "retrain", "type": "Retrain", "expect": [{"metric": "auc", "min": 0.82}]});
    let outcome = |text: &'static str| {
        let report = report(&retrain, |results| std::fs::write(results.join("metrics.json"), text).unwrap());
        (report.outcome, report.message)
    };
    assert_eq!(outcome(r#"{"auc": 0.9, "loss": 0.1}"#).0, Passed);
    let (failed, message) = outcome(r#"{"auc": 0.8}"#);
    assert_eq!((failed, message.as_str()), (Failed, "auc is 0.8 of 1 samples, and must be at least 0.82"));
    let (missing, message) = outcome(r#"{"loss": 0.1}"#);
    assert_eq!(missing, Inconclusive);
    assert!(message.contains("metrics.json has loss"), "{message}");
    assert!(report(&retrain, |_| {}).message.contains("left no"), "without a file");
}

#[test]
fn what_it_can_not_read_ends_it() {
    let status = Command::new(env!("CARGO_BIN_EXE_mlops-checker"))
        .env("MLOPS_CHECK", "{}")
        .stderr(Stdio::null())
        .status();
    assert_eq!(status.unwrap().code(), Some(1));
}
