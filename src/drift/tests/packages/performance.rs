//! Metrics of performance agree with scikit-learn, and intervals of resamples with SciPy.
use drift::bootstrap::Bootstrap;
use drift::outcome::{Outcome, Scored};
use drift::performance::*;
use drift::table::Classes;
use fastrand::Rng;
use serde_json::json;

use crate::support::{Draw as _, EXACT, ask, assert_close, bits};

#[test]
fn metrics_of_two_classes_agree_with_scikit_learn() {
    let mut random = Rng::with_seed(1);
    let (mut cases, mut outcomes) = (Vec::new(), Vec::new());
    for _ in 0..300 {
        let count = random.usize(1..40);
        let (positive, selected) = (random.chance(), random.chance());
        let (actual, predicted) = (random.flags(count, positive), random.flags(count, selected));
        cases.push(json!({"actual": bits(&actual), "predicted": bits(&predicted)}));
        outcomes.push(Outcome::zip(actual, predicted));
    }
    for ((case, outcomes), answer) in cases.iter().zip(outcomes).zip(ask("binary", &cases)) {
        let values = [accuracy(&outcomes), precision(&outcomes), recall(&outcomes), f1(&outcomes)];
        for (metric, value) in ["accuracy", "precision", "recall", "f1"].into_iter().zip(values) {
            assert_close(value, &answer[metric], EXACT, &format!("{metric} of {case}"));
        }
    }
}

#[test]
fn metrics_of_many_classes_agree_with_scikit_learn() {
    let mut random = Rng::with_seed(2);
    let (mut cases, mut outcomes) = (Vec::new(), Vec::new());
    for _ in 0..300 {
        let (count, letters) = (random.usize(1..30), random.usize(1..6));
        let (actual, predicted) = (random.letters(count, letters), random.letters(count, letters));
        cases.push(json!({"actual": actual, "predicted": predicted}));
        let mut classes = Classes::default();
        let mut class = |names: Vec<String>| names.iter().map(|name| classes.class(name)).collect();
        outcomes.push(Outcome::zip(class(actual), class(predicted)));
    }
    for ((case, outcomes), answer) in cases.iter().zip(outcomes).zip(ask("classes", &cases)) {
        let values = [
            accuracy(&outcomes),
            error_rate(&outcomes),
            macro_precision(&outcomes),
            macro_recall(&outcomes),
            macro_f1(&outcomes),
        ];
        for (metric, value) in ["accuracy", "error_rate", "precision", "recall", "f1"].into_iter().zip(values)
        {
            assert_close(value, &answer[metric], EXACT, &format!("{metric} of {case}"));
        }
    }
}

#[test]
fn metrics_of_scores_agree_with_scikit_learn() {
    let mut random = Rng::with_seed(3);
    let (mut cases, mut rows) = (Vec::new(), Vec::new());
    for _ in 0..300 {
        let count = random.usize(1..40);
        let chance = random.chance();
        let actual = random.flags(count, chance);
        // Few steps make ties, and both ends occur.
        let steps = [1.0, 4.0, 1e6][random.usize(..3)];
        let scores: Vec<f64> =
            (0..count).map(|_| (random.f64() * (steps + 1.0)).floor().min(steps) / steps).collect();
        cases.push(json!({"actual": bits(&actual), "scores": scores}));
        let scored = actual.into_iter().zip(scores).map(|(actual, score)| Scored { actual, score });
        rows.push(scored.collect::<Vec<_>>());
    }
    for ((case, rows), answer) in cases.iter().zip(rows).zip(ask("scores", &cases)) {
        assert_close(roc_auc(&rows), &answer["roc_auc"], EXACT, &format!("ROC-AUC of {case}"));
        assert_close(log_loss(&rows), &answer["log_loss"], EXACT, &format!("log loss of {case}"));
    }
}

#[test]
fn metrics_of_numbers_agree_with_scikit_learn() {
    let mut random = Rng::with_seed(4);
    let (mut cases, mut outcomes) = (Vec::new(), Vec::new());
    for _ in 0..300 {
        let count = random.usize(1..40);
        let actual = random.numbers(count);
        let predicted = if random.usize(..8) == 0 { actual.clone() } else { random.numbers(count) };
        cases.push(json!({"actual": actual, "predicted": predicted}));
        outcomes.push(Outcome::zip(actual, predicted));
    }
    for ((case, outcomes), answer) in cases.iter().zip(outcomes).zip(ask("numbers", &cases)) {
        let values = [
            mean_absolute_error(&outcomes),
            mean_squared_error(&outcomes),
            root_mean_squared_error(&outcomes),
            r2(&outcomes),
        ];
        for (metric, value) in ["mae", "mse", "rmse", "r2"].into_iter().zip(values) {
            assert_close(value, &answer[metric], EXACT, &format!("{metric} of {case}"));
        }
    }
}

#[test]
fn intervals_of_the_same_resamples_agree_with_scipy() {
    let mut random = Rng::with_seed(5);
    let (mut cases, mut intervals) = (Vec::new(), Vec::new());
    for seed in 0..40 {
        let count = random.usize(2..30);
        let outcomes = Outcome::zip(random.numbers(count), random.numbers(count));
        let level = [0.8, 0.9, 0.95, 0.99][random.usize(..4)];
        let bootstrap =
            Bootstrap { resamples: random.usize(20..200), level: level.try_into().unwrap(), seed };
        let mut drawn = Vec::new();
        let rows: Vec<usize> = (0..count).collect();
        bootstrap.distribution(&rows, |rows| {
            drawn.push(rows.to_vec());
            None
        });
        intervals.push(bootstrap.interval(&outcomes, mean_absolute_error).unwrap());
        let (actual, predicted): (Vec<f64>, Vec<f64>) =
            outcomes.iter().map(|outcome| (outcome.actual, outcome.predicted)).unzip();
        cases.push(json!({"actual": actual, "predicted": predicted, "level": level, "drawn": drawn}));
    }
    for ((case, interval), answer) in cases.iter().zip(intervals).zip(ask("bootstrap", &cases)) {
        assert_close(Some(interval.low), &answer["low"], EXACT, &format!("low end of {case}"));
        assert_close(Some(interval.high), &answer["high"], EXACT, &format!("high end of {case}"));
    }
}
