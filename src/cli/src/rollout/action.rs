//! A person's word about a rollout: whether it makes sense now, how it is said, and what becomes of it.
use std::fmt;

use api::Endpoint;
use api::endpoint::{Revision, RolloutStatus};
use api::meta::ROLLOUT_ACTION_ANNOTATION;
use jiff::Timestamp;
use serde::Serialize;

use crate::arguments::Global;
use crate::connect;
use crate::failure::{Failure, Outcome};
use crate::objects;
use crate::output;
use crate::word::{self, Word};

/// What a person says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Action {
    Pause,
    Resume,
    SkipStep,
    Abort,
    Retry,
    Promote,
    /// Back to a revision, or to the one before.
    Rollback(Option<String>),
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::SkipStep => "skip-step",
            Self::Abort => "abort",
            Self::Retry => "retry",
            Self::Promote => "promote",
            Self::Rollback(None) => "rollback",
            Self::Rollback(Some(revision)) => return write!(formatter, "rollback={revision}"),
        })
    }
}

/// What became of a word. Its shape is that of `-o json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    namespace: String,
    name: String,
    /// The value of the annotation.
    action: String,
    /// Whether the operator has taken it up.
    handled: bool,
    /// What the operator says of the rollout since.
    message: String,
}

/// Says a word, and waits for what becomes of it.
pub(super) async fn run(global: &Global, name: &str, action: &Action) -> Result<Outcome, Failure> {
    let cluster = connect::connect(global).await?;
    let endpoint = super::find(&cluster, name).await?;
    if let Some(refusal) = refusal(&endpoint, action) {
        return Err(Failure::Error(format!("{action} makes no sense now: {refusal}")));
    }
    let api = objects::scoped::<Endpoint>(&cluster, Some(&cluster.namespace));
    let word = Word::new(ROLLOUT_ACTION_ANNOTATION, action, Timestamp::now());
    word.say(&cluster, &api, name).await?;
    let endpoint = word.heard(&api, name, handled).await?;
    let report = report(&cluster.namespace, name, &word, endpoint.as_ref());
    let text = output::document(global.output, &report, |report| {
        if report.handled {
            format!("{action}: {}\n", output::one_line(&report.message))
        } else {
            word::unheard(action)
        }
    })?;
    output::print(&text)?;
    Ok(Outcome::from_health(report.handled))
}

/// What became of a word, by the Endpoint that names it as handled.
fn report(namespace: &str, name: &str, word: &Word, endpoint: Option<&Endpoint>) -> Report {
    let rollout = endpoint.and_then(|endpoint| endpoint.status.as_ref()?.rollout.as_ref());
    Report {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        action: word.value.clone(),
        handled: endpoint.is_some(),
        message: rollout.map(|rollout| rollout.message.clone()).unwrap_or_default(),
    }
}

/// The word that was handled last.
fn handled(endpoint: &Endpoint) -> Option<&str> {
    endpoint.status.as_ref()?.rollout.as_ref()?.handled_action.as_deref()
}

/// Why a word makes no sense now, and what to do instead.
fn refusal(endpoint: &Endpoint, action: &Action) -> Option<String> {
    let name = endpoint.metadata.name.as_deref().unwrap_or_default();
    let status = endpoint.status.as_ref();
    let Some(rollout) = status.and_then(|status| status.rollout.as_ref()) else {
        let strategy = endpoint.spec.rollout.strategy;
        return Some(if strategy.is_progressive() {
            "the operator has not told of a rollout yet; `kubectl mlops check` says whether it runs"
                .to_owned()
        } else {
            format!(
                "the strategy {strategy:?} can't be steered; set spec.rollout.strategy to Canary or BlueGreen"
            )
        });
    };
    let under_way = rollout.candidate.is_some();
    match action {
        Action::Rollback(to) => {
            let revisions = status.map_or(&[][..], |status| &status.revisions);
            let kept = if endpoint.spec.target.type_.is_azure() {
                "in Azure, its deployment is kept for spec.rollout.scaleDownDelaySeconds; change the spec back, and it is made anew"
            } else {
                "spec.rollout.revisionHistoryLimit says how many are kept"
            };
            no_way_back(rollout, revisions, to.as_deref(), kept)
        }
        Action::Retry => rollout.rejected.is_none().then(|| "no revision was rejected".to_owned()),
        _ if !under_way => Some(format!(
            "no rollout is under way, revision {} answers all requests; `kubectl mlops rollback {name}` goes back to an earlier one",
            rollout.stable
        )),
        Action::Pause => rollout.pause.as_ref().map(|_| {
            format!("the rollout waits for a person already; `kubectl mlops rollout resume {name}` goes on")
        }),
        Action::Resume => rollout.pause.is_none().then(|| {
            format!("the rollout does not wait for a person; `kubectl mlops rollout {name} -w` follows it")
        }),
        Action::SkipStep | Action::Abort | Action::Promote => None,
    }
}

/// Why there is no way back to a revision, with those to which there is.
fn no_way_back(
    rollout: &RolloutStatus,
    revisions: &[Revision],
    to: Option<&str>,
    kept: &str,
) -> Option<String> {
    let under_way = rollout.candidate.is_some();
    if under_way && to.is_none_or(|to| to == rollout.stable) {
        return None;
    }
    // Only what was stable before has proven itself.
    let is_proven = |it: &&Revision| it.name != rollout.stable && rollout.proven.contains(&it.name);
    let others: Vec<&Revision> = revisions.iter().filter(is_proven).collect();
    // The wanted revision stands first; without a name, nobody goes back to that one.
    let wanted = revisions.first().map(|revision| revision.name.as_str());
    let found = match to {
        Some(to) => others.iter().any(|revision| revision.name == to),
        None => others.iter().any(|revision| Some(revision.name.as_str()) != wanted),
    };
    if found {
        return None;
    }
    let known: Vec<String> = others.iter().map(|revision| described(revision)).collect();
    Some(match (to, known.as_slice()) {
        (Some(to), _) if to == rollout.stable => format!("revision {to} answers all requests already"),
        (_, []) => format!("no revision that was stable before is left; {kept}"),
        (Some(to), known) => {
            format!("{to} is no revision that was stable before; name one of {} with --to", known.join(", "))
        }
        (None, known) => format!("name the revision with --to: {}", known.join(", ")),
    })
}

fn described(revision: &Revision) -> String {
    match &revision.model {
        Some(model) => format!("{} ({})", revision.name, output::one_line(model)),
        None => revision.name.clone(),
    }
}

#[cfg(test)]
mod tests;
