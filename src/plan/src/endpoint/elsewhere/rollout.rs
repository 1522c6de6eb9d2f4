//! A rollout between deployments in Azure: the same machine decides that decides on this cluster, on what Azure shows.
//!
//! What it decides goes into the status first, and moves requests when the status is looked at next: see
//! [`crate::endpoint::azure::traffic`].
use std::collections::BTreeMap;
use std::time::Duration;

use api::azure::{AzureStatus, ManagementMode, ResourceState};
use api::endpoint::{PauseCause, Revision, RevisionState, RolloutPhase, RolloutStatus};
use api::meta::{ConditionType, ROLLOUT_ACTION_ANNOTATION};
use api::{EndpointStatus, Reason};

use super::azure_facts::AzureFacts;
use super::{World, sooner, status};
use crate::azure::Outcome;
use crate::condition::{self, Statement, find};
use crate::endpoint::azure::traffic::kept_for;
use crate::endpoint::model_uri;
use crate::endpoint::rollout::action::{WORD_LIMIT, said};
use crate::endpoint::rollout::state::{Advanced, Facts, RevisionFacts, Shares, advance};
use crate::endpoint::story;
use crate::step::{EventType, Next, Plan, Step};

/// How long until what was decided is acted upon.
const DECIDED: Duration = Duration::from_millis(200);

/// The plan of an Endpoint in Azure between whose deployments requests move, from that of one where they move at once.
pub(super) fn rolled(
    world: &World,
    outcome: &Outcome,
    facts: &AzureFacts,
    mut plan: Plan<EndpointStatus>,
) -> Plan<EndpointStatus> {
    let old = world.endpoint.status.clone().unwrap_or_default();
    plan.status.rollout.clone_from(&old.rollout);
    let manages = world.endpoint.spec.management.mode == ManagementMode::Manage;
    // What is only shown moves nothing; and while nothing was compared, nothing new is known.
    let Some(wanted) = outcome.revision.as_deref().filter(|_| manages) else { return plan };
    let scene = Scene { world, outcome, facts, wanted, revisions: revisions(world, outcome, facts) };
    let old_rollout = old.rollout.unwrap_or_default();
    let Advanced { status: mut rollout, mut events, next, .. } = scene.advance(&old_rollout);
    let candidate = rollout.candidate.as_ref().and_then(|it| scene.revisions.get(it));
    let (does, so_far) = match candidate.map_or(0, |it| it.available) {
        0 => ("gets its deployment in Azure", "it can't answer yet"),
        _ => ("waits for Azure", "it can answer, and requests are about to move"),
    };
    let story = story::Facts { does, so_far: so_far.to_owned(), waits: None };
    rollout.message = story::tell(&rollout, &world.endpoint.spec.rollout, &story);
    let decides = is_news(&old_rollout, &rollout);
    if decides {
        // What was planned rests on what was decided before.
        plan.steps.retain(|step| matches!(step, Step::Finalizer(_)));
        plan.next = Next::After(DECIDED);
        plan.status.azure.iter_mut().for_each(|azure| unsettle(azure, world));
    }
    plan.next = sooner(sooner(plan.next, next), scene.forgets(&rollout));
    let statements = scene.statements(&rollout, decides);
    let replaced = [ConditionType::Ready, ConditionType::Reconciling, ConditionType::Stalled];
    if let Some(statements) = statements {
        let others = plan.status.conditions;
        let is_replaced = |name: &str| replaced.iter().any(|type_| type_.name() == name);
        let generation = world.endpoint.metadata.generation;
        plan.status.conditions = condition::merge(&old.conditions, &statements, generation, world.now);
        plan.status.conditions.extend(others.into_iter().filter(|it| !is_replaced(&it.type_)));
        // What a rollout does is told by its own events.
        plan.events.retain(|event| event.type_ == EventType::Warning);
        if statements[0].holds {
            plan.events.extend(condition::transition(&old.conditions, &statements, "Reconcile"));
        }
    }
    plan.events.append(&mut events);
    let here = status::retiring(&world.pods);
    plan.status.revisions = super::revisions(scene.told(&rollout, &old.revisions), here, &old.revisions);
    plan.status.replicas = Some(plan.status.revisions.iter().map(|it| it.replicas).sum());
    plan.status.ready_replicas = Some(plan.status.revisions.iter().map(|it| it.ready_replicas).sum());
    plan.status.rollout = Some(rollout);
    plan
}

