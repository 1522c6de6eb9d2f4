//! The engine of everything in Azure, against an Azure in memory.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod engine;
mod properties;
