//! Where one wanted resource stands, and the one write that it needs next, if any.
use std::time::Duration;

use api::Reason;
use api::azure::{Adoption, ManagementMode, ResourceState};
use arm::{ArmError, Difference, Operation, OperationShape, ResourceId, ResourceType, Verb};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::owner::{Claim, is_shared, whole_is_ours};
use super::wanted::{Compiled, Wanted};
use super::{Polled, Refusal, Sight, World, tracked};
use crate::step::{ArmPatch, ArmPut, Step};

/// The wait before a failed operation is tried again, doubled with each failure in a row.
const RETRY_SHORTEST: Duration = Duration::from_secs(30);
/// The longest wait before a failed operation is tried again.
const RETRY_LONGEST: Duration = Duration::from_mins(30);

/// Where one resource stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The resource.
    pub id: ResourceId,
    /// Where it stands.
    pub state: ResourceState,
    /// Whether it was made or taken over for this object.
    pub owned: bool,
    /// The operation that runs on it.
    pub operation: Option<Operation>,
    /// The fields that differ.
    pub differences: Vec<Difference>,
    /// The write that it needs.
    pub step: Option<Step>,
    /// Why it can't go on without a person.
    pub refusal: Option<Refusal>,
    /// The operation on it that was just found to have failed.
    pub failed: Option<ArmError>,
    /// Failed operations in a row.
    pub failures: u32,
    /// When its last operation failed.
    pub failed_at: Option<Timestamp>,
    /// When it is tried again after a failure.
    pub retry_at: Option<Timestamp>,
    /// The versions of the Secrets that it has.
    pub secrets_version: Option<String>,
}

impl Judgement {
    pub(super) fn new(id: &ResourceId, state: ResourceState) -> Self {
        Self {
            id: id.clone(),
            state,
            owned: false,
            operation: None,
            differences: Vec::new(),
            step: None,
            refusal: None,
            failed: None,
            failures: 0,
            failed_at: None,
            retry_at: None,
            secrets_version: None,
        }
    }

    /// Whether it is as wanted.
    pub fn is_settled(&self) -> bool {
        self.state == ResourceState::Ready
    }

    /// Nothing becomes this object's by being looked at: where no tag tells, what the status says of old holds.
    pub(super) fn keep_ownership(&mut self, world: &World) {
        if arm::resource_type(&self.id.type_()).is_some_and(|type_| type_.owner.pointer().is_none()) {
            self.owned = tracked(&world.subject.status, &self.id).is_some_and(|old| old.owned);
        }
    }

    /// Whether it must not be tried again yet.
    pub(super) fn is_waiting(&self, now: Timestamp) -> bool {
        self.retry_at.is_some_and(|at| at > now)
    }
}

/// Judges every wanted resource, in order.
pub(super) fn all(world: &World, compiled: &Compiled) -> Vec<Judgement> {
    compiled.wanted.iter().map(|wanted| one(world, wanted)).collect()
}

fn one(world: &World, wanted: &Wanted) -> Judgement {
    let old = tracked(&world.subject.status, &wanted.id);
    let mut judgement = Judgement::new(&wanted.id, ResourceState::Unknown);
    judgement.owned = old.is_some_and(|old| old.owned);
    judgement.failures = old.map_or(0, |old| old.failures);
    judgement.failed_at = old.and_then(|old| old.failed_at.as_ref()).map(|at| at.0);
    judgement.secrets_version = old.and_then(|old| old.secrets_version.clone());
    match world.polled.get(&wanted.id) {
        Some(Polled::Running(operation)) => return running(judgement, operation, world),
        Some(Polled::Failed(error)) => return failed(judgement, error.clone(), world.now),
        Some(Polled::Succeeded | Polled::Lost) | None => {}
    }
    let Some(type_) = arm::resource_type(&wanted.id.type_()) else {
        let message = format!("the type {} is not managed", wanted.id.type_());
        judgement.refusal = Some(Refusal { reason: Reason::Invalid, message });
        return judgement;
    };
    if let Some(refusal) = missing_secret(world, wanted) {
        judgement.refusal = Some(refusal);
        return judgement;
    }
    match world.seen.get(&wanted.id) {
        None => judgement,
        Some(Sight::Absent) => create(world, wanted, type_, judgement),
        Some(Sight::Present(body)) => present(world, wanted, type_, body, judgement),
    }
}

fn running(mut judgement: Judgement, operation: &Operation, world: &World) -> Judgement {
    judgement.state = match operation.verb {
        Verb::Delete => ResourceState::Deleting,
        Verb::Put if !judgement.owned => ResourceState::Creating,
        Verb::Put | Verb::Patch | Verb::Post => match tracked(&world.subject.status, &judgement.id) {
            Some(old) if old.state == ResourceState::Creating => ResourceState::Creating,
            _ => ResourceState::Updating,
        },
    };
    judgement.owned = true;
    judgement.operation = Some(operation.clone());
    let stuck = SignedDuration::try_from(super::STUCK_AFTER).ok();
    let deadline = operation.deadline.or_else(|| operation.started.checked_add(stuck?).ok());
    if deadline.is_some_and(|deadline| deadline < world.now) {
        let message = format!(
            "the {:?} of {} was started at {} and has not ended by its deadline",
            operation.verb, judgement.id, operation.started
        );
        judgement.refusal = Some(Refusal { reason: Reason::OperationStuck, message });
    }
    judgement
}