/// Whether a decision changes what is wanted in Azure.
fn is_news(old: &RolloutStatus, new: &RolloutStatus) -> bool {
    let wants = |it: &RolloutStatus| {
        let rejected = it.rejected.as_ref().map(|it| it.revision.clone());
        let shares = (it.traffic.unwrap_or(0), it.mirror.unwrap_or(0));
        (it.stable.clone(), it.candidate.clone(), shares, rejected, it.phase == RolloutPhase::Completed)
    };
    wants(old) != wants(new)
}

/// What is in Azure is not as wanted any more, as of now; so nobody takes the difference for somebody else's doing.
fn unsettle(azure: &mut AzureStatus, world: &World) {
    let says = |type_, holds| Statement::new(type_, holds, Reason::InProgress, "a rollout goes on");
    let statements = [says(ConditionType::Ready, false), says(ConditionType::Reconciling, true)];
    let reachable = find(&azure.conditions, ConditionType::AzureReachable).cloned();
    let generation = world.endpoint.metadata.generation;
    azure.conditions = condition::merge(&azure.conditions, &statements, generation, world.now);
    azure.conditions.extend(reachable);
}

/// What is seen of each deployment.
fn revisions(world: &World, outcome: &Outcome, facts: &AzureFacts) -> BTreeMap<String, RevisionFacts> {
    let one = |(name, state): (&str, ResourceState)| {
        let revision = RevisionFacts {
            deployment: name.to_owned(),
            wanted: 1,
            replicas: 1,
            // Whoever is about to be changed need not come out of it.
            available: i32::from(matches!(state, ResourceState::Ready | ResourceState::Differs)),
            failed: match state {
                ResourceState::Failed => Some(failure(outcome, name)),
                ResourceState::Absent => refusal(world, name),
                _ => None,
            },
            ..RevisionFacts::default()
        };
        (name.to_owned(), revision)
    };
    facts.deployments().map(one).collect()
}

/// What Azure says of a deployment that failed.
fn failure(outcome: &Outcome, name: &str) -> String {
    let stalled = find(&outcome.plan.status.conditions, ConditionType::Stalled);
    let said = stalled.filter(|it| it.message.contains(name)).map(|it| it.message.clone());
    said.unwrap_or_else(|| format!("deployment {name} failed in Azure"))
}

/// What Azure said when it refused to make a deployment for what it is. That the operator lacks a right says nothing of it.
fn refusal(world: &World, name: &str) -> Option<String> {
    let old = world.endpoint.status.as_ref()?;
    let stalled = find(&old.conditions, ConditionType::Stalled)?;
    let reasons = [Reason::QuotaExceeded, Reason::AzureRejected, Reason::PolicyDenied];
    let refused = reasons.iter().any(|reason| reason.name() == stalled.reason)
        && stalled.observed_generation == world.endpoint.metadata.generation
        && stalled.message.starts_with("failed to ")
        && stalled.message.contains(&format!("/deployments/{name}"));
    refused.then(|| stalled.message.clone())
}

struct Scene<'a> {
    world: &'a World,
    outcome: &'a Outcome,
    facts: &'a AzureFacts<'a>,
    wanted: &'a str,
    revisions: BTreeMap<String, RevisionFacts>,
}

