//! What goes: resources that are no longer wanted, and everything when the object is deleted.
use std::collections::BTreeSet;

use api::Reason;
use api::azure::{DeletionPolicy, ManagementMode, ResourceState, ResourceStatus};
use api::meta::ConditionType;
use arm::{OwnerAt, ResourceId};
use serde_json::{Value, json};

use super::judge::{Judgement, is_in_progress, provisioning_state, retry_at};
use super::owner::{Claim, whole_is_ours};
use super::wanted::{Compiled, Read, Wanted, is_above};
use super::{Outcome, Polled, Refusal, Sight, World, report, tracked, tracked_ids};
use crate::condition::Statement;
use crate::step::{ArmDelete, ArmPut, Next, Step};

/// Resources of this object that are no longer wanted, those below others first.
pub(super) fn surplus(world: &World, compiled: &Compiled) -> Vec<Judgement> {
    let wanted: BTreeSet<&ResourceId> = compiled.wanted.iter().map(|it| &it.id).collect();
    let mut ids: Vec<ResourceId> =
        tracked_ids(&world.subject.status).into_iter().filter(|id| !wanted.contains(id)).collect();
    ids.sort_by_key(|id| std::cmp::Reverse(id.as_str().len()));
    let all = ids.iter().filter_map(|id| leaving(world, id, None, "it is no longer wanted"));
    let mut all = without_parts(&all.collect::<Vec<_>>());
    if world.subject.protected {
        all.iter_mut().for_each(protect);
    }
    all
}

/// What is protected stays, and somebody has to say whether it may go.
fn protect(judgement: &mut Judgement) {
    if judgement.step.take().is_some() {
        let message = format!(
            "{} is no longer wanted, but the annotation {} keeps it: remove the annotation, or want it again",
            judgement.id,
            api::azure::PROTECT_ANNOTATION
        );
        judgement.refusal = Some(Refusal { reason: Reason::DeletionProtected, message });
    }
}

/// Leaves out what goes with something above it.
fn without_parts(all: &[Judgement]) -> Vec<Judgement> {
    let is_part = |it: &Judgement| {
        it.operation.is_none() && all.iter().any(|above| above.step.is_some() && is_above(&above.id, &it.id))
    };
    all.iter().filter(|it| !is_part(it)).cloned().collect()
}

/// Whether a resource was there when it was looked at last, and no delete of it had begun.
fn was_there(old: Option<&ResourceStatus>) -> bool {
    use ResourceState::{Creating, Differs, Ready, Updating};
    old.is_some_and(|old| matches!(old.state, Creating | Differs | Ready | Updating))
}

/// Whether a delete of a resource, or of one above it, was just seen to end.
fn was_deleted(world: &World, id: &ResourceId) -> bool {
    let ended = |(other, polled): (&ResourceId, &Polled)| {
        *polled == Polled::Succeeded && (other == id || is_above(other, id))
    };
    world.polled.iter().any(ended)
}

