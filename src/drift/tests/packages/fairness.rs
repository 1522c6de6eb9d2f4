//! Fairness agrees with Fairlearn: its named functions, and its `MetricFrame` for any metric.
use drift::fairness::{Aggregate, Comparison, Criterion, Disparity, Form, Frame, Groups, Method};
use drift::outcome::Outcome;
use drift::performance::{
    Counts, accuracy, error_rate, macro_f1, mean_absolute_error, mean_prediction, mean_squared_error, r2,
    root_mean_squared_error,
};
use drift::table::{Class, Classes, Column, Table};
use fastrand::Rng;
use serde_json::{Map, Value, json};

use crate::support::{Draw as _, EXACT, ask, assert_close, bits};

const FORMS: [(Form, &str); 2] = [(Form::Difference, "difference"), (Form::Ratio, "ratio")];
const METHODS: [(Method, &str); 2] =
    [(Method::BetweenGroups, "between_groups"), (Method::ToOverall, "to_overall")];

/// One to three sensitive features, of which some groups are small and some combinations empty.
fn features(random: &mut Rng, count: usize) -> Table {
    let names = ["age", "region", "sex"];
    let columns = names.into_iter().take(random.usize(1..4)).map(|name| {
        let letters = random.usize(1..4);
        (name.to_owned(), Column::Text(random.letters(count, letters).into_iter().map(Some).collect()))
    });
    Table::new(columns.collect()).unwrap()
}

fn groups(table: &Table) -> Groups {
    let names: Vec<&str> = table.columns().map(|(name, _)| name).collect();
    Groups::by(table, &names).unwrap()
}

fn as_json(table: &Table) -> Value {
    table
        .columns()
        .map(|(name, column)| (name.to_owned(), json!(column.texts().collect::<Vec<_>>())))
        .collect()
}

fn value(disparity: Disparity) -> Option<f64> {
    match disparity {
        Disparity::Measured { value, .. } => Some(value),
        Disparity::Undefined => None,
        Disparity::NotEnoughGroups { .. } => unreachable!("there are two groups at least"),
    }
}

#[test]
fn criteria_agree_with_fairlearn() {
    let mut random = Rng::with_seed(11);
    let (mut cases, mut expected) = (Vec::new(), Vec::new());
    while cases.len() < 60 {
        let count = random.usize(2..60);
        let (positive, selected) = (random.chance(), random.chance());
        let (actual, predicted) = (random.flags(count, positive), random.flags(count, selected));
        let table = features(&mut random, count);
        let (method, method_name) = METHODS[random.usize(..2)];
        // What small groups add to the overall value is a matter of the other test.
        let minimum = if method == Method::BetweenGroups { random.usize(1..6) } else { 1 };
        let frame =
            Frame::new(&groups(&table), &Outcome::zip(actual.clone(), predicted.clone()), minimum).unwrap();
        if frame.compared().len() < 2 {
            continue;
        }
        let (aggregate, aggregate_name) =
            [(Aggregate::WorstCase, "worst_case"), (Aggregate::Mean, "mean")][random.usize(..2)];
        let criteria = [
            ("demographic_parity", Criterion::DemographicParity),
            ("equal_opportunity", Criterion::EqualOpportunity),
            ("equalized_odds", Criterion::EqualizedOdds(aggregate)),
        ];
        let mut values = Vec::new();
        for (name, criterion) in criteria {
            for (form, form_name) in FORMS {
                let disparity = frame.criterion(criterion, Comparison { form, method }, None);
                values.push((format!("{name}_{form_name}"), value(disparity)));
            }
        }
        cases.push(json!({
            "actual": bits(&actual), "predicted": bits(&predicted), "features": as_json(&table),
            "minimum": minimum, "method": method_name, "aggregate": aggregate_name,
        }));
        expected.push(values);
    }
    for ((case, values), answer) in cases.iter().zip(expected).zip(ask("criteria", &cases)) {
        for (name, value) in values {
            assert_close(value, &answer[&name], EXACT, &format!("{name} of {case}"));
        }
    }
}

/// What a frame says of one metric, in the words of the script.
fn told<T: Copy>(frame: &Frame<T>, metric: impl Fn(&[Outcome<T>]) -> Option<f64>) -> Map<String, Value> {
    let text = |value: Option<f64>| match value {
        Some(value) if value.is_infinite() => json!(value.to_string()),
        value => json!(value),
    };
    let by_group = frame.disaggregate(&metric);
    let mut told = Map::new();
    told.insert("overall".to_owned(), text(by_group.overall));
    told.insert("by_group".to_owned(), by_group.by_group.iter().map(|group| text(group.value)).collect());
    for (form, form_name) in FORMS {
        for (method, method_name) in METHODS {
            let disparity = frame.disparity(&metric, Comparison { form, method }, None);
            told.insert(format!("{form_name} {method_name}"), text(value(disparity)));
        }
    }
    told
}

