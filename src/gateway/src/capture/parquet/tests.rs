//! Tests of the files of Parquet: what is written is what is read, whatever callers send.
use std::collections::BTreeMap;

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::frame::{Frame, Record, name_of};
use super::super::record;
use super::super::rows::{self, Direction, Masks, Rows};
use super::super::titles::Titles;
use super::*;

fn about() -> About {
    About {
        source: "/namespaces/team".to_owned(),
        kind: "azureml.inference.inputs",
        revision: "a".to_owned(),
    }
}

fn rows(body: &str) -> Rows<'_> {
    static NONE: Masks = Masks::new();
    rows::rows(body.as_bytes(), Direction::Inputs, &NONE, &mut Titles::default()).unwrap()
}

fn record(rows: &Rows<'_>, id: &str) -> Record {
    Record {
        id: 7,
        at: "2026-01-02T03:04:05.678Z".parse().unwrap(),
        request_id: id.to_owned(),
        rows: rows.len(),
    }
}

fn reader(frame: &Frame, group: usize) -> SerializedFileReader<Bytes> {
    SerializedFileReader::new(Bytes::from(file_of_groups(&about(), frame, group).unwrap())).unwrap()
}

/// The frame of bodies.
fn frame(bodies: &[Value]) -> Frame {
    let mut frame = Frame::default();
    for body in bodies {
        let body = body.to_string();
        let rows = rows(&body);
        frame.push(record(&rows, "id"), &rows).unwrap();
    }
    frame
}

fn tensors(columns: &[(&str, &str, Value)]) -> Value {
    let tensors = columns.iter().map(|(name, kind, data)| {
        json!({"name": name, "datatype": kind, "shape": [data.as_array().unwrap().len()], "data": data})
    });
    json!({"inputs": tensors.collect::<Vec<_>>()})
}

/// The kinds of a file's own columns.
fn kinds(bodies: &[Value]) -> Vec<(String, String)> {
    let reader = reader(&frame(bodies), 10);
    let schema = reader.metadata().file_metadata().schema_descr();
    let own = schema.columns().iter().skip(RESERVED.len());
    own.map(|column| {
        let kind = match column.logical_type_ref() {
            Some(logical) => format!("{logical:?}"),
            None => column.physical_type().to_string(),
        };
        (column.name().to_owned(), kind)
    })
    .collect()
}

/// The rows of a file as JSON, without nulls, and without the columns of every record.
fn read(reader: &SerializedFileReader<Bytes>) -> Vec<BTreeMap<String, Value>> {
    let schema = reader.metadata().file_metadata().schema_descr();
    let is_json: Vec<bool> =
        schema.columns().iter().map(|column| column.logical_type_ref() == Some(&LogicalType::Json)).collect();
    let row = |row: parquet::record::Row| {
        let own = row.get_column_iter().zip(&is_json).skip(RESERVED.len());
        own.filter_map(|((name, field), is_json)| {
            let value = match field {
                Field::Null => return None,
                Field::Str(text) if *is_json => serde_json::from_str(text).unwrap(),
                Field::Str(text) => json!(text),
                Field::Bool(value) => json!(value),
                Field::Long(value) => json!(value),
                Field::Double(value) => json!(value),
                other => unreachable!("{other:?}"),
            };
            Some((name.clone(), value))
        })
        .collect()
    };
    reader.get_row_iter(None).unwrap().map(|found| row(found.unwrap())).collect()
}

#[test]
fn a_column_has_the_type_of_its_values() {
    let found = kinds(&[tensors(&[
        ("flag", "BOOL", json!([true, null])),
        ("count", "INT64", json!([1, i64::MIN])),
        ("amount", "FP32", json!([1, 2])),
        ("name", "BYTES", json!(["a", "b"])),
        ("nothing", "INT64", json!([null, null])),
    ])]);
    let expected = [
        ("flag", "BOOLEAN"),
        ("count", "INT64"),
        ("amount", "DOUBLE"),
        ("name", "String"),
        ("nothing", "Unknown"),
    ];
    assert_eq!(found, expected.map(|(name, kind)| (name.to_owned(), kind.to_owned())));
}

