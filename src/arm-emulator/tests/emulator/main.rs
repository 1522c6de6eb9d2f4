//! The emulator over HTTPS, asked by an ordinary client.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod conflicts;
mod faults;
mod identity;
mod operations;
mod rows;
mod state;
mod support;
mod templates;
mod throttling;
