//! Open Inference Protocol v2 over HTTP for one ONNX model: fetched, verified, loaded, warmed up, served, drained.
//!
//! Invariant: `tensor` and `protocol` are pure; they see neither the network nor ONNX Runtime.

pub mod arguments;
pub mod azure;
pub mod cache;
pub mod connections;
pub mod digest;
pub mod drain;
pub mod failure;
pub mod fetch;
pub mod guard;
pub mod metrics;
pub mod pool;
pub mod protocol;
pub mod server;
pub mod session;
pub mod source;
pub mod start;
pub mod state;
pub mod tensor;

pub use start::run;
