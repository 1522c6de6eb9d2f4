//! Groups of rows by one sensitive feature, or by several together.
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::table::{Table, TableError};

/// What the rows of a group share: a value of each sensitive feature.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Group(Vec<Membership>);

/// A sensitive feature and its value.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "camelCase")]
struct Membership {
    feature: String,
    value: String,
}

impl fmt::Display for Group {
    /// Such as `sex=F, age=old`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, Membership { feature, value }) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(formatter, "{comma}{feature}={value}")?;
        }
        Ok(())
    }
}

/// A group and how many rows it has.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupSize {
    /// The group.
    pub group: Group,
    /// Its rows.
    pub rows: usize,
}

/// Why rows can't be grouped.
#[derive(Debug, thiserror::Error)]
pub enum GroupsError {
    /// A group needs a feature.
    #[error("name one sensitive feature at least")]
    NoFeature,
    /// A sensitive feature is no column.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The outcomes are of other rows.
    #[error("there are {outcomes} outcomes for {rows} rows of sensitive features")]
    UnequalRows {
        /// The outcomes.
        outcomes: usize,
        /// The rows of the sensitive features.
        rows: usize,
    },
}

/// The group of every row.
#[derive(Clone, Debug)]
pub struct Groups {
    names: Vec<Group>,
    of_rows: Vec<Option<usize>>,
}

impl Groups {
    /// Groups by the values of sensitive features: of several, every combination that occurs is a group.
    ///
    /// A row without a value of one of them belongs to no group and counts in the values over all rows alone; Fairlearn
    /// refuses such rows. Fails without a feature and for one that is no column.
    pub fn by(table: &Table, features: &[&str]) -> Result<Self, GroupsError> {
        if features.is_empty() {
            return Err(GroupsError::NoFeature);
        }
        let columns: Vec<_> = features
            .iter()
            .map(|name| Ok((*name, table.column(name)?)))
            .collect::<Result<_, TableError>>()?;
        let group = |row| -> Option<Group> {
            let memberships = columns.iter().map(|(feature, column)| {
                let value = column.text(row)?.into_owned();
                Some(Membership { feature: (*feature).to_owned(), value })
            });
            Some(Group(memberships.collect::<Option<_>>()?))
        };
        let rows: Vec<Option<Group>> = (0..table.rows()).map(group).collect();
        let mut numbers: BTreeMap<&Group, usize> = rows.iter().flatten().map(|group| (group, 0)).collect();
        for (order, number) in numbers.values_mut().enumerate() {
            *number = order;
        }
        let of_rows = rows.iter().map(|group| numbers.get(group.as_ref()?).copied()).collect();
        let names = numbers.keys().map(|group| (*group).clone()).collect();
        Ok(Self { names, of_rows })
    }

    /// Every group with its rows, in the order of their values.
    pub fn sizes(&self) -> Vec<GroupSize> {
        let mut sizes: Vec<GroupSize> =
            self.names.iter().map(|group| GroupSize { group: group.clone(), rows: 0 }).collect();
        for group in self.of_rows.iter().flatten() {
            if let Some(size) = sizes.get_mut(*group) {
                size.rows += 1;
            }
        }
        sizes
    }

    /// How many rows belong to no group.
    pub fn ungrouped(&self) -> usize {
        self.of_rows.iter().filter(|group| group.is_none()).count()
    }

    pub(super) fn of_rows(&self) -> impl Iterator<Item = Option<usize>> {
        self.of_rows.iter().copied()
    }

    pub(super) fn same_rows(&self, outcomes: usize) -> Result<(), GroupsError> {
        let rows = self.of_rows.len();
        if outcomes == rows { Ok(()) } else { Err(GroupsError::UnequalRows { outcomes, rows }) }
    }
}
