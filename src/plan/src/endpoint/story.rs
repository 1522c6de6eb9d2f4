//! A rollout in words: what happens, what was measured, what comes next, and who may act.
use std::collections::BTreeMap;

use api::endpoint::{CheckOutcome, PauseCause, Rollout, RolloutPhase, RolloutStatus, RolloutStep};

use super::rollout::state::RevisionFacts;

/// What the story is told by.
pub(super) struct Facts<'a> {
    /// The revisions that have a Deployment.
    pub(super) revisions: &'a BTreeMap<String, RevisionFacts>,
    /// Why the shares are not in force yet.
    pub(super) waits: Option<&'a str>,
}

/// The rollout in a sentence or two.
pub(super) fn tell(status: &RolloutStatus, rollout: &Rollout, facts: &Facts) -> String {
    let stable = &status.stable;
    let mut text = match (&status.candidate, status.phase) {
        (None, RolloutPhase::RolledBack) => {
            let rejected = status.rejected.as_ref();
            let what = rejected.map(|it| format!("revision {} was given up: {}. ", it.revision, it.message));
            format!("{}Revision {stable} answers all requests", what.unwrap_or_default())
        }
        (None, _) => format!("revision {stable} answers all requests"),
        (Some(candidate), _) => under_way(status, rollout, candidate, facts),
    };
    if let Some(refused) = &status.action_refused {
        text += &format!(". The last word of a person was refused: {refused}");
    }
    text.truncate(text.floor_char_boundary(4000));
    text
}

fn under_way(status: &RolloutStatus, rollout: &Rollout, candidate: &str, facts: &Facts) -> String {
    let steps = if status.direct { &[][..] } else { rollout.steps.as_slice() };
    let number = status.step.unwrap_or(1);
    let place = usize::try_from(number).unwrap_or(1).saturating_sub(1);
    let current = steps.get(place);
    let head = match current {
        Some(step) => format!("step {number} of {}, {}", steps.len(), name(step)),
        None => "the last step, all requests".to_owned(),
    };
    if let Some(pause) = &status.pause {
        let why = match pause.cause {
            PauseCause::Step => "the step waits for a person".to_owned(),
            PauseCause::Person => "a person paused it".to_owned(),
            PauseCause::Failure => format!("it failed, and rollout.onFailure is Pause: {}", pause.message),
            PauseCause::Inconclusive => format!("it came to no verdict: {}", pause.message),
        };
        let who = "whoever may patch this Endpoint says resume, skip-step, promote or abort";
        return format!("revision {candidate} waits in {head}: {why}; {who}");
    }
    let answering = facts.revisions.get(candidate).map_or(0, |it| it.available);
    let are_set = |step: &RolloutStep| {
        let traffic = step.traffic.is_none_or(|share| status.traffic == Some(share));
        traffic && step.mirror.is_none_or(|share| status.mirror == Some(share))
    };
    if let Some(waits) = facts.waits.filter(|_| answering > 0 && current.is_some_and(are_set)) {
        return format!("revision {candidate} waits for {head}: {waits}");
    }
    if status.step_since.is_none() {
        return format!("revision {candidate} starts its pods for {head}: {answering} answer so far");
    }
    let next = match steps.get(place + 1) {
        Some(step) => name(step),
        None => "all requests".to_owned(),
    };
    let checks = told(status, CheckOutcome::Inconclusive);
    let hold = current.and_then(|it| it.hold.as_deref()).unwrap_or("0s");
    format!("revision {candidate} is in {head} for {hold}{checks}; next: {next}")
}

/// What the checks with an outcome say.
fn told(status: &RolloutStatus, outcome: CheckOutcome) -> String {
    let checks = status.checks.iter().filter(|check| check.outcome == outcome);
    let said: Vec<String> = checks.map(|check| format!("{}: {}", check.name, check.message)).collect();
    if said.is_empty() { String::new() } else { format!(" ({})", said.join("; ")) }
}

fn name(step: &RolloutStep) -> String {
    match step {
        RolloutStep { traffic: Some(traffic), .. } => format!("{traffic} % of the requests"),
        RolloutStep { mirror: Some(mirror), .. } => format!("copies of {mirror} % of the requests"),
        RolloutStep { pause: Some(true), .. } => "a pause for a person".to_owned(),
        _ => "a hold".to_owned(),
    }
}
