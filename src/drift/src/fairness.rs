//! Fairness between groups: the metrics of Fairlearn 0.15, with its answers in corner cases.
//!
//! A [`Frame`] holds outcomes in groups. A metric is taken of each group and of all rows ([`Frame::disaggregate`]), and
//! the difference or ratio between groups is a [`Disparity`]. Which difference is too large is a policy of the caller.
use serde::{Deserialize, Serialize};

use crate::bootstrap::Bootstrap;
use crate::interval::Interval;
use crate::numeric::{defined, mean};
use crate::outcome::Outcome;
use crate::performance::Counts;
use crate::table::Class;

mod disaggregated;
mod groups;
mod rates;

pub use disaggregated::{Comparison, Disaggregated, Form, GroupValue, Method};
pub use groups::{Group, GroupSize, Groups, GroupsError};
pub use rates::GroupCounts;

/// Which rates two groups should share.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Criterion {
    /// The share of rows that are predicted positive.
    DemographicParity,
    /// Of the positive rows, the share that is predicted positive.
    EqualOpportunity,
    /// Both of the positive and of the negative rows, the share that is predicted positive.
    EqualizedOdds(Aggregate),
}

/// How the two rates of equalized odds become one value.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum Aggregate {
    /// The worse of both: Fairlearn's `agg="worst_case"`.
    #[default]
    WorstCase,
    /// Their mean: Fairlearn's `agg="mean"`.
    Mean,
}

/// How far groups are apart, when that can be told.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all_fields = "camelCase", tag = "outcome")]
pub enum Disparity {
    /// It is told.
    Measured {
        /// The difference or ratio.
        value: f64,
        /// Its interval, when one was asked for and the rows allow one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        interval: Option<Interval>,
    },
    /// Fewer than two groups are large enough, so that nothing can be compared.
    NotEnoughGroups {
        /// How many groups are large enough: 0 or 1.
        compared: usize,
    },
    /// The formula has no value, such as a ratio of rates that are all 0. Fairlearn gives NaN.
    Undefined,
}

/// Outcomes in groups.
#[derive(Clone, Debug)]
pub struct Frame<T> {
    rows: Vec<Row<T>>,
    /// Large enough to be compared.
    compared: Vec<GroupSize>,
    left_out: Vec<GroupSize>,
}

/// An outcome and, by its number, the compared group that it belongs to.
#[derive(Clone, Copy, Debug)]
struct Row<T> {
    group: Option<usize>,
    outcome: Outcome<T>,
}

impl<T: Copy> Frame<T> {
    /// Outcomes in groups of the same rows. Groups of fewer rows than the minimum, which is at least 1, are not compared;
    /// their rows still count in the values over all rows.
    ///
    /// Fails when there are not as many outcomes as rows.
    pub fn new(
        groups: &Groups,
        outcomes: &[Outcome<T>],
        minimum_group_size: usize,
    ) -> Result<Self, GroupsError> {
        groups.same_rows(outcomes.len())?;
        let (compared, left_out): (Vec<_>, Vec<_>) =
            groups.sizes().into_iter().enumerate().partition(|(_, size)| size.rows >= minimum_group_size);
        let numbers: Vec<usize> = compared.iter().map(|(number, _)| *number).collect();
        let rows = groups.of_rows().zip(outcomes).map(|(group, outcome)| {
            let group = group.and_then(|group| numbers.binary_search(&group).ok());
            Row { group, outcome: *outcome }
        });
        let sizes = |groups: Vec<(usize, GroupSize)>| groups.into_iter().map(|(_, size)| size).collect();
        Ok(Self { rows: rows.collect(), compared: sizes(compared), left_out: sizes(left_out) })
    }

    /// The groups that are compared, in order.
    pub fn compared(&self) -> &[GroupSize] {
        &self.compared
    }

    /// The groups that are too small to be compared.
    pub fn left_out(&self) -> &[GroupSize] {
        &self.left_out
    }

    /// A metric of each compared group and of all rows: Fairlearn's `MetricFrame`.
    pub fn disaggregate(&self, metric: impl Fn(&[Outcome<T>]) -> Option<f64>) -> Disaggregated {
        let values = self.values(&self.rows, &metric);
        let by_group = self.compared.iter().zip(values.by_group);
        Disaggregated {
            overall: values.overall,
            by_group: by_group.map(|(size, value)| GroupValue { size: size.clone(), value }).collect(),
        }
    }

