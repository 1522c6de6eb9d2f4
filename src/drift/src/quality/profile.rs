//! What rows look like, in a form that can be kept as the baseline of later rows.
use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::table::{Column, Kind, Table, TableError};

/// What rows look like.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// How many there are.
    pub rows: u64,
    /// Every column, by its name.
    pub columns: BTreeMap<String, ColumnProfile>,
    /// The newest time in the column of timestamps that is not after the time of the look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<Timestamp>,
}

/// What the values of a column look like.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ColumnProfile {
    /// What they are; none when no row has a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// How many rows have no value.
    pub nulls: u64,
    /// The smallest number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<f64>,
    /// The largest number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<f64>,
    /// The categories of texts and booleans, with their rows. None for numbers, and when there are more than the limit: a
    /// column of names has no categories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub categories: Option<BTreeMap<String, u64>>,
}

/// How to look at rows.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// How many different texts a column may have to count as one of categories.
    pub category_limit: usize,
    /// The column that tells when a row came about: RFC 3339, a date with or without a time of day (in UTC), or seconds
    /// since 1970.
    pub timestamps: Option<&'a str>,
    /// The time of the look; a later timestamp is a mistake, and does not make rows fresh.
    pub now: Timestamp,
}

impl Profile {
    /// What these rows look like. Fails when the column of timestamps is not there.
    pub fn of(table: &Table, look: &Look<'_>) -> Result<Self, TableError> {
        let columns = table
            .columns()
            .map(|(name, column)| (name.to_owned(), ColumnProfile::of(column, look.category_limit)));
        let newest = look.timestamps.map(|name| Ok::<_, TableError>(newest(table.column(name)?, look.now)));
        Ok(Self {
            rows: table.rows() as u64,
            columns: columns.collect(),
            newest: newest.transpose()?.flatten(),
        })
    }

    /// The share of rows without a value in a column, from 0 to 1; none without rows.
    pub fn null_rate(&self, column: &ColumnProfile) -> Option<f64> {
        (self.rows > 0).then(|| column.nulls as f64 / self.rows as f64)
    }

    /// How long the newest row has been there, in seconds; none when no timestamp could be read.
    pub fn age_seconds(&self, now: Timestamp) -> Option<f64> {
        self.newest.map(|newest| now.duration_since(newest).as_secs_f64())
    }
}

impl ColumnProfile {
    fn of(column: &Column, category_limit: usize) -> Self {
        let nulls = column.nulls();
        let mut profile = Self { nulls: nulls as u64, ..Self::default() };
        profile.kind = (nulls < column.rows()).then(|| column.kind());
        if let Column::Number(values) = column {
            let values = || values.iter().filter_map(|value| *value);
            profile.minimum = values().reduce(f64::min);
            profile.maximum = values().reduce(f64::max);
        } else {
            profile.categories = categories(column, category_limit);
        }
        profile
    }
}

fn categories(column: &Column, limit: usize) -> Option<BTreeMap<String, u64>> {
    let mut categories = BTreeMap::new();
    for text in column.texts().flatten() {
        if let Some(rows) = categories.get_mut(text.as_ref()) {
            *rows += 1;
        } else if categories.len() < limit {
            categories.insert(text.into_owned(), 1);
        } else {
            return None;
        }
    }
    Some(categories)
}

fn newest(column: &Column, now: Timestamp) -> Option<Timestamp> {
    let timestamps: Vec<Timestamp> = match column {
        Column::Number(values) => {
            values.iter().flatten().filter_map(|seconds| from_seconds(*seconds)).collect()
        }
        Column::Text(values) => values.iter().flatten().filter_map(|text| from_text(text)).collect(),
        Column::Boolean(_) => Vec::new(),
    };
    timestamps.into_iter().filter(|timestamp| *timestamp <= now).max()
}

fn from_seconds(seconds: f64) -> Option<Timestamp> {
    Timestamp::from_millisecond((seconds * 1000.0) as i64).ok()
}

fn from_text(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(timestamp) = text.parse() {
        return Some(timestamp);
    }
    let time = text.parse::<DateTime>().or_else(|_| text.parse::<Date>().map(DateTime::from)).ok()?;
    time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}