#[test]
fn a_column_whose_type_changes_widens_where_nothing_is_lost_and_else_holds_json() {
    let large = (1_i64 << 53) + 1;
    let table = |rows: Value| json!({"data": rows});
    for (values, expected) in [
        (json!([1, 2.5]), "DOUBLE"),
        (json!([1, large]), "INT64"),
        (json!([2.5, large]), "Json"),
        (json!([1, "1"]), "Json"),
        (json!([true, 1]), "Json"),
        (json!([[1], 1]), "Json"),
        (json!([{"a": 1}]), "Json"),
        (json!([u64::MAX]), "Json"),
        (json!([null, 1]), "INT64"),
    ] {
        let rows: Vec<Value> = values.as_array().unwrap().iter().map(|value| json!({"x": value})).collect();
        assert_eq!(kinds(&[table(json!(rows))]), [("x".to_owned(), expected.to_owned())], "{values}");
    }
}

#[test]
fn every_row_says_which_request_it_is_of_and_columns_of_the_same_name_are_kept_apart() {
    let mut frame = Frame::default();
    for id in ["one", "two"] {
        let body = json!({"data": [{"time": 1, "data.time": 2, "Row": 3}, {"time": 4}]}).to_string();
        let rows = rows(&body);
        frame.push(record(&rows, id), &rows).unwrap();
    }
    let reader = reader(&frame, 3);
    assert_eq!(reader.metadata().num_row_groups(), 2);
    let found: Vec<parquet::record::Row> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    let column = |row: usize, name: &str| {
        let mut fields = found[row].get_column_iter().filter(|(title, _)| *title == name);
        fields.next().unwrap().1.clone()
    };
    let text = |text: &str| Field::Str(text.to_owned());
    for (row, id, number) in [(0, "one", 0), (1, "one", 1), (2, "two", 0), (3, "two", 1)] {
        assert_eq!(column(row, "correlationid"), text(id));
        assert_eq!(column(row, "row"), Field::Int(number));
        assert_eq!(column(row, "time"), Field::TimestampMillis(1_767_323_045_678));
        assert_eq!(column(row, "modelversion"), text("a"));
        assert_eq!(column(row, "type"), text("azureml.inference.inputs"));
    }
    assert_eq!((column(0, "data.time"), column(0, "data.data.time")), (Field::Long(1), Field::Long(2)));
    assert_eq!((column(0, "data.Row"), column(3, "data.Row")), (Field::Long(3), Field::Null));
}

#[test]
fn each_chunk_of_a_column_has_its_bounds_and_nulls_in_the_footer() {
    let reader = reader(&frame(&[tensors(&[("x", "FP64", json!([3, null, -1.5]))])]), 10);
    let group = reader.metadata().row_group(0);
    let statistics = group.column(RESERVED.len()).statistics().unwrap();
    let parquet::file::statistics::Statistics::Double(values) = statistics else {
        unreachable!("no numbers")
    };
    assert_eq!((values.min_opt(), values.max_opt()), (Some(&-1.5), Some(&3.0)));
    assert_eq!(statistics.null_count_opt(), Some(1));
    assert_eq!(group.column(0).compression(), Compression::SNAPPY);
}

