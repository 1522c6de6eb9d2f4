//! What is told of a promotion: its parts, what they change, its stages and its votes.
use std::fmt::Write as _;

use api::model_promotion::{
    Bundle, CheckStatus, CountedVote, PromotionCheckOutcome, PromotionPhase, StageStatus,
};
use api::{Model, ModelPromotion};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use plan::model_promotion::bundle;
use serde::Serialize;

use crate::output::{Mark, Style, one_line};

/// A promotion. Its shape is that of `-o json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) name: String,
    pub(super) model: String,
    pub(super) version: String,
    pub(super) requester: String,
    pub(super) phase: PromotionPhase,
    #[serde(rename = "ready")]
    pub(super) is_ready: bool,
    /// Where it stands, and what comes next.
    message: String,
    /// What is promoted.
    #[serde(skip_serializing_if = "Option::is_none")]
    bundle: Option<Bundle>,
    pub(super) stages: Vec<StageReport>,
}

/// A stage, and what the version changes there.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StageReport {
    #[serde(flatten)]
    pub(super) status: StageStatus,
    /// Whether its turn has come.
    has_begun: bool,
    /// The parts that differ from those of the version that it had.
    differences: Vec<String>,
}

impl Report {
    pub(super) fn new(promotion: &ModelPromotion, model: Option<&Model>) -> Self {
        let (spec, status) = (&promotion.spec, promotion.status.clone().unwrap_or_default());
        let ready = status.conditions.iter().find(|it| it.type_ == "Ready");
        let stages = spec.stages.iter().map(|wanted| {
            let begun = status.stages.iter().find(|it| it.name == wanted.name).cloned();
            let has_begun = begun.is_some();
            let status_of =
                begun.unwrap_or_else(|| StageStatus { name: wanted.name.clone(), ..StageStatus::default() });
            let former = status_of.former_version.as_deref();
            let former = model.zip(former).and_then(|(model, former)| {
                model.spec.versions.iter().find(|it| it.version == former).map(bundle)
            });
            let differences =
                former.zip(status.bundle.as_ref()).map(|(former, now)| differences(&former, now));
            StageReport { status: status_of, has_begun, differences: differences.unwrap_or_default() }
        });
        Self {
            name: promotion.metadata.name.clone().unwrap_or_default(),
            model: spec.model.name.clone(),
            version: spec.model.version.clone(),
            requester: spec.requester.clone(),
            phase: status.phase,
            is_ready: ready.is_some_and(|it| it.status == "True"),
            message: ready
                .map_or_else(|| "the operator has not told of it yet".to_owned(), |it| it.message.clone()),
            stages: stages.collect(),
            bundle: status.bundle,
        }
    }

    /// The stage that waits for votes.
    pub(super) fn awaiting(&self) -> Option<&StageReport> {
        if self.phase == PromotionPhase::AwaitingApproval { self.before_release() } else { None }
    }

    /// The stage whose turn it is, and that has not got the version.
    pub(super) fn before_release(&self) -> Option<&StageReport> {
        if self.phase.is_over() {
            return None;
        }
        self.stages.iter().find(|it| it.has_begun && it.status.released_at.is_none())
    }

    /// As text.
    pub(super) fn render(&self, style: Style) -> String {
        let mut text = format!(
            "{}\n{} {:?}: {}\n",
            style.bold(&format!(
                "{}: version {} of Model {}, asked for by {}",
                self.name,
                self.version,
                self.model,
                one_line(&self.requester)
            )),
            style.mark(mark(self.phase)),
            self.phase,
            one_line(&self.message)
        );
        if let Some(bundle) = &self.bundle {
            for (part, value) in parts(bundle) {
                let _ = writeln!(text, "   {part:<12} {}", one_line(&value));
            }
        }
        for stage in &self.stages {
            stage.render(&self.version, style, &mut text);
        }
        text
    }
}

impl StageReport {
    fn render(&self, version: &str, style: Style, text: &mut String) {
        let stage = &self.status;
        let from = stage.former_version.as_deref().unwrap_or("no version");
        let (mark, told) = match (&stage.done_at, &stage.reverted_at, &stage.released_at) {
            (Some(at), _, _) => (Mark::Good, format!("runs version {version}, done {}", moment(at))),
            (_, Some(at), _) => (Mark::Bad, format!("went back to {from} {}", moment(at))),
            (_, _, Some(at)) => (Mark::Busy, format!("got version {version} {}", moment(at))),
            _ if self.has_begun => (Mark::Busy, format!("would go from {from} to version {version}")),
            _ => (Mark::Busy, "its turn has not come".to_owned()),
        };
        let _ = writeln!(text, "{} {:<12} {told}", style.mark(mark), stage.name);
        for difference in &self.differences {
            let _ = writeln!(text, "   {difference}");
        }
        for check in &stage.checks {
            render_check(check, style, text);
        }
        if let Some(by) = &stage.overridden {
            let _ = writeln!(text, "   {} override by {}", style.mark(Mark::Warning), one_line(by));
        }
        if let Some(evidence) =
            stage.evidence.as_ref().filter(|_| !stage.votes.is_empty() || stage.released_at.is_none())
        {
            let _ = writeln!(text, "   evidence     {evidence}");
        }
        for vote in &stage.votes {
            let _ = writeln!(text, "   {}", counted(vote, style));
        }
    }
}

