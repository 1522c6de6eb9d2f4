//! Rates of two classes, as Fairlearn has them: a rate over no rows is 0.
use super::{Criterion, GroupSize};
use crate::numeric::share;
use crate::performance::Counts;

impl Counts {
    /// The share of rows that are predicted positive; 0 without rows.
    pub fn selection_rate(&self) -> f64 {
        share(self.selected(), self.rows()).unwrap_or(0.0)
    }

    /// Of the positive rows, the share that is predicted positive; 0 without any.
    pub fn true_positive_rate(&self) -> f64 {
        self.recall()
    }

    /// Of the positive rows, the share that is predicted negative; 0 without any.
    pub fn false_negative_rate(&self) -> f64 {
        share(self.false_negatives, self.positives()).unwrap_or(0.0)
    }

    /// Of the negative rows, the share that is predicted positive; 0 without any.
    pub fn false_positive_rate(&self) -> f64 {
        share(self.false_positives, self.negatives()).unwrap_or(0.0)
    }

    /// Of the negative rows, the share that is predicted negative; 0 without any.
    pub fn true_negative_rate(&self) -> f64 {
        share(self.true_negatives, self.negatives()).unwrap_or(0.0)
    }
}

/// The counts of one group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupCounts {
    /// The group and its rows.
    pub size: GroupSize,
    /// Its counts.
    pub counts: Counts,
}

impl GroupCounts {
    pub(super) fn new(size: &GroupSize) -> Self {
        Self { size: size.clone(), counts: Counts::default() }
    }

    /// Whether a criterion asks for a rate that this group has no rows for, so that the 0 in its place says nothing.
    pub fn lacks(&self, criterion: Criterion) -> bool {
        let (positives, negatives) = (self.counts.positives(), self.counts.negatives());
        match criterion {
            Criterion::DemographicParity => positives + negatives == 0,
            Criterion::EqualOpportunity => positives == 0,
            Criterion::EqualizedOdds(_) => positives == 0 || negatives == 0,
        }
    }
}
