//! Requests as an inference gateway sees and counts them, made by chance.
use std::collections::BTreeMap;

use fastrand::Rng;
use plan::endpoint::rollout::evidence::{Evidence, Sample};

/// How many buckets lie between a latency and its double, as in the gateway.
const BUCKETS_PER_DOUBLING: u64 = 16;

/// How a revision answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Model {
    /// The share of its answers that are errors.
    pub(crate) errors: f64,
    /// The share of its predictions that differ from those of the stable revision.
    pub(crate) disagreement: f64,
    /// The median of its latency in seconds.
    pub(crate) median: f64,
    /// The standard deviation of the logarithm of its latency.
    pub(crate) spread: f64,
}

/// The model that serves: its like differs from it in one of two hundred predictions.
pub(crate) const STABLE: Model = Model { errors: 0.001, disagreement: 0.005, median: 0.02, spread: 0.5 };

/// What one revision did so far.
#[derive(Default)]
struct Counted {
    sample: Sample,
    latency: BTreeMap<u64, u64>,
}

/// What was counted since a step began.
#[derive(Default)]
pub(crate) struct Gateway {
    candidate: Counted,
    stable: Counted,
}

impl Gateway {
    /// A caller's request, answered by the candidate or by the stable revision.
    pub(crate) fn answer(&mut self, rng: &mut Rng, model: Model, candidate: bool) {
        let counted = if candidate { &mut self.candidate } else { &mut self.stable };
        let failed = rng.f64() < model.errors;
        *(if failed { &mut counted.sample.failed } else { &mut counted.sample.good }) += 1;
        let microseconds = model.median * (model.spread * normal(rng)).exp() * 1e6;
        *counted.latency.entry(bound(microseconds as u64)).or_default() += 1;
    }

    /// A copy of a request, answered by the candidate.
    pub(crate) fn copy(&mut self, rng: &mut Rng, model: Model) {
        let mirror = &mut self.candidate.sample.mirror;
        if rng.f64() < model.errors {
            mirror.failed += 1;
        } else if rng.f64() < model.disagreement {
            mirror.disagreed += 1;
            mirror.different_predictions += 1;
        } else {
            mirror.agreed += 1;
            mirror.same_predictions += 1;
        }
    }

    /// What the operator gets to know.
    pub(crate) fn evidence(&self) -> Evidence {
        let sample = |counted: &Counted| Sample {
            latency: counted.latency.iter().map(|(bound, count)| (*bound as f64 / 1e6, *count)).collect(),
            ..counted.sample.clone()
        };
        let revisions = [("candidate", sample(&self.candidate)), ("stable", sample(&self.stable))];
        Evidence {
            revisions: revisions.map(|(name, sample)| (name.to_owned(), sample)).into(),
            ..Evidence::default()
        }
    }
}

/// The upper bound of the bucket of a latency, in microseconds: sixteen of the same width from each power of two to the
/// next.
fn bound(microseconds: u64) -> u64 {
    let width = (1_u64 << microseconds.max(1).ilog2()).div_ceil(BUCKETS_PER_DOUBLING);
    (microseconds / width + 1) * width
}

/// How many requests come within a look, when so many come on average (Knuth's method).
pub(crate) fn arrivals(rng: &mut Rng, mean: f64) -> usize {
    let (floor, mut product, mut count) = ((-mean).exp(), rng.f64(), 0);
    while product > floor {
        product *= rng.f64();
        count += 1;
    }
    count
}

/// A number of the standard normal distribution (Box and Muller's method).
fn normal(rng: &mut Rng) -> f64 {
    let (radius, angle) = (1.0 - rng.f64(), rng.f64());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}
