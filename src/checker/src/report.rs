//! What was measured, held against what is expected, in as few bytes as Kubernetes keeps.
use std::collections::BTreeMap;

use api::model_promotion::{CheckFinding, CheckReport, CheckTask, Expectation, PromotionCheckOutcome};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// What Kubernetes keeps of a termination message.
const LIMIT: usize = 4096;
/// The longest detail of a finding, and the longest sentence, in bytes.
const DETAIL: usize = 200;
const SENTENCE: usize = 900;

/// What was measured of one metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    /// The value; none when it has none.
    pub value: Option<f64>,
    /// The ends of its interval, where one can be told.
    pub interval: Option<(f64, f64)>,
    /// How many rows, requests or tests it is about.
    pub samples: u64,
    /// Where it is worst, or why it has no value.
    pub detail: String,
}

/// Everything that a check found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// By metric.
    pub measured: BTreeMap<String, Measured>,
    /// What is expected when the check does not say.
    pub expected: Vec<Expectation>,
    /// Why it failed, beside what was measured.
    pub failures: Vec<String>,
    /// Why nothing could be told.
    pub problem: Option<String>,
    /// What else belongs to the artefact, such as the digests of files.
    pub facts: Value,
    /// A sentence for a check that found nothing wrong.
    pub note: String,
}

/// The report of what was found, and the artefact whose digest it names.
pub(crate) fn report(task: &CheckTask, found: &Found) -> (CheckReport, String) {
    let expected = if task.check.expect.is_empty() { &found.expected } else { &task.check.expect };
    let mut findings: Vec<CheckFinding> = expected
        .iter()
        .map(|it| judge(it, found.measured.get(&it.metric), found.problem.as_deref()))
        .collect();
    findings.sort_by_key(|it| rank(it.outcome));
    let worst = findings.first().map_or(PromotionCheckOutcome::Passed, |it| it.outcome);
    let outcome = if !found.failures.is_empty() {
        PromotionCheckOutcome::Failed
    } else if found.problem.is_some() && worst == PromotionCheckOutcome::Passed {
        PromotionCheckOutcome::Inconclusive
    } else {
        worst
    };
    let message = if let Some(problem) = &found.problem {
        problem.clone()
    } else if found.failures.is_empty() {
        let against = findings.iter().find(|it| it.outcome != PromotionCheckOutcome::Passed);
        against.or(findings.first()).map_or_else(|| found.note.clone(), sentence)
    } else {
        found.failures.join("; ")
    };
    let artifact = json!({
        "check": task.check, "subject": task.subject, "outcome": outcome, "findings": findings, "message": message,
        "measured": found.measured, "facts": found.facts,
    })
    .to_string();
    let digest = format!("sha256:{:x}", Sha256::digest(artifact.as_bytes()));
    let report = CheckReport { outcome, findings, artifact: Some(digest), message };
    (within(report), artifact)
}

/// A report that Kubernetes keeps whole: the worst findings come first, and the last ones go first.
fn within(mut report: CheckReport) -> CheckReport {
    cut(&mut report.message, SENTENCE);
    for finding in &mut report.findings {
        cut(&mut finding.detail, DETAIL);
    }
    let length = |report: &CheckReport| json!(report).to_string().len();
    let all = report.findings.len();
    while length(&report) > LIMIT - 64 && report.findings.pop().is_some() {}
    if report.findings.len() < all {
        report.message.push_str(&format!(" (and {} findings more, in the log)", all - report.findings.len()));
    }
    report
}

/// Cuts a text; what would need escapes in JSON, and be longer there, goes.
fn cut(text: &mut String, limit: usize) {
    text.retain(|letter| !letter.is_control());
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit - 3));
        text.push('…');
    }
}

fn rank(outcome: PromotionCheckOutcome) -> u8 {
    match outcome {
        PromotionCheckOutcome::Failed => 0,
        PromotionCheckOutcome::Inconclusive => 1,
        PromotionCheckOutcome::Passed => 2,
    }
}

/// What floating point may add to a value that is just as large as allowed.
const ROUNDING: f64 = 1e-12;

/// Holds a value against what is expected of it.
fn judge(expected: &Expectation, measured: Option<&Measured>, problem: Option<&str>) -> CheckFinding {
    let value = measured.and_then(|it| it.value).filter(|it| it.is_finite());
    let outcome = match value {
        None => PromotionCheckOutcome::Inconclusive,
        Some(value)
            if expected.max.is_some_and(|max| value > max + ROUNDING)
                || expected.min.is_some_and(|min| value < min - ROUNDING) =>
        {
            PromotionCheckOutcome::Failed
        }
        Some(_) => PromotionCheckOutcome::Passed,
    };
    let interval = measured.and_then(|it| it.interval);
    let detail = match measured {
        Some(measured) => measured.detail.clone(),
        None if problem.is_some() => String::new(),
        None => "it was not measured".to_owned(),
    };
    CheckFinding {
        metric: expected.metric.clone(),
        outcome,
        value,
        low: interval.map(|it| it.0),
        high: interval.map(|it| it.1),
        max: expected.max,
        min: expected.min,
        sample_size: measured.map_or(0, |it| i64::try_from(it.samples).unwrap_or(i64::MAX)),
        detail,
    }
}

