//! Tests of the protocol: what is accepted, what is refused with which words, and what is answered.
use super::*;

fn signature(name: &str, datatype: Datatype, shape: &[i64]) -> Signature {
    Signature { name: name.to_owned(), datatype, shape: shape.to_vec() }
}

fn model() -> Model {
    Model {
        name: "churn".to_owned(),
        version: Some("7".to_owned()),
        inputs: vec![signature("X", Datatype::Fp32, &[-1, 2])],
        outputs: vec![
            signature("label", Datatype::Int64, &[-1]),
            signature("probabilities", Datatype::Fp32, &[-1, 2]),
        ],
    }
}

fn request(shape: &str, datatype: &str, data: &str) -> String {
    format!(r#"{{"inputs":[{{"name":"X","shape":{shape},"datatype":"{datatype}","data":{data}}}]}}"#)
}

fn accepted(body: &str) -> Inference {
    parse(&model(), body.as_bytes()).unwrap()
}

fn refused(body: &str) -> (u16, String) {
    let refusal = parse(&model(), body.as_bytes()).unwrap_err();
    (refusal.status, refusal.message)
}

/// Parses one row of two elements of a datatype.
fn row(datatype: Datatype, data: &str) -> Result<Data, String> {
    data::parse(datatype, &[1, 2], 2, data)
}

#[test]
fn flat_and_nested_data_are_the_same_tensor() {
    let flat = accepted(&request("[2,2]", "FP32", "[1, 2.5, -3e1, 4]"));
    let nested = accepted(&request("[2,2]", "FP32", "[[1, 2.5], [-3e1, 4]]"));
    assert_eq!(flat, nested);
    assert_eq!(flat.inputs, [Tensor { shape: vec![2, 2], data: Data::Fp32(vec![1.0, 2.5, -30.0, 4.0]) }]);
    assert_eq!((flat.id, flat.outputs), (None, vec![0, 1]));
}

#[test]
fn ragged_or_misshapen_data_is_refused() {
    for data in
        ["[[1,2],[3]]", "[[1,2,3],[4]]", "[[1],[2],[3],[4]]", "[[1,2,3,4]]", "[1,[2,3,4]]", "[[[1,2],[3,4]]]"]
    {
        let (status, message) = refused(&request("[2,2]", "FP32", data));
        assert_eq!(status, 422, "{data}");
        assert!(message.contains("`X`") && message.contains("[2, 2]"), "{data}: {message}");
    }
}

#[test]
fn wrong_number_of_elements_says_both_numbers() {
    let (status, message) = refused(&request("[2,2]", "FP32", "[1,2,3]"));
    assert_eq!(status, 422);
    assert!(message.contains("3 elements") && message.contains("needs 4"), "{message}");
    assert!(refused(&request("[2,2]", "FP32", "[1,2,3,4,5]")).1.contains("more elements than the 4"));
}

#[test]
fn shape_that_does_not_fit_says_the_expected_one() {
    for shape in ["[2]", "[1,3]", "[1,2,1]", "[0,2]", "[-1,2]", "[4611686018427387904,2]"] {
        let (status, message) = refused(&request(shape, "FP32", "[1,2]"));
        assert_eq!(status, 422, "{shape}");
        assert!(message.contains("[-1, 2]") || message.contains("needs"), "{shape}: {message}");
    }
}

#[test]
fn lying_shape_reserves_no_memory() {
    let (status, message) = refused(&request("[500000000000,2]", "FP32", "[1,2]"));
    assert_eq!(status, 422);
    assert!(message.contains("data has 2 elements"), "{message}");
}

#[test]
fn wrong_datatype_says_the_expected_one() {
    let (status, message) = refused(&request("[1,2]", "FP64", "[1,2]"));
    assert_eq!((status, message.as_str()), (422, "input `X` has datatype FP64, the model expects FP32"));
    assert!(refused(&request("[1,2]", "float", "[1,2]")).1.contains("FP32"));
}

#[test]
fn names_that_the_model_does_not_have_say_those_it_has() {
    let (status, message) = refused(&request("[1,2]", "FP32", "[1,2]").replace("\"X\"", "\"Y\""));
    assert_eq!((status, message.as_str()), (422, "the model has no input `Y`; it has `X` (FP32 [-1, 2])"));
    assert!(refused(r#"{"inputs":[]}"#).1.contains("`X` (FP32 [-1, 2]) is missing"));
    let twice = r#"{"inputs":[{"name":"X","shape":[1,2],"datatype":"FP32","data":[1,2]},{"name":"X","shape":[1,2],"datatype":"FP32","data":[1,2]}]}"#;
    assert!(refused(twice).1.contains("more than once"));
}

#[test]
fn outputs_are_those_asked_for_in_that_order() {
    let body = |outputs: &str| {
        request("[1,2]", "FP32", "[1,2]")
            .replace("{\"inputs\"", &format!("{{\"outputs\":{outputs},\"inputs\""))
    };
    assert_eq!(accepted(&body(r#"[{"name":"probabilities"},{"name":"label"}]"#)).outputs, [1, 0]);
    assert_eq!(accepted(&body("[]")).outputs, [0, 1]);
    assert!(refused(&body(r#"[{"name":"score"}]"#)).1.contains("`probabilities` (FP32 [-1, 2])"));
    assert!(refused(&body(r#"[{"name":"label"},{"name":"label"}]"#)).1.contains("more than once"));
}

#[test]
fn what_is_not_the_protocol_is_a_bad_request_that_shows_the_form() {
    let deep = "[".repeat(100_000);
    for body in ["", "[]", "{}", "{\"inputs\":3}", "not json", &request("\"a\"", "FP32", "[]"), &deep] {
        let (status, message) = refused(body);
        assert_eq!(status, 400, "{message}");
        assert!(message.contains("\"inputs\""), "{message}");
    }
    assert_eq!(parse(&model(), b"\xff\xfe").unwrap_err().status, 400);
}

#[test]
fn deep_data_is_refused_without_exhausting_the_stack() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(refused(&request("[1,2]", "FP32", &deep)).0, 400 | 422));
}

#[test]
fn extensions_that_change_the_form_are_refused_and_other_parameters_are_not() {
    let with = |parameters: &str| {
        request("[1,2]", "FP32", "[1,2]")
            .replace("{\"inputs\"", &format!("{{\"parameters\":{parameters},\"inputs\""))
    };
    assert_eq!(accepted(&with(r#"{"sequence_id":3,"priority":{"a":[1]}}"#)).inputs.len(), 1);
    for parameters in
        [r#"{"binary_data_output":true}"#, r#"{"binary_data_size":8}"#, r#"{"classification":2}"#]
    {
        let (status, message) = refused(&with(parameters));
        assert_eq!(status, 400);
        assert!(message.contains("not supported"), "{message}");
    }
    assert_eq!(accepted(&with(r#"{"binary_data_output":false}"#)).inputs.len(), 1);
}

#[test]
fn every_datatype_takes_its_values() {
    assert_eq!(row(Datatype::Bool, "[true,false]"), Ok(Data::Bool(vec![true, false])));
    assert_eq!(row(Datatype::Uint8, "[0,255]"), Ok(Data::Uint8(vec![0, 255])));
    assert_eq!(row(Datatype::Int8, "[-128,127]"), Ok(Data::Int8(vec![-128, 127])));
    assert_eq!(row(Datatype::Uint64, "[0,18446744073709551615]"), Ok(Data::Uint64(vec![0, u64::MAX])));
    assert_eq!(row(Datatype::Int64, "[-9223372036854775808,1]"), Ok(Data::Int64(vec![i64::MIN, 1])));
    assert_eq!(row(Datatype::Fp64, "[0.1,1]"), Ok(Data::Fp64(vec![0.1, 1.0])));
    assert_eq!(
        row(Datatype::Bytes, r#"["a","ä\n"]"#),
        Ok(Data::Bytes(vec!["a".to_owned(), "ä\n".to_owned()]))
    );
}

#[test]
fn values_outside_a_datatype_are_refused_and_never_rounded() {
    let cases = [
        (Datatype::Uint8, "256"),
        (Datatype::Uint8, "-1"),
        (Datatype::Int32, "2147483648"),
        (Datatype::Int64, "1.5"),
        (Datatype::Int64, "9223372036854775808"),
        (Datatype::Fp32, "1e39"),
        (Datatype::Fp32, "true"),
        (Datatype::Fp32, "\"1\""),
        (Datatype::Bool, "1"),
        (Datatype::Bytes, "1"),
        (Datatype::Int64, "null"),
        (Datatype::Fp32, "{}"),
    ];
    for (datatype, value) in cases {
        let message = row(datatype, &format!("[{value},{value}]")).unwrap_err();
        assert!(message.contains(datatype.name()), "{datatype} {value}: {message}");
    }
}

#[test]
fn missing_and_infinite_numbers_go_in_and_out_as_words() {
    let Ok(Data::Fp32(values)) = row(Datatype::Fp32, r#"[null,"-Infinity"]"#) else { panic!("refused") };
    assert!(values[0].is_nan() && values[1] == f32::NEG_INFINITY);
    let tensor = Tensor { shape: vec![3], data: Data::Fp32(vec![f32::NAN, f32::INFINITY, 0.1]) };
    let text = String::from_utf8(response(&model(), None, &[1], &[tensor])).unwrap();
    assert!(text.contains(r#""data":["NaN","Infinity",0.1]"#), "{text}");
}

#[test]
fn response_echoes_the_id_and_names_model_version_and_outputs() {
    let tensors = [
        Tensor { shape: vec![1], data: Data::Int64(vec![1]) },
        Tensor { shape: vec![1, 2], data: Data::Fp32(vec![0.25, 0.75]) },
    ];
    let text = String::from_utf8(response(&model(), Some("42"), &[0, 1], &tensors)).unwrap();
    assert_eq!(
        text,
        concat!(
            r#"{"model_name":"churn","model_version":"7","id":"42","outputs":["#,
            r#"{"name":"label","shape":[1],"datatype":"INT64","data":[1]},"#,
            r#"{"name":"probabilities","shape":[1,2],"datatype":"FP32","data":[0.25,0.75]}]}"#
        )
    );
}

#[test]
fn metadata_names_inputs_and_outputs() {
    let text = String::from_utf8(metadata(&model())).unwrap();
    assert_eq!(
        text,
        concat!(
            r#"{"name":"churn","versions":["7"],"platform":"onnxruntime_onnx","#,
            r#""inputs":[{"name":"X","datatype":"FP32","shape":[-1,2]}],"#,
            r#""outputs":[{"name":"label","datatype":"INT64","shape":[-1]},"#,
            r#"{"name":"probabilities","datatype":"FP32","shape":[-1,2]}]}"#
        )
    );
}

#[test]
fn warm_up_is_zeros_with_open_dimensions_of_one() {
    let zeros = signature("X", Datatype::Fp32, &[-1, 3]).zeros().unwrap();
    assert_eq!(zeros, Tensor { shape: vec![1, 3], data: Data::Fp32(vec![0.0; 3]) });
    assert_eq!(signature("X", Datatype::Fp32, &[1 << 20, 1 << 20]).zeros(), None);
}
