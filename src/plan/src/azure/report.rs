//! What the status says of everything in Azure.
use std::time::Duration;

use api::Reason;
use api::azure::{
    AzureStatus, FieldDifference, ManagementMode, OperationStatus, PlanStatus, PlannedStep, ResourceState,
    ResourceStatus,
};
use api::meta::ConditionType;
use arm::{ArmError, Difference, Operation, OperationShape, ResourceId, Verb};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

use super::judge::Judgement;
use super::wanted::{Compiled, text};
use super::{Outcome, Sight, World, tracked};
use crate::condition::{self, Statement, find};
use crate::digest;
use crate::failure::{Class, Failure};
use crate::step::{Event, EventType, Next, Plan, Step};

/// The longest text of one side of a difference.
const VALUE_LIMIT: usize = 256;
/// The most differences and steps that a status lists.
const LIST_LIMIT: usize = 64;
/// How often a resource is looked at that changes without an operation of ours.
const POLL: Duration = Duration::from_secs(5);

/// The plan of an object whose resources were judged.
pub(super) fn outcome(
    world: &World,
    compiled: &Compiled,
    judgements: &[Judgement],
    steps: Vec<Step>,
    proposed: Vec<Step>,
) -> Outcome {
    let settled = judgements.iter().all(Judgement::is_settled) && proposed.is_empty();
    let mut statements = verdict(world, judgements, &proposed);
    statements.push(reachable());
    let old = &world.subject.status;
    let generation = world.subject.generation;
    let conditions = condition::merge(&old.conditions, &statements, generation, world.now);
    let mut events = condition::transition(&old.conditions, &statements, "Reconcile");
    events.extend(drift(world, judgements));
    let status = AzureStatus {
        observed_generation: generation,
        conditions,
        id: Some(compiled.main.to_string()),
        portal_url: Some(format!("{}/#resource{}", world.portal, compiled.main)),
        outputs: compiled
            .outputs
            .iter()
            .filter_map(|output| Some((output.name.to_owned(), field(world, output)?)))
            .collect(),
        resources: judgements.iter().map(resource).collect(),
        plan: planned(&proposed),
    };
    let next = next(world, judgements);
    Outcome {
        plan: Plan { steps, status, events, next },
        proposed,
        settled,
        revision: compiled.revision.clone(),
    }
}

fn field(world: &World, output: &super::Output) -> Option<String> {
    match world.seen.get(&output.id)? {
        Sight::Present(body) if output.pointer.starts_with('/') => value(body, output.pointer),
        Sight::Present(body) => filled(body, output.pointer),
        Sight::Absent => None,
    }
}

fn value(body: &Value, pointer: &str) -> Option<String> {
    body.pointer(pointer).filter(|value| !value.is_null()).map(text)
}

/// A text with the values of the fields whose pointers stand in braces; `None` when one has no value.
fn filled(body: &Value, template: &str) -> Option<String> {
    let mut parts = template.split('{');
    let mut filled = parts.next()?.to_owned();
    for part in parts {
        let (pointer, rest) = part.split_once('}')?;
        filled += &value(body, pointer)?;
        filled += rest;
    }
    Some(filled)
}

fn reachable() -> Statement {
    Statement::new(ConditionType::AzureReachable, true, Reason::AzureReachable, "Azure answers")
}

/// What `Ready` and its companions say.
fn verdict(world: &World, judgements: &[Judgement], proposed: &[Step]) -> Vec<Statement> {
    let says = |type_, holds, reason, message: &str| Statement::new(type_, holds, reason, message);
    let stalled = |reason, message: &str| {
        vec![
            says(ConditionType::Ready, false, reason, message),
            says(ConditionType::Stalled, true, reason, message),
        ]
    };
    if let Some(refusal) = judgements.iter().find_map(|it| it.refusal.as_ref()) {
        return stalled(refusal.reason, &refusal.message);
    }
    if let Some((id, error)) = judgements.iter().find_map(|it| Some((&it.id, it.failed.as_ref()?))) {
        let failure = operation_failure(error, &describe(id));
        return stalled(failure.reason(), &failure.message);
    }
    let old = find(&world.subject.status.conditions, ConditionType::Ready);
    if judgements.iter().any(|it| it.is_waiting(world.now))
        && let Some(old) = old
        && let Some(reason) = Reason::ALL.iter().find(|reason| reason.name() == old.reason)
    {
        return stalled(*reason, &old.message);
    }
    let pending = judgements.iter().filter(|it| !it.is_settled()).count();
    if world.subject.management.mode == ManagementMode::Plan && !proposed.is_empty() {
        let message = format!("{} writes are planned and none is made; read status.plan", proposed.len());
        return vec![says(ConditionType::Ready, false, Reason::Planned, &message)];
    }
    if pending == 0 && proposed.is_empty() {
        let message = format!("all {} resources in Azure are as wanted", judgements.len());
        return vec![says(ConditionType::Ready, true, Reason::Ready, &message)];
    }
    let message = progress(judgements, pending);
    vec![
        says(ConditionType::Ready, false, Reason::InProgress, &message),
        says(ConditionType::Reconciling, true, Reason::InProgress, &message),
    ]
}

