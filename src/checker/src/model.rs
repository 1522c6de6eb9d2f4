//! A model behind the Open Inference Protocol: rows in, predictions out.
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use api::model_promotion::ModelAddress;
use drift::table::{Column, Table};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The most rows of one request.
const BATCH: usize = 256;
/// How long one request may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// A tensor as the metadata tell it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// `FP32`, `INT64`, `BYTES`, and so on.
    pub datatype: String,
    /// Its shape; -1 is any size.
    pub shape: Vec<i64>,
}

/// What a model takes and answers.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Metadata {
    /// Its inputs.
    pub inputs: Vec<Tensor>,
    /// Its outputs.
    pub outputs: Vec<Tensor>,
}

/// A model that answers.
#[derive(Clone, Debug)]
pub struct Model {
    client: reqwest::Client,
    root: String,
    /// What it takes and answers.
    pub metadata: Metadata,
}

/// What a model said of rows, one value a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Predictions {
    /// The prediction: a class's text, or a number.
    pub(crate) values: Column,
    /// The probabilities of the classes, one row each, when it tells them.
    pub(crate) probabilities: Option<Vec<Vec<f64>>>,
}

impl Model {
    /// Asks a model what it takes.
    pub async fn at(address: Option<&ModelAddress>) -> anyhow::Result<Self> {
        let address = address.context("the check names no server")?;
        // A second provider in one process is a test's; the first one stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build()?;
        let root = format!("{}/v2/models/{}", address.url, address.model);
        let answer =
            client.get(&root).send().await.with_context(|| format!("{} does not answer", address.model))?;
        ensure!(
            answer.status().is_success(),
            "{} answered {} for its metadata",
            address.model,
            answer.status()
        );
        let metadata = serde_json::from_slice(&answer.bytes().await?)
            .with_context(|| format!("{} does not tell its inputs and outputs", address.model))?;
        Ok(Self { client, root, metadata })
    }

    /// What it says of each row.
    pub(crate) async fn predict(&self, table: &Table, features: &[&str]) -> anyhow::Result<Predictions> {
        let (mut labels, mut scores): (Vec<Value>, Vec<Vec<f64>>) = (Vec::new(), Vec::new());
        let rows: Vec<usize> = (0..table.rows()).collect();
        for batch in rows.chunks(BATCH) {
            let answer = self.ask(&self.request(table, features, batch)?).await?;
            let (label, probabilities) = outputs(&answer, batch.len())?;
            labels.extend(label);
            scores.extend(probabilities.into_iter().flatten());
        }
        let probabilities = (scores.len() == table.rows()).then_some(scores);
        Ok(Predictions { values: column(&labels), probabilities })
    }

    /// One request, and its answer.
    pub(crate) async fn ask(&self, request: &Value) -> anyhow::Result<Value> {
        let answer = self.send(request.to_string()).await?;
        let status = answer.status();
        let body = answer.bytes().await?;
        if !status.is_success() {
            let said: String = String::from_utf8_lossy(&body).chars().take(300).collect();
            bail!("the model answered {status}: {said}");
        }
        serde_json::from_slice(&body).context("the model's answer is no JSON")
    }

    /// Sends a request whose body is made.
    pub(crate) async fn send(&self, body: String) -> Result<reqwest::Response, reqwest::Error> {
        let request = self.client.post(format!("{}/infer", self.root));
        request.header("content-type", "application/json").body(body).send().await
    }

    /// A page of the server itself.
    pub(crate) async fn page(&self, root: &str, path: &str) -> Option<String> {
        let answer = self.client.get(format!("{root}{path}")).send().await.ok()?;
        if answer.status().is_success() { answer.text().await.ok() } else { None }
    }

    /// The request for some rows: one matrix of all features when the model takes one, else each column by its name.
    pub(crate) fn request(&self, table: &Table, features: &[&str], rows: &[usize]) -> anyhow::Result<Value> {
        let inputs = match self.metadata.inputs.as_slice() {
            [input] if is_matrix(input, features) => vec![matrix(input, table, features, rows)?],
            inputs => inputs
                .iter()
                .map(|input| {
                    let feature = features.iter().find(|it| **it == input.name).with_context(|| {
                        format!(
                            "the model takes {}, which is no column that it gets; those are {}",
                            input.name,
                            features.join(", ")
                        )
                    })?;
                    matrix(input, table, &[feature], rows)
                })
                .collect::<anyhow::Result<_>>()?,
        };
        Ok(json!({"inputs": inputs}))
    }
}

/// Whether an input takes all features at once.
fn is_matrix(input: &Tensor, features: &[&str]) -> bool {
    let width = input.shape.get(1).copied().unwrap_or(1);
    input.shape.len() == 2 && (features != [input.name.as_str()] || width != 1)
}

