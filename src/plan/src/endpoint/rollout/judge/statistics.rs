//! How far noise can explain a share, and a percentile.
//!
//! Bounds are those of the likelihood ratio (Wilks 1938): a share p fits k of n as long as 2n·D(k/n, p) is at most z².
//! By Chernoff's bound, noise leaves them at most once in exp(z²/2), however small the share; the score bound of Wilson
//! (1927) is left far more often where one or two errors are expected. Bounds of two quantities are joined by the method
//! of variance estimates recovery (Newcombe 1998, method 10, for shares; Zou and Donner 2008, for any).

/// How often a bisection halves: down to the last digit of a number.
const HALVINGS: u32 = 60;
/// The percentile that is compared.
const PERCENTILE: f64 = 0.95;
/// The fewest intervals whose spread says anything.
const INTERVALS: usize = 5;
/// The least share of its upper bound at which a bucket begins: the gateway's are at most a sixteenth of it wide, and it
/// leaves empty ones out.
const BEGINNING: f64 = 15.0 / 16.0;

/// A share of a number of samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Share {
    value: f64,
    samples: f64,
}

impl Share {
    /// The share that a part is of a whole.
    pub(super) fn new(part: u64, whole: u64) -> Self {
        let value = if whole == 0 { 0.0 } else { (part as f64 / whole as f64).min(1.0) };
        Self { value, samples: whole as f64 }
    }

    /// The same share, as if measured on another number of samples.
    pub(super) fn over(self, samples: u64) -> Self {
        Self { samples: samples as f64, ..self }
    }

    pub(super) fn value(self) -> f64 {
        self.value
    }

    /// The least share that fits what was measured.
    pub(super) fn lower(self, z: f64) -> f64 {
        last(self.value, 0.0, |share| self.samples * divergence(self.value, share) <= z * z / 2.0)
    }

    /// The greatest share that fits.
    fn upper(self, z: f64) -> f64 {
        if self.samples == 0.0 {
            return 1.0;
        }
        last(self.value, 1.0, |share| self.samples * divergence(self.value, share) <= z * z / 2.0)
    }

    /// The least by which this share fits to be greater than another.
    pub(super) fn lower_difference(self, other: Self, z: f64) -> f64 {
        let (below, above) = (self.value - self.lower(z), other.upper(z) - other.value);
        self.value - other.value - below.hypot(above)
    }
}

/// The 95th percentile of a candidate's latency, against that of the stable revision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ratio {
    pub(super) value: f64,
    pub(super) candidate: f64,
    pub(super) stable: f64,
    /// The least ratio that fits; 0 when a bucket or less lies between the two.
    pub(super) lower: f64,
}

/// Compares the percentiles of two histograms; none when one of them is empty.
pub(super) fn ratio(candidate: &[(f64, u64)], stable: &[(f64, u64)], z: f64) -> Option<Ratio> {
    let (ours, theirs) = (Histogram::new(candidate)?, Histogram::new(stable)?);
    let (slow, usual) = (ours.at(PERCENTILE), theirs.at(PERCENTILE));
    let value = slow.value / usual.value;
    // How the latencies lie within their buckets is not known, and must not be taken for a difference.
    let apart = slow.from > usual.to;
    let lower = match theirs.last_rank(z) {
        Some(rank) if apart => {
            let below = (slow.value / ours.at(ours.first_rank(z)).value).ln();
            let above = (theirs.at(rank).value / usual.value).ln();
            (value.ln() - below.hypot(above)).exp()
        }
        _ => 0.0,
    };
    let all = [value, slow.value, usual.value, lower];
    let found = Ratio { value, candidate: slow.value, stable: usual.value, lower };
    all.into_iter().all(f64::is_finite).then_some(found)
}

/// Compares the means of percentiles that were measured interval by interval, each with its number of samples; none
/// without any.
///
/// What noise can explain is told by how much the intervals differ among themselves. Of few intervals that says little:
/// the bound is then nothing, and of more it is wider, as that of Student's distribution.
pub(super) fn mean_ratio(candidate: &[(f64, u64)], stable: &[(f64, u64)], z: f64) -> Option<Ratio> {
    let (ours, theirs) = (Mean::new(candidate)?, Mean::new(stable)?);
    let value = ours.value / theirs.value;
    let lower = match (ours.error(z), theirs.error(z)) {
        (Some(below), Some(above)) => value * (-below.hypot(above)).exp(),
        _ => 0.0,
    };
    let all = [value, ours.value, theirs.value, lower];
    let found = Ratio { value, candidate: ours.value, stable: theirs.value, lower };
    all.into_iter().all(f64::is_finite).then_some(found)
}

/// The mean of values with weights.
struct Mean {
    value: f64,
    /// The standard error, as a share of the mean.
    error: f64,
    intervals: usize,
}

impl Mean {
    fn new(values: &[(f64, u64)]) -> Option<Self> {
        let weighted = || values.iter().map(|(value, weight)| (*value, *weight as f64));
        let weight: f64 = weighted().map(|(_, weight)| weight).sum();
        let value = weighted().map(|(value, weight)| value * weight).sum::<f64>() / weight;
        let squares: f64 = weighted().map(|(one, weight)| (weight * (one - value)).powi(2)).sum();
        let intervals = values.len();
        let correction = intervals as f64 / (intervals as f64 - 1.0);
        let error = (squares * correction).sqrt() / weight / value;
        (weight > 0.0).then_some(Self { value, error, intervals })
    }

