//! Kinds are told by the values, and a column that can't be used says why.
use serde_json::json;

use super::*;

fn text(values: &[Option<&str>]) -> Column {
    Column::Text(values.iter().map(|value| value.map(str::to_owned)).collect())
}

#[test]
fn csv_tells_the_kinds_of_its_columns() {
    let table = Table::from_csv(
        b"\xef\xbb\xbfage,name,member,empty,mixed\n1.5,Ann,true,,1\n,NA,FALSE,null,x\n-2e1,\"a, b\",NaN,,\n",
    )
    .unwrap();
    let columns: Vec<(&str, &Column)> = table.columns().collect();
    assert_eq!(table.rows(), 3);
    assert_eq!(columns[0], ("age", &Column::Number(vec![Some(1.5), None, Some(-20.0)])));
    assert_eq!(columns[1], ("name", &text(&[Some("Ann"), Some("NA"), Some("a, b")])));
    assert_eq!(columns[2], ("member", &Column::Boolean(vec![Some(true), Some(false), None])));
    assert_eq!(columns[3], ("empty", &text(&[None, None, None])));
    assert_eq!(columns[4], ("mixed", &text(&[Some("1"), Some("x"), None])));
}

#[test]
fn csv_that_is_none_says_so() {
    let error = Table::from_csv(b"a,b\n1\n").unwrap_err().to_string();
    assert!(error.starts_with("failed to read CSV: "), "{error}");
    assert_eq!(Table::from_csv(b"a,a\n1,2\n").unwrap_err().to_string(), "the column a is there twice");
    assert_eq!(Table::from_csv(b"").unwrap().rows(), 0);
}

#[test]
fn an_infinite_number_is_text() {
    let table = Table::from_csv(b"a\ninf\n1\n").unwrap();
    assert_eq!(table.column("a").unwrap().kind(), Kind::Text);
}

#[test]
fn json_tells_the_kinds_of_its_columns() {
    let rows = [json!({"n": 1, "t": "x", "b": true, "m": 1}), json!({"n": 2.5, "m": "1", "late": {"a": 1}})];
    let rows: Vec<_> = rows.iter().map(|row| row.as_object().unwrap().clone()).collect();
    let table = Table::from_json(&rows);
    assert_eq!(table.column("n").unwrap(), &Column::Number(vec![Some(1.0), Some(2.5)]));
    assert_eq!(table.column("t").unwrap(), &text(&[Some("x"), None]));
    assert_eq!(table.column("b").unwrap(), &Column::Boolean(vec![Some(true), None]));
    assert_eq!(table.column("m").unwrap(), &text(&[Some("1"), Some("1")]));
    assert_eq!(table.column("late").unwrap(), &text(&[None, Some("{\"a\":1}")]));
}

#[test]
fn a_column_that_is_not_there_names_those_that_are() {
    let table = Table::from_csv(b"a,b\n1,2\n").unwrap();
    let error = table.select(&["b", "c"]).unwrap_err().to_string();
    assert_eq!(error, "there is no column c; the columns are a, b");
    assert_eq!(table.select(&["b"]).unwrap().columns().count(), 1);
}

#[test]
fn columns_of_another_length_make_no_table() {
    let columns = vec![("a".to_owned(), text(&[None])), ("b".to_owned(), text(&[]))];
    let error = Table::new(columns).unwrap_err().to_string();
    assert_eq!(error, "the column b has 0 rows, the others have 1");
}

#[test]
fn rows_without_a_value_are_left_out_on_request_and_named_otherwise() {
    let table = Table::from_csv(b"y,p\n1,1\n0,\n1,0\n").unwrap();
    assert_eq!(table.numbers("p").unwrap_err().to_string(), "the column p has no value in row 2");
    let complete = table.complete(&["y", "p"]).unwrap();
    assert_eq!(complete.numbers("p").unwrap(), [1.0, 0.0]);
    assert_eq!(complete.equals("y", "1").unwrap(), [true, true]);
    let texts = Table::from_csv(b"y\na\n").unwrap();
    assert_eq!(texts.numbers("y").unwrap_err().to_string(), "the column y does not hold numbers alone");
}

#[test]
fn a_class_is_the_same_by_its_text_in_columns_of_any_kind() {
    let table = Table::from_csv(b"y,p\n1,one\n2,1\n").unwrap();
    let mut classes = Classes::default();
    let actual = table.classes("y", &mut classes).unwrap();
    let predicted = table.classes("p", &mut classes).unwrap();
    assert_eq!(actual[0], predicted[1]);
    assert_eq!(classes.iter().map(|(_, name)| name).collect::<Vec<_>>(), ["1", "2", "one"]);
    assert_eq!(classes.name(predicted[0]), "one");
}
