//! Rows from a file, and which of their columns a model gets.
use anyhow::{Context as _, bail, ensure};
use api::model_promotion::PromotionCheck;
use drift::table::Table;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// A file with rows.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) table: Table,
    /// Whether the file gives its columns an order.
    pub(crate) is_ordered: bool,
    /// The digest of the file.
    pub(crate) digest: String,
}

/// Reads rows: CSV with a header, one JSON object a line, or an array of objects.
pub(crate) fn read(path: Option<&str>) -> anyhow::Result<Rows> {
    let path = path.context("the check names no data")?;
    let bytes = std::fs::read(path).with_context(|| format!("failed to read {path}"))?;
    let digest = format!("sha256:{:x}", Sha256::digest(&bytes));
    let kind = path.rsplit('.').next();
    let table = match kind {
        Some("csv") => Table::from_csv(&bytes)?,
        Some("json") => {
            let rows: Vec<Map<String, Value>> = serde_json::from_slice(&bytes)
                .with_context(|| format!("{path} must be an array of JSON objects"))?;
            Table::from_json(&rows)
        }
        Some("jsonl") => {
            let lines = bytes.split(|byte| *byte == b'\n').enumerate();
            let lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
            let rows = lines.map(|(number, line)| {
                serde_json::from_slice::<Map<String, Value>>(line)
                    .with_context(|| format!("line {} of {path} must be a JSON object", number + 1))
            });
            Table::from_json(&rows.collect::<anyhow::Result<Vec<_>>>()?)
        }
        _ => bail!("{path} must end in .csv, .jsonl or .json"),
    };
    ensure!(table.rows() > 0, "{path} has no rows");
    Ok(Rows { table, digest, is_ordered: kind == Some("csv") })
}

/// The columns that the model gets, in its order.
///
/// Fields of JSON have no order, so that they must be named where there are several.
pub(crate) fn features<'a>(
    check: &'a PromotionCheck,
    table: &'a Table,
    is_ordered: bool,
) -> anyhow::Result<Vec<&'a str>> {
    if !check.features.is_empty() {
        for feature in &check.features {
            table.column(feature)?;
        }
        return Ok(check.features.iter().map(String::as_str).collect());
    }
    for column in check.exclude.iter().chain(&check.label) {
        table.column(column)?;
    }
    let is_left_out = |name: &str| {
        check.label.as_deref() == Some(name)
            || check.timestamp.as_deref() == Some(name)
            || check.exclude.iter().any(|it| it == name)
    };
    let features: Vec<&str> =
        table.columns().map(|(name, _)| name).filter(|name| !is_left_out(name)).collect();
    ensure!(!features.is_empty(), "no column is left for the model: look at features, label and exclude");
    ensure!(
        is_ordered || features.len() == 1,
        "fields of JSON have no order: name the columns that the model gets by features, in its order"
    );
    Ok(features)
}
