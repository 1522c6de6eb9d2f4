//! Bodies as rows of named columns, whatever their form, without the values that nobody may see.
//!
//! Values of tensors are kept as they were written, and no number is read: with a hundred values a request that is a
//! tenth of the cost of going through a tree of values.
use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::exchange::MOST_KEPT;
use crate::tensor::Tensor;

/// The columns whose values are left out.
pub(super) type Masks = BTreeSet<String>;

/// The most bytes of one body's rows: each row repeats the columns' names, and a caller chooses how long they are.
const MOST: usize = 16 * MOST_KEPT;

/// Which body it is.
#[derive(Clone, Copy)]
pub(super) enum Direction {
    /// A request's.
    Inputs,
    /// An answer's.
    Outputs,
}

/// The rows of a body.
#[derive(Debug, PartialEq)]
pub(super) enum Rows<'b> {
    /// Of tensors: so many rows, by their columns.
    Tensors(usize, Vec<Columns<'b>>),
    /// Of anything else: objects for the most part.
    Values(Vec<Value>),
}

/// The columns of one tensor.
#[derive(Debug, PartialEq)]
pub(super) struct Columns<'b> {
    /// The columns' names, and whether their values are left out.
    pub(super) titles: Vec<(String, bool)>,
    /// A row's values after the other's, as they are written.
    pub(super) values: Vec<&'b str>,
    /// Whether the tensor's type is of numbers with a fraction.
    pub(super) is_float: bool,
}

impl Rows<'_> {
    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Tensors(count, _) => *count,
            Self::Values(rows) => rows.len(),
        }
    }
}

/// The rows of a body. None when it is no JSON, or has columns to mask in a form that does not tell where they are:
/// better no record than a value that nobody may see.
pub(super) fn rows<'b>(body: &'b [u8], direction: Direction, masks: &Masks) -> Option<Rows<'b>> {
    let tensors = match direction {
        Direction::Inputs => Tensor::inputs(body),
        Direction::Outputs => Tensor::outputs(body),
    };
    if let Some(rows) = tensors.and_then(|tensors| of_tensors(tensors, masks)) {
        return Some(rows);
    }
    let body: Value = serde_json::from_slice(body).ok()?;
    // The rows of a table that names its columns are nothing without them.
    let is_table = body.get("columns").is_some_and(Value::is_array);
    let named = ["input_data", "dataframe_split", "data"].iter().find_map(|name| body.get(name));
    let named = named.filter(|_| !is_table);
    of_table(named.unwrap_or(&body), masks).or_else(|| unknown(&body, masks)).map(Rows::Values)
}

/// A body of no known form, as it is, where nothing has to be masked.
fn unknown(body: &Value, masks: &Masks) -> Option<Vec<Value>> {
    masks.is_empty().then(|| vec![body.clone()])
}

/// The first dimension counts the rows, and a tensor of several numbers a row becomes as many columns, `name_0` and so
/// on.
fn of_tensors<'b>(tensors: Vec<Tensor<'b>>, masks: &Masks) -> Option<Rows<'b>> {
    let mut count = 0;
    let mut columns = Vec::with_capacity(tensors.len());
    for (place, tensor) in tensors.into_iter().enumerate() {
        let (is_float, values) = (tensor.is_float(), tensor.values);
        let rows = tensor.shape.first().map_or(Some(1), |rows| usize::try_from(*rows).ok())?;
        if place == 0 {
            count = rows;
        }
        if rows != count || rows > values.len() || (rows > 0 && values.len() % rows != 0) {
            return None;
        }
        let width = values.len().checked_div(rows).unwrap_or(0);
        if width.saturating_mul(tensor.name.len()).saturating_mul(rows) > MOST {
            return None;
        }
        let is_masked = masks.contains(&*tensor.name);
        let titles = (0..width).map(|column| {
            let title = if width == 1 { tensor.name.to_string() } else { numbered(&tensor.name, column) };
            let is_masked = is_masked || masks.contains(&title);
            (title, is_masked)
        });
        columns.push(Columns { titles: titles.collect(), values, is_float });
    }
    (columns.len() < 2 || are_distinct(&columns)).then_some(Rows::Tensors(count, columns))
}

