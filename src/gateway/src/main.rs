//! `mlops-gateway`: routes inference requests to the revisions of endpoints.
use std::process::ExitCode;

/// Bodies that are captured are freed by another thread than the one that read them, which glibc is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    gateway::run(std::env::args_os().collect())
}
