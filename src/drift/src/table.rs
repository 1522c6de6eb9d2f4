//! A table by columns: the rows on which a check looks, whatever file or answer they came from.
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

mod read;

pub(crate) use read::{boolean, number};

/// Why a table, or a column of it, can't be used as asked.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// No column has this name.
    #[error("there is no column {column}; the columns are {known}")]
    UnknownColumn {
        /// The name that was asked for.
        column: String,
        /// The names that there are.
        known: String,
    },
    /// Two columns have one name.
    #[error("the column {0} is there twice")]
    RepeatedColumn(String),
    /// A column is longer or shorter than the others.
    #[error("the column {column} has {rows} rows, the others have {expected}")]
    UnequalRows {
        /// The column.
        column: String,
        /// Its rows.
        rows: usize,
        /// The rows of the first column.
        expected: usize,
    },
    /// Numbers are needed.
    #[error("the column {0} does not hold numbers alone")]
    NotNumbers(String),
    /// A value is needed in every row.
    #[error("the column {column} has no value in row {row}")]
    MissingValue {
        /// The column.
        column: String,
        /// The first row without a value, from 1.
        row: usize,
    },
    /// The text is not CSV.
    #[error("failed to read CSV: {0}")]
    ReadCsv(#[from] csv::Error),
}

/// What the values of a column are.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Kind {
    /// Finite numbers.
    Number,
    /// Texts.
    Text,
    /// `true` or `false`.
    Boolean,
}

/// The values of one column, one a row; `None` where a row has none.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// Finite numbers.
    Number(Vec<Option<f64>>),
    /// Texts.
    Text(Vec<Option<String>>),
    /// `true` or `false`.
    Boolean(Vec<Option<bool>>),
}

impl Column {
    /// How many rows it has.
    pub fn rows(&self) -> usize {
        match self {
            Self::Number(values) => values.len(),
            Self::Text(values) => values.len(),
            Self::Boolean(values) => values.len(),
        }
    }

    /// What its values are.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Number(_) => Kind::Number,
            Self::Text(_) => Kind::Text,
            Self::Boolean(_) => Kind::Boolean,
        }
    }

    /// The value of a row as text, such as `1`, `1.5`, `true`; none where the row has no value.
    pub fn text(&self, row: usize) -> Option<Cow<'_, str>> {
        match self {
            Self::Number(values) => values.get(row)?.map(|value| Cow::Owned(value.to_string())),
            Self::Text(values) => values.get(row)?.as_deref().map(Cow::Borrowed),
            Self::Boolean(values) => {
                values.get(row)?.map(|value| Cow::Borrowed(if value { "true" } else { "false" }))
            }
        }
    }

    /// The values as texts, one a row.
    pub fn texts(&self) -> impl Iterator<Item = Option<Cow<'_, str>>> {
        (0..self.rows()).map(|row| self.text(row))
    }

    /// How many rows have no value.
    pub fn nulls(&self) -> usize {
        (0..self.rows()).filter(|row| self.is_null(*row)).count()
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Number(values) => values.get(row).is_none_or(Option::is_none),
            Self::Text(values) => values.get(row).is_none_or(Option::is_none),
            Self::Boolean(values) => values.get(row).is_none_or(Option::is_none),
        }
    }

    fn keep(&self, kept: &[bool]) -> Self {
        fn keep<T: Clone>(values: &[T], kept: &[bool]) -> Vec<T> {
            values.iter().zip(kept).filter(|(_, kept)| **kept).map(|(value, _)| value.clone()).collect()
        }
        match self {
            Self::Number(values) => Self::Number(keep(values, kept)),
            Self::Text(values) => Self::Text(keep(values, kept)),
            Self::Boolean(values) => Self::Boolean(keep(values, kept)),
        }
    }
}

/// Columns of equal length, each with a name of its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    columns: Vec<(String, Column)>,
}

