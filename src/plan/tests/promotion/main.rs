//! Promotions: which votes count, when a stage gets the version, and what the Model makes of it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod checks;
mod ends;
mod freezes;
mod log;
mod stages;
mod support;
mod votes;
