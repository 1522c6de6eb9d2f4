//! A metric by group, and the difference or ratio between groups: Fairlearn's `MetricFrame`.
use serde::{Deserialize, Serialize};

use super::GroupSize;
use crate::numeric::defined;

/// Which way to compare.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Form {
    /// The largest distance; 0 when all are equal.
    Difference,
    /// The smaller over the larger; 1 when all are equal.
    Ratio,
}

/// What to compare a group with.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum Method {
    /// The group that is farthest away: Fairlearn's `method="between_groups"`.
    #[default]
    BetweenGroups,
    /// All rows, those of groups that are not compared too: Fairlearn's `method="to_overall"`.
    ToOverall,
}

/// A form and a method.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Comparison {
    /// Which way to compare.
    pub form: Form,
    /// What to compare with.
    #[serde(default)]
    pub method: Method,
}

/// A metric by group.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Disaggregated {
    /// Over all rows, those of groups that are not compared too.
    pub overall: Option<f64>,
    /// Of each compared group, in order.
    pub by_group: Vec<GroupValue>,
}

/// A metric of one group.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupValue {
    /// The group and its rows.
    #[serde(flatten)]
    pub size: GroupSize,
    /// The value; none where the metric has none for so few rows.
    pub value: Option<f64>,
}

impl Disaggregated {
    /// The groups with the smallest and the largest value; none when no group has a value.
    pub fn extremes(&self) -> Option<(&GroupValue, &GroupValue)> {
        let value = |group: &&GroupValue| group.value.unwrap_or_default();
        let with_value = || self.by_group.iter().filter(|group| group.value.is_some());
        let smallest = with_value().min_by(|left, right| value(left).total_cmp(&value(right)))?;
        let largest = with_value().max_by(|left, right| value(left).total_cmp(&value(right)))?;
        Some((smallest, largest))
    }
}

/// A metric by group, without the names.
pub(super) struct Values {
    pub(super) overall: Option<f64>,
    pub(super) by_group: Vec<Option<f64>>,
}

impl Values {
    /// The difference or ratio; groups without a value are left out.
    pub(super) fn compare(&self, comparison: Comparison) -> Option<f64> {
        let values = || self.by_group.iter().filter_map(|value| *value);
        let (smallest, largest) = (values().reduce(f64::min)?, values().reduce(f64::max)?);
        match (comparison.form, comparison.method) {
            (Form::Difference, Method::BetweenGroups) => defined(largest - smallest),
            (Form::Ratio, Method::BetweenGroups) => defined(smallest / largest),
            (Form::Difference, Method::ToOverall) => {
                let overall = self.overall?;
                values().filter_map(|value| defined((value - overall).abs())).reduce(f64::max)
            }
            (Form::Ratio, Method::ToOverall) => {
                let overall = self.overall?;
                let ratios = values().filter_map(|value| defined(value / overall));
                ratios.map(|ratio| if ratio > 1.0 { 1.0 / ratio } else { ratio }).reduce(f64::min)
            }
        }
    }
}
