//! What a model said of a row, beside what is true.
use crate::table::{Class, Classes, Table, TableError};

/// A label and the prediction of the same row: `bool` for two classes, [`Class`] for many, `f64` for numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome<T> {
    /// What is true.
    pub actual: T,
    /// What the model said.
    pub predicted: T,
}

impl<T> Outcome<T> {
    /// The outcomes of labels and predictions in the same order; what one has more than the other is left out.
    pub fn zip(actual: Vec<T>, predicted: Vec<T>) -> Vec<Self> {
        actual.into_iter().zip(predicted).map(|(actual, predicted)| Self { actual, predicted }).collect()
    }
}

impl Outcome<Class> {
    /// The same with two classes: this one, and all others.
    pub fn one_versus_rest(self, class: Class) -> Outcome<bool> {
        Outcome { actual: self.actual == class, predicted: self.predicted == class }
    }
}

/// A label of two classes, and a model's score for the positive one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// Whether the row is positive.
    pub actual: bool,
    /// The score; a probability between 0 and 1 where one is needed.
    pub score: f64,
}

impl Table {
    /// Outcomes of two classes: `positive` is the text of the positive one, everything else is negative.
    ///
    /// Fails when a row lacks a label or a prediction.
    pub fn binary_outcomes(
        &self,
        actual: &str,
        predicted: &str,
        positive: &str,
    ) -> Result<Vec<Outcome<bool>>, TableError> {
        Ok(Outcome::zip(self.equals(actual, positive)?, self.equals(predicted, positive)?))
    }

    /// Outcomes of many classes, by the text of the values.
    ///
    /// Fails when a row lacks a label or a prediction.
    pub fn class_outcomes(
        &self,
        actual: &str,
        predicted: &str,
        classes: &mut Classes,
    ) -> Result<Vec<Outcome<Class>>, TableError> {
        Ok(Outcome::zip(self.classes(actual, classes)?, self.classes(predicted, classes)?))
    }

    /// Outcomes that are numbers.
    ///
    /// Fails when a row lacks one, or holds something else.
    pub fn number_outcomes(&self, actual: &str, predicted: &str) -> Result<Vec<Outcome<f64>>, TableError> {
        Ok(Outcome::zip(self.numbers(actual)?, self.numbers(predicted)?))
    }

    /// Labels of two classes with scores; `positive` is the text of the positive class.
    ///
    /// Fails when a row lacks a label or a score, or when a score is no number.
    pub fn scores(&self, actual: &str, score: &str, positive: &str) -> Result<Vec<Scored>, TableError> {
        let scores = self.numbers(score)?;
        let rows = self.equals(actual, positive)?.into_iter().zip(scores);
        Ok(rows.map(|(actual, score)| Scored { actual, score }).collect())
    }
}