#[test]
fn what_has_too_many_columns_or_next_to_nothing_in_them_is_kept_row_by_row() {
    let wide: serde_json::Map<String, Value> =
        (0..2_000).map(|place| (format!("c{place}"), json!(1))).collect();
    let wide = json!([wide]).to_string();
    // Four thousand rows of one cell each, in a thousand columns.
    let sparse: Vec<Value> = (0..4_000).map(|row| json!({(format!("c{}", row % 1_000)): row})).collect();
    let sparse = json!(sparse).to_string();
    for body in [&wide, &sparse] {
        let rows = rows(body);
        let mut frame = Frame::default();
        let record = frame.push(record(&rows, "id"), &rows).unwrap_err();
        frame.push_whole(record, &rows);
        let expected: Vec<BTreeMap<String, Value>> = serde_json::from_str::<Vec<Value>>(body)
            .unwrap()
            .into_iter()
            .map(|row| BTreeMap::from([("data".to_owned(), row)]))
            .collect();
        assert_eq!(read(&reader(&frame, 100_000)), expected);
    }
}

fn cell() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-9_i64..9).prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        proptest::num::f64::NORMAL.prop_map(Value::from),
        "[a-z\"\\\\é\u{0}]{0,4}".prop_map(Value::from),
        prop::collection::vec(0..3, 0..3).prop_map(Value::from),
        Just(json!({"a": [1, {"b": "}"}]})),
    ]
}

/// Columns of which most have values of one kind, as callers have them.
fn column() -> impl Strategy<Value = (String, Vec<Value>)> {
    let name =
        prop_oneof!["[a-z]{1,2}", Just("time".to_owned()), Just("data.time".to_owned()), "[a-z]\\.[a-z]"];
    let kind = (cell(), cell(), any::<bool>());
    (name, kind, prop::collection::vec(0..4_u8, 6)).prop_map(|(name, (one, other, is_mixed), picks)| {
        let pick = |pick: u8| match pick {
            0 => Value::Null,
            1 if is_mixed => other.clone(),
            _ => one.clone(),
        };
        (name, picks.into_iter().map(pick).collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, rng_seed: proptest::test_runner::RngSeed::Fixed(7), ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_what_a_record_of_json_would_say(
        columns in prop::collection::btree_map(column().prop_map(|(name, _)| name), cell(), 0..4),
        cells in prop::collection::vec(prop::collection::vec(column(), 0..4), 1..5),
        group in 1..5_usize,
        are_tensors in any::<bool>(),
    ) {
        let bodies: Vec<Value> = cells
            .into_iter()
            .map(|own| {
                let mut all: BTreeMap<String, Vec<Value>> =
                    columns.iter().map(|(name, cell)| (name.clone(), vec![cell.clone(); 6])).collect();
                all.extend(own);
                if are_tensors {
                    let all: Vec<(&str, &str, Value)> =
                        all.iter().map(|(name, values)| (&**name, "BYTES", json!(flat(values)))).collect();
                    return tensors(&all);
                }
                let row = |row: usize| -> Value {
                    all.iter().map(|(name, values)| (name.clone(), values[row].clone())).collect::<serde_json::Map<_, _>>().into()
                };
                json!({"data": (0..6).map(row).collect::<Vec<_>>()})
            })
            .collect();
        let mut expected = Vec::new();
        for body in &bodies {
            let body = body.to_string();
            let rows = rows(&body);
            for place in 0..rows.len() {
                let mut text = String::new();
                record::row(&rows, place, &mut text);
                expected.push(serde_json::from_str::<BTreeMap<String, Value>>(&text).unwrap());
            }
        }
        let found = read(&reader(&frame(&bodies), group));
        prop_assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            let present: Vec<(&String, &Value)> = expected.iter().filter(|(_, value)| !value.is_null()).collect();
            prop_assert_eq!(found.len(), present.len());
            for (name, value) in present {
                let other = &found[&*name_of(name)];
                // A whole number beside others is a number with a fraction, and the same.
                let bits = |value: &Value| value.as_f64().map(f64::to_bits);
                let is_same = value == other || (value.is_number() && bits(value) == bits(other));
                prop_assert!(is_same, "{name}: {value} became {other}");
            }
        }
    }
}

/// Lists have no place in a tensor's values.
fn flat(values: &[Value]) -> Vec<Value> {
    values.iter().map(|value| if value.is_array() { json!("list") } else { value.clone() }).collect()
}
