//! What runs behind the control plane: real model servers and real commands, through the emulator's own doors.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod batch;
mod deployments;
mod jobs;
mod pipelines;
mod service;
mod support;
