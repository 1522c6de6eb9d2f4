//! What runs behind the control plane: real model servers and real commands, through the emulator's own doors.
mod batch;
mod deployments;
mod jobs;
mod pipelines;
mod service;
mod support;
