//! The command line: verbs and their options.
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::output::Format;

const EXIT_CODES: &str = "\
Exit codes:
  0  ok
  1  something is unhealthy, or not ready in time
  2  wrong usage
  3  error: the cluster can't be reached, or an object does not exist

It reads and never writes, except that rollout, rollback and keys tell the operator what you say, and that approve and
reject write your vote. Colour is left out off a
terminal and when NO_COLOR is set.";

const ROLLOUT_EXIT_CODES: &str = "\
Exit codes:
  0  ok; with --watch, the new revision got all requests
  1  the new revision was given up, or waits for a person who must mend something; or the operator did not answer in time
  2  wrong usage
  3  error: the cluster can't be reached, an object does not exist, or the word makes no sense now

Of the Endpoint, it writes the annotation mlops-operator.dev/rollout-action and nothing else.";

const KEYS_EXIT_CODES: &str = "\
Exit codes:
  0  ok
  1  the operator refused, or did not answer in time
  2  wrong usage
  3  error: the cluster can't be reached, an object does not exist, or the word makes no sense now

Of the Endpoint, it writes the annotation mlops-operator.dev/keys-action and nothing else. `kubectl get secret` shows the
keys to whoever may read them.";

const VOTE_EXIT_CODES: &str = "\
Exit codes:
  0  ok: it is written; `kubectl get approvals` says whether a vote counts
  1  the answer was not yes
  2  wrong usage
  3  error: the cluster can't be reached, refuses the vote, or nothing waits for votes

It writes one Approval or one ModelPromotion, in your own name and about what it shows.";

const AUDIT_EXIT_CODES: &str = "\
Exit codes:
  0  no entry was changed or removed
  1  an entry was changed or removed
  2  wrong usage
  3  error: the cluster can't be reached, or the file can't be read

It reads and never writes.";

const PLAN_EXIT_CODES: &str = "\
Exit codes:
  0  ok; with --exit-code, nothing is to be done
  1  error: a manifest is wrong, or the cluster or Azure can't be reached
  2  wrong usage; with --exit-code, something is to be done

It reads and never writes.";

const IMPORT_EXIT_CODES: &str = "\
Exit codes:
  0  ok
  1  with --strict, something exists that no manifest can say
  2  wrong usage
  3  error: Azure can't be reached, or there is no such resource

It reads Azure and never writes there.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl mlops",
    bin_name = "kubectl mlops",
    about = "Shows, explains and steers what the mlops-operator does.",
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
    /// Show endpoints with their revisions and pods, and all else, and why they are as they are.
    ///
    /// Without KIND, everything of the namespace: endpoints, what lives in Azure, serving runtimes.
    #[command(after_help = EXIT_CODES)]
    Status(StatusOptions),
    /// Show how a new revision takes over, or say a word about it: pause, resume, skip-step, abort, retry, promote.
    #[command(after_help = ROLLOUT_EXIT_CODES)]
    Rollout(RolloutOptions),
    /// Go back to a revision from before, without steps, since it was proven once.
    ///
    /// During a rollout, the new revision is given up. What the spec asks for is not rolled out again until the spec
    /// changes, or somebody says `kubectl mlops rollout retry NAME`.
    #[command(after_help = ROLLOUT_EXIT_CODES)]
    Rollback(RollbackOptions),
    /// Ask for the promotion of a version, through the stages of an earlier promotion of the model.
    #[command(after_help = VOTE_EXIT_CODES)]
    Promote(PromoteOptions),
    /// Show a promotion: its parts, what they change, its stages, what its checks found, its votes, and who can vote; or
    /// run its checks again, or end it.
    #[command(after_help = EXIT_CODES)]
    Promotion(PromotionOptions),
    /// Vote for the stage of a promotion that waits for votes, after everything was shown.
    #[command(after_help = VOTE_EXIT_CODES)]
    Approve(VoteOptions),
    /// Vote against the stage of a promotion that waits for votes: the promotion ends.
    #[command(after_help = VOTE_EXIT_CODES)]
    Reject(VoteOptions),
    /// Let a stage have the version in spite of its checks, its votes and its freezes. It needs the verb override, and
    /// everyone reads who did it and why.
    #[command(after_help = VOTE_EXIT_CODES)]
    Override(VoteOptions),
    /// Let a stage go on without one of its checks. It needs the verb override, and everyone reads who did it and why.
    #[command(after_help = VOTE_EXIT_CODES)]
    Skip(SkipOptions),
    /// Show what was decided about a model: who, when, about which version, and why.
    #[command(after_help = EXIT_CODES)]
    History(HistoryOptions),
    /// Check the log of decisions, or write it to a file.
    #[command(subcommand)]
    Audit(AuditVerb),
    /// Replace a key that opens an endpoint of this cluster.
    #[command(subcommand)]
    Keys(KeysVerb),
    /// Check the cluster, the installation and your rights.
    #[command(after_help = EXIT_CODES)]
    Check(CheckOptions),
    /// Say in a sentence how an object is, why, what to do next, and who can do it.
    ///
    /// The exit code is 0 whenever it could be explained.
    #[command(after_help = EXIT_CODES)]
    Explain(ExplainOptions),
    /// Show every write in Azure and on the cluster before it happens, with differences and a hash.
    ///
    /// Without --server, nothing is asked of anybody: nothing is taken to exist, and what the manifests refer to is taken
    /// to be ready. The API server's own rules are not all checked; `kubectl apply --dry-run=server` does.
    #[command(after_help = PLAN_EXIT_CODES)]
    Plan(PlanOptions),
    /// Write manifests for what exists in Azure: a workspace or a registry, and everything in it.
    ///
    /// The objects only observe (management.mode: Plan). Each is compared with what exists, and what no manifest can say
    /// is told in comments. The identity is that of the environment: AZURE_*, or the Azure CLI with
    /// AZURE_TOKEN_CREDENTIALS=dev.
    #[command(after_help = IMPORT_EXIT_CODES)]
    Import(ImportOptions),
}

