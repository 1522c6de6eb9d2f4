//! The kubectl plugin: `status`, `rollout`, `rollback`, `promote`, `promotion`, `approve`, `reject`, `history`, `audit`, `keys`, `check`,
//! `explain`, `plan` and `import`.
//!
//! Each verb gathers plain facts, makes a report of them with pure functions, and renders it as text, JSON or YAML.
//!
//! Invariant: it writes two annotations of an Endpoint, by which a person steers its rollout and asks for a new key, and
//! ModelPromotions and Approvals in the user's own name, and nothing else; beyond that it asks the API server what the user may do. Of Azure it has only what [`azure::Reads`] offers, which can't
//! write.

mod arguments;
mod audit;
mod azure;
mod check;
mod connect;
mod explain;
mod failure;
#[cfg(test)]
mod fixtures;
mod health;
mod import;
mod keys;
mod objects;
mod output;
mod preview;
mod promotion;
mod rollout;
mod status;
mod word;

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::{Arguments, KeysVerb, Verb};
use crate::failure::{Failure, Outcome};
use crate::output::Style;

/// Runs one verb; the exit code is 0 for ok, 1 for unhealthy, 2 for wrong usage and 3 for an error.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // A closed pipe is the only way that this fails, and nobody is left to tell.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    match start(&arguments) {
        Ok(Outcome::Ok) => ExitCode::SUCCESS,
        Ok(Outcome::Unhealthy) => ExitCode::from(1),
        Ok(Outcome::Changes) => ExitCode::from(2),
        Err(failure) => {
            output::progress(&format!("error: {failure}"));
            ExitCode::from(failure.exit_code())
        }
    }
}

fn start(arguments: &Arguments) -> Result<Outcome, Failure> {
    // Only a second installation in the same process fails, and then the first one serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Error(format!("failed to start: {error}")))?;
    let style = Style::detect(std::io::stdout().is_terminal(), |name| std::env::var(name).ok());
    let global = &arguments.global;
    runtime.block_on(async {
        match &arguments.verb {
            Verb::Status(options) => status::run(global, options, style).await,
            Verb::Rollout(options) => Box::pin(rollout::run(global, options, style)).await,
            Verb::Rollback(options) => Box::pin(rollout::roll_back(global, options)).await,
            Verb::Promote(options) => Box::pin(promotion::promote(global, options, style)).await,
            Verb::Promotion(options) => promotion::run(global, options, style).await,
            Verb::Approve(options) => Box::pin(promotion::approve(global, options, style)).await,
            Verb::Reject(options) => Box::pin(promotion::reject(global, options, style)).await,
            Verb::Override(options) => Box::pin(promotion::go_beyond(global, options, style)).await,
            Verb::Skip(options) => Box::pin(promotion::skip(global, options, style)).await,
            Verb::History(options) => audit::history(global, options).await,
            Verb::Audit(verb) => audit::run(global, verb, style).await,
            Verb::Keys(KeysVerb::Regenerate(options)) => Box::pin(keys::regenerate(global, options)).await,
            Verb::Check(options) => check::run(global, options, style).await,
            Verb::Explain(options) => explain::run(global, options, style).await,
            Verb::Plan(options) => preview::run(global, options, style).await,
            Verb::Import(options) => import::run(global, options).await,
        }
    })
}
