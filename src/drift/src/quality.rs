//! Data quality: what rows look like ([`Profile`]), and whether that is what is expected of them ([`Expectations`]).
//!
//! Rates are violations over all rows, those without a value too, as in Azure Machine Learning's monitoring.
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::table::Table;

mod measure;
mod profile;

pub use profile::{ColumnProfile, Look, Profile};

/// What is expected of rows. What is absent is not checked.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expectations {
    /// The largest share of rows without a value, of any column, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum_null_rate: Option<f64>,
    /// By how much that share may exceed the baseline's, of any column: 0.05 allows 7 % after 2 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum_null_rate_increase: Option<f64>,
    /// How many columns of the baseline may be missing, or hold values of another kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum_changed_columns: Option<u64>,
    /// The largest share of rows whose value can't be read as one of the baseline's kind, of any column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum_type_error_rate: Option<f64>,
    /// The largest share of rows below the baseline's smallest or above its largest number, of any column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum_out_of_range_rate: Option<f64>,
    /// The largest share of rows with a category that the baseline does not have, of any column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum_unseen_category_rate: Option<f64>,
    /// The smallest number of rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_rows: Option<u64>,
    /// By how much the number of rows may differ from the baseline's, as a share of the baseline's: 0.5 allows half as
    /// many and half as many again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum_row_count_change: Option<f64>,
    /// The largest age of the newest row, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum_age_seconds: Option<f64>,
}

/// One of the expectations.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Check {
    /// `maximumNullRate`.
    NullRate,
    /// `maximumNullRateIncrease`.
    NullRateIncrease,
    /// `maximumChangedColumns`.
    ChangedColumns,
    /// `maximumTypeErrorRate`.
    TypeErrorRate,
    /// `maximumOutOfRangeRate`.
    OutOfRangeRate,
    /// `maximumUnseenCategoryRate`.
    UnseenCategoryRate,
    /// `minimumRows`.
    Rows,
    /// `maximumRowCountChange`.
    RowCountChange,
    /// `maximumAgeSeconds`.
    Age,
}

/// What came of one expectation.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Which expectation.
    pub check: Check,
    /// What the rows have, in the unit of the threshold. None when that can't be told: without a baseline that the check
    /// needs, without rows, or when no column is of the kind that the check is about.
    pub value: Option<f64>,
    /// What is expected.
    pub threshold: f64,
    /// How many rows were looked at.
    pub sample_size: u64,
    /// Whether the value is as expected; none when there is no value.
    pub passed: Option<bool>,
    /// The column with the worst value, the first of them when several have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
}

/// Rows to check, and what to check them against.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The rows.
    pub table: &'a Table,
    /// What the rows look like: the profile of the same table.
    pub profile: &'a Profile,
    /// What earlier rows looked like, such as those that the model was trained on.
    pub baseline: Option<&'a Profile>,
    /// The time against which the newest row is held.
    pub now: Timestamp,
}

/// What floating point may add to a rate that is as large as allowed.
const ROUNDING: f64 = 1e-12;

impl Expectations {
    /// What comes of each expectation, in the order of [`Check`].
    pub fn check(&self, subject: &Subject<'_>) -> Vec<Finding> {
        let finding = |(check, threshold): (Check, Option<f64>)| {
            let threshold = threshold?;
            let measured = check.measure(subject);
            let value = measured.as_ref().map(|worst| worst.value);
            let passed = |value: f64| match check {
                Check::Rows => value >= threshold,
                _ => value <= threshold + ROUNDING,
            };
            Some(Finding {
                check,
                value,
                threshold,
                sample_size: subject.profile.rows,
                passed: value.map(passed),
                column: measured.and_then(|worst| worst.column),
            })
        };
        self.thresholds().into_iter().filter_map(finding).collect()
    }

    fn thresholds(&self) -> [(Check, Option<f64>); 9] {
        [
            (Check::NullRate, self.maximum_null_rate),
            (Check::NullRateIncrease, self.maximum_null_rate_increase),
            (Check::ChangedColumns, self.maximum_changed_columns.map(|columns| columns as f64)),
            (Check::TypeErrorRate, self.maximum_type_error_rate),
            (Check::OutOfRangeRate, self.maximum_out_of_range_rate),
            (Check::UnseenCategoryRate, self.maximum_unseen_category_rate),
            (Check::Rows, self.minimum_rows.map(|rows| rows as f64)),
            (Check::RowCountChange, self.maximum_row_count_change),
            (Check::Age, self.maximum_age_seconds),
        ]
    }
}

#[cfg(test)]
mod tests;