#[derive(Args, Debug)]
pub(crate) struct RolloutOptions {
    #[command(flatten)]
    pub(crate) status: RolloutStatusOptions,
    #[command(subcommand)]
    pub(crate) verb: Option<RolloutVerb>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RolloutVerb {
    /// Show how far it has come, what was measured, and who may act.
    #[command(after_help = ROLLOUT_EXIT_CODES)]
    Status(RolloutStatusOptions),
    /// Stay where it is.
    #[command(after_help = ROLLOUT_EXIT_CODES)]
    Pause(Named),
    /// Go on, whatever it waits for.
    #[command(after_help = ROLLOUT_EXIT_CODES)]
    Resume(Named),
    /// Go on with the next step, before this one is proven.
    #[command(after_help = ROLLOUT_EXIT_CODES)]
    SkipStep(Named),
    /// Give the new revision up: all requests go to the one before.
    #[command(after_help = ROLLOUT_EXIT_CODES)]
    Abort(Named),
    /// Try the revision that was rejected again.
    #[command(after_help = ROLLOUT_EXIT_CODES)]
    Retry(Named),
    /// Give the new revision all requests, without further steps.
    #[command(after_help = ROLLOUT_EXIT_CODES)]
    Promote(Named),
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditVerb {
    /// Check that no entry was changed or removed, on the cluster or in a file.
    ///
    /// On the cluster, the Models' statuses say where each log must end. Whoever can write those can also hide that: keep
    /// the digest that this verb prints, and give it as --head later.
    #[command(after_help = AUDIT_EXIT_CODES)]
    Verify(VerifyOptions),
    /// Write all entries, a line of JSON each.
    #[command(after_help = EXIT_CODES)]
    Export(ExportLogOptions),
}

#[derive(Args, Debug)]
pub(crate) struct VerifyOptions {
    /// A file that `audit export` has written; the cluster is not asked.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// A digest that some entry had when it was kept; may be given several times.
    #[arg(long = "head", value_name = "DIGEST")]
    pub(crate) heads: Vec<String>,
    /// All namespaces.
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ExportLogOptions {
    /// All namespaces.
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
}

#[derive(Args, Debug)]
pub(crate) struct PromoteOptions {
    /// The Model.
    pub(crate) model: String,
    /// The version, one that the Model lists.
    pub(crate) version: String,
    /// The ModelPromotion whose stages it takes; without it, the newest of the model.
    #[arg(long, value_name = "PROMOTION")]
    pub(crate) like: Option<String>,
    /// The name of the new ModelPromotion; without it, one is made up.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Args, Debug)]
pub(crate) struct HistoryOptions {
    /// The Model.
    #[arg(value_name = "MODEL")]
    pub(crate) model: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysVerb {
    /// Make a new key in place of one of the two; the other goes on opening the endpoint.
    ///
    /// To replace both without a refused request: let callers use the secondary key, regenerate the primary, let callers
    /// use that one, and regenerate the secondary.
    #[command(after_help = KEYS_EXIT_CODES)]
    Regenerate(RegenerateOptions),
}

#[derive(Args, Debug)]
pub(crate) struct RegenerateOptions {
    /// The Endpoint's name.
    pub(crate) name: String,
    /// Which key.
    #[arg(long, value_enum, value_name = "KEY")]
    pub(crate) key: KeyChoice,
}

/// Which key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum KeyChoice {
    /// The first.
    Primary,
    /// The second.
    Secondary,
}

#[derive(Args, Debug)]
pub(crate) struct RolloutStatusOptions {
    /// The Endpoint's name.
    pub(crate) name: Option<String>,
    /// Draw it again on every change, until the new revision got all requests or was given up.
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// How long to watch at most, such as 90s or 5m; when it is over, the exit code is 1.
    #[arg(long, requires = "watch", value_parser = duration, value_name = "DURATION")]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Args, Debug)]
pub(crate) struct Named {
    /// The Endpoint's name.
    pub(crate) name: String,
}

#[derive(Args, Debug)]
pub(crate) struct RollbackOptions {
    /// The Endpoint's name.
    pub(crate) name: String,
    /// The revision to go back to; without it, the one before. `kubectl mlops status endpoint NAME` lists them.
    #[arg(long, value_name = "REVISION")]
    pub(crate) to: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct PromotionOptions {
    /// The ModelPromotion's name.
    pub(crate) name: String,
    /// Run the checks again that have not passed.
    #[arg(long, conflicts_with = "abort")]
    pub(crate) retry: bool,
    /// End it where it is. Stages that have the version keep it.
    #[arg(long)]
    pub(crate) abort: bool,
}

#[derive(Args, Debug)]
pub(crate) struct SkipOptions {
    #[command(flatten)]
    pub(crate) vote: VoteOptions,
    /// The check to go on without.
    #[arg(long, value_name = "NAME")]
    pub(crate) check: String,
}

#[derive(Args, Debug)]
pub(crate) struct VoteOptions {
    /// The ModelPromotion's name.
    pub(crate) name: String,
    /// Why, for those who read it later.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// A group of yours in whose name you vote. It may be given more than once.
    #[arg(long = "group", value_name = "NAME")]
    pub(crate) groups: Vec<String>,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Args, Debug)]
pub(crate) struct StatusOptions {
    /// endpoint (ep), mlworkspace (mlw), compute, dataasset, model, modelregistry, modelpromotion (promo), approval (appr) or servingruntime (srt); KIND/NAME works too.
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
    /// endpoint (ep), mlworkspace (mlw), compute, dataasset, model, modelregistry, modelpromotion (promo), approval (appr) or servingruntime (srt); KIND/NAME works too.
    pub(crate) kind: String,
    /// The object's name.
    pub(crate) name: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct PlanOptions {
    /// A manifest, a folder of manifests, or - for standard input. It may be given more than once.
    #[arg(short, long = "filename", required = true, value_name = "FILE")]
    pub(crate) filename: Vec<PathBuf>,
    /// Compare with the live objects and with Azure. The identity is that of the environment: `AZURE_*`, or the Azure CLI
    /// with `AZURE_TOKEN_CREDENTIALS=dev`.
    #[arg(long)]
    pub(crate) server: bool,
    /// Exit with 2 when there is something to do.
    #[arg(long)]
    pub(crate) exit_code: bool,
    /// The subscription of manifests that name none; without it, that of the operator or `AZURE_SUBSCRIPTION_ID`.
    #[arg(long, value_name = "ID")]
    pub(crate) subscription: Option<String>,
    /// The certificate authority of a custom Azure, as PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) azure_ca_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct ImportOptions {
    /// The id of a workspace or registry: /subscriptions/…/workspaces/NAME.
    #[arg(value_name = "AZURE-ID")]
    pub(crate) id: String,
    /// Write a file for each object into this folder instead of everything to standard output.
    #[arg(long, value_name = "DIR")]
    pub(crate) output_dir: Option<PathBuf>,
    /// Fail when something exists that no manifest can say.
    #[arg(long)]
    pub(crate) strict: bool,
    /// How many versions of a model or data asset to import at most, the newest first.
    #[arg(long, default_value_t = 50, value_name = "NUMBER")]
    pub(crate) versions: usize,
    /// The certificate authority of a custom Azure, as PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) azure_ca_file: Option<PathBuf>,
}

/// A time span as people write it.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
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
    fn a_rollout_is_shown_with_and_without_the_word_status() {
        for words in [["rollout", "churn", "-w"], ["rollout", "status", "churn"]] {
            let parsed = Arguments::try_parse_from(["kubectl-mlops"].into_iter().chain(words)).unwrap();
            let Verb::Rollout(options) = parsed.verb else { unreachable!("{words:?}") };
            let shown = match &options.verb {
                Some(RolloutVerb::Status(options)) => options,
                _ => &options.status,
            };
            assert_eq!(shown.name.as_deref(), Some("churn"));
        }
    }

    #[test]
    fn options_may_stand_before_and_behind_a_word_about_a_rollout() {
        for words in ["rollout skip-step churn -n team", "rollout -n team skip-step churn"] {
            let words = ["kubectl-mlops"].into_iter().chain(words.split(' '));
            let parsed = Arguments::try_parse_from(words).unwrap();
            assert_eq!(parsed.global.namespace.as_deref(), Some("team"));
            let Verb::Rollout(RolloutOptions { verb: Some(RolloutVerb::SkipStep(named)), .. }) = parsed.verb
            else {
                unreachable!("skip-step is a verb of rollout")
            };
            assert_eq!(named.name, "churn");
        }
    }

    #[test]
    fn a_timeout_without_watch_is_refused() {
        let parsed = Arguments::try_parse_from(["kubectl-mlops", "status", "--timeout", "5s"]);
        assert!(parsed.unwrap_err().to_string().contains("--watch"));
    }
}
