//! Which minutes are asked for, how often, and what is made of the answers.
use super::*;

const PACE: Pace = Pace { interval: SignedDuration::from_mins(1), lag: SignedDuration::from_mins(3) };

fn at(time: &str) -> Timestamp {
    format!("2026-03-01T{time}Z").parse().unwrap()
}

fn window(from: &str, to: &str) -> Window {
    Window { from: at(from), to: at(to) }
}

#[test]
fn only_whole_minutes_of_the_step_that_are_known_by_now_are_asked_for() {
    let since = at("10:00:20");
    // Not before the first whole minute, from 10:01 to 10:02, is three minutes old.
    assert_eq!(PACE.window(since, at("10:00:30")), None);
    assert_eq!(PACE.window(since, at("10:04:59.999")), None);
    assert_eq!(PACE.window(since, at("10:05:00")), Some(window("10:01:00", "10:02:00")));
    assert_eq!(PACE.window(at("10:01:00"), at("10:31:10")), Some(window("10:01:00", "10:28:00")));
    let quick = Pace { interval: SignedDuration::from_secs(1), lag: SignedDuration::ZERO };
    assert_eq!(quick.window(at("10:00:00.5"), at("10:00:02.5")), Some(window("10:00:01", "10:00:02")));
    let none = Pace { interval: SignedDuration::ZERO, ..PACE };
    assert_eq!(none.window(since, at("10:31:10")), None);
}

#[test]
fn a_minute_is_asked_for_once_and_long_steps_are_asked_about_less_often() {
    let is_due = |before, now| PACE.is_due(window("10:00:00", now), window("10:00:00", before));
    assert!(!is_due("10:05:00", "10:05:00"));
    assert!(is_due("10:05:00", "10:06:00"));
    assert!(!is_due("13:00:00", "13:02:00") && is_due("13:00:00", "13:04:00"));
    assert!(!is_due("20:00:00", "20:04:00") && is_due("20:00:00", "20:05:00"));
}

fn series(labels: &[(&str, &str)], points: &[(&str, f64)]) -> MetricSeries {
    MetricSeries {
        labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        points: points.iter().map(|(time, value)| (at(time), *value)).collect(),
    }
}

#[test]
fn requests_are_summed_by_class_and_latencies_weighed_by_the_requests_of_their_minute() {
    let class = |class| [("deployment", "Churn-b"), ("statuscodeclass", class)];
    let requests = [
        series(&class("2xx"), &[("10:01:00", 90.0), ("10:02:00", 0.0), ("10:03:00", 30.0)]),
        series(&class("4xx"), &[("10:01:00", 7.0)]),
        series(&class("5xx"), &[("10:01:00", 3.0), ("10:03:00", f64::NAN)]),
        series(&[("statuscodeclass", "4xx")], &[("10:01:00", 5.0)]),
    ];
    let latencies = [
        series(&[("deployment", "churn-b")], &[("10:01:00", 40.0), ("10:02:00", 90.0), ("10:03:00", 0.0)]),
        series(&[("deployment", "other")], &[("10:01:00", 40.0)]),
    ];
    let wanted =
        Sample { good: 120, refused: 7, failed: 3, percentiles: vec![(0.04, 100)], ..Sample::default() };
    // What has no deployment was refused before one was chosen.
    assert_eq!(samples(&requests, &latencies), BTreeMap::from([("churn-b".to_owned(), wanted)]));
}
