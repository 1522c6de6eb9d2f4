//! The report of `rollout` as a tree of lines: the two revisions, the steps, the checks, and who may act.
use std::fmt::Write as _;

use api::endpoint::{Check, CheckMode, CheckOutcome, PauseCause, RolloutPhase, RolloutStrategy};

use super::report::{Report, RevisionReport, StepReport, StepState, span};
use crate::health::Health;
use crate::output::{Mark, Style, one_line};

/// How many letters a bar has.
const BAR: usize = 10;

/// The whole report.
pub(super) fn render(report: &Report, style: Style) -> String {
    let mut text = format!(
        "{} {}: {}\n",
        style.mark(mark(report)),
        style.bold(&format!("Rollout {}/{}", report.namespace, report.name)),
        headline(report)
    );
    let loose = if report.steps.is_empty() { report.checks.len() } else { 0 };
    let trunk = style.trunk(report.steps.len() + loose > 0);
    for (name, value) in facts(report) {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{trunk}{name:<10} {}", one_line(&value));
    }
    for (index, step) in report.steps.iter().enumerate() {
        let (stroke, below) = style.branch(index + 1 == report.steps.len());
        let _ = writeln!(text, "{stroke}{}", step_line(index + 1, step, report, style));
        if step.state == StepState::Current {
            checks(&mut text, report, below, style);
        }
    }
    if loose > 0 {
        checks(&mut text, report, "", style);
    }
    text
}

fn mark(report: &Report) -> Mark {
    match report.phase {
        Some(RolloutPhase::RolledBack) => Mark::Bad,
        Some(RolloutPhase::Paused) if report.health != Health::Stalled => Mark::Warning,
        _ => report.health.mark(),
    }
}

fn headline(report: &Report) -> String {
    if report.health == Health::Unseen {
        return "the operator has not looked at this spec yet".to_owned();
    }
    let Some(phase) = report.phase else {
        return match report.strategy {
            RolloutStrategy::BlueGreen | RolloutStrategy::Canary => {
                "the operator has not told of one yet; `kubectl mlops check` says whether it runs".to_owned()
            }
            strategy => format!("the strategy {strategy:?} has no steps"),
        };
    };
    let current = report.steps.iter().position(|step| step.state == StepState::Current);
    match current {
        Some(place) if place + 1 < report.steps.len() => {
            format!("{phase:?}, step {} of {}", place + 1, report.steps.len() - 1)
        }
        Some(_) if report.direct => format!("{phase:?}, back to a revision that was proven before"),
        Some(_) => format!("{phase:?}, all requests"),
        None => format!("{phase:?}"),
    }
}

/// What stands beside the trunk: a name and a value a line.
fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(since) = report.since {
        facts.push(("since", since.to_string()));
    }
    if let Some(stable) = &report.stable {
        facts.push(("stable", revision(stable, None)));
    }
    if let Some(candidate) = &report.candidate {
        facts.push(("candidate", revision(candidate, report.mirror)));
    }
    // While a step is in force, its lines say the same.
    let told = report.phase == Some(RolloutPhase::Progressing)
        && report.steps.iter().any(|step| step.since.is_some());
    let given_up = report.phase == Some(RolloutPhase::RolledBack) && report.rejected.is_some();
    if let Some(message) = report.message.as_ref().filter(|_| !told && !given_up) {
        facts.push(("why", message.clone()));
    }
    if let Some(rejected) = &report.rejected {
        facts
            .push(("rejected", format!("{} at {}: {}", rejected.revision, rejected.since, rejected.message)));
    }
    if let Some(pause) = &report.pause {
        facts.push(("waits", format!("for a person since {}: {}", pause.since, cause(pause.cause))));
    }
    let waits = report.pause.is_some() || report.phase == Some(RolloutPhase::RolledBack);
    if report.phase == Some(RolloutPhase::RolledBack) {
        facts.push(("next", "change the spec: a new revision is rolled out".to_owned()));
    }
    if waits {
        let who = format!("whoever has the right to patch endpoints in namespace {}", report.namespace);
        facts.push(("who", who));
    }
    for command in report.commands.iter().filter(|_| waits) {
        facts.push(("", format!("{}  # {}", command.command, command.effect)));
    }
    facts
}