/// Whether two answers are the same; an infinite disparity has no value here.
fn assert_same(name: &str, ours: &Value, theirs: &Value, context: &str) {
    match (ours, theirs) {
        (Value::Array(ours), Value::Array(theirs)) => {
            assert_eq!(ours.len(), theirs.len(), "{name} of {context}");
            for (ours, theirs) in ours.iter().zip(theirs) {
                assert_same(name, ours, theirs, context);
            }
        }
        (Value::Null, Value::String(infinite)) => assert!(infinite.ends_with("inf"), "{name} of {context}"),
        _ => assert_close(ours.as_f64(), theirs, EXACT, &format!("{name} of {context}")),
    }
}

fn compare(cases: &[Value], expected: Vec<Vec<(&'static str, Map<String, Value>)>>) {
    for ((case, metrics), answer) in cases.iter().zip(expected).zip(ask("frame", cases)) {
        for (metric, values) in metrics {
            for (name, ours) in values {
                assert_same(&format!("{metric}, {name}"), &ours, &answer[metric][&name], &case.to_string());
            }
        }
    }
}

/// Frames of two groups at least, and the same as cases for the script.
fn frames<T: Copy + serde::Serialize, S: Copy>(
    seed: u64,
    kind: &str,
    draw: impl Fn(&mut Rng, usize) -> Vec<T>,
    outcome: impl Fn(&[T]) -> Vec<S>,
) -> (Vec<Value>, Vec<Frame<S>>) {
    let mut random = Rng::with_seed(seed);
    let (mut cases, mut frames) = (Vec::new(), Vec::new());
    while cases.len() < 25 {
        let count = random.usize(2..60);
        let (actual, predicted) = (draw(&mut random, count), draw(&mut random, count));
        let table = features(&mut random, count);
        let minimum = random.usize(1..6);
        let outcomes = Outcome::zip(outcome(&actual), outcome(&predicted));
        let frame = Frame::new(&groups(&table), &outcomes, minimum).unwrap();
        if frame.compared().len() >= 2 {
            frames.push(frame);
            cases.push(json!({
                "kind": kind, "actual": actual, "predicted": predicted, "features": as_json(&table),
                "minimum": minimum,
            }));
        }
    }
    (cases, frames)
}

#[test]
fn rates_by_group_agree_with_fairlearn() {
    let draw = |random: &mut Rng, count| {
        let chance = random.chance();
        bits(&random.flags(count, chance))
    };
    let flags = |bits: &[u8]| bits.iter().map(|bit| *bit == 1).collect();
    let (cases, frames) = frames(12, "binary", draw, flags);
    let rate =
        |frame: &Frame<bool>, rate: fn(&Counts) -> f64| told(frame, |rows| Some(rate(&Counts::of(rows))));
    let metrics = |frame: &Frame<bool>| {
        vec![
            ("selection_rate", rate(frame, Counts::selection_rate)),
            ("true_positive_rate", rate(frame, Counts::true_positive_rate)),
            ("true_negative_rate", rate(frame, Counts::true_negative_rate)),
            ("false_positive_rate", rate(frame, Counts::false_positive_rate)),
            ("false_negative_rate", rate(frame, Counts::false_negative_rate)),
            ("accuracy", told(frame, accuracy)),
            ("error_rate", told(frame, error_rate)),
        ]
    };
    compare(&cases, frames.iter().map(metrics).collect());
}

#[test]
fn errors_of_numbers_by_group_agree_with_fairlearn() {
    let (cases, frames) = frames(13, "numbers", Rng::numbers, <[f64]>::to_vec);
    let metrics = |frame: &Frame<f64>| {
        vec![
            ("mean_absolute_error", told(frame, mean_absolute_error)),
            ("mean_squared_error", told(frame, mean_squared_error)),
            ("root_mean_squared_error", told(frame, root_mean_squared_error)),
            ("r2", told(frame, r2)),
            ("mean_prediction", told(frame, mean_prediction)),
        ]
    };
    compare(&cases, frames.iter().map(metrics).collect());
}

#[test]
fn many_classes_by_group_agree_with_fairlearn() {
    let mut classes = Classes::default();
    let letters = ["a", "b", "c"];
    let numbers: Vec<Class> = letters.iter().map(|name| classes.class(name)).collect();
    let draw =
        |random: &mut Rng, count| (0..count).map(|_| letters[random.usize(..3)]).collect::<Vec<&str>>();
    let class = |names: &[&str]| {
        let number = |name: &&str| numbers[letters.iter().position(|letter| letter == name).unwrap()];
        names.iter().map(number).collect()
    };
    let (cases, frames) = frames(14, "classes", draw, class);
    let metrics = |frame: &Frame<Class>| {
        let of_a = frame.one_versus_rest(numbers[0]);
        vec![
            ("accuracy", told(frame, accuracy)),
            ("macro_f1", told(frame, macro_f1)),
            ("selection_rate_of_a", told(&of_a, |rows| Some(Counts::of(rows).selection_rate()))),
        ]
    };
    compare(&cases, frames.iter().map(metrics).collect());
}
