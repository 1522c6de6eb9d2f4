//! Statistics: fairness, data quality, predictions.
//!
//! Rows come in as a [`table::Table`] or as plain values, and every answer is a value. What a formula leaves without a
//! meaning, such as the rate of an empty group, is `None` and never a NaN; where a package that people compare with
//! gives NaN, the answer here is `None`.
//!
//! Invariant: no IO and no clock. Invariant: the only randomness is a generator whose seed the caller gives.

pub mod bootstrap;
pub mod fairness;
pub mod interval;
mod numeric;
pub mod outcome;
pub mod performance;
pub mod predictions;
pub mod quality;
pub mod slices;
pub mod table;
