//! `mlops-gateway`: routes inference requests to the revisions of endpoints.
use std::process::ExitCode;

fn main() -> ExitCode {
    gateway::run(std::env::args_os())
}
