//! The emulator over HTTPS, asked by an ordinary client.
mod conflicts;
mod faults;
mod identity;
mod operations;
mod rows;
mod state;
mod support;
mod throttling;
