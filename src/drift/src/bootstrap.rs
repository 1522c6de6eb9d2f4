//! Bootstrap intervals: how far a statistic would move if other rows of the same kind had been drawn.
//!
//! Efron's percentile interval, as `scipy.stats.bootstrap(…, paired=True, method="percentile")`: rows are drawn whole,
//! with replacement, as many as there are.
use serde::{Deserialize, Serialize};

use crate::interval::{Interval, Level};
use crate::numeric::{quantile, sorted};

/// How to draw.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bootstrap {
    /// How many times as many rows are drawn as there are; 1000 and more give steady intervals.
    pub resamples: usize,
    /// The confidence level.
    pub level: Level,
    /// Where the generator starts: the same seed and rows give the same interval.
    pub seed: u64,
}

impl Default for Bootstrap {
    /// 1000 resamples, 95 %.
    fn default() -> Self {
        Self { resamples: 1000, level: Level::default(), seed: 0 }
    }
}

impl Bootstrap {
    /// The interval of a statistic of rows.
    ///
    /// A resample in which the statistic is not defined or not finite is left out. None with fewer than two rows, and
    /// when fewer than half of the resamples are left, since the interval would tell of a choice of rows.
    pub fn interval<R: Clone>(
        &self,
        rows: &[R],
        statistic: impl FnMut(&[R]) -> Option<f64>,
    ) -> Option<Interval> {
        let values = sorted(self.distribution(rows, statistic).into_iter())?;
        if rows.len() < 2 || values.len() * 2 < self.resamples {
            return None;
        }
        let tail = self.level.tail();
        let (low, high) = (quantile(&values, tail)?, quantile(&values, 1.0 - tail)?);
        Some(Interval { low, high, level: self.level })
    }

    /// The finite values of a statistic over all resamples, in the order in which they were drawn.
    pub fn distribution<R: Clone>(
        &self,
        rows: &[R],
        mut statistic: impl FnMut(&[R]) -> Option<f64>,
    ) -> Vec<f64> {
        let mut generator = fastrand::Rng::with_seed(self.seed);
        let mut sample = Vec::with_capacity(rows.len());
        let values = (0..self.resamples).filter_map(|_| {
            sample.clear();
            sample.extend((0..rows.len()).filter_map(|_| rows.get(generator.usize(..rows.len()))).cloned());
            statistic(&sample)
        });
        values.filter(|value| value.is_finite()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::mean;

    fn center(rows: &[f64]) -> Option<f64> {
        mean(rows.iter().copied())
    }

    #[test]
    fn a_seed_tells_the_interval() {
        let rows: Vec<f64> = (0..50).map(f64::from).collect();
        let interval = |seed| Bootstrap { seed, ..Bootstrap::default() }.interval(&rows, center).unwrap();
        assert_eq!(interval(1), interval(1));
        assert_ne!(interval(1), interval(2));
    }

    #[test]
    fn too_few_rows_or_values_have_no_interval() {
        let bootstrap = Bootstrap::default();
        assert_eq!(bootstrap.interval(&[], center), None);
        assert_eq!(bootstrap.interval(&[1.0], center), None);
        assert_eq!(bootstrap.interval(&[1.0, 2.0], |_| None), None);
        assert_eq!(bootstrap.interval(&[1.0, 2.0], |_| Some(f64::INFINITY)), None);
        assert_eq!(Bootstrap { resamples: 0, ..bootstrap }.interval(&[1.0, 2.0], center), None);
    }
}
