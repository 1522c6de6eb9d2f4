//! How rollouts are judged: what holds of any evidence, and how often a verdict is wrong.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod properties;
mod traffic;
mod trials;
