//! The server as a process, with the real ONNX Runtime and the committed models.
mod draining;
mod failing;
mod fetching;
mod serving;
mod support;
