//! Metrics of a job: lines of JSON that its command writes to the file `$AZUREML_METRICS`.
//!
//! Invariant: no IO.
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The most lines that are read.
const LINES: usize = 100_000;
/// The most metrics that are told apart.
const NAMES: usize = 100;

/// One line.
#[derive(Clone, Debug, Deserialize)]
struct Line {
    name: String,
    value: f64,
    #[serde(default)]
    step: i64,
}

/// The last value of every metric: that of the highest step, and of the latest line among equals.
pub(super) fn last(text: &str) -> BTreeMap<String, f64> {
    let mut found: BTreeMap<String, (i64, f64)> = BTreeMap::new();
    for line in text.lines().take(LINES).filter_map(|line| serde_json::from_str::<Line>(line).ok()) {
        if found.len() >= NAMES && !found.contains_key(&line.name) {
            continue;
        }
        let last = found.entry(line.name).or_insert((line.step, line.value));
        if line.step >= last.0 {
            *last = (line.step, line.value);
        }
    }
    found.into_iter().map(|(name, (_, value))| (name, value)).collect()
}

/// The entries of a job's property bag, where every value is text: `metrics.accuracy` and its value.
pub(super) fn properties(metrics: &BTreeMap<String, f64>) -> Map<String, Value> {
    metrics.iter().map(|(name, value)| (format!("metrics.{name}"), json!(value.to_string()))).collect()
}

/// A metric of a job that has ended.
pub(super) fn of_job(job: &Value, name: &str) -> Option<f64> {
    job["properties"]["properties"][format!("metrics.{name}")].as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_value_of_the_highest_step_counts_and_broken_lines_do_not() {
        let text = "{\"name\":\"a\",\"value\":1,\"step\":2}\n{\"name\":\"a\",\"value\":9,\"step\":1}\nnoise\n{\"name\":\"b\",\"value\":0.5}\n";
        let metrics = last(text);
        assert_eq!(metrics, BTreeMap::from([("a".to_owned(), 1.0), ("b".to_owned(), 0.5)]));
        let job = json!({"properties": {"properties": properties(&metrics)}});
        assert_eq!(of_job(&job, "b"), Some(0.5));
        assert_eq!(of_job(&job, "c"), None);
    }
}
