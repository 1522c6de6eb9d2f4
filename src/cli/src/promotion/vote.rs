//! A vote: everything is shown, then it is asked, then one Approval is written.
use std::io::{BufRead as _, IsTerminal as _};

use api::Approval;
use api::approval::{ApprovalSpec, Vote};
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{SelfSubjectReview, UserInfo};
use kube::Api;
use kube::api::PostParams;

use super::look;
use super::report::Report;
use crate::arguments::{Global, SkipOptions, VoteOptions};
use crate::connect::{self, Cluster};
use crate::failure::{Failure, Outcome};
use crate::objects::{self, Kind};
use crate::output::{self, Style};

/// Votes for a stage.
pub(crate) async fn approve(
    global: &Global,
    options: &VoteOptions,
    style: Style,
) -> Result<Outcome, Failure> {
    vote(global, options, style, Vote::Approve, None).await
}

/// Votes against a stage.
pub(crate) async fn reject(global: &Global, options: &VoteOptions, style: Style) -> Result<Outcome, Failure> {
    vote(global, options, style, Vote::Reject, None).await
}

/// Lets a stage have the version in spite of its rules.
pub(crate) async fn go_beyond(
    global: &Global,
    options: &VoteOptions,
    style: Style,
) -> Result<Outcome, Failure> {
    vote(global, options, style, Vote::Override, None).await
}

/// Lets a stage go on without one of its checks.
pub(crate) async fn skip(global: &Global, options: &SkipOptions, style: Style) -> Result<Outcome, Failure> {
    vote(global, &options.vote, style, Vote::Skip, Some(&options.check)).await
}

async fn vote(
    global: &Global,
    options: &VoteOptions,
    style: Style,
    decision: Vote,
    check: Option<&str>,
) -> Result<Outcome, Failure> {
    let cluster = connect::connect(global).await?;
    let report = look(&cluster, &options.name).await?;
    let me = whoami(&cluster).await?;
    let (stage, evidence) = subject(&report, decision)?;
    output::print(&report.render(style))?;
    if !options.yes && !confirmed(&format!("{decision:?} stage {stage} on this evidence"))? {
        output::progress("nothing was written");
        return Ok(Outcome::Unhealthy);
    }
    let spec = ApprovalSpec {
        promotion: options.name.clone(),
        stage: stage.clone(),
        evidence,
        decision,
        check: check.map(str::to_owned),
        reason: options.reason.clone(),
        approver: me.username.clone().unwrap_or_default(),
        groups: options.groups.clone(),
    };
    let name = written(&cluster, spec).await?;
    output::print(&format!("{decision:?} of stage {stage} is written as Approval {name}\n"))?;
    Ok(Outcome::Ok)
}

/// The stage that waits, and the evidence that was shown.
fn subject(report: &Report, decision: Vote) -> Result<(String, String), Failure> {
    let stage = match decision {
        Vote::Approve | Vote::Reject => report.awaiting(),
        Vote::Override | Vote::Skip => report.before_release(),
    };
    let waits = stage.and_then(|it| Some((it.status.name.clone(), it.status.evidence.clone()?)));
    waits.ok_or_else(|| {
        Failure::Error(format!(
            "no stage of ModelPromotion {} waits for votes: it is {:?}",
            report.name, report.phase
        ))
    })
}

/// Whom the API server takes the user for: a vote must say it.
pub(super) async fn whoami(cluster: &Cluster) -> Result<UserInfo, Failure> {
    let reviews: Api<SelfSubjectReview> = Api::all(cluster.client.clone());
    let answer = cluster.ask(reviews.create(&PostParams::default(), &SelfSubjectReview::default())).await;
    let review = answer.map_err(|problem| Failure::Error(problem.message().to_owned()))?;
    Ok(review.status.and_then(|status| status.user_info).unwrap_or_default())
}

/// Whether a person types yes.
pub(super) fn confirmed(what: &str) -> Result<bool, Failure> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(Failure::Usage(
            "nobody can be asked here: add --yes when you have looked at it".to_owned(),
        ));
    }
    output::progress(&format!("{what}? Type yes:"));
    let mut line = String::new();
    input.lock().read_line(&mut line).map_err(|error| Failure::Error(format!("failed to read: {error}")))?;
    Ok(line.trim() == "yes")
}

/// Writes the vote under a name that nobody else has; the moment tells it from an earlier one.
async fn written(cluster: &Cluster, spec: ApprovalSpec) -> Result<String, Failure> {
    let moment = Timestamp::now().as_millisecond();
    let mut name = format!("{}-{}-{moment}", spec.promotion, spec.stage);
    name.drain(..name.len().saturating_sub(253));
    objects::create(cluster, Kind::Approval, &Approval::new(&name, spec)).await?;
    Ok(name)
}
