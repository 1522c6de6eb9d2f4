//! Files of a batch, read as rows: CSV, JSON lines, and JSON as the scoring route takes it.
//!
//! Invariant: no IO.
use anyhow::{Context as _, bail};
use serde_json::Value;

use super::translate::{self, Table};

/// What a file holds.
#[derive(Debug, PartialEq)]
pub(super) enum Content {
    /// Rows to translate.
    Rows(Table),
    /// A request as the model takes it.
    Inference(Value),
}

/// Reads a file by the ending of its name.
pub(super) fn read(name: &str, bytes: &[u8]) -> anyhow::Result<Content> {
    let lower = name.to_ascii_lowercase();
    let ending = lower.rsplit_once('.').map_or("", |(_, ending)| ending);
    match ending {
        "csv" => csv(bytes, b',').map(Content::Rows),
        "tsv" => csv(bytes, b'\t').map(Content::Rows),
        "jsonl" | "ndjson" => {
            let text = std::str::from_utf8(bytes).context("the file is not UTF-8")?;
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            let rows: Vec<Value> =
                lines.map(serde_json::from_str).collect::<Result<_, _>>().context("a line is no JSON")?;
            translate::of_rows(&rows).map(Content::Rows)
        }
        "json" => {
            let body: Value = serde_json::from_slice(bytes).context("the file is no JSON")?;
            match &body {
                Value::Array(rows) => translate::of_rows(rows).map(Content::Rows),
                body if translate::is_inference(body) => Ok(Content::Inference(body.clone())),
                body => translate::table(body).map(Content::Rows),
            }
        }
        _ => bail!("files of this kind are not read; use .csv, .tsv, .jsonl or .json"),
    }
}

/// The first line names the columns, unless all in it are numbers.
fn csv(bytes: &[u8], delimiter: u8) -> anyhow::Result<Table> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).delimiter(delimiter).from_reader(bytes);
    let mut rows: Vec<Vec<Value>> = Vec::new();
    for record in reader.records() {
        rows.push(record.context("the file is no CSV")?.iter().map(Value::from).collect());
    }
    let is_number = |cell: &Value| cell.as_str().is_some_and(|text| text.trim().parse::<f64>().is_ok());
    let named = rows.first().is_some_and(|first| !first.iter().all(is_number));
    let columns = named
        .then(|| rows.remove(0))
        .map(|first| first.iter().map(|cell| cell.as_str().unwrap_or_default().trim().to_owned()).collect());
    if rows.is_empty() {
        bail!("the file has no rows");
    }
    Ok(Table { columns, rows })
}

#[cfg(test)]
mod tests;
