//! Records as Azure Machine Learning's data collector writes them: a CloudEvent a line, with rows as objects.
use std::fmt::Write as _;

use super::rows::{Direction, Rows};
use super::titles::quote;
use crate::exchange::Exchange;

impl Direction {
    /// The folder of the records.
    pub(super) fn collection(self) -> &'static str {
        match self {
            Self::Inputs => "model_inputs",
            Self::Outputs => "model_outputs",
        }
    }

    /// The type of the records.
    pub(super) fn event(self) -> &'static str {
        match self {
            Self::Inputs => "azureml.inference.inputs",
            Self::Outputs => "azureml.inference.outputs",
        }
    }
}

/// What writes the records.
pub(super) const AGENT: &str = concat!("mlops-gateway/", env!("CARGO_PKG_VERSION"));

/// The name of the revision that answered.
pub(super) fn revision(exchange: &Exchange) -> &str {
    let asked = &exchange.asked;
    asked.endpoint.route.revisions.get(asked.place).map_or("", |revision| &revision.name)
}

/// Where the records come from.
pub(super) fn source(exchange: &Exchange) -> String {
    let (route, revision) = (&exchange.asked.endpoint.route, revision(exchange));
    format!("/namespaces/{}/endpoints/{}/revisions/{revision}", route.namespace, route.name)
}

/// What all records of a file have in common, as it stands behind an id, and behind the id of a request. All of it is
/// ours, or names that Kubernetes allows: there is nothing to escape.
#[derive(Debug)]
pub(super) struct Form {
    head: String,
    tail: String,
}

impl Form {
    /// The form of an exchange and those like it.
    pub(super) fn new(exchange: &Exchange, direction: Direction) -> Self {
        let (kind, source, revision) = (direction.event(), source(exchange), revision(exchange));
        Self {
            head: format!(
                r#"","source":"{source}","type":"{kind}","datacontenttype":"application/json","time":""#
            ),
            tail: format!(
                r#","modelversion":"{revision}","collectdatatype":"pandas.core.frame.DataFrame","agent":"{AGENT}","contentrange":"bytes 0-"#
            ),
        }
    }
}

/// What both records of an exchange have in common.
#[derive(Debug, Default)]
pub(super) struct Common {
    time: String,
    request_id: String,
}

impl Common {
    /// Takes an exchange's in place of the last one's.
    pub(super) fn set(&mut self, exchange: &Exchange) {
        self.time.clear();
        self.request_id.clear();
        // Writing to a text can't fail.
        let _ = write!(self.time, "{:.3}", exchange.asked.at);
        // The id is the caller's and may hold quotes.
        quote(&exchange.asked.request_id, &mut self.request_id);
    }
}

/// Appends a record and the end of its line.
pub(super) fn line(form: &Form, common: &Common, rows: &Rows<'_>, into: &mut String) {
    let Common { time, request_id } = common;
    let _ = write!(into, r#"{{"specversion":"1.0","id":"{:032x}"#, fastrand::u128(..));
    for part in [&*form.head, time, r#"","data":"#] {
        into.push_str(part);
    }
    let start = into.len();
    text(rows, into);
    let length = into.len() - start;
    let last = length.saturating_sub(1);
    for part in [r#","correlationid":"#, request_id, r#","xrequestid":"#, request_id, &*form.tail] {
        into.push_str(part);
    }
    let _ = writeln!(into, r#"{last}/{length}"}}"#);
}

/// Appends rows as a list of objects.
fn text(rows: &Rows<'_>, into: &mut String) {
    into.push('[');
    for place in 0..rows.len() {
        into.push_str(if place == 0 { "" } else { "," });
        row(rows, place, into);
    }
    into.push(']');
}

/// Appends one row as an object.
pub(super) fn row(rows: &Rows<'_>, row: usize, into: &mut String) {
    match rows {
        Rows::Tensors(_, tensors) => {
            into.push('{');
            let mut is_first = true;
            for columns in tensors {
                let values = columns.values.iter().skip(row * columns.titles.len());
                for (title, value) in columns.titles.iter().zip(values) {
                    into.push_str(title.before(is_first));
                    into.push_str(if title.is_masked { "null" } else { value });
                    is_first = false;
                }
            }
            into.push('}');
        }
        Rows::Values(rows) => {
            if let Some(row) = rows.get(row) {
                let _ = write!(into, "{row}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::rows::{Masks, rows};
    use super::super::titles::Titles;
    use super::*;

    fn masks() -> Masks {
        ["email", "income_1"].map(str::to_owned).into()
    }

    fn read(body: &Value, direction: Direction, masks: &Masks) -> Option<Value> {
        let (body, mut found) = (body.to_string(), String::new());
        text(&rows(body.as_bytes(), direction, masks, &mut Titles::default())?, &mut found);
        Some(serde_json::from_str(&found).unwrap())
    }

    #[test]
    fn tensors_become_rows_of_columns_and_masks_hold() {
        let body = json!({"inputs": [
            {"name": "age", "shape": [2, 1], "datatype": "INT64", "data": [[30], [40]]},
            {"name": "income", "shape": [2, 2], "datatype": "FP32", "data": [1.5, 2.5, 3.5, 4.5]},
            {"name": "email", "shape": [2], "datatype": "BYTES", "data": ["a@b", "c@d"]},
            {"name": "\"\\\n\u{1}é", "shape": [2], "datatype": "INT64", "data": [5, 6]},
        ]});
        let expected = json!([
            {"age": 30, "income_0": 1.5, "income_1": null, "email": null, "\"\\\n\u{1}é": 5},
            {"age": 40, "income_0": 3.5, "income_1": null, "email": null, "\"\\\n\u{1}é": 6},
        ]);
        assert_eq!(read(&body, Direction::Inputs, &masks()), Some(expected));
    }

    #[test]
    fn tables_of_every_form_are_masked() {
        let split = json!({"input_data": {"columns": ["age", "email"], "data": [[30, "a@b"]]}});
        let bare = split["input_data"].clone();
        let records = json!({"data": [{"age": 30, "email": "a@b"}]});
        for body in [split, bare, records] {
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