    /// How far noise can move the mean, as a share of it; none when there are too few intervals to tell.
    fn error(&self, z: f64) -> Option<f64> {
        let freedom = self.intervals.checked_sub(1)? as f64;
        (self.intervals >= INTERVALS).then(|| z * self.error * freedom / (freedom - 2.0))
    }
}

/// The percentile of a histogram; none when it is empty.
pub(super) fn percentile(buckets: &[(f64, u64)]) -> Option<f64> {
    Histogram::new(buckets).map(|it| it.at(PERCENTILE).value)
}

/// Latencies that were counted into buckets.
struct Histogram<'a> {
    buckets: &'a [(f64, u64)],
    samples: f64,
}

/// A place in a histogram: a latency, and the bucket in which it lies.
struct Place {
    value: f64,
    from: f64,
    to: f64,
}

impl<'a> Histogram<'a> {
    fn new(buckets: &'a [(f64, u64)]) -> Option<Self> {
        let samples: f64 = buckets.iter().map(|(_, count)| *count as f64).sum();
        (samples > 0.0).then_some(Self { buckets, samples })
    }

    /// The latency that a share of all does not exceed, interpolated within its bucket as Prometheus does it.
    fn at(&self, share: f64) -> Place {
        let rank = share * self.samples;
        let (mut before, mut end) = (0.0, 0.0_f64);
        for (bound, count) in self.buckets.iter().filter(|(_, count)| *count > 0) {
            let (from, count) = (end.max(bound * BEGINNING), *count as f64);
            end = *bound;
            if before + count >= rank {
                let value = from + (end - from) * ((rank - before) / count).clamp(0.0, 1.0);
                return Place { value, from, to: end };
            }
            before += count;
        }
        // Only rounding leads here.
        Place { value: end, from: end, to: end }
    }

    /// The share of samples at which the percentile lies at least.
    fn first_rank(&self, z: f64) -> f64 {
        last(PERCENTILE, 0.0, |share| self.samples * divergence(share, PERCENTILE) <= z * z / 2.0)
    }

    /// The share of samples at which the percentile lies at most; none when it may lie beyond all samples.
    fn last_rank(&self, z: f64) -> Option<f64> {
        let fits = |share: f64| self.samples * divergence(share, PERCENTILE) <= z * z / 2.0;
        (!fits(1.0)).then(|| last(PERCENTILE, 1.0, fits))
    }
}

/// The last value on the way from one that fits to one that may not.
fn last(from: f64, to: f64, fits: impl Fn(f64) -> bool) -> f64 {
    if fits(to) {
        return to;
    }
    let (mut inside, mut outside) = (from, to);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(inside, outside);
        if fits(middle) {
            inside = middle;
        } else {
            outside = middle;
        }
    }
    inside
}

/// The divergence of Kullback and Leibler of two shares.
fn divergence(measured: f64, supposed: f64) -> f64 {
    let term = |measured: f64, supposed: f64| {
        if measured <= 0.0 { 0.0 } else { measured * (measured / supposed).ln() }
    };
    (term(measured, supposed) + term(1.0 - measured, 1.0 - supposed)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_the_likelihood_ratio() {
        // At a bound, the deviance of 10 of 100 is that of the definition.
        let share = Share::new(10, 100);
        for bound in [share.lower(1.96), share.upper(1.96)] {
            let deviance = 2.0 * (10.0 * (0.1 / bound).ln() + 90.0 * (0.9 / (1.0 - bound)).ln());
            assert!((deviance - 1.96 * 1.96).abs() < 1e-9, "{bound}: {deviance}");
        }
        assert!(share.lower(1.96) < 0.1 && share.upper(1.96) > 0.1);
    }

    #[test]
    fn a_mean_of_intervals_weighs_them_and_is_doubted_by_their_spread() {
        let weighted = mean_ratio(&[(0.3, 10), (0.1, 90)], &[(0.06, 1)], 2.58).unwrap();
        assert!((weighted.candidate - 0.12).abs() < 1e-9 && (weighted.value - 2.0).abs() < 1e-9);
        // Of fewer than five intervals nothing is sure.
        assert_eq!(weighted.lower.to_bits(), 0.0_f64.to_bits());
        let calm = |at: f64| vec![(at * 0.99, 100), (at, 100), (at * 1.01, 100), (at, 100), (at, 100)];
        let wild = |at: f64| {
            vec![(at * 0.2, 100), (at * 2.2, 100), (at * 0.2, 100), (at * 2.2, 100), (at * 0.2, 100)]
        };
        let lower = |ours: &[(f64, u64)]| mean_ratio(ours, &calm(0.05), 2.58).unwrap().lower;
        assert!((1.9..2.0).contains(&lower(&calm(0.1))), "{}", lower(&calm(0.1)));
        assert!(lower(&wild(0.1)) < 1.0, "{}", lower(&wild(0.1)));
        assert_eq!(mean_ratio(&[], &calm(0.1), 2.58), None);
    }
}