fn failed(mut judgement: Judgement, error: ArmError, now: Timestamp) -> Judgement {
    judgement.state = ResourceState::Failed;
    judgement.owned = true;
    judgement.failed = Some(error);
    judgement.failures = judgement.failures.saturating_add(1);
    judgement.failed_at = Some(now);
    judgement.retry_at = retry_at(&judgement);
    // Nobody knows whether it has got them.
    judgement.secrets_version = None;
    judgement
}

/// When a failed operation is tried again: each failure in a row doubles the wait.
pub(super) fn retry_at(judgement: &Judgement) -> Option<Timestamp> {
    let wait =
        RETRY_SHORTEST.saturating_mul(1 << judgement.failures.saturating_sub(1).min(10)).min(RETRY_LONGEST);
    judgement.failed_at?.checked_add(SignedDuration::try_from(wait).ok()?).ok()
}

fn create(world: &World, wanted: &Wanted, type_: &ResourceType, mut judgement: Judgement) -> Judgement {
    let was_there = judgement.owned
        && tracked(&world.subject.status, &wanted.id).is_some_and(|old| {
            use ResourceState::{Creating, Differs, Ready, Updating};
            matches!(old.state, Creating | Differs | Ready | Updating)
        });
    judgement.state = ResourceState::Absent;
    if was_there && world.subject.management.mode == ManagementMode::Manage {
        // A read may lag behind a write: what was there is made anew only when a second read misses it too.
        return judgement;
    }
    judgement.retry_at = if world.is_changed() { None } else { retry_at(&judgement) };
    judgement.step = Some(Step::ArmPut(ArmPut {
        id: wanted.id.clone(),
        body: world.subject.owner.mark(wanted.body.clone(), type_),
        secrets: wanted.secrets.clone(),
        secrets_version: secrets_version(world, wanted),
        create: true,
        differences: Vec::new(),
        why: "it does not exist".to_owned(),
    }));
    judgement
}

fn present(
    world: &World,
    wanted: &Wanted,
    type_: &ResourceType,
    body: &Value,
    mut judgement: Judgement,
) -> Judgement {
    match ownership(world, wanted, type_, body, judgement.owned) {
        Ok(owned) => judgement.owned = owned,
        Err(refusal) => {
            judgement.state = ResourceState::Foreign;
            judgement.refusal = Some(refusal);
            return judgement;
        }
    }
    let state = provisioning_state(body);
    if is_in_progress(state) {
        return in_progress(judgement, state, world.now);
    }
    let marked = if judgement.owned {
        world.subject.owner.mark(wanted.body.clone(), type_)
    } else {
        wanted.body.clone()
    };
    judgement.differences = arm::differences(&marked, body, type_);
    if !judgement.owned {
        // What somebody else made and may be shared, or is a part of something foreign, stays as it is.
        judgement.state = ResourceState::Ready;
        return judgement;
    }
    let version = secrets_version(world, wanted);
    let new_secrets = version.is_some() && version != judgement.secrets_version;
    let is_failed = state.eq_ignore_ascii_case("Failed") || state.eq_ignore_ascii_case("Canceled");
    if judgement.differences.is_empty() && !new_secrets && !is_failed {
        judgement.state = ResourceState::Ready;
        judgement.failures = 0;
        judgement.failed_at = None;
        return judgement;
    }
    judgement.state = if is_failed { ResourceState::Failed } else { ResourceState::Differs };
    judgement.retry_at = if world.is_changed() { None } else { retry_at(&judgement) };
    if let Some(refusal) = immutable(&judgement) {
        judgement.refusal = Some(refusal);
        return judgement;
    }
    judgement.step =
        Some(update(wanted, type_, &marked, body, &judgement, new_secrets.then_some(version).flatten()));
    judgement
}

/// Whether the resource is this object's, or may become so.
fn ownership(
    world: &World,
    wanted: &Wanted,
    type_: &ResourceType,
    body: &Value,
    was_owned: bool,
) -> Result<bool, Refusal> {
    let adoption = world.subject.management.adoption;
    let Some(claim) = world.subject.owner.claim(body, type_) else {
        // A part of somebody else's resource is his.
        let is_ours =
            if is_shared(type_) { was_owned } else { whole_is_ours(world, &wanted.id) != Some(false) };
        return Ok(is_ours || adoption != Adoption::Never);
    };
    let refuse = |who: String| {
        let message = format!(
            "{} exists and {who}; rename it, or set spec.management.adoption to {} to take it over",
            wanted.id,
            if who.starts_with("was not") { "IfUnowned" } else { "Force" }
        );
        Err(Refusal { reason: Reason::NotOwned, message })
    };
    match (claim, adoption) {
        (Claim::Ours, _)
        | (Claim::Nobody, Adoption::IfUnowned | Adoption::Force)
        | (Claim::Other(_), Adoption::Force) => Ok(true),
        (Claim::Nobody, Adoption::Never) => refuse("was not made for this object".to_owned()),
        (Claim::Other(tag), Adoption::Never | Adoption::IfUnowned) => {
            refuse(format!("belongs to somebody else (its tag {tag})"))
        }
    }
}

