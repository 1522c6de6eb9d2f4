//! The value of each check, and the column that is worst.
use super::{Check, ColumnProfile, Profile, Subject};
use crate::table::{Column, Kind, boolean, number};

/// A value, and the column that has it.
pub(super) struct Worst {
    pub(super) value: f64,
    pub(super) column: Option<String>,
}

impl Check {
    /// What the rows have; none when it can't be told.
    pub(super) fn measure(self, subject: &Subject<'_>) -> Option<Worst> {
        let profile = subject.profile;
        let alone = |value: f64| Worst { value, column: None };
        match self {
            Self::NullRate => {
                worst(profile.columns.iter().map(|(name, column)| (name.as_str(), profile.null_rate(column))))
            }
            Self::NullRateIncrease => subject.worst(|baseline, before, name, _| {
                let now = profile.null_rate(profile.columns.get(name)?)?;
                Some(now - baseline.null_rate(before)?)
            }),
            Self::ChangedColumns => changed_columns(profile, subject.baseline?),
            Self::TypeErrorRate => subject.worst(|_, before, _, column| {
                let kind = before.kind?;
                rate(column, |row| column.text(row).is_some() && !is_of(column, row, kind))
            }),
            Self::OutOfRangeRate => subject.worst(|_, before, _, column| {
                let (minimum, maximum) = (before.minimum?, before.maximum?);
                rate(column, |row| number_at(column, row).is_some_and(|it| it < minimum || it > maximum))
            }),
            Self::UnseenCategoryRate => subject.worst(|_, before, _, column| {
                let known = before.categories.as_ref().filter(|known| !known.is_empty())?;
                rate(column, |row| column.text(row).is_some_and(|text| !known.contains_key(text.as_ref())))
            }),
            Self::Rows => Some(alone(profile.rows as f64)),
            Self::RowCountChange => {
                let before = subject.baseline?.rows;
                (before > 0).then(|| alone(profile.rows.abs_diff(before) as f64 / before as f64))
            }
            Self::Age => profile.age_seconds(subject.now).map(alone),
        }
    }
}

impl Subject<'_> {
    /// The worst of the columns that the baseline has too.
    fn worst(&self, value: impl Fn(&Profile, &ColumnProfile, &str, &Column) -> Option<f64>) -> Option<Worst> {
        let baseline = self.baseline?;
        worst(self.table.columns().map(|(name, column)| {
            let before = baseline.columns.get(name);
            (name, before.and_then(|before| value(baseline, before, name, column)))
        }))
    }
}

/// The largest value, and the first column that has it.
fn worst<'a>(values: impl Iterator<Item = (&'a str, Option<f64>)>) -> Option<Worst> {
    let larger = |worst: (&'a str, f64), other: (&'a str, f64)| if other.1 > worst.1 { other } else { worst };
    let (column, value) = values.filter_map(|(name, value)| Some((name, value?))).reduce(larger)?;
    Some(Worst { value, column: Some(column.to_owned()) })
}

/// How many columns of the baseline are missing or of another kind, and the first of them.
fn changed_columns(profile: &Profile, baseline: &Profile) -> Option<Worst> {
    let is_changed = |name: &String, before: &ColumnProfile| match profile.columns.get(name) {
        Some(column) => column.kind.zip(before.kind).is_some_and(|(now, before)| now != before),
        None => true,
    };
    let changed: Vec<&String> = baseline
        .columns
        .iter()
        .filter(|(name, before)| is_changed(name, before))
        .map(|(name, _)| name)
        .collect();
    let column = changed.first().map(|name| (*name).clone());
    (!baseline.columns.is_empty()).then_some(Worst { value: changed.len() as f64, column })
}

/// The share of rows that violate; none without rows.
fn rate(column: &Column, violates: impl Fn(usize) -> bool) -> Option<f64> {
    crate::numeric::share((0..column.rows()).filter(|row| violates(*row)).count(), column.rows())
}

/// Whether the value of a row can be read as one of this kind.
fn is_of(column: &Column, row: usize, kind: Kind) -> bool {
    match (column, kind) {
        (_, Kind::Text) | (Column::Number(_), Kind::Number) | (Column::Boolean(_), Kind::Boolean) => true,
        (Column::Text(_), Kind::Number) => number_at(column, row).is_some(),
        (Column::Text(_), Kind::Boolean) => column.text(row).is_some_and(|text| boolean(&text).is_some()),
        (Column::Number(_) | Column::Boolean(_), _) => false,
    }
}

/// The number of a row, also in a column that became one of texts by other rows.
fn number_at(column: &Column, row: usize) -> Option<f64> {
    match column {
        Column::Number(values) => values.get(row).copied().flatten(),
        Column::Text(values) => values.get(row)?.as_deref().and_then(number),
        Column::Boolean(_) => None,
    }
}
