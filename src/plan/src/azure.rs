//! The plan of everything in Azure: what an object wants there, compared with what is seen, becomes steps and a status.
//!
//! A kind says which resources it wants ([`Compiled`]); everything else is here, once for all kinds: ownership, order,
//! differences, long-running operations, drift, teardown, the mode `Plan`.

mod identity;
mod judge;
mod kinds;
mod missing;
mod owner;
mod performed;
pub mod reference;
mod report;
mod teardown;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::azure::{AzureStatus, Management, ManagementMode, ResourceStatus};
use api::{Reason, meta::ConditionType};
use arm::{ArmError, Operation, ResourceId};
use jiff::Timestamp;
use serde_json::Value;

pub(crate) use self::identity::identity;
pub use self::judge::Judgement;
pub use self::kinds::{AzureKind, KINDS, kind};
pub use self::missing::{Missing, missing};
pub use self::owner::{OWNER_TAG, Owner};
pub use self::performed::performed;
pub use self::report::{operation_of, operation_status, planned};
pub use self::wanted::{
    Compiled, Export, ExportValue, Facts, FailureLog, Lookup, Output, Read, Requirement, SecretValue, Wanted,
    with_log,
};
use crate::condition::Statement;
use crate::failure::Failure;
use crate::step::{Next, Plan, Step};

/// A spec that can't be followed, with the reason and the words for the person who wrote it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// The reason of the condition.
    pub reason: Reason,
    /// What to change, or what it waits for.
    pub message: String,
}

/// What is known of one resource.
#[derive(Clone, Debug, PartialEq)]
pub enum Sight {
    /// It does not exist.
    Absent,
    /// It exists; its body.
    Present(Value),
}

/// What polling an operation found.
#[derive(Clone, Debug, PartialEq)]
pub enum Polled {
    /// It runs.
    Running(Operation),
    /// It has ended well.
    Succeeded,
    /// It has failed or was canceled.
    Failed(ArmError),
    /// Nobody knows it any more; the resource itself must tell.
    Lost,
}

/// The object that is planned for.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// Whose tag its resources bear.
    pub owner: Owner,
    /// The generation of its spec.
    pub generation: Option<i64>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether it has our finalizer.
    pub finalizer: bool,
    /// Whether its annotation forbids deletion.
    pub protected: bool,
    /// How far the operator may go. `deletion` is resolved.
    pub management: Management,
    /// Its status.
    pub status: AzureStatus,
}

/// What is known of a Secret, never its values.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SecretFacts {
    /// Its resource version.
    pub version: String,
    /// Its keys.
    pub keys: BTreeSet<String>,
}

/// Everything that the plan of an object with resources in Azure depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct World {
    /// The time of the observation.
    pub now: Timestamp,
    /// The object.
    pub subject: Subject,
    /// What it wants.
    pub compiled: Result<Compiled, Refusal>,
    /// What was read.
    pub seen: BTreeMap<ResourceId, Sight>,
    /// The operations that its status names.
    pub polled: BTreeMap<ResourceId, Polled>,
    /// The Secrets that it names.
    pub secrets: BTreeMap<String, SecretFacts>,
    /// The digest on each exported object that exists and is ours.
    pub exported: BTreeMap<String, String>,
    /// The portal's address.
    pub portal: String,
    /// How often everything is read again.
    pub sync: Duration,
}

/// How long an operation may run before it is called stuck, when Azure does not say.
pub const STUCK_AFTER: Duration = Duration::from_hours(2);

/// A plan, and the failure of an operation that it found, if any.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// What to do and to say.
    pub plan: Plan<AzureStatus>,
    /// Every step that is needed to get there, also those that must wait for others.
    pub proposed: Vec<Step>,
    /// Whether everything in Azure is as wanted.
    pub settled: bool,
    /// The name of the revision that the spec asks for, of kinds that have revisions; none when nothing was compared.
    pub revision: Option<String>,
}

/// Decides what to do about an object with resources in Azure.
pub fn plan(world: &World) -> Outcome {
    let subject = &world.subject;
    if subject.deleting {
        return teardown::plan(world);
    }
    if subject.management.mode == ManagementMode::Paused {
        return paused(world);
    }
    match &world.compiled {
        Err(refusal) => refused(world, refusal),
        Ok(compiled) => match unmet(compiled, world) {
            Some(refusal) => refused(world, &refusal),
            None => manage(world, compiled),
        },
    }
}

