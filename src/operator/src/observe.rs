//! Gathers everything that a plan depends on from the store. Absence is data.

pub(crate) mod endpoint;
pub(crate) mod serving_runtime;
