//! Tables from rows of JSON and from CSV, with the kinds of their columns told by the values.
use serde_json::{Map, Value};

use super::{Column, Table, TableError};

/// What CSV holds where there is no value. A word such as `NA` may be a category, and is text.
const NULLS: [&str; 5] = ["", "null", "NULL", "nan", "NaN"];

impl Table {
    /// A table of JSON objects, one a row; the columns come in the order in which their names are first seen.
    ///
    /// A field that is null or absent is no value. A column holds numbers, booleans or texts when all its values do;
    /// a column of mixed values holds texts, and so does one without any value.
    pub fn from_json(rows: &[Map<String, Value>]) -> Self {
        let mut names: Vec<&String> = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        names.extend(rows.iter().flat_map(Map::keys).filter(|name| seen.insert(*name)));
        let columns = names.into_iter().map(|name| {
            let values: Vec<&Value> = rows.iter().map(|row| row.get(name).unwrap_or(&Value::Null)).collect();
            (name.clone(), column_of_json(&values))
        });
        Self { columns: columns.collect() }
    }

    /// A table of CSV text, whose first line names the columns.
    ///
    /// No value is an empty field or a word such as `null` or `NaN`. A column holds finite numbers, or `true` and
    /// `false` in any case, when all its values do; else, and without any value, texts. Fails when a line has another
    /// number of fields than the first, and when two columns have one name.
    pub fn from_csv(text: &[u8]) -> Result<Self, TableError> {
        let mut reader = csv::Reader::from_reader(text);
        let names: Vec<String> = reader.headers()?.iter().map(str::to_owned).collect();
        let mut columns: Vec<Vec<Option<String>>> = vec![Vec::new(); names.len()];
        for record in reader.records() {
            for (field, column) in record?.iter().zip(&mut columns) {
                column.push((!NULLS.contains(&field)).then(|| field.to_owned()));
            }
        }
        Self::new(names.into_iter().zip(columns.into_iter().map(column_of_text)).collect())
    }
}

fn column_of_json(values: &[&Value]) -> Column {
    let present = || values.iter().filter(|value| !value.is_null());
    if present().next().is_some() {
        if present().all(|value| value.is_number()) {
            return Column::Number(values.iter().map(|value| value.as_f64()).collect());
        }
        if present().all(|value| value.is_boolean()) {
            return Column::Boolean(values.iter().map(|value| value.as_bool()).collect());
        }
    }
    let text = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Some(value.to_string()),
    };
    Column::Text(values.iter().map(|value| text(value)).collect())
}

fn column_of_text(values: Vec<Option<String>>) -> Column {
    if values.iter().any(Option::is_some) {
        if let Some(numbers) = parsed(&values, number) {
            return Column::Number(numbers);
        }
        if let Some(booleans) = parsed(&values, boolean) {
            return Column::Boolean(booleans);
        }
    }
    Column::Text(values)
}

/// Every value as another type; none when one of them can't be.
fn parsed<T>(values: &[Option<String>], parse: impl Fn(&str) -> Option<T>) -> Option<Vec<Option<T>>> {
    let each = values.iter().map(|value| match value {
        Some(text) => parse(text).map(Some),
        None => Some(None),
    });
    each.collect()
}

/// A finite number, with spaces around it or without.
pub(crate) fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

/// `true` or `false`, in any case.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    let text = text.trim();
    [true, false].into_iter().find(|value| text.eq_ignore_ascii_case(if *value { "true" } else { "false" }))
}
