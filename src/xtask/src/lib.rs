//! Automation of the repository: every verb that people, hooks and CI call, as a library so that the journeys can
//! start clusters with the same code.
//!
//! Invariant: synchronous code and child processes only; no async runtime, no Kubernetes client.

pub mod azure;
pub mod azurite;
pub mod bench;
pub mod cache;
pub mod cluster;
mod commands;
pub mod demo;
pub mod faults;
pub mod generate;
pub mod image;
pub mod lint;
pub mod oci;
pub mod progress;
pub mod python;
pub mod readme;
pub mod shell;
pub mod test;
pub mod tidy;
pub mod tools;

pub use commands::run;