fn progress(judgements: &[Judgement], pending: usize) -> String {
    let running = judgements.iter().find(|it| it.operation.is_some());
    let first = running.or_else(|| judgements.iter().find(|it| !it.is_settled()));
    let Some(first) = first else { return "the last values are being written".to_owned() };
    let what = describe(&first.id);
    let doing = match first.state {
        ResourceState::Creating | ResourceState::Absent => "is being created",
        ResourceState::Deleting => "is being deleted",
        ResourceState::Unknown => "is waited for",
        _ => "is being changed",
    };
    match pending {
        0 | 1 => format!("{what} {doing}"),
        more => format!("{what} {doing}, and {} more to go", more - 1),
    }
}

/// A resource by its type and name, as people say it.
pub(super) fn describe(id: &ResourceId) -> String {
    let type_ = id.type_();
    format!("{} {}", type_.rsplit('/').next().unwrap_or_default(), id.name())
}

/// What a failed operation means.
pub(super) fn operation_failure(error: &ArmError, what: &str) -> Failure {
    let reason = match arm::classify(400, error) {
        arm::ErrorClass::Quota => Reason::QuotaExceeded,
        arm::ErrorClass::PolicyDenied => Reason::PolicyDenied,
        arm::ErrorClass::Locked => Reason::Locked,
        arm::ErrorClass::NameTaken => Reason::NameTaken,
        arm::ErrorClass::Forbidden => Reason::AzureDenied,
        _ => Reason::OperationFailed,
    };
    Failure { class: Class::Refused(reason), message: format!("the operation on {what} failed: {error}") }
}

/// Events for what somebody changed in Azure since it was ready.
fn drift(world: &World, judgements: &[Judgement]) -> Vec<Event> {
    // While work is under way, what is wanted changes with it: the traffic of an endpoint when its deployment is there.
    let settled =
        find(&world.subject.status.conditions, ConditionType::Ready).is_some_and(|it| it.status == "True");
    if world.is_changed() || !settled {
        return Vec::new();
    }
    let was_ready = |it: &&Judgement| {
        tracked(&world.subject.status, &it.id).is_some_and(|old| old.state == ResourceState::Ready)
    };
    let changed = judgements.iter().filter(was_ready).filter(|it| !it.differences.is_empty() && it.owned);
    changed
        .map(|it| {
            let fields: Vec<&str> = it.differences.iter().map(|it| it.field.as_str()).take(5).collect();
            let note = format!("{} was changed in Azure: {}", describe(&it.id), fields.join(", "));
            Event { type_: EventType::Warning, reason: Reason::Drifted, action: "Compare", note }
        })
        .collect()
}

fn resource(judgement: &Judgement) -> ResourceStatus {
    ResourceStatus {
        id: judgement.id.to_string(),
        state: judgement.state,
        owned: judgement.owned,
        operation: judgement
            .operation
            .as_ref()
            .filter(|it| it.shape != OperationShape::Body)
            .map(operation_status),
        differences: differences(&judgement.differences),
        secrets_version: judgement.secrets_version.clone(),
        failures: judgement.failures,
        failed_at: judgement.failed_at.map(Time),
    }
}

/// An operation as the status keeps it.
pub fn operation_status(operation: &Operation) -> OperationStatus {
    OperationStatus {
        verb: format!("{:?}", operation.verb),
        shape: format!("{:?}", operation.shape),
        url: operation.url.clone(),
        started: Time(operation.started),
        deadline: operation.deadline.map(Time),
    }
}

/// The operation that a status keeps, to be polled at once.
pub fn operation_of(status: &OperationStatus, now: Timestamp) -> Option<Operation> {
    let verb = [Verb::Put, Verb::Patch, Verb::Delete, Verb::Post]
        .into_iter()
        .find(|it| format!("{it:?}") == status.verb)?;
    let shapes = [OperationShape::AzureAsyncOperation, OperationShape::Location, OperationShape::Body];
    let shape = shapes.into_iter().find(|it| format!("{it:?}") == status.shape)?;
    Some(Operation {
        verb,
        shape,
        url: status.url.clone(),
        started: status.started.0,
        deadline: status.deadline.as_ref().map(|it| it.0),
        poll_at: now,
    })
}

fn differences(differences: &[Difference]) -> Vec<FieldDifference> {
    let side = |value: &Value| {
        let text = value.to_string();
        match text.char_indices().nth(VALUE_LIMIT) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    };
    let one = |it: &Difference| FieldDifference {
        field: it.field.clone(),
        wanted: side(&it.wanted),
        actual: side(&it.actual),
    };
    differences.iter().take(LIST_LIMIT).map(one).collect()
}