    /// How far the compared groups are apart in a metric.
    pub fn disparity(
        &self,
        metric: impl Fn(&[Outcome<T>]) -> Option<f64>,
        comparison: Comparison,
        bootstrap: Option<&Bootstrap>,
    ) -> Disparity {
        self.measured(bootstrap, |rows| self.values(rows, &metric).compare(comparison))
    }

    fn measured(
        &self,
        bootstrap: Option<&Bootstrap>,
        statistic: impl Fn(&[Row<T>]) -> Option<f64>,
    ) -> Disparity {
        if self.compared.len() < 2 {
            return Disparity::NotEnoughGroups { compared: self.compared.len() };
        }
        let Some(value) = statistic(&self.rows).filter(|value| value.is_finite()) else {
            return Disparity::Undefined;
        };
        let interval = bootstrap.and_then(|bootstrap| bootstrap.interval(&self.rows, statistic));
        Disparity::Measured { value, interval }
    }

    /// A metric over some of the rows: all of them, or those that were drawn. A group without a row has no value.
    fn values(
        &self,
        rows: &[Row<T>],
        metric: &impl Fn(&[Outcome<T>]) -> Option<f64>,
    ) -> disaggregated::Values {
        let mut groups = vec![Vec::new(); self.compared.len()];
        for row in rows {
            if let Some(group) = row.group.and_then(|group| groups.get_mut(group)) {
                group.push(row.outcome);
            }
        }
        let all: Vec<Outcome<T>> = rows.iter().map(|row| row.outcome).collect();
        let by_group =
            groups.iter().map(|outcomes| if outcomes.is_empty() { None } else { metric(outcomes) });
        disaggregated::Values { overall: metric(&all), by_group: by_group.collect() }
    }
}

impl Frame<bool> {
    /// How far the compared groups are from a criterion: Fairlearn's `demographic_parity_difference`,
    /// `demographic_parity_ratio`, and so on.
    ///
    /// As in Fairlearn, the rate of a group without positive or negative rows is 0; [`GroupCounts::lacks`] tells where.
    pub fn criterion(
        &self,
        criterion: Criterion,
        comparison: Comparison,
        bootstrap: Option<&Bootstrap>,
    ) -> Disparity {
        let compare = |rows: &[Row<bool>], metric: fn(&Counts) -> f64| {
            self.values(rows, &|outcomes| defined(metric(&Counts::of(outcomes)))).compare(comparison)
        };
        self.measured(bootstrap, |rows| match criterion {
            Criterion::DemographicParity => compare(rows, Counts::selection_rate),
            Criterion::EqualOpportunity => compare(rows, Counts::true_positive_rate),
            Criterion::EqualizedOdds(aggregate) => {
                let positive = compare(rows, Counts::true_positive_rate);
                let negative = compare(rows, Counts::false_positive_rate);
                aggregate.of(positive, negative, comparison.form)
            }
        })
    }

    /// The counts of each compared group.
    pub fn counts(&self) -> Vec<GroupCounts> {
        let mut groups: Vec<GroupCounts> = self.compared.iter().map(GroupCounts::new).collect();
        for row in &self.rows {
            if let Some(group) = row.group.and_then(|group| groups.get_mut(group)) {
                group.counts.add(row.outcome);
            }
        }
        groups
    }
}

impl Frame<Class> {
    /// The same groups with two classes, this one and all others, so that each class has rates of its own.
    pub fn one_versus_rest(&self, class: Class) -> Frame<bool> {
        let row = |row: &Row<Class>| Row { group: row.group, outcome: row.outcome.one_versus_rest(class) };
        Frame {
            rows: self.rows.iter().map(row).collect(),
            compared: self.compared.clone(),
            left_out: self.left_out.clone(),
        }
    }
}

impl Aggregate {
    /// One value of both, as Fairlearn does where one of them is not defined: the mean is that of the other, and the
    /// worst case is that of the positive rows.
    fn of(self, positive: Option<f64>, negative: Option<f64>, form: Form) -> Option<f64> {
        match self {
            Self::Mean => mean([positive, negative].into_iter().flatten()),
            Self::WorstCase => {
                let (positive, negative) = (positive?, negative.or(positive)?);
                Some(match form {
                    Form::Difference => positive.max(negative),
                    Form::Ratio => positive.min(negative),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests;
