//! Rows to tensors and back.
use super::*;

fn one_input() -> Value {
    json!({"inputs": [{"name": "X", "datatype": "FP32", "shape": [-1, 2]}]})
}

#[test]
fn rows_with_columns_become_one_tensor() {
    let body = json!({"input_data": {"columns": ["a", "b"], "index": [0, 1], "data": [[1, 2.5], ["3", 4]]}});
    let made = request(&table(&body).unwrap(), &one_input()).unwrap();
    let wanted =
        json!({"inputs": [{"name": "X", "shape": [2, 2], "datatype": "FP32", "data": [1, 2.5, 3.0, 4]}]});
    assert_eq!(made, wanted);
    assert!(is_inference(&made));
}

#[test]
fn plain_rows_and_rows_of_objects_are_taken() {
    for body in [json!({"input_data": [[1, 2]]}), json!({"input_data": [{"a": 1, "b": 2}]})] {
        let made = request(&table(&body).unwrap(), &one_input()).unwrap();
        assert_eq!(made["inputs"][0]["data"], json!([1, 2]));
        assert!(!is_inference(&body));
    }
}

#[test]
fn columns_are_the_inputs_of_a_model_with_several() {
    let metadata = json!({"inputs": [
        {"name": "age", "datatype": "INT64", "shape": [-1]}, {"name": "name", "datatype": "BYTES", "shape": [-1, 1]}
    ]});
    let body = json!({"input_data": {"columns": ["name", "age"], "data": [["x", "7"]]}});
    let made = request(&table(&body).unwrap(), &metadata).unwrap();
    assert_eq!(made["inputs"][0], json!({"name": "age", "shape": [1], "datatype": "INT64", "data": [7]}));
    assert_eq!(made["inputs"][1]["shape"], json!([1, 1]));
}

#[test]
fn what_does_not_fit_is_refused_with_words() {
    let refused =
        |body: Value| table(&body).and_then(|table| request(&table, &one_input())).unwrap_err().to_string();
    assert!(refused(json!({"rows": []})).contains("holds no rows"));
    assert!(refused(json!({"input_data": [[1, 2, 3]]})).contains("takes 2 columns, but a row has 3"));
    assert!(refused(json!({"input_data": [[1, "x"]]})).contains("'x' is no FP32"));
    assert!(refused(json!({"input_data": [[1, 2], [1]]})).contains("differ in length"));
    assert!(refused(json!({"input_data": []})).contains("there are no rows"));
}

#[test]
fn answers_become_rows() {
    let answer = json!({"outputs": [
        {"name": "label", "shape": [2], "datatype": "INT64", "data": [1, 0]},
        {"name": "probabilities", "shape": [2, 2], "datatype": "FP32", "data": [0.1, 0.9, 0.8, 0.2]}
    ]});
    let wanted = json!([
        {"label": 1, "probabilities": [0.1, 0.9]}, {"label": 0, "probabilities": [0.8, 0.2]}
    ]);
    assert_eq!(json!(rows(&answer).unwrap()), wanted);
    let single = json!({"outputs": [{"name": "label", "shape": [2], "data": [1, 0]}]});
    assert_eq!(rows(&single).unwrap(), [json!(1), json!(0)]);
}