impl Scene<'_> {
    fn advance(&self, old: &RolloutStatus) -> Advanced {
        advance(&Facts {
            now: self.world.now,
            rollout: &self.world.endpoint.spec.rollout,
            wanted: self.wanted,
            revisions: &self.revisions,
            selected: self.facts.most(),
            replicas: 1,
            action: said(&self.world.endpoint, ROLLOUT_ACTION_ANNOTATION, WORD_LIMIT),
            evidence: self.world.evidence.as_ref(),
            shares: Shares::Seen(self.shares(old)),
            kept_by: "in Azure, a deployment from before is kept for rollout.scaleDownDelaySeconds: change the spec back, and it is made anew",
            old,
        })
    }

    /// The shares of the candidate, when the stable revision has all that it does not answer.
    fn shares(&self, old: &RolloutStatus) -> Option<(i32, i32)> {
        let candidate = old.candidate.as_deref()?;
        let (traffic, mirror) = self.facts.shares(candidate)?;
        let (others, copies) = self.facts.shares(&old.stable)?;
        (others == 100 - traffic && copies == 0).then_some((traffic, mirror))
    }

    /// When the next deployment from before goes.
    fn forgets(&self, rollout: &RolloutStatus) -> Next {
        let is_needed = |name: &String| *name == rollout.stable || rollout.candidate.as_ref() == Some(name);
        let seconds = self.world.endpoint.spec.rollout.scale_down_delay_seconds;
        let wait = kept_for(rollout, seconds, self.world.now);
        if wait.is_zero() || self.revisions.keys().all(is_needed) {
            return Next::OnChange;
        }
        Next::After(wait)
    }

    /// Whether everything is as wanted but for a deployment from before, which is about to go.
    fn is_whole(&self, rollout: &RolloutStatus) -> bool {
        let main = self.outcome.plan.status.id.as_deref().unwrap_or_default();
        let is_left = |id: &str| {
            let name = id.rsplit('/').next().unwrap_or_default();
            id.starts_with(&format!("{main}/")) && name != rollout.stable
        };
        let resources = &self.outcome.plan.status.resources;
        self.facts.traffic_of(&rollout.stable) == 100
            && self.outcome.proposed.iter().all(|step| matches!(step, Step::ArmDelete(_)))
            && resources.iter().filter(|it| !is_left(&it.id)).all(|it| it.state == ResourceState::Ready)
    }

    /// What the conditions say of a rollout; none when what they say without one holds.
    fn statements(&self, rollout: &RolloutStatus, decides: bool) -> Option<Vec<Statement>> {
        let cause = rollout.pause.as_ref().map(|pause| pause.cause);
        let (reason, progress) = match (rollout.phase, cause) {
            (RolloutPhase::Paused, Some(PauseCause::Failure | PauseCause::Inconclusive)) => {
                (Reason::AwaitingPerson, ConditionType::Stalled)
            }
            // What keeps everything from going on is told first.
            _ if !decides && find(&self.outcome.plan.status.conditions, ConditionType::Stalled).is_some() => {
                return None;
            }
            (RolloutPhase::Progressing, _) => (Reason::RollingOut, ConditionType::Reconciling),
            (RolloutPhase::Paused, _) => (Reason::AwaitingPerson, ConditionType::Reconciling),
            (RolloutPhase::RolledBack, _) => (Reason::RolledBack, ConditionType::Stalled),
            (RolloutPhase::Completed, _) if decides => (Reason::InProgress, ConditionType::Reconciling),
            (RolloutPhase::Completed, _) => {
                let whole = self.is_whole(rollout);
                let ready = Statement::new(ConditionType::Ready, true, Reason::Ready, self.facts.describe());
                return whole.then(|| vec![ready]);
            }
        };
        let says = |type_, holds| Statement::new(type_, holds, reason, rollout.message.clone());
        Some(vec![says(ConditionType::Ready, false), says(progress, true)])
    }

    /// The deployments with their shares, the wanted one first.
    fn told(&self, rollout: &RolloutStatus, old: &[Revision]) -> Vec<Revision> {
        let rejected = rollout.rejected.as_ref().map(|it| it.revision.as_str());
        let failed = |name: &str| self.revisions.get(name).is_some_and(|it| it.failed.is_some());
        let runs = |name: &str| self.facts.is_running(name);
        let state = |name: &str| match () {
            () if rollout.candidate.as_deref() == Some(name) => match rollout.step_since {
                Some(_) => RevisionState::Canary,
                None => RevisionState::Progressing,
            },
            () if rollout.stable == name && runs(name) => RevisionState::Stable,
            () if rollout.stable == name && failed(name) => RevisionState::Failed,
            () if rollout.stable == name => RevisionState::Progressing,
            () if rejected == Some(name) => RevisionState::RolledBack,
            () => RevisionState::Retiring,
        };
        let mut names: Vec<&str> = self.revisions.keys().map(String::as_str).collect();
        if !names.contains(&self.wanted) {
            names.push(self.wanted);
        }
        names.sort_by_key(|name| (*name != self.wanted, *name != rollout.stable));
        let told = names.into_iter().map(|name| {
            let known = old.iter().find(|it| it.name == name);
            let own = (name == self.wanted).then(|| model_uri::display(&self.world.endpoint.spec.model));
            let is_there = self.revisions.contains_key(name);
            let replicas = self.facts.capacity_of(name).or_else(|| Some(known?.replicas)).unwrap_or(0);
            Revision {
                name: name.to_owned(),
                model: own.or_else(|| known?.model.clone()),
                replicas: if is_there { replicas } else { 0 },
                ready_replicas: if runs(name) { replicas } else { 0 },
                traffic: Some(self.facts.traffic_of(name)),
                state: state(name),
            }
        });
        told.take(super::REVISION_LIMIT).collect()
    }
}