/// A tensor of some columns and rows.
fn matrix(input: &Tensor, table: &Table, features: &[&str], rows: &[usize]) -> anyhow::Result<Value> {
    let width = input.shape.get(1).copied().filter(|it| *it >= 0);
    if let Some(width) = width {
        ensure!(
            usize::try_from(width) == Ok(features.len()),
            "the model's input {} takes {width} columns, and would get {}: {}; name them by features, or leave some out by exclude",
            input.name,
            features.len(),
            features.join(", ")
        );
    }
    let columns = features.iter().map(|name| Ok((*name, table.column(name)?)));
    let columns = columns.collect::<anyhow::Result<Vec<_>>>()?;
    let mut data = Vec::with_capacity(rows.len() * columns.len());
    for row in rows {
        for (name, column) in &columns {
            data.push(cell(&input.datatype, name, column, *row)?);
        }
    }
    let shape = if input.shape.len() == 1 { vec![rows.len()] } else { vec![rows.len(), columns.len()] };
    Ok(json!({"name": input.name, "datatype": input.datatype, "shape": shape, "data": data}))
}

fn cell(datatype: &str, name: &str, column: &Column, row: usize) -> anyhow::Result<Value> {
    let missing = || format!("column {name} has no value in row {}, and the model takes none", row + 1);
    let number = || match column {
        Column::Number(values) => values.get(row).copied().flatten(),
        Column::Boolean(values) => values.get(row).copied().flatten().map(f64::from),
        Column::Text(_) => None,
    };
    if let Column::Text(_) = column
        && datatype != "BYTES"
    {
        bail!(
            "column {name} holds text, and the model takes {datatype}: leave it out by exclude, or name the columns by features"
        );
    }
    Ok(match datatype {
        "BYTES" => json!(column.text(row).with_context(missing)?),
        "BOOL" => json!(number().with_context(missing)? != 0.0),
        "FP16" | "FP32" | "FP64" => json!(number().with_context(missing)?),
        _ => {
            let number = number().with_context(missing)?;
            ensure!(
                number.fract() == 0.0,
                "column {name} has {number} in row {}, and the model takes whole numbers ({datatype})",
                row + 1
            );
            json!(number as i64)
        }
    })
}

/// The prediction of each row, and the probabilities if there are any.
#[expect(clippy::type_complexity, reason = "two lists of an answer")]
fn outputs(answer: &Value, rows: usize) -> anyhow::Result<(Vec<Value>, Option<Vec<Vec<f64>>>)> {
    let outputs = answer["outputs"].as_array().map(Vec::as_slice).unwrap_or_default();
    let name = |it: &Value| it["name"].as_str().unwrap_or_default().to_owned();
    let label = outputs
        .iter()
        .find(|it| ["label", "output_label", "class", "prediction"].contains(&name(it).as_str()))
        .or(outputs.first())
        .context("the model's answer has no outputs")?;
    let values = flat(&label["data"]);
    ensure!(
        values.len() == rows,
        "the model's output {} has {} values for {rows} rows: it must have one a row",
        name(label),
        values.len()
    );
    let is_table = |it: &&Value| {
        let width = it["shape"].get(1).and_then(Value::as_u64).unwrap_or(0);
        name(it) != name(label) && it["shape"].as_array().map(Vec::len) == Some(2) && width >= 2
    };
    let scores = outputs.iter().find(is_table).and_then(|it| {
        let numbers: Option<Vec<f64>> = flat(&it["data"]).iter().map(Value::as_f64).collect();
        let numbers = numbers?;
        (rows > 0 && numbers.len() % rows == 0)
            .then(|| numbers.chunks(numbers.len() / rows).map(<[f64]>::to_vec).collect())
    });
    Ok((values, scores))
}

/// The values of a tensor, which the protocol lets a server nest.
fn flat(data: &Value) -> Vec<Value> {
    match data {
        Value::Array(items) => items.iter().flat_map(flat).collect(),
        value => vec![value.clone()],
    }
}

/// Predictions as a column: texts when one is, else numbers.
fn column(values: &[Value]) -> Column {
    if values.iter().all(Value::is_number) {
        Column::Number(values.iter().map(Value::as_f64).collect())
    } else if values.iter().all(Value::is_boolean) {
        Column::Boolean(values.iter().map(Value::as_bool).collect())
    } else {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Column::Text(values.iter().map(|value| Some(text(value))).collect())
    }
}

/// Whether the model's predictions are numbers of a regression, by the datatype of the output that tells them.
pub(crate) fn is_regression(model: &Model) -> bool {
    let outputs = &model.metadata.outputs;
    let label = outputs
        .iter()
        .find(|it| ["label", "output_label", "class", "prediction"].contains(&it.name.as_str()))
        .or(outputs.first());
    label.is_some_and(|it| it.datatype.starts_with("FP"))
}
