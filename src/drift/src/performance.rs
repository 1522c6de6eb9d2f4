//! How good predictions are: the metrics of scikit-learn, with its answers in corner cases.
//!
//! Every function takes the outcomes of the rows and is `None` without any.
use std::collections::BTreeMap;

use crate::numeric::{defined, mean, same, share};
use crate::outcome::Outcome;
use crate::table::Class;

mod score;

pub use score::{log_loss, roc_auc};

/// The share of predictions that are right: `accuracy_score`.
pub fn accuracy<T: PartialEq>(outcomes: &[Outcome<T>]) -> Option<f64> {
    let right = outcomes.iter().filter(|outcome| outcome.actual == outcome.predicted);
    share(right.count(), outcomes.len())
}

/// The share of predictions that are wrong: `zero_one_loss`.
pub fn error_rate<T: PartialEq>(outcomes: &[Outcome<T>]) -> Option<f64> {
    let wrong = outcomes.iter().filter(|outcome| outcome.actual != outcome.predicted);
    share(wrong.count(), outcomes.len())
}

/// The counts of a confusion matrix of two classes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Positive rows that are predicted positive.
    pub true_positives: usize,
    /// Negative rows that are predicted positive.
    pub false_positives: usize,
    /// Negative rows that are predicted negative.
    pub true_negatives: usize,
    /// Positive rows that are predicted negative.
    pub false_negatives: usize,
}

impl Counts {
    /// The counts of these outcomes.
    pub fn of(outcomes: &[Outcome<bool>]) -> Self {
        let mut counts = Self::default();
        for outcome in outcomes {
            counts.add(*outcome);
        }
        counts
    }

    pub(crate) fn add(&mut self, outcome: Outcome<bool>) {
        let count = match (outcome.actual, outcome.predicted) {
            (true, true) => &mut self.true_positives,
            (false, true) => &mut self.false_positives,
            (false, false) => &mut self.true_negatives,
            (true, false) => &mut self.false_negatives,
        };
        *count += 1;
    }

    /// All rows.
    pub fn rows(&self) -> usize {
        self.positives() + self.negatives()
    }

    /// Rows that are positive.
    pub fn positives(&self) -> usize {
        self.true_positives + self.false_negatives
    }

    /// Rows that are negative.
    pub fn negatives(&self) -> usize {
        self.true_negatives + self.false_positives
    }

    /// Rows that are predicted positive.
    pub fn selected(&self) -> usize {
        self.true_positives + self.false_positives
    }

    /// Of the rows that are predicted positive, the share that is; 0 when none is predicted so.
    pub fn precision(&self) -> f64 {
        share(self.true_positives, self.selected()).unwrap_or(0.0)
    }

    /// Of the positive rows, the share that is predicted so; 0 without any.
    pub fn recall(&self) -> f64 {
        share(self.true_positives, self.positives()).unwrap_or(0.0)
    }

    /// The harmonic mean of precision and recall; 0 when no row is positive or predicted so.
    pub fn f1(&self) -> f64 {
        share(2 * self.true_positives, self.selected() + self.positives()).unwrap_or(0.0)
    }
}

/// Of the rows that are predicted positive, the share that is: `precision_score`; 0 when none is predicted so.
pub fn precision(outcomes: &[Outcome<bool>]) -> Option<f64> {
    binary(outcomes, Counts::precision)
}

/// Of the positive rows, the share that is predicted so: `recall_score`; 0 without any.
pub fn recall(outcomes: &[Outcome<bool>]) -> Option<f64> {
    binary(outcomes, Counts::recall)
}

/// The harmonic mean of precision and recall: `f1_score`; 0 when no row is positive or predicted so.
pub fn f1(outcomes: &[Outcome<bool>]) -> Option<f64> {
    binary(outcomes, Counts::f1)
}

/// The mean of the precision of every class that is a label or a prediction: `precision_score(average="macro")`.
pub fn macro_precision(outcomes: &[Outcome<Class>]) -> Option<f64> {
    mean(by_class(outcomes).values().map(Counts::precision))
}

/// The mean of the recall of every class that is a label or a prediction: `recall_score(average="macro")`.
pub fn macro_recall(outcomes: &[Outcome<Class>]) -> Option<f64> {
    mean(by_class(outcomes).values().map(Counts::recall))
}

/// The mean of the F1 of every class that is a label or a prediction: `f1_score(average="macro")`.
pub fn macro_f1(outcomes: &[Outcome<Class>]) -> Option<f64> {
    mean(by_class(outcomes).values().map(Counts::f1))
}

/// The mean distance between label and prediction: `mean_absolute_error`, in the unit of the labels.
pub fn mean_absolute_error(outcomes: &[Outcome<f64>]) -> Option<f64> {
    mean(outcomes.iter().map(|outcome| (outcome.actual - outcome.predicted).abs()))
}

/// The mean of the squared distances: `mean_squared_error`.
pub fn mean_squared_error(outcomes: &[Outcome<f64>]) -> Option<f64> {
    mean(outcomes.iter().map(squared_error))
}

/// The root of the mean of the squared distances: `root_mean_squared_error`, in the unit of the labels.
pub fn root_mean_squared_error(outcomes: &[Outcome<f64>]) -> Option<f64> {
    mean_squared_error(outcomes).map(f64::sqrt)
}

/// The share of the labels' variance that the predictions explain: `r2_score`. None of fewer than two rows. Where all
/// labels are equal, it is 1 for predictions without any error and 0 for others.
pub fn r2(outcomes: &[Outcome<f64>]) -> Option<f64> {
    let first = outcomes.first().filter(|_| outcomes.len() >= 2)?.actual;
    let residual: f64 = outcomes.iter().map(squared_error).sum();
    if outcomes.iter().all(|outcome| same(outcome.actual, first)) {
        return defined(residual).map(|residual| if residual == 0.0 { 1.0 } else { 0.0 });
    }
    let center = mean(outcomes.iter().map(|outcome| outcome.actual))?;
    let total: f64 = outcomes.iter().map(|outcome| (outcome.actual - center).powi(2)).sum();
    defined(1.0 - residual / total)
}

/// The mean of the predictions, in the unit of the labels.
pub fn mean_prediction(outcomes: &[Outcome<f64>]) -> Option<f64> {
    mean(outcomes.iter().map(|outcome| outcome.predicted))
}

fn binary(outcomes: &[Outcome<bool>], metric: impl Fn(&Counts) -> f64) -> Option<f64> {
    (!outcomes.is_empty()).then(|| metric(&Counts::of(outcomes)))
}

/// The counts of each class against all others, but for the true negatives, which no macro average needs.
fn by_class(outcomes: &[Outcome<Class>]) -> BTreeMap<Class, Counts> {
    let mut counts: BTreeMap<Class, Counts> = BTreeMap::new();
    for outcome in outcomes {
        if outcome.actual == outcome.predicted {
            counts.entry(outcome.actual).or_default().true_positives += 1;
        } else {
            counts.entry(outcome.actual).or_default().false_negatives += 1;
            counts.entry(outcome.predicted).or_default().false_positives += 1;
        }
    }
    counts
}

fn squared_error(outcome: &Outcome<f64>) -> f64 {
    (outcome.actual - outcome.predicted).powi(2)
}
