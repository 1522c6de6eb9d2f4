//! Judges a candidate by what was measured of it.
use api::endpoint::{Analysis, Check};

use super::evidence::Evidence;

/// What a step measures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Measures {
    /// Answers to callers.
    Traffic,
    /// Answers to copies.
    Mirror,
}

/// What a step's checks come to together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Go on.
    Passed,
    /// Worse.
    Failed,
    /// Not known.
    Inconclusive,
}

/// The checks.
pub fn checks(_: &Analysis, _: Measures, _: (&str, &str), _: Option<&Evidence>, _: bool) -> Vec<Check> {
    Vec::new()
}

/// The verdict.
pub fn verdict(_: &[Check]) -> Verdict {
    Verdict::Passed
}
