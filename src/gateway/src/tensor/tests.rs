//! Tests of tensors: however they are read, the same is found.
use proptest::prelude::*;

use super::*;

/// The tensors as `serde_json` alone reads them.
fn other(body: &str) -> Option<Vec<Tensor<'_>>> {
    serde_json::from_str(body).ok().map(|request: Request<'_>| request.inputs)
}

fn plain(body: &str) -> Option<Vec<Tensor<'_>>> {
    plain::tensors(body.as_bytes(), "inputs")
}

fn body(data: &str) -> String {
    format!(r#"{{"inputs":[{{"name":"x","shape":[1],"data":{data}}}]}}"#)
}

#[test]
fn values_are_cut_out_as_they_are_written() {
    let cut = |text: &str| {
        let body = body(text);
        assert_eq!(plain(&body), other(&body));
        let tensors = Tensor::inputs(body.as_bytes()).unwrap();
        tensors[0].values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(cut("[ [1, -2.5e3] ,\n[null,true] ]"), ["1", "-2.5e3", "null", "true"]);
    assert_eq!(cut(r#"["a,]", "\\\"[", "", "é"]"#), [r#""a,]""#, r#""\\\"[""#, r#""""#, r#""é""#]);
    assert_eq!(cut(r#"[{"a": [1, "}"], "b": {}}, {}]"#), [r#"{"a": [1, "}"], "b": {}}"#, "{}"]);
    assert_eq!(cut("[0, -0, 0.10, 1E+2, 12e-03]"), ["0", "-0", "0.10", "1E+2", "12e-03"]);
    assert_eq!(cut("7"), ["7"]);
    assert_eq!(cut("[[], [ ]]"), [""; 0]);
}

#[test]
fn what_is_no_json_has_no_values() {
    for data in [
        "[01]", "[1.]", "[.5]", "[-]", "[1e]", "[+1]", "[1,]", "[,1]", "[1 2]", "[1", "[1]]", "[nul]",
        "nullx", "",
    ] {
        let body = body(data);
        assert_eq!((plain(&body), Tensor::inputs(body.as_bytes())), (None, None), "{data}");
    }
}

#[test]
fn a_body_may_say_more_and_in_any_order() {
    let usual = r#" {"id": "a\"b", "inputs": [
        {"data": [1], "parameters": {"a": [{}]}, "shape": [1, 1], "datatype": "FP32", "name": "x"},
        {"name": "", "shape": [], "data": "a"}
    ], "outputs": []} "#;
    assert_eq!(plain(usual).map(|tensors| tensors.len()), Some(2));
    assert_eq!(plain(usual), other(usual));
    for none in [r#"{"inputs": []}"#, r#"{"inputs":[],"id":1.5e3}"#] {
        assert_eq!((plain(none), other(none)), (Some(Vec::new()), Some(Vec::new())));
    }
    // What is not plain is read by others.
    let escaped = r#"{"inputs": [{"name": "\u0078", "shape": [1], "data": [1]}]}"#;
    assert_eq!(plain(escaped), None);
    assert_eq!(Tensor::inputs(escaped.as_bytes()).unwrap()[0].name, "x");
    let twice = r#"{"inputs": [], "inputs": []}"#;
    assert_eq!((plain(twice), Tensor::inputs(twice.as_bytes())), (None, None));
}

#[test]
fn a_shape_that_is_too_large_takes_no_memory() {
    let body = r#"{"inputs": [{"name": "x", "shape": [1000000, 9000000000000], "data": [1, 2]}]}"#;
    assert!(plain(body).unwrap()[0].values.capacity() < 8);
}

/// Texts that are JSON for the most part.
fn bodies() -> impl Strategy<Value = String> {
    const PARTS: [&str; 24] = [
        "[",
        "]",
        ",",
        "{",
        "}",
        ":",
        " ",
        "\n",
        "0",
        "1",
        "23",
        "-",
        ".",
        ".5",
        "e",
        "E+",
        "null",
        "true",
        "\"",
        "\\",
        r#""a""#,
        r#""é\n""#,
        r#""data""#,
        r#""name":"#,
    ];
    let parts = |most| proptest::collection::vec(proptest::sample::select(&PARTS), 0..most);
    let parts = |most| parts(most).prop_map(|parts: Vec<&str>| parts.concat());
    let number = "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?";
    let list =
        proptest::collection::vec(number, 0..6).prop_map(|numbers| format!("[{}]", numbers.join(", ")));
    let data = prop_oneof![
        parts(8),
        list.clone(),
        proptest::collection::vec(list, 0..3).prop_map(|lists| format!("[{}]", lists.join(",")))
    ];
    let whole = data.prop_map(|data| {
        format!(r#"{{"id": 1, "inputs":[{{"name":"x", "datatype":"FP32","shape":[1],"data":{data}}}, {{"name":"y","data":[2],"shape":[1]}}]}}"#)
    });
    // Something in the middle is taken out and something put in.
    (whole, any::<prop::sample::Index>(), 0..3_usize, parts(2)).prop_map(|(whole, place, out, into)| {
        let place = place.index(whole.len());
        let rest = whole.chars().skip(place + out);
        whole.chars().take(place).chain(into.chars()).chain(rest).collect()
    })
}

proptest! {
    #[test]
    fn a_body_that_is_read_in_one_pass_is_read_like_any(body in bodies()) {
        if let Some(tensors) = plain(&body) {
            prop_assert_eq!(Some(tensors), other(&body));
        }
        prop_assert_eq!(Tensor::inputs(body.as_bytes()), other(&body));
    }
}
