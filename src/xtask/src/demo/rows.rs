//! Rows of the demo's data set, and whether an endpoint answers them as scikit-learn does.
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::Value;
use ureq::Agent;

use crate::cache;

/// The rows of `config/models/breast-cancer/rows.json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Rows {
    /// How far a probability may be from scikit-learn's.
    pub tolerance: f64,
    /// The rows.
    pub rows: Vec<Row>,
}

/// One row.
#[derive(Clone, Debug, Deserialize)]
pub struct Row {
    /// The request of the Open Inference Protocol.
    pub request: Value,
    /// scikit-learn's answer, by version of the model.
    pub expected: BTreeMap<String, Expected>,
}

/// What scikit-learn says of a row.
#[derive(Clone, Debug, Deserialize)]
pub struct Expected {
    /// Of each class.
    pub probabilities: Vec<f64>,
}

/// The answers to all rows beside those of scikit-learn.
pub struct Comparison {
    /// One for each row.
    pub lines: Vec<Line>,
    /// The largest difference of any probability of any row.
    pub largest: f64,
}

/// The probability of the last class of a row.
pub struct Line {
    /// The row.
    pub id: String,
    /// What the endpoint answered.
    pub answered: f64,
    /// What scikit-learn says.
    pub expected: f64,
}

/// A client that stays on this machine and takes every status for an answer.
pub fn client(keeps_connections: bool) -> Agent {
    let connections = usize::from(keeps_connections);
    Agent::config_builder()
        .proxy(None)
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(10)))
        .max_idle_connections(connections)
        .max_idle_connections_per_host(connections)
        .build()
        .new_agent()
}

/// Sends an inference request and returns the probabilities.
pub fn score(client: &Agent, url: &str, request: &str) -> anyhow::Result<Vec<f64>> {
    let mut answer = client.post(url).content_type("application/json").send(request)?;
    let text = answer.body_mut().read_to_string()?;
    ensure!(answer.status() == 200, "{} {}", answer.status(), text.trim());
    probabilities(&text).with_context(|| format!("an answer without probabilities: {text}"))
}

/// The probabilities in an answer of the Open Inference Protocol.
pub fn probabilities(text: &str) -> Option<Vec<f64>> {
    let answer: Value = serde_json::from_str(text).ok()?;
    let output = answer["outputs"].as_array()?.iter().find(|output| output["name"] == "probabilities")?;
    output["data"].as_array()?.iter().map(Value::as_f64).collect()
}

/// The largest difference; answers of another length are infinitely far away.
fn distance(answered: &[f64], expected: &[f64]) -> f64 {
    if answered.len() != expected.len() {
        return f64::INFINITY;
    }
    answered.iter().zip(expected).map(|(one, other)| (one - other).abs()).fold(0.0, f64::max)
}

impl Rows {
    /// Reads the demo's rows.
    pub fn of_demo() -> anyhow::Result<Self> {
        let file = cache::repository().join("config/models/breast-cancer/rows.json");
        let text = std::fs::read(&file).with_context(|| format!("failed to read {}", file.display()))?;
        let rows: Self = serde_json::from_slice(&text)?;
        ensure!(!rows.rows.is_empty(), "{} has no rows", file.display());
        Ok(rows)
    }

    /// Waits until a new Service answers: kube-proxy writes the rules of a node up to seconds after a pod is ready.
    pub fn until_answered(&self, url: &str, limit: Duration) -> anyhow::Result<()> {
        let (started, client) = (Instant::now(), client(false));
        let row = self.rows.first().context("no rows")?;
        loop {
            match score(&client, url, &row.request.to_string()) {
                Ok(_) => return Ok(()),
                Err(error) if started.elapsed() > limit => {
                    return Err(error.context(format!("{url} does not answer")));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Scores every row and compares with scikit-learn's answers of a version.
    pub fn compare(&self, url: &str, version: &str) -> anyhow::Result<Comparison> {
        let client = client(true);
        let score = |row: &Row| score(&client, url, &row.request.to_string());
        let answers = self.rows.iter().map(score).collect::<anyhow::Result<Vec<_>>>()?;
        self.compare_answers(&answers, version)
    }

    /// Compares an answer to each row, in the order of the rows, with scikit-learn's of a version.
    pub fn compare_answers(&self, answers: &[Vec<f64>], version: &str) -> anyhow::Result<Comparison> {
        ensure!(answers.len() == self.rows.len(), "{} answers to {} rows", answers.len(), self.rows.len());
        let mut comparison = Comparison { lines: Vec::new(), largest: 0.0 };
        for (row, answered) in self.rows.iter().zip(answers) {
            let expected = row.expected(version)?;
            comparison.largest = comparison.largest.max(distance(answered, expected));
            comparison.lines.push(Line {
                id: row.request["id"].as_str().unwrap_or_default().to_owned(),
                answered: answered.last().copied().unwrap_or(f64::NAN),
                expected: expected.last().copied().unwrap_or(f64::NAN),
            });
        }
        Ok(comparison)
    }
}

impl Row {
    fn expected(&self, version: &str) -> anyhow::Result<&[f64]> {
        let expected =
            self.expected.get(version).with_context(|| format!("no answers of version {version}"))?;
        Ok(&expected.probabilities)
    }

    /// The first of these versions that gives this answer.
    pub fn answered_by(&self, answered: &[f64], versions: &[&str], tolerance: f64) -> Option<usize> {
        versions.iter().position(|version| {
            self.expected(version).is_ok_and(|expected| distance(answered, expected) <= tolerance)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_answer_every_row_differently() {
        let rows = Rows::of_demo().unwrap();
        for row in &rows.rows {
            let (one, two) = (row.expected("1").unwrap(), row.expected("2").unwrap());
            assert_eq!(row.answered_by(one, &["1", "2"], rows.tolerance), Some(0));
            assert_eq!(row.answered_by(two, &["1", "2"], rows.tolerance), Some(1));
            assert_eq!(row.answered_by(&[0.5, 0.5], &["1", "2"], rows.tolerance), None);
            assert_eq!(row.answered_by(&one[..1], &["1", "2"], rows.tolerance), None);
        }
    }

    #[test]
    fn probabilities_are_read_from_an_answer_of_the_protocol() {
        let text = r#"{"outputs": [{"name": "label", "data": [1]}, {"name": "probabilities", "data": [0.25, 0.75]}]}"#;
        assert_eq!(probabilities(text), Some(vec![0.25, 0.75]));
        assert_eq!(probabilities(r#"{"error": "busy"}"#), None);
    }
}
