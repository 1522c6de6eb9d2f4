//! Bodies as rows of named columns, whatever their form, without the values that nobody may see.
//!
//! Values of tensors are kept as they were written, and no number is read: with a hundred values a request that is a
//! tenth of the cost of going through a tree of values.
use std::collections::BTreeSet;
use std::rc::Rc;

use serde_json::{Value, json};

use super::titles::{Title, Titles};
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
    /// The columns' names.
    pub(super) titles: Rc<[Title]>,
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
pub(super) fn rows<'b>(
    body: &'b [u8],
    direction: Direction,
    masks: &'b Masks,
    titles: &mut Titles<'b>,
) -> Option<Rows<'b>> {
    let tensors = match direction {
        Direction::Inputs => Tensor::inputs(body),
        Direction::Outputs => Tensor::outputs(body),
    };
    if let Some(rows) = tensors.and_then(|tensors| of_tensors(tensors, masks, titles)) {
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
fn of_tensors<'b>(tensors: Vec<Tensor<'b>>, masks: &'b Masks, titles: &mut Titles<'b>) -> Option<Rows<'b>> {
    let (mut count, are_apart) = (0, are_apart(&tensors));
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
        let titles = titles.of(masks, tensor.name, width);
        columns.push(Columns { titles, values, is_float });
    }
    (are_apart || are_distinct(&columns)).then_some(Rows::Tensors(count, columns))
}

/// Whether no tensor's name begins with another's: then no two columns can have the same.
fn are_apart(tensors: &[Tensor<'_>]) -> bool {
    let mut names: Vec<&str> = tensors.iter().map(|tensor| &*tensor.name).collect();
    names.sort_unstable();
    // In this order a name stands right before those that begin with it.
    names.windows(2).all(|pair| matches!(pair, [one, other] if !other.starts_with(one)))
}

/// `x` with two columns and `x_0` would be two columns of one name.
fn are_distinct(columns: &[Columns<'_>]) -> bool {
    let titles = columns.iter().flat_map(|columns| &*columns.titles);
    let mut titles: Vec<&str> = titles.map(|title| &*title.name).collect();
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

    fn read<'b>(body: &'b str, masks: &'b Masks) -> Option<Rows<'b>> {
        rows(body.as_bytes(), Direction::Inputs, masks, &mut Titles::default())
    }

    /// Whether the columns of tensors of so many values can be told apart.
    fn is_table(tensors: &[(&str, usize)]) -> bool {
        let tensor =
            |(name, width): &(&str, usize)| json!({"name": name, "shape": [1], "data": vec![1; *width]});
        let body = json!({"inputs": tensors.iter().map(tensor).collect::<Vec<_>>()}).to_string();
        matches!(read(&body, &Masks::new()), Some(Rows::Tensors(..)))
    }

    #[test]
    fn names_that_would_fill_memory_are_no_columns() {
        let (long, none, some) = ("n".repeat(MOST_KEPT / 2), Masks::new(), Masks::from(["a".to_owned()]));
        let body = json!({"inputs": [{"name": long, "shape": [40], "data": vec![1; 40]}]}).to_string();
        assert!(matches!(read(&body, &none), Some(Rows::Values(_))));
        assert_eq!(read(&body, &some), None);
        let split = json!({"columns": [long], "data": vec![[1]; 40]}).to_string();
        assert_eq!(read(&split, &some), None);
    }

    #[test]
    fn names_that_meet_are_no_columns() {
        assert!(is_table(&[("x", 2), ("x_2", 1)]));
        assert!(is_table(&[("x", 1), ("x_0", 1)]));
        assert!(is_table(&[("x", 2), ("x", 1)]));
        assert!(is_table(&[("label", 1), ("probability", 2), ("la", 3)]));
        assert!(!is_table(&[("x", 2), ("x_0", 1)]));
        assert!(!is_table(&[("x_0", 1), ("y", 1), ("x", 2)]));
        assert!(!is_table(&[("x", 1), ("xy", 1), ("x", 1)]));
        assert!(!is_table(&[("x_1", 2), ("xx", 1), ("x", 2), ("x_1_1", 1)]));

        let body = json!({"inputs": [
            {"name": "x", "shape": [1], "data": [1, 2]},
            {"name": "x_2", "shape": [1], "data": [3]},
        ]});
        let (body, masks) = (body.to_string(), ["x_1".to_owned()].into());
        let Some(Rows::Tensors(1, columns)) = read(&body, &masks) else { unreachable!("no tensors") };
        let titles = columns.iter().flat_map(|columns| &*columns.titles);
        let found: Vec<_> = titles.map(|title| (&*title.name, title.is_masked)).collect();
        assert_eq!(found, [("x_0", false), ("x_1", true), ("x_2", false)]);
    }
}
