//! The server as a process, with the real ONNX Runtime and the committed models.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod azure;
mod draining;
mod failing;
mod fetching;
mod guarding;
mod resuming;
mod serving;
mod support;
