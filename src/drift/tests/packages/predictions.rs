//! Differences of predictions agree with SciPy and NumPy.
use drift::interval::{Level, wilson};
use drift::predictions::{Pair, kolmogorov_smirnov, number_difference};
use fastrand::Rng;
use serde_json::json;

use crate::support::{Draw as _, EXACT, ask, assert_close};

/// SciPy has more formulas for the same distribution.
const P_VALUE: f64 = 1e-6;

#[test]
fn intervals_of_shares_agree_with_scipy() {
    let mut random = Rng::with_seed(21);
    let (mut cases, mut intervals) = (Vec::new(), Vec::new());
    for _ in 0..300 {
        let most = [4, 100, 1_000_000][random.usize(..3)];
        let whole = random.usize(1..most);
        let some = random.usize(..=whole);
        let part = [0, whole, some][random.usize(..3)];
        let level = [1e-3, 0.5, 0.8, 0.95, 0.999, 0.99999][random.usize(..6)];
        cases.push(json!({"part": part, "whole": whole, "level": level}));
        intervals.push(wilson(part, whole, Level::try_from(level).unwrap()).unwrap());
    }
    for ((case, interval), answer) in cases.iter().zip(intervals).zip(ask("wilson", &cases)) {
        assert_close(Some(interval.low), &answer["low"], EXACT, &format!("low end of {case}"));
        assert_close(Some(interval.high), &answer["high"], EXACT, &format!("high end of {case}"));
    }
}

#[test]
fn distances_agree_with_numpy() {
    let mut random = Rng::with_seed(22);
    let (mut cases, mut differences) = (Vec::new(), Vec::new());
    for _ in 0..300 {
        let count = random.usize(1..60);
        let (production, candidate) = (random.numbers(count), random.numbers(count));
        cases.push(json!({"production": production, "candidate": candidate}));
        differences.push(number_difference(&Pair::zip(production, candidate)).unwrap());
    }
    for ((case, difference), answer) in cases.iter().zip(differences).zip(ask("distance", &cases)) {
        let values = [difference.mean_absolute, difference.percentile_95, difference.maximum];
        for (name, value) in ["mean_absolute", "percentile_95", "maximum"].into_iter().zip(values) {
            assert_close(Some(value), &answer[name], EXACT, &format!("{name} of {case}"));
        }
    }
}

#[test]
fn the_test_of_kolmogorov_and_smirnov_agrees_with_scipy() {
    let mut random = Rng::with_seed(23);
    let (mut cases, mut tests) = (Vec::new(), Vec::new());
    for case in 0..300 {
        // Each size asks for another formula.
        let sizes = [3, 20, 150, 600, 3000];
        let size = sizes[if case % 20 == 0 { 4 } else { case % 4 }];
        let (first, second) = (random.usize(1..size), random.usize(1..size));
        let shift = [0.0, 0.0, 0.1, 0.5, 3.0][random.usize(..5)];
        let (first, mut second) = (random.numbers(first), random.numbers(second));
        for value in &mut second {
            *value += shift;
        }
        tests.push(kolmogorov_smirnov(&first, &second).unwrap());
        cases.push(json!({"first": first, "second": second}));
    }
    for ((case, test), answer) in cases.iter().zip(tests).zip(ask("kolmogorov_smirnov", &cases)) {
        assert_close(Some(test.statistic), &answer["statistic"], EXACT, &format!("statistic of {case}"));
        assert_close(test.p_value, &answer["p_value"], P_VALUE, &format!("p-value of {case}"));
    }
}

#[test]
fn the_test_of_kolmogorov_and_smirnov_agrees_with_scipy_for_large_samples() {
    // Of all sizes around which the formula changes, and from equal samples to such that are far apart.
    let sizes: [(i32, i32); 6] =
        [(280, 280), (284, 284), (2000, 900), (20_000, 20_000), (200_000, 200_000), (250_000, 210_000)];
    let (mut cases, mut tests) = (Vec::new(), Vec::new());
    for (first, second) in sizes {
        let size = f64::from(first) * f64::from(second) / f64::from(first + second);
        for distance in [0.0, 0.05, 0.3, 0.6, 0.9, 1.3, 1.49, 1.6, 2.5, 20.0] {
            let shift = distance / size.sqrt();
            let steps = |count: i32| (0..count).map(move |step| f64::from(step) / f64::from(count));
            let second_values: Vec<f64> = steps(second).map(|step| step + shift).collect();
            tests.push(kolmogorov_smirnov(&steps(first).collect::<Vec<_>>(), &second_values).unwrap());
            cases.push(json!({"first": first, "second": second, "shift": shift}));
        }
    }
    for ((case, test), answer) in cases.iter().zip(tests).zip(ask("kolmogorov_smirnov_of_steps", &cases)) {
        assert_close(Some(test.statistic), &answer["statistic"], EXACT, &format!("statistic of {case}"));
        assert_close(test.p_value, &answer["p_value"], P_VALUE, &format!("p-value of {case}"));
    }
}
