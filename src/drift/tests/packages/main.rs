//! Random rows, computed here and by the packages that people know: Fairlearn, scikit-learn, SciPy, NumPy, pandas.
//!
//! One Python process answers all tests. Seeds are fixed, so that a failure comes again.
#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod fairness;
mod performance;
mod predictions;
mod quality;
mod slices;
mod support;
