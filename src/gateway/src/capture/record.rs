//! Records as Azure Machine Learning's data collector writes them: a CloudEvent a line, with rows as objects.
//!
//! Values are copied as they were written, and no number is read: with a hundred values a request that is a tenth of the
//! cost of going through a tree of values.
use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::exchange::Exchange;
use crate::tensor::Tensor;

type Masks = BTreeSet<String>;

/// The lines of the inputs and of the outputs. None when a body is no JSON, or has columns to mask in a form that does
/// not tell where they are: better no record than a value that nobody may see.
pub(super) fn lines(
    exchange: &Exchange,
    masks: &Masks,
    request: &[u8],
    answer: &[u8],
) -> Option<[String; 2]> {
    let inputs = rows(request, Direction::Inputs, masks)?;
    let outputs = rows(answer, Direction::Outputs, masks)?;
    Some([event(exchange, "inputs", &inputs), event(exchange, "outputs", &outputs)])
}

fn event(exchange: &Exchange, direction: &str, rows: &str) -> String {
    let asked = &exchange.asked;
    let (namespace, name) = (&asked.endpoint.route.namespace, &asked.endpoint.route.name);
    let revision = asked.endpoint.route.revisions.get(asked.place).map_or("", |revision| &revision.name);
    // The id is the caller's and may hold quotes; all other texts are ours, or names that Kubernetes allows.
    let request_id = Value::from(asked.request_id.as_str());
    let (id, time, last) = (fastrand::u128(..), asked.at, rows.len().saturating_sub(1));
    let (length, version) = (rows.len(), env!("CARGO_PKG_VERSION"));
    format!(
        r#"{{"specversion":"1.0","id":"{id:032x}","source":"/namespaces/{namespace}/endpoints/{name}/revisions/{revision}","type":"azureml.inference.{direction}","datacontenttype":"application/json","time":"{time:.3}","data":{rows},"correlationid":{request_id},"xrequestid":{request_id},"modelversion":"{revision}","collectdatatype":"pandas.core.frame.DataFrame","agent":"mlops-gateway/{version}","contentrange":"bytes 0-{last}/{length}"}}"#
    )
}

/// Which body it is.
#[derive(Clone, Copy)]
enum Direction {
    Inputs,
    Outputs,
}

/// A body as the text of rows of named columns.
fn rows(body: &[u8], direction: Direction, masks: &Masks) -> Option<String> {
    let tensors = match direction {
        Direction::Inputs => Tensor::inputs(body),
        Direction::Outputs => Tensor::outputs(body),
    };
    if let Some(rows) = tensors.and_then(|tensors| of_tensors(&tensors, masks)) {
        return Some(rows);
    }
    let body: Value = serde_json::from_slice(body).ok()?;
    let named = ["input_data", "dataframe_split", "data"].iter().find_map(|name| body.get(name));
    let rows = of_table(named.unwrap_or(&body), masks).or_else(|| unknown(&body, masks))?;
    Some(rows.to_string())
}

/// A body of no known form, as it is, where nothing has to be masked.
fn unknown(body: &Value, masks: &Masks) -> Option<Value> {
    masks.is_empty().then(|| json!([body]))
}

/// The first dimension counts the rows, and a tensor of several numbers a row becomes as many columns, `name_0` and so
/// on.
fn of_tensors(tensors: &[Tensor<'_>], masks: &Masks) -> Option<String> {
    let mut count = 0;
    let mut columns = Vec::with_capacity(tensors.len());
    let mut names = BTreeSet::new();
    for (place, tensor) in tensors.iter().enumerate() {
        let values = tensor.values()?;
        let rows = tensor.shape.first().map_or(Some(1), |rows| usize::try_from(*rows).ok())?;
        if place == 0 {
            count = rows;
        }
        if rows != count
            || rows > values.len()
            || (rows > 0 && values.len() % rows != 0)
            || !names.insert(&tensor.name)
        {
            return None;
        }
        let width = values.len().checked_div(rows).unwrap_or(0);
        let titles = (0..width).map(|column| {
            let title =
                if width == 1 { tensor.name.to_string() } else { format!("{}_{column}", tensor.name) };
            let is_masked = masks.contains(&*tensor.name) || masks.contains(&title);
            (format!("{}:", Value::from(title)), is_masked)
        });
        columns.push((titles.collect::<Vec<_>>(), values));
    }
    let mut text = String::with_capacity(4_096);
    text.push('[');
    for row in 0..count {
        text.push_str(if row == 0 { "{" } else { ",{" });
        let mut separator = "";
        for (titles, values) in &columns {
            for ((title, is_masked), value) in titles.iter().zip(values.iter().skip(row * titles.len())) {
                text.push_str(separator);
                text.push_str(title);
                text.push_str(if *is_masked { "null" } else { value });
                separator = ",";
            }
        }
        text.push('}');
    }
    text.push(']');
    Some(text)
}

/// `{"columns": […], "data": [[…]]}`, a list of objects, or a list of lists, whose columns are `0` and so on.
fn of_table(table: &Value, masks: &Masks) -> Option<Value> {
    let columns = table["columns"].as_array();
    let rows = if columns.is_some() { &table["data"] } else { table }.as_array()?;
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

    fn masks() -> Masks {
        ["email", "income_1"].map(str::to_owned).into()
    }

    fn read(body: &Value, direction: Direction, masks: &Masks) -> Option<Value> {
        let text = rows(body.to_string().as_bytes(), direction, masks)?;
        Some(serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn tensors_become_rows_of_columns_and_masks_hold() {
        let body = json!({"inputs": [
            {"name": "age", "shape": [2, 1], "datatype": "INT64", "data": [[30], [40]]},
            {"name": "income", "shape": [2, 2], "datatype": "FP32", "data": [1.5, 2.5, 3.5, 4.5]},
            {"name": "email", "shape": [2], "datatype": "BYTES", "data": ["a@b", "c@d"]},
        ]});
        let expected = json!([
            {"age": 30, "income_0": 1.5, "income_1": null, "email": null},
            {"age": 40, "income_0": 3.5, "income_1": null, "email": null},
        ]);
        assert_eq!(read(&body, Direction::Inputs, &masks()), Some(expected));
    }

    #[test]
    fn tables_of_every_form_are_masked() {
        let split = json!({"input_data": {"columns": ["age", "email"], "data": [[30, "a@b"]]}});
        let records = json!({"data": [{"age": 30, "email": "a@b"}]});
        for body in [split, records] {
            assert_eq!(
                read(&body, Direction::Inputs, &masks()),
                Some(json!([{"age": 30, "email": null}])),
                "{body}"
            );
        }
        assert_eq!(read(&json!([[1, 2]]), Direction::Inputs, &masks()), Some(json!([{"0": 1, "1": 2}])));
        assert_eq!(read(&json!([0, 1]), Direction::Outputs, &masks()), Some(json!([{"0": 0}, {"0": 1}])));
    }

    #[test]
    fn what_has_no_known_form_is_kept_only_where_nothing_is_masked() {
        let ragged = json!({"inputs": [{"name": "email", "shape": [3], "data": ["a@b"]}]});
        for body in [json!("a@b"), json!({"text": "a@b"}), ragged] {
            assert_eq!(read(&body, Direction::Inputs, &masks()), None, "{body}");
            assert_eq!(read(&body, Direction::Inputs, &Masks::new()), Some(json!([body])));
        }
    }
}
