//! The gateway on loopback, with real sockets and model servers that do what a test needs.
#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod callers;
mod calls;
mod captures;
mod changing;
mod cluster;
mod encrypted;
mod failing;
mod grpc;
mod hostile;
mod mirrors;
mod pools;
mod process;
mod statistics;
mod support;
mod traces;
mod traffic;
