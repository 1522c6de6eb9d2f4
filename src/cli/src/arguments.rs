//! The command line: verbs and their options.
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::output::Format;

const EXIT_CODES: &str = "\
Exit codes:
  0  ok
  1  something is unhealthy, or not ready in time
  2  wrong usage
  3  error: the cluster can't be reached, or an object does not exist

It reads and never writes. Colour is left out off a terminal and when NO_COLOR is set.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl mlops",
    bin_name = "kubectl mlops",
    about = "Shows and explains what the mlops-operator does.",
    after_help = EXIT_CODES,
    version
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// The options of every verb.
#[derive(Args, Debug)]
pub(crate) struct Global {
    /// The namespace; without it, the namespace of the context.
    #[arg(short, long, global = true, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// The context of the kubeconfig; without it, the current one.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The kubeconfig file; without it, KUBECONFIG or ~/.kube/config.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// How to print.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub(crate) output: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show endpoints with their revisions and pods, and why they are as they are.
    ///
    /// Without KIND, all endpoints and serving runtimes of the namespace.
    #[command(after_help = EXIT_CODES)]
    Status(StatusOptions),
    /// Check the cluster, the installation and your rights.
    #[command(after_help = EXIT_CODES)]
    Check(CheckOptions),
    /// Say in a sentence how an object is, why, what to do next, and who can do it.
    ///
    /// The exit code is 0 whenever it could be explained.
    #[command(after_help = EXIT_CODES)]
    Explain(ExplainOptions),
}

#[derive(Args, Debug)]
pub(crate) struct StatusOptions {
    /// endpoint (endpoints, ep) or servingruntime (servingruntimes, srt); KIND/NAME works too.
    pub(crate) kind: Option<String>,
    /// The object's name.
    pub(crate) name: Option<String>,
    /// All namespaces.
    #[arg(short = 'A', long, conflicts_with = "name")]
    pub(crate) all_namespaces: bool,
    /// Print again on every change, until all is ready or needs a person.
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// How long to watch at most, such as 90s or 5m; when it is over, the exit code is 1.
    #[arg(long, requires = "watch", value_parser = duration, value_name = "DURATION")]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Args, Debug)]
pub(crate) struct CheckOptions {
    /// Check what an installation needs, before it.
    #[arg(long)]
    pub(crate) pre: bool,
    /// The namespace of the operator; without it, it is looked for in all.
    #[arg(long, value_name = "NAME")]
    pub(crate) operator_namespace: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ExplainOptions {
    /// endpoint (endpoints, ep) or servingruntime (servingruntimes, srt); KIND/NAME works too.
    pub(crate) kind: String,
    /// The object's name.
    pub(crate) name: Option<String>,
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is no duration: use for example 90s, 5m or 1h30m");
    let duration: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(duration).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_mins(90)));
        assert!(duration("soon").unwrap_err().contains("use for example"));
        assert!(duration("-5s").is_err());
    }

    #[test]
    fn a_timeout_without_watch_is_refused() {
        let parsed = Arguments::try_parse_from(["kubectl-mlops", "status", "--timeout", "5s"]);
        assert!(parsed.unwrap_err().to_string().contains("--watch"));
    }
}
