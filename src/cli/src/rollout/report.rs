//! The report of `rollout`: plain facts, made from an Endpoint. Its shape is that of `-o json`.
use api::Endpoint;
use api::endpoint::{Check, PauseCause, RolloutPhase, RolloutStatus, RolloutStep, RolloutStrategy};
use api::meta::ConditionType;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use plan::condition;
use serde::Serialize;

use crate::arguments;
use crate::failure::Outcome;
use crate::health::Health;

/// What is shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) health: Health,
    pub(super) strategy: RolloutStrategy,
    /// None when the operator has said nothing, or the strategy has no steps.
    pub(super) phase: Option<RolloutPhase>,
    pub(super) since: Option<Timestamp>,
    /// What the operator says.
    pub(super) message: Option<String>,
    pub(super) stable: Option<RevisionReport>,
    pub(super) candidate: Option<RevisionReport>,
    /// The share of requests of which the candidate gets a copy.
    pub(super) mirror: Option<i32>,
    /// Whether the candidate was stable before, and takes over without steps.
    pub(super) direct: bool,
    pub(super) steps: Vec<StepReport>,
    pub(super) checks: Vec<Check>,
    pub(super) pause: Option<PauseReport>,
    pub(super) rejected: Option<RejectedReport>,
    /// What a person may say now, as commands.
    pub(super) commands: Vec<Command>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RevisionReport {
    pub(super) name: String,
    pub(super) model: Option<String>,
    /// The share of requests that it answers, in percent.
    pub(super) traffic: Option<i32>,
    pub(super) replicas: i32,
    pub(super) ready_replicas: i32,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StepReport {
    pub(super) what: String,
    pub(super) hold: Option<String>,
    pub(super) state: StepState,
    /// Since when its shares have been in force.
    pub(super) since: Option<Timestamp>,
    /// How many seconds the hold still takes; None before it begins.
    pub(super) seconds_left: Option<i64>,
    /// The length of the hold in seconds.
    #[serde(skip)]
    pub(super) seconds: i64,
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(super) enum StepState {
    Done,
    Current,
    ToCome,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PauseReport {
    pub(super) cause: PauseCause,
    pub(super) since: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RejectedReport {
    pub(super) revision: String,
    pub(super) since: Timestamp,
    pub(super) message: String,
}

/// A command that makes sense now.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Command {
    pub(super) command: String,
    /// What it does.
    pub(super) effect: &'static str,
}

impl Report {
    /// Sorts out what an Endpoint says of its rollout.
    pub(super) fn new(endpoint: &Endpoint, now: Timestamp) -> Self {
        let status = endpoint.status.clone().unwrap_or_default();
        let health = Health::new(&endpoint.metadata, status.observed_generation, &status.conditions);
        let spec = &endpoint.spec.rollout;
        let known = status.rollout.clone();
        let rollout = known.clone().unwrap_or_default();
        let ready = condition::find(&status.conditions, ConditionType::Ready);
        let message = Some(rollout.message.clone()).filter(|message| !message.is_empty());
        let revision = |name: &str| {
            let found = status.revisions.iter().find(|revision| revision.name == name);
            RevisionReport {
                name: name.to_owned(),
                model: found.and_then(|revision| revision.model.clone()),
                traffic: found.and_then(|revision| revision.traffic),
                replicas: found.map_or(0, |revision| revision.replicas),
                ready_replicas: found.map_or(0, |revision| revision.ready_replicas),
            }
        };
        let (namespace, name) = (endpoint.namespace().unwrap_or_default(), endpoint.name_any());
        Self {
            health,
            strategy: spec.strategy,
            phase: known.as_ref().map(|rollout| rollout.phase),
            since: rollout.since.as_ref().map(|since| since.0),
            message: message.or_else(|| ready.map(|ready| ready.message.clone())),
            stable: known.as_ref().map(|rollout| revision(&rollout.stable)),
            candidate: rollout.candidate.as_deref().map(revision),
            mirror: rollout.mirror.filter(|mirror| *mirror > 0),
            direct: rollout.direct,
            steps: steps(&spec.steps, &rollout, now),
            pause: rollout
                .pause
                .as_ref()
                .map(|pause| PauseReport { cause: pause.cause, since: pause.since.0 }),
            rejected: rollout.rejected.as_ref().map(|rejected| RejectedReport {
                revision: rejected.revision.clone(),
                since: rejected.since.0,
                message: rejected.message.clone(),
            }),
            commands: commands(&rollout, &namespace, &name),
            checks: rollout.checks,
            namespace,
            name,
        }
    }

    /// How a watch ends, if it does now.
    pub(super) fn end(&self) -> Option<Outcome> {
        match (self.health, self.phase) {
            (Health::Unseen | Health::Deleting, _) => None,
            (Health::Stalled, _) | (_, Some(RolloutPhase::RolledBack)) => Some(Outcome::Unhealthy),
            (Health::Ready, None | Some(RolloutPhase::Completed)) => Some(Outcome::Ok),
            _ => None,
        }
    }
}

/// The steps of the spec and the one behind them, in which the candidate gets all requests. Without a candidate, and for
/// one that takes over at once, there are none.
fn steps(wanted: &[RolloutStep], rollout: &RolloutStatus, now: Timestamp) -> Vec<StepReport> {
    if rollout.candidate.is_none() {
        return Vec::new();
    }
    let wanted = if rollout.direct { &[] } else { wanted };
    let current = usize::try_from(rollout.step.unwrap_or(1)).unwrap_or(1).clamp(1, wanted.len() + 1);
    let last = StepReport {
        what: "all requests".to_owned(),
        hold: None,
        state: StepState::ToCome,
        since: None,
        seconds_left: None,
        seconds: 0,
    };
    let mut steps: Vec<StepReport> = wanted.iter().map(step).chain([last]).collect();
    for (number, step) in (1..).zip(&mut steps) {
        step.state = match number {
            number if number < current => StepState::Done,
            number if number == current => StepState::Current,
            _ => StepState::ToCome,
        };
    }
    if let (Some(step), Some(since)) = (steps.get_mut(current - 1), &rollout.step_since) {
        step.since = Some(since.0);
        let left = step.seconds - now.duration_since(since.0).as_secs().max(0);
        step.seconds_left = step.hold.is_some().then_some(left.max(0));
    }
    steps
}

fn step(step: &RolloutStep) -> StepReport {
    let what = match step {
        RolloutStep { traffic: Some(traffic), .. } => format!("{traffic} % of the requests"),
        RolloutStep { mirror: Some(mirror), .. } => format!("copies of {mirror} % of the requests"),
        RolloutStep { pause: Some(true), .. } => "a pause for a person".to_owned(),
        RolloutStep { .. } => "a wait".to_owned(),
    };
    let hold = step.hold.as_deref().and_then(|hold| arguments::duration(hold).ok());
    let seconds = hold.and_then(|hold| i64::try_from(hold.as_secs()).ok()).unwrap_or(0);
    StepReport {
        what,
        hold: step.hold.clone(),
        state: StepState::ToCome,
        since: None,
        seconds_left: None,
        seconds,
    }
}

/// What a person may say now.
fn commands(rollout: &RolloutStatus, namespace: &str, name: &str) -> Vec<Command> {
    let command = |verb: &str, effect| Command {
        command: format!("kubectl mlops {verb} {name} -n {namespace}"),
        effect,
    };
    let goes_on = match rollout.pause.as_ref().map(|pause| pause.cause) {
        None => command("rollout pause", "stay here"),
        Some(PauseCause::Person) => command("rollout resume", "go on where it was"),
        Some(_) => command("rollout resume", "go on with the next step"),
    };
    match (&rollout.candidate, rollout.phase) {
        (Some(_), _) => vec![
            goes_on,
            command("rollout skip-step", "go on with the next step"),
            command("rollout promote", "give the candidate all requests"),
            command("rollout abort", "give the candidate up"),
        ],
        (None, RolloutPhase::RolledBack) => vec![command("rollout retry", "try the rejected revision again")],
        (None, _) => Vec::new(),
    }
}

/// A time span as people write it: `2m 10s`.
pub(super) fn span(seconds: i64) -> String {
    format!("{:#}", SignedDuration::from_secs(seconds))
}
