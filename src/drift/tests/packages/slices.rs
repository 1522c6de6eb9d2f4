//! Slices and their errors agree with those that pandas groups by `qcut` and by categories.
use drift::slices::analyze;
use drift::table::{Column, Table};
use fastrand::Rng;
use serde_json::json;

use crate::support::{Draw as _, EXACT, ask, assert_close};

#[test]
fn slices_agree_with_pandas() {
    let mut random = Rng::with_seed(31);
    let (mut cases, mut analyses) = (Vec::new(), Vec::new());
    for _ in 0..40 {
        let count = random.usize(1..60);
        let number: Vec<Option<f64>> =
            random.numbers(count).into_iter().map(|it| (random.usize(..8) > 0).then_some(it)).collect();
        let letter: Vec<Option<String>> =
            random.letters(count, 4).into_iter().map(|it| (random.usize(..8) > 0).then_some(it)).collect();
        let errors: Vec<f64> = random.numbers(count).into_iter().map(f64::abs).collect();
        let minimum = random.usize(1..5);
        cases.push(json!({"number": number, "letter": letter, "errors": errors, "minimum": minimum}));
        let columns =
            vec![("number".to_owned(), Column::Number(number)), ("letter".to_owned(), Column::Text(letter))];
        analyses
            .push(analyze(&Table::new(columns).unwrap(), &["number", "letter"], &errors, minimum).unwrap());
    }
    for ((case, analysis), answer) in cases.iter().zip(analyses).zip(ask("slices", &cases)) {
        assert_close(analysis.error, &answer["error"], EXACT, &format!("error of {case}"));
        assert_eq!(json!(analysis.left_out), answer["left_out"], "{case}");
        assert!(analysis.slices.is_sorted_by(|left, right| left.error >= right.error), "{case}");
        // Bounds are written in other words there, so that slices are told apart by what they hold.
        let sorted = |values: Vec<[f64; 3]>| {
            let mut values = values;
            values.sort_by(|left, right| left.partial_cmp(right).unwrap());
            values
        };
        let ours = analysis.slices.iter().map(|slice| [slice.rows as f64, slice.error, slice.coverage]);
        let theirs = serde_json::from_value(answer["slices"].clone()).unwrap();
        let (ours, theirs) = (sorted(ours.collect()), sorted(theirs));
        assert_eq!(ours.len(), theirs.len(), "{case}");
        for (ours, theirs) in ours.iter().flatten().zip(theirs.iter().flatten()) {
            assert!((ours - theirs).abs() <= EXACT, "{ours} here, {theirs} there: {case}");
        }
    }
}
