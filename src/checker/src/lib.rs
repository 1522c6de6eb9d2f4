//! The program of a promotion's checks: rows and servers in, a report out.
//!
//! ```text
//! MLOPS_CHECK --CheckTask--> check --Measured--> judge --CheckReport--> termination message
//! ```
//!
//! Everything that was looked at and found is the last line of standard output; its digest is the report's `artifact`.
//! The program ends well whenever it could report, whatever it found.
//!
//! Invariant: it knows nothing of Kubernetes but the file of the termination message. Invariant: a report has 4,096 bytes
//! at most, which is all that Kubernetes keeps.
mod difference;
mod junit;
mod load;
mod model;
mod quality;
mod report;
mod responsible;
mod results;
mod rows;
mod signature;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use api::model_promotion::{CheckReport, CheckTask, CheckType};
use clap::Parser;
use jiff::Timestamp;

pub use self::model::Model;
pub use self::report::{Found, Measured};

/// Does one check of a promotion, and reports what it found.
#[derive(Debug, Parser)]
#[command(name = "mlops-checker", version)]
struct Arguments {
    /// What to check, as JSON.
    #[arg(long, env = "MLOPS_CHECK", hide_env_values = true)]
    check: String,
    /// The file that gets the report.
    #[arg(
        long,
        env = "MLOPS_TERMINATION_MESSAGE",
        default_value = "/dev/termination-log",
        value_name = "PATH"
    )]
    termination_message: PathBuf,
}

/// Runs the program with its arguments.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    match reported(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mlops-checker: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn reported(arguments: &Arguments) -> anyhow::Result<()> {
    let task: CheckTask = serde_json::from_str(&arguments.check)
        .context("failed to read the check: MLOPS_CHECK must be the JSON that the operator writes")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (report, artifact) = runtime.block_on(check(&task, Timestamp::now()));
    println!("{artifact}");
    let said = serde_json::to_string(&report)?;
    std::fs::write(&arguments.termination_message, said)
        .with_context(|| format!("failed to write {}", arguments.termination_message.display()))
}

/// Does a check. Returns its report, and the artefact whose digest it names.
pub async fn check(task: &CheckTask, now: Timestamp) -> (CheckReport, String) {
    let found = match task.check.type_ {
        CheckType::DataQuality => quality::measure(task, now),
        CheckType::EndpointPerformance => load::measure(task).await,
        CheckType::Job => results::tests(task).await,
        CheckType::PredictionDiff => difference::measure(task).await,
        CheckType::ResponsibleAI => responsible::measure(task).await,
        CheckType::Retrain => results::metrics(task).await,
        CheckType::Signature => signature::measure(task).await,
    };
    let found =
        found.unwrap_or_else(|error| Found { problem: Some(format!("{error:#}")), ..Found::default() });
    report::report(task, &found)
}
