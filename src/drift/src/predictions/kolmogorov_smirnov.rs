//! The test of Kolmogorov and Smirnov: whether two samples come from one distribution.
use serde::{Deserialize, Serialize};

use crate::numeric::sorted;

mod distribution;

/// How far two distributions are apart.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KolmogorovSmirnov {
    /// The largest distance between the two distribution functions, from 0 to 1.
    pub statistic: f64,
    /// The chance of a distance as large or larger when both come from one distribution. None for samples so small
    /// that the formula has no value.
    pub p_value: Option<f64>,
}

/// The two-sided test of two samples, such as the scores of two models: `scipy.stats.ks_2samp(…, method="asymp")`.
///
/// The p-value takes the statistic for that of one sample of `n·m/(n+m)` values, rounded. It agrees with SciPy to 1e-6.
/// None when a sample is empty or holds a NaN.
pub fn kolmogorov_smirnov(first: &[f64], second: &[f64]) -> Option<KolmogorovSmirnov> {
    let (first, second) = (sorted(first.iter().copied())?, sorted(second.iter().copied())?);
    let (first_size, second_size) = (first.len() as f64, second.len() as f64);
    if first.is_empty() || second.is_empty() {
        return None;
    }
    let below = |values: &[f64], bound: f64| values.partition_point(|value| *value <= bound) as f64;
    let distance =
        |bound: &f64| (below(&first, *bound) / first_size - below(&second, *bound) / second_size).abs();
    let statistic = first.iter().chain(&second).map(distance).fold(0.0, f64::max);
    let size = (first_size * second_size / (first_size + second_size)).round_ties_even();
    let p_value = (size >= 1.0).then(|| distribution::survival(size as usize, statistic));
    Some(KolmogorovSmirnov { statistic, p_value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_samples_are_not_apart() {
        let values = [0.0, -0.0, 1.0, 2.0];
        let test = kolmogorov_smirnov(&values, &values).unwrap();
        assert_eq!((test.statistic, test.p_value), (0.0, Some(1.0)));
    }

    #[test]
    fn what_can_t_be_told_is_none() {
        assert_eq!(kolmogorov_smirnov(&[], &[1.0]), None);
        assert_eq!(kolmogorov_smirnov(&[f64::NAN], &[1.0]), None);
        assert_eq!(kolmogorov_smirnov(&[0.0], &[1.0]).unwrap().p_value, None);
    }
}
