//! Rows of many requests as typed columns, of which a file of Parquet is made.
//!
//! What a column can hold follows from its values: booleans, whole numbers, numbers, texts. A tensor that says that its
//! numbers have a fraction has a column of such numbers even when all of them happen to be whole. Whole numbers beside
//! others become others where that loses nothing. Everything else, such as a list in a cell or a text beside a number,
//! makes the column one of JSON, each value as it was written, so that none is lost and none is mistaken.
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use serde_json::Value;

use super::rows::{Columns, Rows};

/// The most columns of a file beside those of every record.
const COLUMNS: usize = 1_024;
/// So many cells a file may have in any case, and else no more than so many for each in which there is something.
const SMALL: usize = 1 << 20;
const SPARSE: usize = 8;
/// The column of what has no columns.
const WHOLE: &str = "data";
/// The columns of every record, by the names of the records' fields, and the number of the row in its request. A column
/// of a caller that has one of these names is written with `data.` before it.
pub(super) const RESERVED: [&str; 9] =
    ["id", "time", "source", "type", "correlationid", "xrequestid", "modelversion", "agent", "row"];
/// Beyond it not every whole number is a number of 64 bits with a fraction.
const EXACT: u64 = 1 << 53;

/// The rows of one file.
#[derive(Debug, Default)]
pub(super) struct Frame {
    /// The requests in their order.
    pub(super) records: Vec<Record>,
    /// The columns in the order in which they came.
    pub(super) columns: Vec<Column>,
    /// All rows.
    pub(super) rows: usize,
    cells: usize,
    places: HashMap<String, usize>,
}

/// A request's part of the rows.
#[derive(Debug)]
pub(super) struct Record {
    /// A number of its own.
    pub(super) id: u128,
    /// When the request came.
    pub(super) at: Timestamp,
    /// The request's id.
    pub(super) request_id: String,
    /// How many rows it has.
    pub(super) rows: usize,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only nulls.
    Nothing,
    /// `true` and `false`.
    Boolean,
    /// Whole numbers of which each is also a number with a fraction.
    Small,
    /// Whole numbers of 64 bits.
    Whole,
    /// Numbers with a fraction.
    Number,
    /// Texts.
    Text,
    /// Anything, as JSON.
    Json,
}

impl Kind {
    /// The kind of one value as it is written.
    fn of(value: &str) -> Self {
        match value.as_bytes().first() {
            None | Some(b'n') => Self::Nothing,
            Some(b't' | b'f') => Self::Boolean,
            Some(b'"') => Self::Text,
            Some(b'[' | b'{') => Self::Json,
            Some(_) => match value.parse::<i64>() {
                Ok(number) if number.unsigned_abs() <= EXACT => Self::Small,
                Ok(_) => Self::Whole,
                Err(_) if value.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit()) => Self::Json,
                Err(_) => Self::number(value),
            },
        }
    }

    /// The kind of a value of a tensor of numbers with a fraction.
    fn of_float(value: &str) -> Self {
        match Self::of(value) {
            Self::Small | Self::Whole => Self::Number,
            Self::Json if !value.starts_with(['[', '{']) => Self::number(value),
            kind => kind,
        }
    }

    /// A number too large for 64 bits stays as it is written.
    fn number(value: &str) -> Self {
        if value.parse().is_ok_and(f64::is_finite) { Self::Number } else { Self::Json }
    }

    /// The kind of a column with values of both.
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (one, another) if one == another => one,
            (Self::Nothing, kind) | (kind, Self::Nothing) => kind,
            (Self::Small, Self::Whole) | (Self::Whole, Self::Small) => Self::Whole,
            (Self::Small, Self::Number) | (Self::Number, Self::Small) => Self::Number,
            _ => Self::Json,
        }
    }
}

/// A column: the values that are no nulls, one text after the other.
#[derive(Debug)]
pub(super) struct Column {
    /// Its name in the file.
    pub(super) name: String,
    /// What it holds.
    pub(super) kind: Kind,
    /// The rows of the values, ascending.
    pub(super) rows: Vec<u32>,
    ends: Vec<u32>,
    text: String,
}

impl Column {
    fn push(&mut self, row: usize, value: &str, kind: Kind) {
        if kind == Kind::Nothing {
            return;
        }
        self.kind = self.kind.with(kind);
        self.text.push_str(value);
        // A batch has some megabytes.
        self.rows.push(row as u32);
        self.ends.push(self.text.len() as u32);
    }