/// Where a resource stands that must go; `None` when it is gone or was never ours.
fn leaving(world: &World, id: &ResourceId, wanted: Option<&Wanted>, why: &str) -> Option<Judgement> {
    let old = tracked(&world.subject.status, id);
    let mut judgement = Judgement::new(id, old.map_or(ResourceState::Unknown, |old| old.state));
    judgement.owned = old.is_some_and(|old| old.owned);
    judgement.failures = old.map_or(0, |old| old.failures);
    judgement.failed_at = old.and_then(|old| old.failed_at.as_ref()).map(|at| at.0);
    match world.polled.get(id) {
        Some(Polled::Running(operation)) => {
            judgement.state = ResourceState::Deleting;
            judgement.operation = Some(operation.clone());
            return Some(judgement);
        }
        // Of what goes, only a delete that failed is news.
        Some(Polled::Failed(error)) if was_deleting(old) => {
            judgement.failed = Some(error.clone());
            judgement.failures = judgement.failures.saturating_add(1);
            judgement.failed_at = Some(world.now);
        }
        Some(Polled::Failed(_) | Polled::Succeeded | Polled::Lost) | None => {}
    }
    let body = match world.seen.get(id) {
        Some(Sight::Present(body)) => body,
        Some(Sight::Absent) if judgement.owned && was_there(old) && !was_deleted(world, id) => {
            // A read may lag behind a write: what was there is forgotten only when a second read misses it too.
            judgement.state = ResourceState::Absent;
            return Some(judgement);
        }
        Some(Sight::Absent) => return None,
        None => return judgement.owned.then_some(judgement),
    };
    if !is_ours(world, id, body, judgement.owned) {
        return None;
    }
    let archives = world.subject.management.deletion == Some(DeletionPolicy::Archive)
        && wanted.map_or_else(|| is_asset(body), |wanted| wanted.archivable);
    let versions = versions(world, id);
    if versions == Versions::Others {
        return None;
    }
    judgement.owned = true;
    if is_in_progress(provisioning_state(body)) {
        judgement.state = ResourceState::Deleting;
        judgement.operation = Some(arm::Operation {
            verb: arm::Verb::Delete,
            shape: arm::OperationShape::Body,
            url: id.to_string(),
            started: world.now,
            deadline: None,
            poll_at: world.now,
        });
        return Some(judgement);
    }
    judgement.retry_at = retry_at(&judgement);
    judgement.state =
        if judgement.failed.is_some() { ResourceState::Failed } else { ResourceState::Deleting };
    if archives {
        judgement.step = Some(archive(id, body, why)?);
    } else if versions == Versions::None {
        let query = wanted.map_or_else(|| default_query(body), |wanted| wanted.delete_query.clone());
        judgement.step = Some(Step::ArmDelete(ArmDelete { id: id.clone(), query, why: why.to_owned() }));
    }
    Some(judgement)
}

/// What is left in the container of an asset.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Versions {
    /// No version, or it is no container.
    None,
    /// Versions of this object only, which go first.
    Ours,
    /// Versions that others made, or that nobody has looked for: the container must stay.
    Others,
}

/// Deleting a container would delete every version in it, also those that others made.
fn versions(world: &World, id: &ResourceId) -> Versions {
    if arm::resource_type(&format!("{}/versions", id.type_())).is_none() {
        return Versions::None;
    }
    let is_listed = |compiled: &Compiled| compiled.reads.contains(&Read::List(id.clone(), "versions"));
    if !world.compiled.as_ref().is_ok_and(is_listed) {
        return Versions::Others;
    }
    let mut found = Versions::None;
    for (version, sight) in &world.seen {
        let Sight::Present(body) = sight else { continue };
        if version.parent().as_ref() != Some(id) {
            continue;
        }
        let was_owned = tracked(&world.subject.status, version).is_some_and(|old| old.owned);
        if !is_ours(world, version, body, was_owned) {
            return Versions::Others;
        }
        found = Versions::Ours;
    }
    found
}

/// Whether a resource is an asset or its container, which can be archived.
fn is_asset(body: &Value) -> bool {
    body.pointer("/properties/isArchived").is_some_and(Value::is_boolean)
}

fn was_deleting(old: Option<&ResourceStatus>) -> bool {
    old.and_then(|old| old.operation.as_ref())
        .is_none_or(|operation| operation.verb == format!("{:?}", arm::Verb::Delete))
}

/// The write that archives a version; `None` when it is archived.
fn archive(id: &ResourceId, body: &Value, why: &str) -> Option<Step> {
    if body.pointer("/properties/isArchived") == Some(&json!(true)) {
        return None;
    }
    let type_ = arm::resource_type(&id.type_())?;
    let body = arm::merge(&json!({"properties": {"isArchived": true}}), body, type_);
    Some(Step::ArmPut(ArmPut {
        id: id.clone(),
        body,
        secrets: Vec::new(),
        secrets_version: None,
        create: false,
        differences: Vec::new(),
        why: format!("{why}, and what it leaves is archived"),
    }))
}

/// Whether a resource is this object's, so that it may be deleted: by its tag now, not by memory, where it bears tags.
fn is_ours(world: &World, id: &ResourceId, body: &Value, was_owned: bool) -> bool {
    let Some(type_) = arm::resource_type(&id.type_()) else { return false };
    match (world.subject.owner.claim(body, type_), type_.owner) {
        (Some(claim), _) => claim == Claim::Ours,
        (None, OwnerAt::Parent) => was_owned && whole_is_ours(world, id) != Some(false),
        (None, OwnerAt::Shared) => was_owned,
        (None, _) => false,
    }
}