/// A finding in a sentence, with value, threshold and sample size.
fn sentence(finding: &CheckFinding) -> String {
    let value = finding.value.map_or_else(
        || "has no value".to_owned(),
        |it| format!("is {}", rounded(it, [finding.min, finding.max])),
    );
    let bounds = [("at least", finding.min), ("at most", finding.max)];
    let bounds: Vec<String> =
        bounds.into_iter().filter_map(|(word, bound)| Some(format!("{word} {}", bound?))).collect();
    let detail = if finding.detail.is_empty() { String::new() } else { format!(": {}", finding.detail) };
    format!(
        "{} {value} of {} samples, and must be {}{detail}",
        finding.metric,
        finding.sample_size,
        bounds.join(" and ")
    )
}

/// A number with as many digits as people read, and as many as tell it from its threshold.
fn rounded(value: f64, bounds: [Option<f64>; 2]) -> String {
    let short = format!("{value:.4}").trim_end_matches('0').trim_end_matches('.').to_owned();
    let is_bound = |text: &str| {
        let told = text.parse::<f64>();
        bounds.iter().flatten().any(|bound| {
            told.as_ref().is_ok_and(|told| told.total_cmp(bound).is_eq()) && bound.total_cmp(&value).is_ne()
        })
    };
    if (value.abs() < 0.001 && value != 0.0) || is_bound(&short) { value.to_string() } else { short }
}

#[cfg(test)]
mod tests {
    use api::model_promotion::PromotionCheckOutcome::{Failed, Inconclusive, Passed};

    use super::*;

    fn task(expect: &Value) -> CheckTask {
        let check = json!({"name": "data", "type": "DataQuality", "expect": expect});
        serde_json::from_value(json!({"check": check})).expect("a task")
    }

    fn found(metric: &str, value: Option<f64>) -> Found {
        let measured =
            Measured { value, samples: 400, detail: "column age".to_owned(), ..Measured::default() };
        Found { measured: [(metric.to_owned(), measured)].into(), ..Found::default() }
    }

    #[test]
    fn a_value_passes_up_to_its_threshold() {
        let expect = json!([{"metric": "nullRate", "max": 0.1, "min": 0.05}]);
        for (value, outcome) in
            [(0.04, Failed), (0.05, Passed), (0.1, Passed), (0.11, Failed), (f64::NAN, Inconclusive)]
        {
            let (report, _) = report(&task(&expect), &found("nullRate", Some(value)));
            assert_eq!(report.outcome, outcome, "{value}");
        }
    }

    #[test]
    fn the_sentence_has_value_threshold_and_samples() {
        let (report, _) =
            report(&task(&json!([{"metric": "nullRate", "max": 0.05}])), &found("nullRate", Some(0.21)));
        assert_eq!(report.message, "nullRate is 0.21 of 400 samples, and must be at most 0.05: column age");
    }

    #[test]
    fn what_was_not_measured_can_not_be_told() {
        let (report, _) =
            report(&task(&json!([{"metric": "rows", "min": 1}])), &found("nullRate", Some(0.0)));
        assert_eq!((report.outcome, report.findings[0].outcome), (Inconclusive, Inconclusive));
    }

    #[test]
    fn control_characters_do_not_make_a_report_too_long() {
        let problem = Some("\u{1}".repeat(5000) + &"\"".repeat(5000));
        let (report, _) =
            report(&task(&json!([{"metric": "rows", "min": 1}])), &Found { problem, ..Found::default() });
        assert!(json!(report).to_string().len() <= LIMIT, "{}", json!(report).to_string().len());
        assert_eq!(report.outcome, Inconclusive);
    }

    #[test]
    fn the_worst_comes_first_and_a_long_report_keeps_it() {
        let expect: Vec<Value> = (0..60)
            .map(|it| json!({"metric": format!("metric{it}"), "max": if it == 57 { 0.0 } else { 2.0 }}))
            .collect();
        let measured = Measured { value: Some(1.0), detail: "é".repeat(300), ..Measured::default() };
        let found = Found {
            measured: (0..60).map(|it| (format!("metric{it}"), measured.clone())).collect(),
            ..Found::default()
        };
        let (report, artifact) = report(&task(&json!(expect)), &found);
        assert!(json!(report).to_string().len() <= LIMIT);
        assert_eq!((report.outcome, report.findings[0].metric.as_str()), (Failed, "metric57"));
        assert!(report.message.contains("findings more, in the log"), "{}", report.message);
        assert_eq!(report.artifact, Some(format!("sha256:{:x}", Sha256::digest(artifact.as_bytes()))));
        let whole: Value = serde_json::from_str(&artifact).expect("JSON");
        assert_eq!(whole["findings"].as_array().map(Vec::len), Some(60));
    }
}
