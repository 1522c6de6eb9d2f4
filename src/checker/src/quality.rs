//! DataQuality: whether rows are as expected.
use api::model_promotion::{CheckTask, Expectation};
use drift::quality::{Check, Expectations, Look, Profile, Subject};
use drift::table::Table;
use jiff::Timestamp;
use serde_json::json;

use crate::report::{Found, Measured};
use crate::rows::read;

/// More different texts than this make names, not categories.
const CATEGORIES: usize = 1000;

/// Measures every metric that is asked for; what is expected of it is held against it later.
pub(crate) fn measure(task: &CheckTask, now: Timestamp) -> anyhow::Result<Found> {
    let rows = read(task.data.as_deref())?;
    let baseline = task.baseline.as_deref().map(|path| read(Some(path))).transpose()?;
    let look = Look { category_limit: CATEGORIES, timestamps: task.check.timestamp.as_deref(), now };
    // A time is no category, and always beyond the times before.
    let timestamp = task.check.timestamp.as_deref();
    let profile_of = |table: &Table, look: &Look<'_>| {
        Profile::of(table, look).map(|mut profile| {
            profile.columns.retain(|name, _| Some(name.as_str()) != timestamp);
            profile
        })
    };
    let profile = profile_of(&rows.table, &look)?;
    let before = baseline.as_ref().map(|it| profile_of(&it.table, &Look { timestamps: None, ..look }));
    let before = before.transpose()?;
    let kept: Vec<&str> =
        rows.table.columns().map(|(name, _)| name).filter(|name| Some(*name) != timestamp).collect();
    let table = rows.table.select(&kept)?;
    let subject = Subject { table: &table, profile: &profile, baseline: before.as_ref(), now };
    let findings = thresholds(&task.check.expect).check(&subject);
    let measured = findings.into_iter().map(|finding| {
        let why = match (&finding.value, &finding.column) {
            (Some(_), Some(column)) => format!("column {column}"),
            (Some(_), None) => String::new(),
            (None, _) if finding.check == Check::Age => {
                "no timestamp can be read: name its column by timestamp".to_owned()
            }
            (None, _) if before.is_none() => "it needs a baseline".to_owned(),
            (None, _) => "no column is of the kind that it is about".to_owned(),
        };
        let measured =
            Measured { value: finding.value, samples: finding.sample_size, detail: why, interval: None };
        (name(finding.check).to_owned(), measured)
    });
    let facts = json!({
        "dataDigest": rows.digest, "baselineDigest": baseline.as_ref().map(|it| &it.digest), "profile": profile,
    });
    Ok(Found { measured: measured.collect(), facts, ..Found::default() })
}

/// The metric of a check.
fn name(check: Check) -> &'static str {
    match check {
        Check::NullRate => "nullRate",
        Check::NullRateIncrease => "nullRateIncrease",
        Check::ChangedColumns => "changedColumns",
        Check::TypeErrorRate => "typeErrorRate",
        Check::OutOfRangeRate => "outOfRangeRate",
        Check::UnseenCategoryRate => "unseenCategoryRate",
        Check::Rows => "rows",
        Check::RowCountChange => "rowCountChange",
        Check::Age => "ageSeconds",
    }
}

/// What asks for each metric; the thresholds themselves do not matter here.
fn thresholds(expected: &[Expectation]) -> Expectations {
    let asks = |check| expected.iter().any(|it| it.metric == name(check));
    let rate = |check| asks(check).then_some(0.0);
    Expectations {
        maximum_null_rate: rate(Check::NullRate),
        maximum_null_rate_increase: rate(Check::NullRateIncrease),
        maximum_changed_columns: asks(Check::ChangedColumns).then_some(0),
        maximum_type_error_rate: rate(Check::TypeErrorRate),
        maximum_out_of_range_rate: rate(Check::OutOfRangeRate),
        maximum_unseen_category_rate: rate(Check::UnseenCategoryRate),
        minimum_rows: asks(Check::Rows).then_some(0),
        maximum_row_count_change: rate(Check::RowCountChange),
        maximum_age_seconds: rate(Check::Age),
    }
}
