//! Error analysis: in which slices of the rows a model is worst.
//!
//! A slice is the rows that share a value of a feature, or the values of two. Categories are values themselves; numbers
//! are cut into quartiles, as `pandas.qcut(values, 4, duplicates="drop")` cuts them.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::numeric::{mean, quantile, same, sorted};
use crate::table::{Column, Table, TableError};

/// A feature and what its values have in common.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Term {
    /// The feature.
    pub feature: String,
    /// A category, such as `north`; a quartile, such as `1.5 to 3` or `above 1.5 to 3`; none for rows without a value.
    pub value: Option<String>,
}

/// Rows that share a value of one feature, or the values of two.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Slice {
    /// One or two features.
    pub terms: Vec<Term>,
    /// Its rows.
    pub rows: usize,
    /// The mean error of its rows: an error rate, or a mean absolute error in the unit of the labels.
    pub error: f64,
    /// The share of the errors of all rows that is in this slice, from 0 to 1; 0 when no row has an error.
    pub coverage: f64,
}

/// Every slice that is large enough.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorAnalysis {
    /// The mean error of all rows; none without rows.
    pub error: Option<f64>,
    /// The worst first; of equal errors, the larger first.
    pub slices: Vec<Slice>,
    /// How many slices have rows, but too few.
    pub left_out: usize,
}

/// Why there is no error analysis.
#[derive(Debug, thiserror::Error)]
pub enum SlicesError {
    /// A feature is no column.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The errors are of other rows.
    #[error("there are {errors} errors for {rows} rows of features")]
    UnequalRows {
        /// The errors.
        errors: usize,
        /// The rows of the features.
        rows: usize,
    },
}

/// The error of every slice of one feature, and of every two features together.
///
/// There is one error a row, 0 or more: 0 or 1 for a right or wrong class, the distance for a number. Slices of fewer rows
/// than the minimum are counted and left out. Fails when a feature is no column, and when there are not as many errors as
/// rows.
pub fn analyze(
    table: &Table,
    features: &[&str],
    errors: &[f64],
    minimum_rows: usize,
) -> Result<ErrorAnalysis, SlicesError> {
    if errors.len() != table.rows() {
        return Err(SlicesError::UnequalRows { errors: errors.len(), rows: table.rows() });
    }
    let cuts: Vec<Cut> = features
        .iter()
        .map(|feature| Ok(Cut::new(feature, table.column(feature)?)))
        .collect::<Result<_, TableError>>()?;
    let total: f64 = errors.iter().sum();
    let (mut slices, mut left_out) = (Vec::new(), 0);
    let pairs = cuts.iter().enumerate().flat_map(|(number, first)| {
        let second = cuts.iter().skip(number + 1);
        std::iter::once((first, None)).chain(second.map(move |second| (first, Some(second))))
    });
    for (first, second) in pairs {
        for ((first_value, second_value), (rows, sum)) in sums(first, second, errors) {
            if rows < minimum_rows {
                left_out += 1;
                continue;
            }
            let second = second.zip(second_value).map(|(cut, value)| cut.term(value));
            slices.push(Slice {
                terms: std::iter::once(first.term(first_value)).chain(second).collect(),
                rows,
                error: sum / rows as f64,
                coverage: if total > 0.0 { sum / total } else { 0.0 },
            });
        }
    }
    slices.sort_by(|left, right| {
        let by_error = right.error.total_cmp(&left.error);
        by_error.then(right.rows.cmp(&left.rows)).then_with(|| left.terms.cmp(&right.terms))
    });
    Ok(ErrorAnalysis { error: mean(errors.iter().copied()), slices, left_out })
}

/// The rows and the sum of the errors by the values of one feature or two.
fn sums(first: &Cut, second: Option<&Cut>, errors: &[f64]) -> BTreeMap<(usize, Option<usize>), (usize, f64)> {
    let mut sums = BTreeMap::new();
    for (row, error) in errors.iter().enumerate() {
        let Some(value) = first.of_rows.get(row) else { continue };
        let key = (*value, second.and_then(|cut| cut.of_rows.get(row)).copied());
        let (rows, sum) = sums.entry(key).or_insert((0, 0.0));
        *rows += 1;
        *sum += error;
    }
    sums
}

/// A feature, cut into values.
struct Cut {
    feature: String,
    values: Vec<Option<String>>,
    /// The number of each row's value.
    of_rows: Vec<usize>,
}

impl Cut {
    fn new(feature: &str, column: &Column) -> Self {
        let values = match column {
            Column::Number(numbers) => quartiles(numbers),
            Column::Text(_) | Column::Boolean(_) => {
                column.texts().map(|text| text.map(|text| (0, text.into_owned()))).collect()
            }
        };
        let mut numbers: BTreeMap<&Option<(usize, String)>, usize> =
            values.iter().map(|value| (value, 0)).collect();
        for (order, number) in numbers.values_mut().enumerate() {
            *number = order;
        }
        let of_rows = values.iter().filter_map(|value| numbers.get(value).copied()).collect();
        let name = |value: &Option<(usize, String)>| value.as_ref().map(|(_, name)| name.clone());
        let values = numbers.keys().map(|value| name(value)).collect();
        Self { feature: feature.to_owned(), values, of_rows }
    }

    fn term(&self, value: usize) -> Term {
        Term { feature: self.feature.clone(), value: self.values.get(value).cloned().flatten() }
    }
}

/// The quartile of each number, with its place and name. Equal bounds are one, so that there may be fewer than four.
fn quartiles(numbers: &[Option<f64>]) -> Vec<Option<(usize, String)>> {
    let ordered = sorted(numbers.iter().flatten().copied()).unwrap_or_default();
    let mut bounds: Vec<f64> =
        [0.0, 0.25, 0.5, 0.75, 1.0].iter().filter_map(|share| quantile(&ordered, *share)).collect();
    bounds.dedup();
    let (lowest, upper) = match bounds.split_first() {
        Some((lowest, [])) => (*lowest, std::slice::from_ref(lowest)),
        Some((lowest, upper)) => (*lowest, upper),
        None => return vec![None; numbers.len()],
    };
    let name = |quartile: usize| {
        let below = quartile.checked_sub(1).and_then(|below| upper.get(below));
        let high = upper.get(quartile).copied().unwrap_or(lowest);
        match below {
            Some(below) => format!("above {below} to {high}"),
            None if same(lowest, high) => high.to_string(),
            None => format!("{lowest} to {high}"),
        }
    };
    let names: Vec<String> = (0..upper.len()).map(name).collect();
    let quartile = |number: f64| {
        let place = upper.partition_point(|bound| *bound < number).min(upper.len().saturating_sub(1));
        Some((place, names.get(place)?.clone()))
    };
    numbers.iter().map(|number| number.and_then(quartile)).collect()
}

#[cfg(test)]
mod tests;
