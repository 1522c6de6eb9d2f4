//! The client against servers that a test scripts.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod calls;
mod creations;
mod emulator;
mod hosts;
mod identities;
mod lists;
mod operations;
mod server;
mod throttling;