/// A compute must be told what becomes of the machines below it.
fn default_query(body: &Value) -> String {
    let action = match body.pointer("/properties/computeType").and_then(Value::as_str) {
        Some("Kubernetes" | "AKS" | "VirtualMachine" | "HDInsight" | "Databricks") => "Detach",
        Some(_) => "Delete",
        None => return String::new(),
    };
    format!("underlyingResourceAction={action}")
}

/// What to do about an object that is being deleted.
pub(super) fn plan(world: &World) -> Outcome {
    let subject = &world.subject;
    if !subject.finalizer {
        return report::only(world, &[], subject.status.resources.clone(), Vec::new(), Next::OnChange);
    }
    let keeps = subject.management.deletion == Some(DeletionPolicy::Orphan)
        || subject.management.mode == ManagementMode::Plan;
    let targets = if keeps { Vec::new() } else { targets(world) };
    if targets.is_empty() {
        let steps = vec![Step::Finalizer(false)];
        return report::only(world, &[], Vec::new(), steps, Next::OnChange);
    }
    if let Some(refusal) = blocked(world, &targets) {
        let says = |type_, holds| Statement::new(type_, holds, refusal.reason, refusal.message.clone());
        let statements = [says(ConditionType::Ready, false), says(ConditionType::Stalled, true)];
        return report::only(
            world,
            &statements,
            subject.status.resources.clone(),
            Vec::new(),
            Next::OnChange,
        );
    }
    let free = targets.iter().filter(|it| !it.is_waiting(world.now) && !is_needed(world, &it.id, &targets));
    let mut steps: Vec<Step> = free.filter_map(|it| it.step.clone()).collect();
    if targets.iter().any(|it| it.operation.is_some()) {
        // One thing at a time: what is being made must be there before it can be deleted.
        steps.clear();
    }
    report::deleting(world, &targets, steps)
}

/// Whether something that still exists was made after it, because it needs it.
fn is_needed(world: &World, id: &ResourceId, targets: &[Judgement]) -> bool {
    let wanted = world.compiled.as_ref().map(|compiled| &compiled.wanted[..]).unwrap_or_default();
    let mut needing = wanted.iter().filter(|wanted| wanted.after.contains(id));
    needing.any(|wanted| targets.iter().any(|target| target.id == wanted.id))
}

fn blocked(world: &World, targets: &[Judgement]) -> Option<Refusal> {
    let subject = &world.subject;
    let count = targets.len();
    if subject.protected {
        let message = format!(
            "the object is being deleted, but its annotation {} keeps its {count} resources in Azure: remove the annotation, or set spec.management.deletion to Orphan",
            api::azure::PROTECT_ANNOTATION
        );
        return Some(Refusal { reason: Reason::DeletionProtected, message });
    }
    (subject.management.mode == ManagementMode::Paused).then(|| {
        let message = format!(
            "the object is being deleted, but spec.management.mode is Paused: set it to Manage to delete {count} resources in Azure, or set spec.management.deletion to Orphan"
        );
        Refusal { reason: Reason::Paused, message }
    })
}

/// Everything of this object that still exists, without what goes with something above it.
fn targets(world: &World) -> Vec<Judgement> {
    let wanted: Vec<&Wanted> =
        world.compiled.as_ref().map(|it| it.wanted.iter().collect()).unwrap_or_default();
    let mut ids: BTreeSet<ResourceId> = wanted.iter().map(|it| it.id.clone()).collect();
    ids.extend(tracked_ids(&world.subject.status));
    let find = |id: &ResourceId| wanted.iter().copied().find(|wanted| wanted.id == *id);
    ids.retain(|id| find(id).is_none_or(|wanted| !wanted.stays));
    let all: Vec<Judgement> =
        ids.iter().filter_map(|id| leaving(world, id, find(id), "the object is deleted")).collect();
    let mut targets = without_parts(&all);
    targets.sort_by_key(|it| std::cmp::Reverse(it.id.as_str().len()));
    targets
}
