//! Checks against a server that answers like the model server, and the program itself.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod data;
mod predictions;
mod process;
mod speed;
mod support;
