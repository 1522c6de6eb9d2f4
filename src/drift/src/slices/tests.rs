//! The worst slice comes first, and small ones are counted.
use super::*;

const ROWS: &[u8] = b"region,income,member\nnorth,1,true\nnorth,2,true\nnorth,3,false\nsouth,4,false\nsouth,5,true\n,6,true\n";

fn lines(features: &[&str], errors: &[f64], minimum_rows: usize) -> (Vec<String>, usize) {
    let analysis = analyze(&Table::from_csv(ROWS).unwrap(), features, errors, minimum_rows).unwrap();
    let line = |slice: &Slice| {
        let term = |term: &Term| format!("{}={}", term.feature, term.value.as_deref().unwrap_or("(none)"));
        let terms: Vec<String> = slice.terms.iter().map(term).collect();
        format!("{}: {} rows, {:.2}, {:.2}", terms.join(" "), slice.rows, slice.error, slice.coverage)
    };
    (analysis.slices.iter().map(line).collect(), analysis.left_out)
}

#[test]
fn the_worst_slice_comes_first() {
    let (slices, left_out) = lines(&["region", "member"], &[1.0, 0.0, 0.0, 1.0, 1.0, 0.0], 2);
    let expected = [
        "region=south: 2 rows, 1.00, 0.67",
        "member=true: 4 rows, 0.50, 0.67",
        "member=false: 2 rows, 0.50, 0.33",
        "region=north member=true: 2 rows, 0.50, 0.33",
        "region=north: 3 rows, 0.33, 0.33",
    ];
    assert_eq!(slices, expected);
    assert_eq!(left_out, 5);
}

#[test]
fn numbers_are_cut_into_quartiles() {
    let (slices, _) = lines(&["income"], &[5.0, 4.0, 3.0, 2.0, 1.0, 0.5], 1);
    let expected = [
        "income=1 to 2.25: 2 rows, 4.50, 0.58",
        "income=above 2.25 to 3.5: 1 rows, 3.00, 0.19",
        "income=above 3.5 to 4.75: 1 rows, 2.00, 0.13",
        "income=above 4.75 to 6: 2 rows, 0.75, 0.10",
    ];
    assert_eq!(slices, expected);
}

#[test]
fn equal_bounds_are_one() {
    let cut = |values: &[f64]| {
        let column = Column::Number(values.iter().map(|value| Some(*value)).collect());
        Cut::new("x", &column).values.into_iter().flatten().collect::<Vec<_>>()
    };
    assert_eq!(cut(&[7.0, 7.0, 7.0]), ["7"]);
    assert_eq!(cut(&[0.0, 0.0, 0.0, 1.0]), ["0 to 0.25", "above 0.25 to 1"]);
    assert!(cut(&[]).is_empty());
}

#[test]
fn rows_without_an_error_cover_nothing() {
    let (slices, _) = lines(&["region"], &[0.0; 6], 1);
    assert_eq!(slices[0], "region=north: 3 rows, 0.00, 0.00");
    assert_eq!(slices[2], "region=(none): 1 rows, 0.00, 0.00");
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let table = Table::from_csv(ROWS).unwrap();
    let error = analyze(&table, &["region"], &[1.0], 1).unwrap_err().to_string();
    assert_eq!(error, "there are 1 errors for 6 rows of features");
    assert!(matches!(analyze(&table, &["age"], &[0.0; 6], 1), Err(SlicesError::Table(_))));
}
