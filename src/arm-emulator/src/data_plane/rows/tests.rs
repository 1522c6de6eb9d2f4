//! Files to rows.
use serde_json::json;

use super::*;

fn rows(name: &str, text: &str) -> Table {
    match read(name, text.as_bytes()).unwrap() {
        Content::Rows(table) => table,
        Content::Inference(body) => panic!("{name} is an inference: {body}"),
    }
}

#[test]
fn csv_has_a_header_unless_it_is_all_numbers() {
    let table = rows("a.csv", "x,\"y, z\"\n1,2\n3,4\n");
    assert_eq!(table.columns, Some(vec!["x".to_owned(), "y, z".to_owned()]));
    assert_eq!(table.rows, [[json!("1"), json!("2")], [json!("3"), json!("4")]]);
    assert_eq!(rows("b.CSV", "1,2\n").columns, None);
}

#[test]
fn lines_and_documents_of_json_are_rows() {
    let wanted = [[json!(1), json!(2)]];
    for (name, text) in [
        ("a.jsonl", "[1, 2]\n\n"),
        ("b.jsonl", "{\"a\": 1, \"b\": 2}\n"),
        ("c.json", "[[1, 2]]"),
        ("d.json", "{\"input_data\": [[1, 2]]}"),
    ] {
        assert_eq!(rows(name, text).rows, wanted, "{name}");
    }
    let body = json!({"inputs": [{"name": "X"}]});
    assert_eq!(read("e.json", body.to_string().as_bytes()).unwrap(), Content::Inference(body));
}

#[test]
fn what_is_not_read_is_said() {
    let refused = |name: &str, text: &str| read(name, text.as_bytes()).unwrap_err().to_string();
    assert!(refused("a.parquet", "").contains("not read"));
    assert!(refused("a.csv", "a,b\n").contains("no rows"));
    assert!(refused("a.jsonl", "{").contains("no JSON"));
}
