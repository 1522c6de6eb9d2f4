//! `mlops-model-server`: serves one ONNX model, or fetches a model's artefact for another server.
use std::process::ExitCode;

fn main() -> ExitCode {
    model_server::run(std::env::args_os())
}