impl Table {
    /// A table of these columns, in this order.
    ///
    /// Fails when two have one name, or when one has another number of rows than the first.
    pub fn new(columns: Vec<(String, Column)>) -> Result<Self, TableError> {
        let expected = columns.first().map_or(0, |(_, column)| column.rows());
        let mut names = BTreeSet::new();
        for (name, column) in &columns {
            if !names.insert(name) {
                return Err(TableError::RepeatedColumn(name.clone()));
            }
            if column.rows() != expected {
                return Err(TableError::UnequalRows { column: name.clone(), rows: column.rows(), expected });
            }
        }
        Ok(Self { columns })
    }

    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |(_, column)| column.rows())
    }

    /// Every column with its name, in order.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &Column)> {
        self.columns.iter().map(|(name, column)| (name.as_str(), column))
    }

    /// The column of a name.
    pub fn column(&self, name: &str) -> Result<&Column, TableError> {
        self.columns().find(|(other, _)| *other == name).map(|(_, column)| column).ok_or_else(|| {
            let known = self.columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
            TableError::UnknownColumn { column: name.to_owned(), known }
        })
    }

    /// A table of some of the columns, in the order of the names.
    pub fn select(&self, names: &[&str]) -> Result<Self, TableError> {
        let columns = names.iter().map(|name| Ok(((*name).to_owned(), self.column(name)?.clone())));
        Self::new(columns.collect::<Result<_, TableError>>()?)
    }

    /// The rows that have a value in each of these columns.
    pub fn complete(&self, names: &[&str]) -> Result<Self, TableError> {
        let mut kept = vec![true; self.rows()];
        for name in names {
            let column = self.column(name)?;
            for (row, kept) in kept.iter_mut().enumerate() {
                *kept &= !column.is_null(row);
            }
        }
        let columns = self.columns.iter().map(|(name, column)| (name.clone(), column.keep(&kept)));
        Ok(Self { columns: columns.collect() })
    }

    /// The numbers of a column, one a row.
    ///
    /// Fails when the column holds something else, or when a row has none: take [`Table::complete`] first.
    pub fn numbers(&self, name: &str) -> Result<Vec<f64>, TableError> {
        match self.column(name)? {
            Column::Number(values) => full(name, values.iter().copied()),
            Column::Text(_) | Column::Boolean(_) => Err(TableError::NotNumbers(name.to_owned())),
        }
    }

    /// Whether the value of each row is this one, by its text.
    ///
    /// Fails when a row has none: take [`Table::complete`] first.
    pub fn equals(&self, name: &str, value: &str) -> Result<Vec<bool>, TableError> {
        full(name, self.column(name)?.texts().map(|text| text.map(|text| text == value)))
    }

    /// The classes of a column, one a row, by the text of its values.
    ///
    /// Fails when a row has none: take [`Table::complete`] first.
    pub fn classes(&self, name: &str, classes: &mut Classes) -> Result<Vec<Class>, TableError> {
        full(name, self.column(name)?.texts().map(|text| text.map(|text| classes.class(&text))))
    }
}

fn full<T>(column: &str, values: impl Iterator<Item = Option<T>>) -> Result<Vec<T>, TableError> {
    let missing = |row| TableError::MissingValue { column: column.to_owned(), row: row + 1 };
    values.enumerate().map(|(row, value)| value.ok_or_else(|| missing(row))).collect()
}

/// A class that a model tells: a number that stands for its name in [`Classes`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Class(usize);

/// The names of classes. Columns that are compared with each other share one.
#[derive(Clone, Debug, Default)]
pub struct Classes {
    names: Vec<String>,
    numbers: BTreeMap<String, usize>,
}

impl Classes {
    /// The class of a name, which is added when it is new.
    pub fn class(&mut self, name: &str) -> Class {
        if let Some(number) = self.numbers.get(name) {
            return Class(*number);
        }
        let number = self.names.len();
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        Class(number)
    }

    /// The name of a class; empty for a class of other [`Classes`].
    pub fn name(&self, class: Class) -> &str {
        self.names.get(class.0).map(String::as_str).unwrap_or_default()
    }

    /// Every class with its name, in the order in which they were seen.
    pub fn iter(&self) -> impl Iterator<Item = (Class, &str)> {
        self.names.iter().enumerate().map(|(number, name)| (Class(number), name.as_str()))
    }
}

#[cfg(test)]
mod tests;