/// `name_0` and so on, without the cost of formatting, which every request would pay for each of its columns.
fn numbered(name: &str, column: usize) -> String {
    let mut title = String::with_capacity(name.len() + 6);
    title.push_str(name);
    title.push('_');
    let mut power = 1;
    while column / power >= 10 {
        power *= 10;
    }
    while power > 0 {
        title.push(char::from(b'0' + (column / power % 10) as u8));
        power /= 10;
    }
    title
}

/// `x` with two columns and `x_0` would be two columns of one name.
fn are_distinct(columns: &[Columns<'_>]) -> bool {
    let titles = columns.iter().flat_map(|columns| &columns.titles);
    let mut titles: Vec<&str> = titles.map(|(title, _)| &**title).collect();
    titles.sort_unstable();
    titles.windows(2).all(|pair| pair.first() != pair.last())
}

/// `{"columns": […], "data": [[…]]}`, a list of objects, or a list of lists, whose columns are `0` and so on.
fn of_table(table: &Value, masks: &Masks) -> Option<Vec<Value>> {
    let columns = table["columns"].as_array();
    let rows = if columns.is_some() { &table["data"] } else { table }.as_array()?;
    let length: usize = columns.into_iter().flatten().filter_map(Value::as_str).map(str::len).sum();
    if length.saturating_mul(rows.len()) > MOST {
        return None;
    }
    let row = |row: &Value| -> Option<Value> {
        match row {
            Value::Object(_) => Some(masked(row, masks)),
            Value::Array(values) => {
                let title = |place: usize| match columns {
                    Some(columns) => columns.get(place)?.as_str().map(str::to_owned),
                    None => Some(place.to_string()),
                };
                let cells = values.iter().enumerate().map(|(place, value)| {
                    let title = title(place)?;
                    let is_masked = masks.contains(&title);
                    Some((title, if is_masked { Value::Null } else { masked(value, masks) }))
                });
                Some(Value::Object(cells.collect::<Option<_>>()?))
            }
            // Predictions of a single column, such as [0, 1].
            value => (columns.is_none() && !masks.contains("0")).then(|| json!({"0": value})),
        }
    };
    rows.iter().map(row).collect()
}

/// A value without the masked fields of the objects in it.
fn masked(value: &Value, masks: &Masks) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| {
                (name.clone(), if masks.contains(name) { Value::Null } else { masked(value, masks) })
            })
            .collect(),
        Value::Array(values) => values.iter().map(|value| masked(value, masks)).collect(),
        value => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of a test's columns: what a file of either format has to say.
    fn columns(values: Rows<'_>) -> Vec<(String, bool)> {
        let Rows::Tensors(_, columns) = values else { unreachable!("no tensors") };
        columns.into_iter().flat_map(|columns| columns.titles).collect()
    }

    #[test]
    fn columns_are_numbered_in_decimals() {
        for column in [0, 9, 10, 99, 100, 1_024, 1_048_575] {
            assert_eq!(numbered("x", column), format!("x_{column}"));
        }
    }

    #[test]
    fn names_that_would_fill_memory_or_meet_are_no_columns() {
        let long = "n".repeat(MOST_KEPT / 2);
        let tensor = |name: &str, data: Value| json!({"name": name, "shape": [1], "data": data});
        let body = json!({"inputs": [{"name": long, "shape": [40], "data": vec![1; 40]}]}).to_string();
        let found = rows(body.as_bytes(), Direction::Inputs, &Masks::new());
        assert!(matches!(found, Some(Rows::Values(_))));
        assert_eq!(rows(body.as_bytes(), Direction::Inputs, &["a".to_owned()].into()), None);
        let split = json!({"columns": [long], "data": vec![[1]; 40]}).to_string();
        assert_eq!(rows(split.as_bytes(), Direction::Inputs, &["a".to_owned()].into()), None);

        let both = |other: &str| json!({"inputs": [tensor("x", json!([1, 2])), tensor(other, json!([3]))]});
        let (same, other) = (both("x_0").to_string(), both("x_2").to_string());
        let found = rows(same.as_bytes(), Direction::Inputs, &Masks::new());
        assert!(matches!(found, Some(Rows::Values(_))));
        let found = rows(other.as_bytes(), Direction::Inputs, &["x_1".to_owned()].into()).unwrap();
        let expected = [("x_0", false), ("x_1", true), ("x_2", false)];
        assert_eq!(columns(found), expected.map(|(title, is_masked)| (title.to_owned(), is_masked)));
    }
}
