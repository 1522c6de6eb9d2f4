//! Records as Azure Machine Learning's data collector writes them: a CloudEvent a line, with rows as objects.
use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::compare::leaves;
use crate::exchange::Exchange;

type Masks = BTreeSet<String>;

/// The lines of the inputs and of the outputs. None when a body is no JSON, or has columns to mask in a form that does
/// not tell where they are: better no record than a value that nobody may see.
pub(super) fn lines(
    exchange: &Exchange,
    masks: &Masks,
    request: &[u8],
    answer: &[u8],
) -> Option<[String; 2]> {
    let rows = |body: &[u8], tensors: &str| rows(&serde_json::from_slice(body).ok()?, tensors, masks);
    let (inputs, outputs) = (rows(request, "inputs")?, rows(answer, "outputs")?);
    Some([event(exchange, "inputs", &inputs), event(exchange, "outputs", &outputs)])
}

fn event(exchange: &Exchange, direction: &str, rows: &Value) -> String {
    let asked = &exchange.asked;
    let (namespace, name) = (&asked.endpoint.route.namespace, &asked.endpoint.route.name);
    let revision = asked.endpoint.route.revisions.get(asked.place).map_or("", |revision| &revision.name);
    let length = rows.to_string().len();
    json!({
        "specversion": "1.0",
        "id": format!("{:032x}", fastrand::u128(..)),
        "source": format!("/namespaces/{namespace}/endpoints/{name}/revisions/{revision}"),
        "type": format!("azureml.inference.{direction}"),
        "datacontenttype": "application/json",
        "time": format!("{:.3}", asked.at),
        "data": rows,
        "correlationid": asked.request_id,
        "xrequestid": asked.request_id,
        "modelversion": revision,
        "collectdatatype": "pandas.core.frame.DataFrame",
        "agent": concat!("mlops-gateway/", env!("CARGO_PKG_VERSION")),
        "contentrange": format!("bytes 0-{}/{length}", length.saturating_sub(1)),
    })
    .to_string()
}

/// A body as rows of named columns.
fn rows(body: &Value, tensors: &str, masks: &Masks) -> Option<Value> {
    if let Some(tensors) = body[tensors].as_array()
        && let Some(rows) = of_tensors(tensors, masks)
    {
        return Some(rows);
    }
    for name in ["input_data", "dataframe_split", "data"] {
        if let Some(table) = body.get(name) {
            return of_table(table, masks).or_else(|| unknown(body, masks));
        }
    }
    of_table(body, masks).or_else(|| unknown(body, masks))
}

/// A body of no known form, as it is, where nothing has to be masked.
fn unknown(body: &Value, masks: &Masks) -> Option<Value> {
    masks.is_empty().then(|| json!([body]))
}

/// Tensors of the Open Inference Protocol: the first dimension counts the rows, and a tensor of several numbers a row
/// becomes as many columns, `name_0` and so on.
fn of_tensors(tensors: &[Value], masks: &Masks) -> Option<Value> {
    let mut rows: Vec<Map<String, Value>> = Vec::new();
    for (place, tensor) in tensors.iter().enumerate() {
        let name = tensor["name"].as_str()?;
        let mut values = Vec::new();
        leaves(&tensor["data"], &mut values);
        let count = tensor["shape"].as_array()?.first().map_or(Some(1), Value::as_u64)?;
        let count = usize::try_from(count).ok().filter(|count| *count <= values.len())?;
        if place == 0 {
            rows.resize(count, Map::new());
        }
        if count != rows.len() || (count > 0 && values.len() % count != 0) {
            return None;
        }
        let width = values.len().checked_div(count).unwrap_or(0);
        for (row, values) in rows.iter_mut().zip(values.chunks(width.max(1))) {
            for (column, value) in values.iter().enumerate() {
                let title = if width == 1 { name.to_owned() } else { format!("{name}_{column}") };
                let is_masked = masks.contains(name) || masks.contains(&title);
                row.insert(title, if is_masked { Value::Null } else { (*value).clone() });
            }
        }
    }
    Some(rows.into())
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
        assert_eq!(rows(&body, "inputs", &masks()), Some(expected));
    }

    #[test]
    fn tables_of_every_form_are_masked() {
        let split = json!({"input_data": {"columns": ["age", "email"], "data": [[30, "a@b"]]}});
        let records = json!({"data": [{"age": 30, "email": "a@b"}]});
        for body in [split, records] {
            assert_eq!(rows(&body, "inputs", &masks()), Some(json!([{"age": 30, "email": null}])), "{body}");
        }
        assert_eq!(rows(&json!([[1, 2]]), "inputs", &masks()), Some(json!([{"0": 1, "1": 2}])));
        assert_eq!(rows(&json!([0, 1]), "outputs", &masks()), Some(json!([{"0": 0}, {"0": 1}])));
    }

    #[test]
    fn what_has_no_known_form_is_kept_only_where_nothing_is_masked() {
        let ragged = json!({"inputs": [{"name": "email", "shape": [3], "data": ["a@b"]}]});
        for body in [json!("a@b"), json!({"text": "a@b"}), ragged] {
            assert_eq!(rows(&body, "inputs", &masks()), None, "{body}");
            assert_eq!(rows(&body, "inputs", &Masks::new()), Some(json!([body])));
        }
    }
}
