//! Between the forms in which Azure's clients send rows and the tensors of the Open Inference Protocol.
//!
//! Invariant: no IO.
use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value, json};

/// Rows with or without names of their columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Table {
    pub(crate) columns: Option<Vec<String>>,
    pub(crate) rows: Vec<Vec<Value>>,
}

/// Whether a body is a request of the Open Inference Protocol already.
pub(crate) fn is_inference(body: &Value) -> bool {
    body.get("inputs")
        .is_some_and(|inputs| inputs.as_array().is_some_and(|all| all.iter().all(Value::is_object)))
}

/// The rows of `{"input_data": {"columns", "index", "data"}}`, `{"input_data": [[…]]}` and `{"data": [[…]]}`.
pub(crate) fn table(body: &Value) -> anyhow::Result<Table> {
    let data = ["input_data", "data", "dataframe_split", "instances"].iter().find_map(|name| body.get(*name));
    let data = data.context(
        "the body holds no rows: send {\"input_data\": {\"columns\": […], \"data\": [[…]]}}, {\"input_data\": [[…]]}, or \
         the inputs of the Open Inference Protocol",
    )?;
    match data {
        Value::Array(rows) => of_rows(rows),
        Value::Object(map) => {
            let rows =
                map.get("data").and_then(Value::as_array).context("'input_data' has no list 'data'")?;
            let mut table = of_rows(rows)?;
            if let Some(columns) = map.get("columns").and_then(Value::as_array) {
                let name = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                table.columns = Some(columns.iter().map(name).collect());
            }
            Ok(table)
        }
        _ => bail!("'input_data' must be a list of rows, or an object with 'columns' and 'data'"),
    }
}

/// Rows that are lists, or objects with the columns' names.
pub(crate) fn of_rows(rows: &[Value]) -> anyhow::Result<Table> {
    ensure!(!rows.is_empty(), "there are no rows");
    if let Some(Value::Object(first)) = rows.first() {
        let columns: Vec<String> = first.keys().cloned().collect();
        let row = |row: &Value| -> anyhow::Result<Vec<Value>> {
            let cell =
                |name: &String| row.get(name).cloned().with_context(|| format!("a row has no '{name}'"));
            columns.iter().map(cell).collect()
        };
        let rows = rows.iter().map(row).collect::<Result<_, _>>()?;
        return Ok(Table { columns: Some(columns), rows });
    }
    let row = |row: &Value| match row {
        Value::Array(cells) => cells.clone(),
        other => vec![other.clone()],
    };
    Ok(Table { columns: None, rows: rows.iter().map(row).collect() })
}

/// The request for a model with these inputs, as its own metadata gives them.
pub(crate) fn request(table: &Table, metadata: &Value) -> anyhow::Result<Value> {
    let inputs = metadata["inputs"].as_array().context("the model's metadata names no inputs")?;
    let width = table.rows.first().map_or(0, Vec::len);
    ensure!(table.rows.iter().all(|row| row.len() == width), "the rows differ in length");
    let named = |input: &Value| {
        let name = input["name"].as_str().unwrap_or_default();
        table.columns.as_ref().and_then(|columns| columns.iter().position(|column| column == name))
    };
    let tensors: Vec<Value> = match inputs.as_slice() {
        [only] if named(only).is_none() || width > 1 => vec![tensor(only, &table.rows, 0..width)?],
        several if table.columns.is_some() => several
            .iter()
            .map(|input| {
                let at = named(input).with_context(|| format!("there is no column {}", input["name"]))?;
                tensor(input, &table.rows, at..at + 1)
            })
            .collect::<Result<_, _>>()?,
        several => {
            ensure!(
                several.len() == width,
                "the model has {} inputs, but a row has {width} cells",
                several.len()
            );
            let each = several.iter().enumerate().map(|(at, input)| tensor(input, &table.rows, at..at + 1));
            each.collect::<Result<_, _>>()?
        }
    };
    Ok(json!({"inputs": tensors}))
}

/// One input of the model, from some columns of all rows.
fn tensor(input: &Value, rows: &[Vec<Value>], columns: std::ops::Range<usize>) -> anyhow::Result<Value> {
    let datatype = input["datatype"].as_str().unwrap_or("FP32");
    let rank = input["shape"].as_array().map_or(2, Vec::len);
    let width = columns.len();
    let expected =
        input["shape"].as_array().and_then(|shape| shape.get(1)?.as_u64()).filter(|size| *size > 0);
    if let Some(expected) = expected {
        ensure!(
            rank != 2 || expected == width as u64,
            "the input {} takes {expected} columns, but a row has {width}",
            input["name"]
        );
    }
    let cells = rows.iter().flat_map(|row| row[columns.clone()].iter());
    let data: Vec<Value> = cells.map(|cell| number(cell, datatype)).collect::<Result<_, _>>()?;
    let shape = if rank == 1 && width == 1 { json!([rows.len()]) } else { json!([rows.len(), width]) };
    Ok(json!({"name": input["name"], "shape": shape, "datatype": datatype, "data": data}))
}

/// Text becomes the number that the model wants.
fn number(cell: &Value, datatype: &str) -> anyhow::Result<Value> {
    let Value::String(text) = cell else { return Ok(cell.clone()) };
    let text = text.trim();
    let parsed = match datatype {
        "BYTES" => return Ok(cell.clone()),
        "BOOL" => text.to_ascii_lowercase().parse::<bool>().ok().map(Value::from),
        kind if kind.starts_with("FP") || kind == "BF16" => text.parse::<f64>().ok().map(Value::from),
        _ => text.parse::<i64>().ok().map(Value::from),
    };
    parsed.with_context(|| format!("'{text}' is no {datatype}"))
}

/// The rows of an answer: the values of the only output, or one object a row with all of them.
pub(crate) fn rows(answer: &Value) -> anyhow::Result<Vec<Value>> {
    let outputs = answer["outputs"].as_array().context("the model's answer has no outputs")?;
    let mut rows: Vec<Map<String, Value>> = Vec::new();
    for output in outputs {
        let shape: Vec<usize> = output["shape"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_u64)
            .map(|n| n as usize)
            .collect();
        let data = output["data"].as_array().context("an output has no data")?;
        let count = shape.first().copied().unwrap_or(1);
        rows.resize_with(rows.len().max(count), Map::new);
        let width = data.len().checked_div(count).unwrap_or(0);
        for (at, row) in rows.iter_mut().enumerate().take(count) {
            let cells = data.get(at * width..(at + 1) * width).unwrap_or_default();
            let value = match cells {
                [only] if shape.len() < 2 => only.clone(),
                cells => json!(cells),
            };
            row.insert(output["name"].as_str().unwrap_or("output").to_owned(), value);
        }
    }
    let single = outputs.len() == 1;
    let row = |row: Map<String, Value>| match row.values().next() {
        Some(only) if single => only.clone(),
        _ => Value::Object(row),
    };
    Ok(rows.into_iter().map(row).collect())
}

#[cfg(test)]
mod tests;
