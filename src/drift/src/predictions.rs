//! What two models say of the same inputs: how often, how far and in which direction they differ.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::interval::{Interval, Level, wilson};
use crate::numeric::{mean, quantile, sorted};
use crate::table::{Class, Classes};

mod kolmogorov_smirnov;

pub use kolmogorov_smirnov::{KolmogorovSmirnov, kolmogorov_smirnov};

/// The predictions of two models for one input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair<T> {
    /// Of the model that serves now.
    pub production: T,
    /// Of the model that may take its place.
    pub candidate: T,
}

impl<T> Pair<T> {
    /// The pairs of predictions in the same order; what one has more than the other is left out.
    pub fn zip(production: Vec<T>, candidate: Vec<T>) -> Vec<Self> {
        let pair = |(production, candidate)| Self { production, candidate };
        production.into_iter().zip(candidate).map(pair).collect()
    }
}

/// How two models differ in the classes that they tell.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClassDifference {
    /// The inputs.
    pub rows: usize,
    /// The share of inputs for which they tell another class, from 0 to 1; none without inputs.
    pub disagreement: Option<f64>,
    /// Wilson's interval of that share; none without inputs.
    pub interval: Option<Interval>,
    /// Every pair of classes that occurs, with its inputs: what the candidate says where production says something.
    pub confusion: Vec<Confusion>,
}

/// How often one model tells this class where the other tells that.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Confusion {
    /// What production says.
    pub production: String,
    /// What the candidate says.
    pub candidate: String,
    /// The inputs.
    pub rows: usize,
}

/// How two models differ in the classes that they tell. The level is that of the interval.
pub fn class_difference(pairs: &[Pair<Class>], classes: &Classes, level: Level) -> ClassDifference {
    let mut counts: BTreeMap<(Class, Class), usize> = BTreeMap::new();
    for pair in pairs {
        *counts.entry((pair.production, pair.candidate)).or_default() += 1;
    }
    let different = pairs.iter().filter(|pair| pair.production != pair.candidate).count();
    let confusion = counts.into_iter().map(|((production, candidate), rows)| Confusion {
        production: classes.name(production).to_owned(),
        candidate: classes.name(candidate).to_owned(),
        rows,
    });
    ClassDifference {
        rows: pairs.len(),
        disagreement: crate::numeric::share(different, pairs.len()),
        interval: wilson(different, pairs.len(), level),
        confusion: confusion.collect(),
    }
}

/// How far two models are apart in the numbers that they tell, in the unit of the numbers.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NumberDifference {
    /// The inputs.
    pub rows: usize,
    /// The mean distance.
    pub mean_absolute: f64,
    /// The distance that 95 of 100 inputs do not exceed: `numpy.percentile(distances, 95)`.
    pub percentile_95: f64,
    /// The largest distance.
    pub maximum: f64,
}

/// How far two models are apart in the numbers that they tell; none without inputs, and when a number is a NaN.
pub fn number_difference(pairs: &[Pair<f64>]) -> Option<NumberDifference> {
    let distances = sorted(pairs.iter().map(|pair| (pair.production - pair.candidate).abs()))?;
    Some(NumberDifference {
        rows: distances.len(),
        mean_absolute: mean(distances.iter().copied())?,
        percentile_95: quantile(&distances, 0.95)?,
        maximum: *distances.last()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_that_changes_is_named() {
        let mut classes = Classes::default();
        let (no, yes) = (classes.class("no"), classes.class("yes"));
        let pairs = Pair::zip(vec![no, no, yes, yes], vec![no, yes, yes, yes]);
        let difference = class_difference(&pairs, &classes, Level::default());
        assert_eq!(difference.disagreement, Some(0.25));
        let changed: Vec<_> =
            difference.confusion.iter().filter(|cell| cell.production != cell.candidate).collect();
        let expected = Confusion { production: "no".to_owned(), candidate: "yes".to_owned(), rows: 1 };
        assert_eq!(changed, [&expected]);
    }

    #[test]
    fn no_inputs_have_no_difference() {
        let difference = class_difference(&[], &Classes::default(), Level::default());
        assert_eq!((difference.disagreement, difference.interval), (None, None));
        assert_eq!(number_difference(&[]), None);
        assert_eq!(number_difference(&[Pair { production: f64::NAN, candidate: 1.0 }]), None);
    }
}
