//! What can't be told is said, and never guessed.
use super::*;
use crate::table::{Classes, Table};

const DIFFERENCE: Comparison = Comparison { form: Form::Difference, method: Method::BetweenGroups };
const RATIO: Comparison = Comparison { form: Form::Ratio, method: Method::BetweenGroups };

/// Ann's and Bob's groups of three rows, Cleo's of one, and a row of nobody's.
const ROWS: &[u8] =
    b"who,old,y,p\na,no,1,1\na,yes,0,1\na,no,0,0\nb,no,0,0\nb,no,0,1\nb,yes,0,0\nc,no,1,1\n,no,1,1\n";

fn frame(features: &[&str], minimum_group_size: usize) -> Frame<bool> {
    let table = Table::from_csv(ROWS).unwrap();
    let groups = Groups::by(&table, features).unwrap();
    Frame::new(&groups, &table.binary_outcomes("y", "p", "1").unwrap(), minimum_group_size).unwrap()
}

fn names(groups: &[GroupSize]) -> Vec<String> {
    groups.iter().map(|size| format!("{} ({})", size.group, size.rows)).collect()
}

#[test]
fn a_small_group_is_named_and_not_compared() {
    let frame = frame(&["who"], 2);
    assert_eq!(names(frame.compared()), ["who=a (3)", "who=b (3)"]);
    assert_eq!(names(frame.left_out()), ["who=c (1)"]);
    let parity = frame.criterion(Criterion::DemographicParity, RATIO, None);
    assert_eq!(parity, Disparity::Measured { value: 0.5, interval: None });
}

#[test]
fn groups_that_are_all_too_small_are_not_enough() {
    let one = frame(&["who"], 4).criterion(Criterion::DemographicParity, DIFFERENCE, None);
    assert_eq!(one, Disparity::NotEnoughGroups { compared: 0 });
    let table = Table::from_csv(b"who,y\na,1\na,0\n").unwrap();
    let outcomes = table.number_outcomes("y", "y").unwrap();
    let frame = Frame::new(&Groups::by(&table, &["who"]).unwrap(), &outcomes, 1).unwrap();
    let one = frame.disparity(crate::performance::r2, DIFFERENCE, None);
    assert_eq!(one, Disparity::NotEnoughGroups { compared: 1 });
}

#[test]
fn a_ratio_of_nothing_is_undefined() {
    let table = Table::from_csv(b"who,y,p\na,1,0\nb,0,0\n").unwrap();
    let outcomes = table.binary_outcomes("y", "p", "1").unwrap();
    let frame = Frame::new(&Groups::by(&table, &["who"]).unwrap(), &outcomes, 1).unwrap();
    assert_eq!(frame.criterion(Criterion::DemographicParity, RATIO, None), Disparity::Undefined);
}

#[test]
fn a_rate_without_rows_is_told() {
    let counts = frame(&["who"], 2).counts();
    let lacks = |criterion| counts.iter().map(|group| group.lacks(criterion)).collect::<Vec<_>>();
    assert_eq!(lacks(Criterion::EqualOpportunity), [false, true]);
    assert_eq!(lacks(Criterion::DemographicParity), [false, false]);
    assert_eq!(counts[1].counts.false_positives, 1);
}

#[test]
fn features_together_make_a_group_of_every_combination_that_occurs() {
    let frame = frame(&["who", "old"], 1);
    let expected = [
        "who=a, old=no (2)",
        "who=a, old=yes (1)",
        "who=b, old=no (2)",
        "who=b, old=yes (1)",
        "who=c, old=no (1)",
    ];
    assert_eq!(names(frame.compared()), expected);
}

#[test]
fn a_row_of_no_group_counts_over_all() {
    let table = Table::from_csv(ROWS).unwrap();
    assert_eq!(Groups::by(&table, &["who"]).unwrap().ungrouped(), 1);
    let rates = frame(&["who"], 1).disaggregate(|rows| Some(Counts::of(rows).selection_rate()));
    assert_eq!(rates.overall, Some(5.0 / 8.0));
    let (smallest, largest) = rates.extremes().unwrap();
    assert_eq!((smallest.size.group.to_string(), smallest.value), ("who=b".to_owned(), Some(1.0 / 3.0)));
    assert_eq!((largest.size.group.to_string(), largest.value), ("who=c".to_owned(), Some(1.0)));
}

#[test]
fn an_interval_holds_the_value_and_a_seed_repeats_it() {
    let table = Table::from_csv(ROWS).unwrap();
    let groups = Groups::by(&table, &["old"]).unwrap();
    let outcomes = table.binary_outcomes("y", "p", "1").unwrap();
    let frame = Frame::new(&groups, &outcomes, 2).unwrap();
    let bootstrap = Bootstrap { seed: 7, ..Bootstrap::default() };
    let measure = || frame.criterion(Criterion::DemographicParity, DIFFERENCE, Some(&bootstrap));
    let Disparity::Measured { value, interval: Some(interval) } = measure() else {
        panic!("{:?}", measure())
    };
    assert!(interval.low <= value && value <= interval.high, "{interval:?} {value}");
    assert_eq!(measure(), measure());
}

#[test]
fn each_class_has_rates_of_its_own() {
    let table = Table::from_csv(b"who,y,p\na,x,x\na,z,x\nb,x,z\nb,z,z\n").unwrap();
    let mut classes = Classes::default();
    let outcomes = table.class_outcomes("y", "p", &mut classes).unwrap();
    let frame = Frame::new(&Groups::by(&table, &["who"]).unwrap(), &outcomes, 1).unwrap();
    let of_x = frame.one_versus_rest(classes.class("x"));
    let parity = of_x.criterion(Criterion::DemographicParity, DIFFERENCE, None);
    assert_eq!(parity, Disparity::Measured { value: 1.0, interval: None });
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let table = Table::from_csv(ROWS).unwrap();
    let groups = Groups::by(&table, &["who"]).unwrap();
    let error = Frame::<bool>::new(&groups, &[], 1).unwrap_err().to_string();
    assert_eq!(error, "there are 0 outcomes for 8 rows of sensitive features");
    assert_eq!(Groups::by(&table, &[]).unwrap_err().to_string(), "name one sensitive feature at least");
    let error = Groups::by(&table, &["sex"]).unwrap_err().to_string();
    assert_eq!(error, "there is no column sex; the columns are who, old, y, p");
}

#[test]
fn a_disparity_is_stored_as_one_object() {
    let json = |disparity: Disparity| serde_json::to_string(&disparity).unwrap();
    let measured = Disparity::Measured { value: 0.5, interval: None };
    assert_eq!(json(measured), r#"{"outcome":"Measured","value":0.5}"#);
    assert_eq!(
        json(Disparity::NotEnoughGroups { compared: 1 }),
        r#"{"outcome":"NotEnoughGroups","compared":1}"#
    );
}