/// A check, and what it found.
fn render_check(check: &CheckStatus, style: Style, text: &mut String) {
    let mark_of = |outcome: Option<PromotionCheckOutcome>| match outcome {
        Some(PromotionCheckOutcome::Passed) => Mark::Good,
        Some(PromotionCheckOutcome::Failed) => Mark::Bad,
        Some(PromotionCheckOutcome::Inconclusive) => Mark::Warning,
        None => Mark::Busy,
    };
    let told = match (&check.outcome, check.message.as_str()) {
        (Some(outcome), "") => format!("{outcome:?}"),
        (Some(outcome), message) => format!("{outcome:?}: {}", one_line(message)),
        (None, "") => "runs".to_owned(),
        (None, message) => format!("waits: {}", one_line(message)),
    };
    let _ = writeln!(text, "   {} check {}: {told}", style.mark(mark_of(check.outcome)), check.name);
    for finding in &check.findings {
        let value = finding.value.map_or_else(|| "no value".to_owned(), |it| it.to_string());
        let bounds = [("at least", finding.min), ("at most", finding.max)];
        let bounds: Vec<String> =
            bounds.into_iter().filter_map(|(word, bound)| Some(format!("{word} {}", bound?))).collect();
        let _ = writeln!(
            text,
            "     {} {} {value} ({}; {} samples)",
            style.mark(mark_of(Some(finding.outcome))),
            one_line(&finding.metric),
            bounds.join(", "),
            finding.sample_size
        );
    }
    if let Some(by) = &check.skipped {
        let _ = writeln!(text, "     {} skipped by {}", style.mark(Mark::Warning), one_line(by));
    }
    if let Some(job) = check.job.as_ref().filter(|_| check.outcome != Some(PromotionCheckOutcome::Passed)) {
        let _ = writeln!(text, "     kubectl logs job/{job} --all-containers");
    }
}

fn counted(vote: &CountedVote, style: Style) -> String {
    let CountedVote { approver, decision, reason, void, .. } = vote;
    let (approver, reason) = (one_line(approver), one_line(reason));
    match void {
        None => format!("{} {decision:?} by {approver}: {reason}", style.mark(Mark::Good)),
        Some(why) => {
            format!(
                "{} {decision:?} by {approver} does not count: {}",
                style.mark(Mark::Warning),
                one_line(why)
            )
        }
    }
}

fn mark(phase: PromotionPhase) -> Mark {
    match phase {
        PromotionPhase::Succeeded => Mark::Good,
        PromotionPhase::Failed | PromotionPhase::Rejected | PromotionPhase::Expired => Mark::Bad,
        PromotionPhase::Aborted | PromotionPhase::Superseded | PromotionPhase::Held => Mark::Warning,
        _ => Mark::Busy,
    }
}

fn moment(time: &Time) -> String {
    format!("{:.0}", time.0)
}

/// The parts that are told, each with its value.
pub(super) fn parts(bundle: &Bundle) -> Vec<(&'static str, String)> {
    let parts = [
        ("model", Some(bundle.uri.clone())),
        ("digest", bundle.digest.clone()),
        ("format", bundle.format.map(|it| it.name().to_owned())),
        ("environment", bundle.environment.clone()),
        ("code", bundle.code.clone()),
        ("fingerprint", Some(bundle.fingerprint.clone())),
    ];
    parts.into_iter().filter_map(|(part, value)| Some((part, value?))).collect()
}

/// The parts that differ, in words.
pub(super) fn differences(former: &Bundle, now: &Bundle) -> Vec<String> {
    let (before, after) = (parts(former), parts(now));
    let of = |parts: &[(&str, String)], name: &str| {
        parts
            .iter()
            .find(|(part, _)| *part == name)
            .map_or_else(|| "none".to_owned(), |(_, value)| one_line(value))
    };
    ["model", "digest", "format", "environment", "code"]
        .into_iter()
        .filter(|part| of(&before, part) != of(&after, part))
        .map(|part| format!("{part:<12} {} becomes {}", of(&before, part), of(&after, part)))
        .collect()
}

#[cfg(test)]
mod tests;