/// The steps as the status lists them, and their digest.
pub fn planned(proposed: &[Step]) -> Option<PlanStatus> {
    let step = |step: &Step| {
        let of = match step {
            Step::ArmPut(put) => &put.differences[..],
            Step::ArmPatch(patch) => &patch.differences[..],
            _ => &[],
        };
        PlannedStep { step: step.to_string(), differences: differences(of) }
    };
    let all = format!("{proposed:?}");
    (!proposed.is_empty()).then(|| PlanStatus {
        hash: format!("sha256:{}", digest::of(&all.into(), 64)),
        steps: proposed.iter().take(LIST_LIMIT).map(step).collect(),
    })
}

/// When to look again: when an operation is due, a failed one may be tried, or everything is read anew.
fn next(world: &World, judgements: &[Judgement]) -> Next {
    let mut wait = spread(world.sync, &world.subject.owner.tag());
    for judgement in judgements {
        if let Some(operation) = &judgement.operation {
            let due = if operation.shape == OperationShape::Body {
                POLL
            } else {
                until(operation.poll_at, world.now)
            };
            wait = wait.min(due.max(Duration::from_millis(100)));
        }
        if judgement.state == ResourceState::Absent && judgement.step.is_none() {
            wait = wait.min(POLL);
        }
        if let Some(retry_at) = judgement.retry_at.filter(|at| *at > world.now) {
            wait = wait.min(until(retry_at, world.now));
        }
    }
    Next::After(wait)
}

fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}

/// A tenth more or less, by name, so that objects that came together are not read together for ever.
fn spread(sync: Duration, name: &str) -> Duration {
    let digest = digest::of(&name.into(), 4);
    let share = f64::from(u16::from_str_radix(&digest, 16).unwrap_or_default()) / f64::from(u16::MAX);
    sync.mul_f64(0.9 + 0.2 * share)
}

/// A status that says a few things and keeps the rest.
pub(super) fn only(
    world: &World,
    statements: &[Statement],
    resources: Vec<ResourceStatus>,
    steps: Vec<Step>,
    next: Next,
) -> Outcome {
    let old = &world.subject.status;
    let mut status = AzureStatus { resources, plan: None, ..old.clone() };
    let mut events = Vec::new();
    if !statements.is_empty() {
        let generation = world.subject.generation;
        status.observed_generation = generation;
        status.conditions = condition::merge(&old.conditions, statements, generation, world.now);
        status.conditions.extend(find(&old.conditions, ConditionType::AzureReachable).cloned());
        events = condition::transition(&old.conditions, statements, "Reconcile");
    }
    unsettled(Plan { steps, status, events, next })
}

fn unsettled(plan: Plan<AzureStatus>) -> Outcome {
    Outcome { plan, proposed: Vec::new(), settled: false, revision: None }
}

/// The status of an object whose resources are being deleted.
pub(super) fn deleting(world: &World, targets: &[Judgement], steps: Vec<Step>) -> Outcome {
    let failed = targets.iter().find_map(|it| Some((&it.id, it.failed.as_ref()?)));
    let mut statements = going(targets, failed);
    statements.push(reachable());
    let old = &world.subject.status;
    let events = condition::transition(&old.conditions, &statements, "Delete");
    let status = AzureStatus {
        observed_generation: world.subject.generation,
        conditions: condition::merge(&old.conditions, &statements, world.subject.generation, world.now),
        resources: targets.iter().map(resource).collect(),
        plan: planned(&steps),
        ..old.clone()
    };
    let wait = if failed.is_some() { Duration::from_secs(30) } else { Duration::ZERO };
    let next = match next(world, targets) {
        Next::After(next) => Next::After(next.min(POLL).max(wait)),
        Next::OnChange => Next::OnChange,
    };
    let steps = if failed.is_some() && !retries(world, targets) { Vec::new() } else { steps };
    unsettled(Plan { steps, status, events, next })
}

fn going(targets: &[Judgement], failed: Option<(&ResourceId, &ArmError)>) -> Vec<Statement> {
    let (reason, message, progress) = if let Some((id, error)) = failed {
        let failure = operation_failure(error, &describe(id));
        (failure.reason(), failure.message, ConditionType::Stalled)
    } else {
        let message = match targets {
            [] => "nothing is left in Azure".to_owned(),
            [one] => format!("{} is being deleted", describe(&one.id)),
            [one, rest @ ..] => {
                format!("{} is being deleted, and {} more to go", describe(&one.id), rest.len())
            }
        };
        (Reason::Deleting, message, ConditionType::Reconciling)
    };
    let says = |type_, holds| Statement::new(type_, holds, reason, message.clone());
    vec![says(ConditionType::Ready, false), says(progress, true)]
}

/// A delete that has just failed is not repeated at once.
fn retries(world: &World, targets: &[Judgement]) -> bool {
    let recently = |it: &Judgement| {
        it.failed.is_some()
            && it.failed_at.is_none_or(|at| world.now.duration_since(at) < SignedDuration::from_secs(30))
    };
    !targets.iter().any(recently)
}
