//! Rates of violations agree with NumPy.
use drift::quality::{Check, Expectations, Look, Profile, Subject};
use drift::table::{Column, Table};
use fastrand::Rng;
use serde_json::json;

use crate::support::{Draw as _, EXACT, ask, assert_close};

fn column(random: &mut Rng) -> Vec<Option<f64>> {
    let (count, chance) = (random.usize(0..40), random.chance());
    random.numbers(count).into_iter().map(|number| (random.f64() < chance).then_some(number)).collect()
}

#[test]
fn rates_agree_with_numpy() {
    let mut random = Rng::with_seed(41);
    let expectations = Expectations {
        maximum_null_rate: Some(0.0),
        maximum_null_rate_increase: Some(0.0),
        maximum_out_of_range_rate: Some(0.0),
        maximum_unseen_category_rate: Some(0.0),
        maximum_row_count_change: Some(0.0),
        ..Expectations::default()
    };
    let (mut cases, mut findings) = (Vec::new(), Vec::new());
    for _ in 0..300 {
        let (before, after) = (column(&mut random), column(&mut random));
        let letters = |numbers: &[Option<f64>]| {
            let letter = |number: &f64| if *number < 0.0 { "low" } else { ["a", "b"][*number as usize % 2] };
            Column::Text(numbers.iter().map(|it| it.as_ref().map(letter).map(str::to_owned)).collect())
        };
        let table = |numbers: &[Option<f64>]| {
            let columns = [("letter", letters(numbers)), ("number", Column::Number(numbers.to_vec()))];
            Table::new(columns.map(|(name, column)| (name.to_owned(), column)).into()).unwrap()
        };
        let now = jiff::Timestamp::UNIX_EPOCH;
        let profile =
            |table| Profile::of(table, &Look { category_limit: 10, timestamps: None, now }).unwrap();
        let rows = table(&after);
        let (profile, baseline) = (profile(&rows), profile(&table(&before)));
        let subject = Subject { table: &rows, profile: &profile, baseline: Some(&baseline), now };
        findings.push(expectations.check(&subject));
        let letters = |table: &Table| json!(table.column("letter").unwrap().texts().collect::<Vec<_>>());
        cases.push(json!({
            "before": before, "after": after, "letters_before": letters(&table(&before)), "letters": letters(&rows),
        }));
    }
    for ((case, findings), answer) in cases.iter().zip(findings).zip(ask("quality", &cases)) {
        assert_eq!(findings.len(), 5);
        for finding in findings {
            let name = match finding.check {
                Check::NullRate => "null_rate",
                Check::NullRateIncrease => "null_rate_increase",
                Check::OutOfRangeRate => "out_of_range_rate",
                Check::UnseenCategoryRate => "unseen_category_rate",
                _ => "row_count_change",
            };
            assert_close(finding.value, &answer[name], EXACT, &format!("{name} of {case}"));
        }
    }
}