pub(super) fn provisioning_state(body: &Value) -> &str {
    body.pointer("/properties/provisioningState").and_then(Value::as_str).unwrap_or("Succeeded")
}

pub(super) fn is_in_progress(state: &str) -> bool {
    ["Succeeded", "Failed", "Canceled"].iter().all(|end| !state.eq_ignore_ascii_case(end))
}

/// An operation runs on it that this object's status does not know of: the answer to its start was lost.
fn in_progress(mut judgement: Judgement, state: &str, now: Timestamp) -> Judgement {
    let (verb, resource_state) = match state.to_ascii_lowercase().as_str() {
        "deleting" => (Verb::Delete, ResourceState::Deleting),
        "creating" => (Verb::Put, ResourceState::Creating),
        _ => (Verb::Patch, ResourceState::Updating),
    };
    judgement.state = resource_state;
    judgement.operation = Some(Operation {
        verb,
        shape: OperationShape::Body,
        url: judgement.id.to_string(),
        started: now,
        deadline: None,
        poll_at: now,
    });
    judgement
}

fn immutable(judgement: &Judgement) -> Option<Refusal> {
    let fixed: Vec<String> = judgement
        .differences
        .iter()
        .filter(|difference| difference.create_only)
        .map(|it| format!("{} is {} and can't become {}", it.field, it.actual, it.wanted))
        .collect();
    (!fixed.is_empty()).then(|| {
        let message = format!("{} can't be changed: {}", judgement.id, fixed.join("; "));
        Refusal { reason: Reason::Immutable, message }
    })
}

fn update(
    wanted: &Wanted,
    type_: &ResourceType,
    marked: &Value,
    actual: &Value,
    judgement: &Judgement,
    new_secrets: Option<String>,
) -> Step {
    let differences = judgement.differences.clone();
    let is_patchable = |it: &Difference| {
        wanted.patchable.iter().any(|field| it.field == *field || it.field.starts_with(&format!("{field}/")))
    };
    if !differences.is_empty() && new_secrets.is_none() && differences.iter().all(is_patchable) {
        let mut body = json!({});
        for field in
            wanted.patchable.iter().filter(|field| differences.iter().any(|it| it.field.starts_with(**field)))
        {
            insert(
                &mut body,
                field,
                arm::merge(marked, actual, type_).pointer(field).cloned().unwrap_or_default(),
            );
        }
        return Step::ArmPatch(ArmPatch {
            id: wanted.id.clone(),
            body,
            differences,
            why: "it differs".to_owned(),
        });
    }
    let why = match (differences.len(), new_secrets.is_some()) {
        (0, true) => "a Secret that it uses has changed".to_owned(),
        (0, false) => "its last operation failed".to_owned(),
        (1, _) => format!("{} differs", differences[0].field),
        (count, _) => format!("{count} fields differ"),
    };
    Step::ArmPut(ArmPut {
        id: wanted.id.clone(),
        body: arm::merge(marked, actual, type_),
        secrets: wanted.secrets.clone(),
        // Every PUT carries the values anew.
        secrets_version: new_secrets.or_else(|| judgement.secrets_version.clone()),
        create: false,
        differences,
        why,
    })
}

fn insert(body: &mut Value, pointer: &str, value: Value) {
    let mut place = body;
    for key in pointer.split('/').skip(1) {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[key];
    }
    *place = value;
}

fn missing_secret(world: &World, wanted: &Wanted) -> Option<Refusal> {
    wanted.secrets.iter().find_map(|value| {
        let message = match world.secrets.get(&value.secret) {
            None => format!("the Secret {} does not exist in this namespace", value.secret),
            Some(facts) if !facts.keys.contains(&value.key) => {
                format!("the Secret {} has no key {}", value.secret, value.key)
            }
            Some(_) => return None,
        };
        Some(Refusal { reason: Reason::SecretNotFound, message })
    })
}

fn secrets_version(world: &World, wanted: &Wanted) -> Option<String> {
    let mut versions: Vec<&str> = wanted
        .secrets
        .iter()
        .filter_map(|it| world.secrets.get(&it.secret))
        .map(|it| it.version.as_str())
        .collect();
    versions.dedup();
    (!versions.is_empty()).then(|| crate::digest::of(&versions.join(",").into(), 32))
}

impl World {
    /// Whether the spec was changed since the status was written.
    pub(super) fn is_changed(&self) -> bool {
        self.subject.generation != self.subject.status.observed_generation
    }
}