fn manage(world: &World, compiled: &Compiled) -> Outcome {
    let mut judgements = judge::all(world, compiled);
    let surplus = teardown::surplus(world, compiled);
    let mut proposed: Vec<Step> = judgements.iter().filter_map(|it| it.step.clone()).collect();
    proposed.extend(surplus.iter().filter_map(|it| it.step.clone()));
    let mut busy = busy(compiled, &judgements, &surplus);
    let mut steps = runnable(world, compiled, &judgements, &mut busy);
    if steps.is_empty() && judgements.iter().all(Judgement::is_settled) {
        let one_at_a_time = |it: &&Judgement| group(compiled, &it.id).is_none_or(|group| busy.insert(group));
        let may_go = |it: &&Judgement| it.step.is_some() && !it.is_waiting(world.now);
        let leaving = surplus.iter().filter(may_go).filter(one_at_a_time);
        steps.extend(leaving.filter_map(|it| it.step.clone()));
        let export = wanted::exports(world, compiled);
        proposed.extend(export.iter().cloned());
        steps.extend(export);
    }
    if world.subject.management.mode == ManagementMode::Plan {
        steps.clear();
        for judgement in &mut judgements {
            judgement.keep_ownership(world);
        }
    } else if !world.subject.finalizer {
        // Without it, the object could go while its resources stay.
        steps.insert(0, Step::Finalizer(true));
    }
    let all: Vec<Judgement> = judgements.into_iter().chain(surplus).collect();
    report::outcome(world, compiled, &all, steps, proposed)
}

/// The steps that need not wait for others.
fn runnable<'a>(
    world: &World,
    compiled: &'a Compiled,
    judgements: &[Judgement],
    busy: &mut BTreeSet<&'a ResourceId>,
) -> Vec<Step> {
    let settled: BTreeSet<&ResourceId> =
        judgements.iter().filter(|it| it.is_settled()).map(|it| &it.id).collect();
    let mut steps = Vec::new();
    for (wanted, judgement) in compiled.wanted.iter().zip(judgements) {
        let Some(step) = &judgement.step else { continue };
        let waits = compiled.dependencies(wanted).any(|id| !settled.contains(id));
        let is_busy = wanted.one_at_a_time_with.as_ref().is_some_and(|group| !busy.insert(group));
        if !waits && !is_busy && !judgement.is_waiting(world.now) {
            steps.push(step.clone());
        }
    }
    steps
}

/// What is written one at a time and has an operation running, be it on something that goes.
fn busy<'a>(
    compiled: &'a Compiled,
    judgements: &[Judgement],
    surplus: &[Judgement],
) -> BTreeSet<&'a ResourceId> {
    let running = judgements.iter().chain(surplus).filter(|it| it.operation.is_some());
    running.filter_map(|it| group(compiled, &it.id)).collect()
}

/// What a resource is written one at a time with: its own word or, once it is no longer wanted, that of its parent.
fn group<'a>(compiled: &'a Compiled, id: &ResourceId) -> Option<&'a ResourceId> {
    let own = compiled.wanted.iter().find(|it| it.id == *id);
    let parent = || {
        let parent = id.parent();
        compiled.wanted.iter().find(|it| Some(&it.id) == parent.as_ref())
    };
    own.or_else(parent)?.one_at_a_time_with.as_ref()
}

/// The first requirement that does not hold.
fn unmet(compiled: &Compiled, world: &World) -> Option<Refusal> {
    compiled.requires.iter().find_map(|requirement| requirement.check(&world.seen))
}

fn paused(world: &World) -> Outcome {
    let old = &world.subject.status;
    let ready = crate::condition::find(&old.conditions, ConditionType::Ready);
    let holds = ready.is_some_and(|ready| ready.status == "True");
    let message = "nothing is read or written, because spec.management.mode is Paused";
    let statements = [Statement::new(ConditionType::Ready, holds, Reason::Paused, message)];
    report::only(world, &statements, old.resources.clone(), Vec::new(), Next::OnChange)
}

fn refused(world: &World, refusal: &Refusal) -> Outcome {
    let waits = refusal.reason == Reason::DependencyNotReady;
    let progress = if waits { ConditionType::Reconciling } else { ConditionType::Stalled };
    let says = |type_, holds| Statement::new(type_, holds, refusal.reason, refusal.message.clone());
    let statements = [says(ConditionType::Ready, false), says(progress, true)];
    // What it waits for wakes it; a requirement in Azure must be looked at again.
    let next = Next::After(if waits { Duration::from_secs(30) } else { world.sync });
    report::only(world, &statements, world.subject.status.resources.clone(), Vec::new(), next)
}

/// The status of a resource, by its id.
pub(crate) fn tracked<'a>(status: &'a AzureStatus, id: &ResourceId) -> Option<&'a ResourceStatus> {
    status.resources.iter().find(|resource| resource.id.eq_ignore_ascii_case(id.as_str()))
}

/// What a failed operation means: a failure with Azure's words.
pub fn failure_of(error: &ArmError, what: &str) -> Failure {
    report::operation_failure(error, what)
}

/// Everything that a status names: to be read, so that nothing that was made is forgotten.
pub fn tracked_ids(status: &AzureStatus) -> Vec<ResourceId> {
    status.resources.iter().filter_map(|resource| ResourceId::parse(&resource.id).ok()).collect()
}