fn revision(revision: &RevisionReport, mirror: Option<i32>) -> String {
    let mut text = revision.name.clone();
    if let Some(traffic) = revision.traffic {
        let _ = write!(text, ", {traffic} % of the requests");
    }
    if let Some(mirror) = mirror {
        let _ = write!(text, ", copies of {mirror} %");
    }
    let _ = write!(text, ", {} of {} pods answer", revision.ready_replicas, revision.replicas);
    if let Some(model) = &revision.model {
        let _ = write!(text, ", {model}");
    }
    text
}

fn cause(cause: PauseCause) -> &'static str {
    match cause {
        PauseCause::Step => "the step says so",
        PauseCause::Person => "somebody paused it",
        PauseCause::Failure => "it failed, and rollout.onFailure is Pause",
        PauseCause::Inconclusive => "the checks came to no verdict",
    }
}

fn step_line(number: usize, step: &StepReport, report: &Report, style: Style) -> String {
    let sign = match step.state {
        StepState::Done => style.mark(Mark::Good),
        StepState::Current if report.pause.is_some() => style.mark(Mark::Warning),
        StepState::Current => style.mark(Mark::Busy),
        StepState::ToCome if style.unicode => " ".to_owned(),
        StepState::ToCome => "  ".to_owned(),
    };
    let mut text = if number == report.steps.len() {
        format!("{sign} {}", step.what)
    } else {
        format!("{sign} step {number}: {}", step.what)
    };
    if let Some(hold) = &step.hold {
        let _ = write!(text, ", for {}", one_line(hold));
    }
    match (step.state, step.seconds_left) {
        (StepState::Current, Some(left)) => {
            let passed = (step.seconds - left) as f64 / step.seconds.max(1) as f64;
            let time =
                if left > 0 { format!("{} left", span(left)) } else { "until it is proven".to_owned() };
            let _ = write!(text, " {} {time}", bar(if left > 0 { passed } else { 1.0 }, style));
        }
        (StepState::Current, None) if step.since.is_none() => text.push_str(", its pods start"),
        _ => {}
    }
    text
}

fn checks(text: &mut String, report: &Report, indent: &str, style: Style) {
    for (index, check) in report.checks.iter().enumerate() {
        let (stroke, _) = style.branch(index + 1 == report.checks.len());
        let _ = writeln!(text, "{indent}{stroke}{}", check_line(check, style));
    }
}

fn check_line(check: &Check, style: Style) -> String {
    let sign = match (check.outcome, check.mode) {
        (CheckOutcome::Passed, _) => Mark::Good,
        (CheckOutcome::Failed, CheckMode::Enforce) => Mark::Bad,
        (CheckOutcome::Failed, _) => Mark::Warning,
        (CheckOutcome::Inconclusive, _) => Mark::Busy,
    };
    let mode = match check.mode {
        CheckMode::Enforce => "",
        CheckMode::Warn => " (a warning only)",
        CheckMode::DryRun => " (a trial only)",
    };
    format!(
        "{} {:<22} {} {:?}{mode}: {}",
        style.mark(sign),
        one_line(&check.name),
        gauge(check, style),
        check.outcome,
        one_line(&check.message)
    )
}

/// How near a value is to its threshold: full at it. A query's threshold may be the least that is good, so it has none.
fn gauge(check: &Check, style: Style) -> String {
    let is_upper = ["errorRate", "p95LatencyRatio", "predictionDisagreement"].contains(&check.name.as_str());
    match check.value {
        Some(value) if is_upper && value > check.threshold => bar(1.0, style),
        Some(value) if is_upper => bar(value / check.threshold.max(f64::MIN_POSITIVE), style),
        _ => " ".repeat(BAR + 2),
    }
}

fn bar(share: f64, style: Style) -> String {
    let (full, empty) = if style.unicode { ("█", "░") } else { ("#", ".") };
    let filled = ((share.clamp(0.0, 1.0) * BAR as f64) as usize).min(BAR);
    format!("[{}{}]", full.repeat(filled), empty.repeat(BAR - filled))
}
