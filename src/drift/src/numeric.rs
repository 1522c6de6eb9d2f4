//! What several statistics share: means, quantiles, and values that are not defined.

/// The value, unless it is a NaN.
pub(crate) fn defined(value: f64) -> Option<f64> {
    (!value.is_nan()).then_some(value)
}

/// Whether two values are equal to the last digit, as ties are.
#[expect(clippy::float_cmp, reason = "a tie is no matter of nearness")]
pub(crate) fn same(left: f64, right: f64) -> bool {
    left == right
}

/// A part of a whole; none of an empty whole.
pub(crate) fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// The mean; none of no values.
pub(crate) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), value| (sum + value, count + 1));
    if count == 0 { None } else { defined(sum / count as f64) }
}

/// The values in ascending order; none when one of them is a NaN.
pub(crate) fn sorted(values: impl Iterator<Item = f64>) -> Option<Vec<f64>> {
    let mut values = values.map(defined).collect::<Option<Vec<f64>>>()?;
    values.sort_unstable_by(f64::total_cmp);
    Some(values)
}

/// The quantile of sorted values by linear interpolation, which is the default of `numpy.quantile`; none of no values.
/// `probability` is between 0 and 1.
pub(crate) fn quantile(sorted: &[f64], probability: f64) -> Option<f64> {
    let position = probability * (sorted.len().checked_sub(1)? as f64);
    let (below, fraction) = (position.floor(), position.fract());
    let low = *sorted.get(below as usize)?;
    let high = sorted.get(below as usize + 1).copied().unwrap_or(low);
    Some(low + (high - low) * fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_between_its_neighbours() {
        let values = [1.0, 2.0, 4.0];
        for (probability, expected) in [(0.0, 1.0), (0.25, 1.5), (0.5, 2.0), (0.75, 3.0), (1.0, 4.0)] {
            assert_eq!(quantile(&values, probability), Some(expected));
        }
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn a_nan_has_no_place_in_an_order() {
        assert_eq!(sorted([2.0, f64::NAN].into_iter()), None);
        assert_eq!(sorted([2.0, -1.0].into_iter()), Some(vec![-1.0, 2.0]));
    }
}