    /// The values as they were written, from one place on.
    pub(super) fn values(&self, from: usize) -> impl Iterator<Item = &str> {
        let before = from.checked_sub(1).and_then(|place| self.ends.get(place)).copied().unwrap_or(0);
        let ends = self.ends.iter().skip(from);
        ends.scan(before as usize, |start, end| {
            let value = self.text.get(*start..*end as usize);
            *start = *end as usize;
            value
        })
    }
}

impl Frame {
    /// Adds the rows of a body, or gives the record back when the file would have too many columns, or hardly
    /// anything in them: then it belongs into another one.
    pub(super) fn push(&mut self, record: Record, rows: &Rows<'_>) -> Result<(), Record> {
        let (cells, new) = self.measure(rows);
        if !self.has_room(record.rows, cells, new) {
            return Err(record);
        }
        let (first, count) = (self.rows, record.rows);
        self.add(record, cells);
        match rows {
            Rows::Tensors(_, tensors) => {
                for tensor in tensors {
                    self.push_tensor(first, count, tensor);
                }
            }
            Rows::Values(rows) => {
                for (row, value) in rows.iter().enumerate() {
                    for (name, value) in fields(value) {
                        let (text, column) = (value.to_string(), self.column(&name));
                        column.push(first + row, &text, Kind::of(&text));
                    }
                }
            }
        }
        Ok(())
    }

    /// Adds the rows of a body that fit into no file by their columns: each is one text of JSON.
    pub(super) fn push_whole(&mut self, record: Record, rows: &Rows<'_>) {
        let (first, count) = (self.rows, record.rows);
        self.add(record, count);
        let column = self.column(WHOLE);
        for row in 0..count {
            let mut text = String::new();
            super::record::row(rows, row, &mut text);
            column.push(first + row, &text, Kind::Json);
        }
    }

    fn add(&mut self, record: Record, cells: usize) {
        self.rows += record.rows;
        self.cells += cells;
        self.records.push(record);
    }

    fn push_tensor(&mut self, first: usize, count: usize, tensor: &Columns<'_>) {
        let width = tensor.titles.len();
        let kind = if tensor.is_float { Kind::of_float } else { Kind::of };
        for (place, title) in tensor.titles.iter().enumerate() {
            let column = self.column(&title.name);
            if title.is_masked {
                continue;
            }
            for (row, value) in tensor.values.iter().skip(place).step_by(width).take(count).enumerate() {
                column.push(first + row, value, kind(value));
            }
            if tensor.is_float && count > 0 {
                column.kind = column.kind.with(Kind::Number);
            }
        }
    }

    fn has_room(&self, rows: usize, cells: usize, new: usize) -> bool {
        let columns = self.columns.len() + new;
        let most = SMALL.max((self.cells + cells).saturating_mul(SPARSE));
        columns <= COLUMNS && (self.rows + rows).saturating_mul(columns) <= most
    }

    /// How many cells a body has, and how many columns that are new.
    fn measure(&self, rows: &Rows<'_>) -> (usize, usize) {
        let is_new = |name: &str| !self.places.contains_key(&*name_of(name));
        match rows {
            Rows::Tensors(_, tensors) => {
                let titles = tensors.iter().flat_map(|columns| &*columns.titles);
                let cells = tensors.iter().map(|columns| columns.values.len()).sum();
                (cells, titles.filter(|title| is_new(&title.name)).count())
            }
            Rows::Values(rows) => {
                let names = || rows.iter().flat_map(fields).map(|(name, _)| name);
                let new: HashSet<Cow<'_, str>> = names().filter(|name| is_new(name)).collect();
                (names().count(), new.len())
            }
        }
    }

    fn column(&mut self, name: &str) -> &mut Column {
        let name = name_of(name);
        let place = self.places.get(&*name).copied().unwrap_or(self.columns.len());
        if place == self.columns.len() {
            self.places.insert(name.to_string(), place);
            let (name, kind) = (name.into_owned(), Kind::Nothing);
            self.columns.push(Column { name, kind, rows: Vec::new(), ends: Vec::new(), text: String::new() });
        }
        &mut self.columns[place]
    }
}

/// The cells of a row. What is no object is one cell.
fn fields(row: &Value) -> Box<dyn Iterator<Item = (Cow<'_, str>, &Value)> + '_> {
    match row {
        Value::Object(fields) => Box::new(fields.iter().map(|(name, value)| (name.as_str().into(), value))),
        value => Box::new(std::iter::once((WHOLE.into(), value))),
    }
}

/// A column's name in the file: two different ones are never the same there.
pub(super) fn name_of(name: &str) -> Cow<'_, str> {
    let mut inner = name;
    while let Some(rest) = inner.strip_prefix("data.") {
        inner = rest;
    }
    if RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(inner)) {
        return format!("data.{name}").into();
    }
    name.into()
}
