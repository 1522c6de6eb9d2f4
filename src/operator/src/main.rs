//! `mlops-operator`: starts the controllers.
use std::process::ExitCode;

use clap::Parser as _;
use operator::arguments::{Arguments, Verb};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result = runtime.map_err(anyhow::Error::from).and_then(|runtime| match arguments.verb {
        None => runtime.block_on(operator::run(arguments.options)),
        Some(Verb::Check { url }) => runtime.block_on(operator::check(&url)),
        Some(Verb::MetricsTable) => operator::metrics::print_table(&mut std::io::stdout()),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mlops-operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}
