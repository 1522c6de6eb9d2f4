//! Each expectation is met or not, and the worst column is named.
use super::*;

const BASELINE: &[u8] =
    b"age,city,member,at\n20,Ulm,true,2026-01-01T00:00:00Z\n30,Bonn,false,2026-01-02T00:00:00Z\n,Ulm,true,2026-01-03\n40,,true,2026-01-03 12:00\n";
const ROWS: &[u8] =
    b"age,city,member,at\n,Ulm,1,1769904000\n41,Rome,2,1769990400\n19,Rome,3,4000000000\n,Ulm,4,\n35,Ulm,5,\n";

fn now() -> Timestamp {
    "2026-02-03T00:00:00Z".parse().unwrap()
}

fn profile(table: &Table) -> Profile {
    Profile::of(table, &Look { category_limit: 10, timestamps: Some("at"), now: now() }).unwrap()
}

fn check(expectations: &Expectations, rows: &[u8], baseline: Option<&[u8]>) -> Vec<String> {
    let table = Table::from_csv(rows).unwrap();
    let baseline = baseline.map(|baseline| profile(&Table::from_csv(baseline).unwrap()));
    let subject =
        Subject { table: &table, profile: &profile(&table), baseline: baseline.as_ref(), now: now() };
    let line = |finding: &Finding| {
        let (check, value, column) = (finding.check, finding.value, finding.column.as_deref());
        let verdict =
            finding.passed.map_or("can't be told", |passed| if passed { "passed" } else { "failed" });
        format!("{check:?} of {}: {value:?}, {} {verdict}", column.unwrap_or("all"), finding.threshold)
    };
    expectations.check(&subject).iter().map(line).collect()
}

fn everything() -> Expectations {
    Expectations {
        maximum_null_rate: Some(0.4),
        maximum_null_rate_increase: Some(0.1),
        maximum_changed_columns: Some(2),
        maximum_type_error_rate: Some(0.0),
        maximum_out_of_range_rate: Some(0.4),
        maximum_unseen_category_rate: Some(0.3),
        minimum_rows: Some(6),
        maximum_row_count_change: Some(0.25),
        maximum_age_seconds: Some(86_400.0),
    }
}

#[test]
fn each_expectation_is_held_against_the_worst_column() {
    let expected = [
        "NullRate of age: Some(0.4), 0.4 passed",
        "NullRateIncrease of at: Some(0.4), 0.1 failed",
        "ChangedColumns of at: Some(2.0), 2 passed",
        "TypeErrorRate of member: Some(1.0), 0 failed",
        "OutOfRangeRate of age: Some(0.4), 0.4 passed",
        "UnseenCategoryRate of member: Some(1.0), 0.3 failed",
        "Rows of all: Some(5.0), 6 failed",
        "RowCountChange of all: Some(0.25), 0.25 passed",
        "Age of all: Some(86400.0), 86400 passed",
    ];
    assert_eq!(check(&everything(), ROWS, Some(BASELINE)), expected);
}

#[test]
fn what_needs_a_baseline_can_t_be_told_without_one() {
    let findings = check(&everything(), ROWS, None);
    let told =
        |check: &str| findings.iter().any(|it| it.starts_with(check) && !it.ends_with("can't be told"));
    assert_eq!(["NullRate of", "Rows of", "Age of"].map(told), [true; 3]);
    assert_eq!(findings.iter().filter(|it| it.ends_with("can't be told")).count(), 6);
}

#[test]
fn nothing_is_told_of_no_rows_but_that_there_are_none() {
    let findings = check(&everything(), b"age,city,member,at\n", Some(BASELINE));
    let told: Vec<&String> = findings.iter().filter(|it| !it.ends_with("can't be told")).collect();
    let expected = [
        "ChangedColumns of all: Some(0.0), 2 passed",
        "Rows of all: Some(0.0), 6 failed",
        "RowCountChange of all: Some(1.0), 0.25 failed",
    ];
    assert_eq!(told, expected.iter().collect::<Vec<_>>());
}

#[test]
fn a_few_values_of_another_kind_are_a_share_of_the_rows() {
    let expectations = Expectations {
        maximum_type_error_rate: Some(0.2),
        maximum_out_of_range_rate: Some(0.2),
        ..Expectations::default()
    };
    let rows = b"age,at\n20,\nold,\n99,\n21,\n22,\n";
    let expected =
        ["TypeErrorRate of age: Some(0.2), 0.2 passed", "OutOfRangeRate of age: Some(0.2), 0.2 passed"];
    assert_eq!(check(&expectations, rows, Some(BASELINE)), expected);
}

#[test]
fn a_missing_column_is_a_changed_one() {
    let expectations = Expectations { maximum_changed_columns: Some(0), ..Expectations::default() };
    let findings = check(&expectations, b"age,city,at\n20,Ulm,\n", Some(BASELINE));
    assert_eq!(findings, ["ChangedColumns of member: Some(1.0), 0 failed"]);
}

#[test]
fn rounding_fails_nobody() {
    let nulls = |nulls: usize| {
        let rows = (0..100).map(|row| if row < nulls { "null,\n" } else { "1,\n" });
        format!("age,at\n{}", rows.collect::<String>()).into_bytes()
    };
    let expectations = Expectations { maximum_null_rate_increase: Some(0.05), ..Expectations::default() };
    for (count, passed) in [(7, "passed"), (8, "failed")] {
        let findings = check(&expectations, &nulls(count), Some(&nulls(2)));
        assert!(findings[0].ends_with(passed), "{findings:?}");
    }
}

#[test]
fn a_profile_is_kept_as_json() {
    let profile = profile(&Table::from_csv(BASELINE).unwrap());
    let json = serde_json::to_value(&profile).unwrap();
    let expected = serde_json::json!({
        "rows": 4,
        "columns": {
            "age": {"kind": "Number", "nulls": 1, "minimum": 20.0, "maximum": 40.0},
            "city": {"kind": "Text", "nulls": 1, "categories": {"Bonn": 1, "Ulm": 2}},
            "member": {"kind": "Boolean", "nulls": 0, "categories": {"false": 1, "true": 3}},
            "at": {
                "kind": "Text", "nulls": 0, "categories": {
                    "2026-01-01T00:00:00Z": 1, "2026-01-02T00:00:00Z": 1, "2026-01-03": 1, "2026-01-03 12:00": 1,
                },
            },
        },
        "newest": "2026-01-03T12:00:00Z",
    });
    assert_eq!(json, expected);
    assert_eq!(serde_json::from_value::<Profile>(json).unwrap(), profile);
}

#[test]
fn a_column_of_many_texts_has_no_categories() {
    let table = Table::from_csv(b"name\nAnn\nBob\nCleo\nAnn\n").unwrap();
    let look = |category_limit| Look { category_limit, timestamps: None, now: now() };
    let categories = |limit| Profile::of(&table, &look(limit)).unwrap().columns["name"].categories.clone();
    assert_eq!(categories(2), None);
    assert_eq!(categories(3).unwrap()["Ann"], 2);
    let without = Profile::of(&table, &Look { timestamps: Some("at"), ..look(3) });
    assert!(without.is_err());
}

#[test]
fn expectations_are_read_by_their_names_and_others_refused() {
    let read = serde_json::from_str::<Expectations>;
    assert_eq!(read(r#"{"minimumRows": 5}"#).unwrap().minimum_rows, Some(5));
    assert!(read(r#"{"minRows": 5}"#).is_err());
}
