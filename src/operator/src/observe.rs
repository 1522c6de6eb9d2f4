//! Gathers everything that a plan depends on, from the store and from Azure. Absence is data.

pub(crate) mod azure;
pub(crate) mod endpoint;
pub(crate) mod serving_runtime;
