//! `rollout` and `rollback`: how far a new revision has come, and a person's word about it.

mod action;
mod report;
mod tree;
mod watch;

#[cfg(test)]
mod tests;

use api::Endpoint;
use jiff::Timestamp;

use self::report::Report;
use crate::arguments::{Global, RollbackOptions, RolloutOptions, RolloutStatusOptions, RolloutVerb};
use crate::connect::{self, Cluster};
use crate::failure::{Failure, Outcome};
use crate::objects::{self, Kind, Selection};
use crate::output::{self, Format, Style};

/// Shows a rollout, or steers it.
pub(crate) async fn run(global: &Global, options: &RolloutOptions, style: Style) -> Result<Outcome, Failure> {
    let shown = &options.status;
    if options.verb.is_some() && (shown.name.is_some() || shown.watch) {
        let message = "give one verb: `kubectl mlops rollout NAME -w`, or for example `kubectl mlops rollout pause NAME`";
        return Err(Failure::Usage(message.to_owned()));
    }
    let (action, named) = match &options.verb {
        None => return status(global, &options.status, style).await,
        Some(RolloutVerb::Status(options)) => return status(global, options, style).await,
        Some(RolloutVerb::Pause(named)) => (action::Action::Pause, named),
        Some(RolloutVerb::Resume(named)) => (action::Action::Resume, named),
        Some(RolloutVerb::SkipStep(named)) => (action::Action::SkipStep, named),
        Some(RolloutVerb::Abort(named)) => (action::Action::Abort, named),
        Some(RolloutVerb::Retry(named)) => (action::Action::Retry, named),
        Some(RolloutVerb::Promote(named)) => (action::Action::Promote, named),
    };
    Box::pin(action::run(global, &name(Some(&named.name))?, &action)).await
}

/// Goes back to a revision from before.
pub(crate) async fn roll_back(global: &Global, options: &RollbackOptions) -> Result<Outcome, Failure> {
    let action = action::Action::Rollback(options.to.clone());
    Box::pin(action::run(global, &name(Some(&options.name))?, &action)).await
}

async fn status(global: &Global, options: &RolloutStatusOptions, style: Style) -> Result<Outcome, Failure> {
    let name = name(options.name.as_deref())?;
    let cluster = connect::connect(global).await?;
    let endpoint = find(&cluster, &name).await?;
    if options.watch {
        let display = watch::Display::new(options, global.output, style);
        return watch::run(&cluster, &name, &display).await;
    }
    let report = Report::new(&endpoint, Timestamp::now());
    output::print(&render(&report, global.output, style)?)?;
    Ok(Outcome::from_health(report.end() != Some(Outcome::Unhealthy)))
}

/// The name of an Endpoint: `NAME`, or `endpoint/NAME` as other verbs have it.
pub(crate) fn name(word: Option<&str>) -> Result<String, Failure> {
    let usage = || Failure::Usage("name the Endpoint; `kubectl mlops status endpoint` lists them".to_owned());
    let word = word.filter(|word| !word.is_empty()).ok_or_else(usage)?;
    if !word.contains('/') {
        return Ok(word.to_owned());
    }
    match Selection::parse(Some(word), None)? {
        Selection { kind: Some(Kind::Endpoint), name: Some(name) } if !name.is_empty() => Ok(name),
        _ => Err(usage()),
    }
}

pub(crate) async fn find(cluster: &Cluster, name: &str) -> Result<Endpoint, Failure> {
    let namespace = cluster.namespace.as_str();
    let found = objects::list(cluster, Kind::Endpoint, Some(namespace)).await?;
    objects::find(found, Kind::Endpoint, name, namespace)
}

fn render(report: &Report, format: Format, style: Style) -> Result<String, Failure> {
    output::document(format, report, |report| tree::render(report, style))
}
