//! Gathers everything that a plan depends on, from the store and from Azure. Absence is data.

pub(crate) mod azure;
pub(crate) mod endpoint;
mod keys;
pub(crate) mod model;
pub(crate) mod model_promotion;
pub(crate) mod serving_runtime;
