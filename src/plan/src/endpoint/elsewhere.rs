//! Where an Endpoint's part in Azure and its part on this cluster meet: a model that moves keeps its old address until
//! the new one serves.
mod azure_facts;

use std::time::Duration;

use api::azure::ManagementMode;
use api::endpoint::{EndpointStatus, Revision};
use api::meta::{ConditionType, ENDPOINT_LABEL};
use api::{Endpoint, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use self::azure_facts::AzureFacts;
use super::deployment::DeploymentFacts;
use super::{World, status};
use crate::azure::planned;
use crate::child::ChildKind;
use crate::condition::{self, Statement, find};
use crate::step::{Delete, Next, Plan, Step};

/// The most revisions that a status lists.
const REVISION_LIMIT: usize = 16;

/// How long the status tells the new address before the old one goes.
const TOLD: Duration = Duration::from_secs(1);

/// The plan of an Endpoint that runs in Azure. What it has on this cluster goes last, once Azure serves.
pub(super) fn plan(world: &World) -> Plan<EndpointStatus> {
    let old = world.endpoint.status.clone().unwrap_or_default();
    let Some(outcome) = &world.azure else { return unknown(world, old) };
    let facts = AzureFacts::new(&outcome.plan.status, true);
    let moves_over = outcome.settled && facts.serves();
    let mut steps = outcome.plan.steps.clone();
    let mut next = outcome.plan.next;
    if moves_over && world.endpoint.spec.management.mode == ManagementMode::Manage {
        let removals = removals(world);
        if old.url == facts.scoring_uri() {
            steps.extend(removals);
        } else if !removals.is_empty() {
            // The address on the cluster goes once the status has told the new one.
            next = sooner(next, Next::After(TOLD));
        }
    }
    let statements = statements(world, outcome, &facts);
    let generation = world.endpoint.metadata.generation;
    let here = serves_here(world);
    let status = EndpointStatus {
        observed_generation: generation,
        conditions: condition::merge(&old.conditions, &statements, generation, world.now),
        url: match facts.scoring_uri() {
            Some(uri) if facts.serves() => Some(uri),
            _ if here => old.url,
            // The address of pods that are gone answers nobody.
            uri => uri,
        },
        replicas: Some(facts.capacity().unwrap_or(0)),
        ready_replicas: Some(facts.ready_capacity()),
        selector: world.endpoint.metadata.name.as_ref().map(|name| format!("{ENDPOINT_LABEL}={name}")),
        revisions: revisions(facts.revisions(&world.endpoint), status::retiring(&world.pods), &old.revisions),
        azure: Some(outcome.plan.status.clone()),
        rollout: None,
        scaling: None,
        keys: None,
        resolved_model: None,
        plan: None,
    };
    Plan { steps, status, events: outcome.plan.events.clone(), next }
}

/// Azure was not read: nothing is touched, and what was said of this very spec stays.
fn unknown(world: &World, old: EndpointStatus) -> Plan<EndpointStatus> {
    if old.azure.is_some() && old.observed_generation == world.endpoint.metadata.generation {
        return Plan { steps: Vec::new(), status: old, events: Vec::new(), next: Next::OnChange };
    }
    let message = "what the endpoint has in Azure has not been read yet";
    let says = |type_, holds| Statement::new(type_, holds, Reason::InProgress, message);
    let statements = [
        says(ConditionType::Ready, false),
        says(ConditionType::Reconciling, true),
        status::serving(&DeploymentFacts::new(world), &world.pods),
    ];
    let generation = world.endpoint.metadata.generation;
    let conditions = condition::merge(&old.conditions, &statements, generation, world.now);
    let status = EndpointStatus { observed_generation: generation, conditions, ..old };
    Plan { steps: Vec::new(), status, events: Vec::new(), next: Next::OnChange }
}

/// What the conditions say of an Endpoint in Azure: what the part there says, and who answers.
fn statements(world: &World, outcome: &crate::azure::Outcome, facts: &AzureFacts) -> Vec<Statement> {
    let conditions = &outcome.plan.status.conditions;
    let mut statements: Vec<Statement> =
        [ConditionType::Ready, ConditionType::Reconciling, ConditionType::Stalled]
            .into_iter()
            .filter_map(|type_| statement(type_, conditions))
            .collect();
    if let Some(ready) = statements.first_mut().filter(|it| it.holds && it.reason == Reason::Ready) {
        ready.message = facts.describe();
    }
    statements.push(serving(world, facts));
    statements.extend(statement(ConditionType::AzureReachable, conditions));
    statements
}

/// A condition as what it says.
fn statement(type_: ConditionType, conditions: &[Condition]) -> Option<Statement> {
    let condition = find(conditions, type_)?;
    let reason = Reason::ALL.iter().find(|reason| reason.name() == condition.reason)?;
    Some(Statement::new(type_, condition.status == "True", *reason, condition.message.clone()))
}

/// Whether requests are answered, and where.
fn serving(world: &World, facts: &AzureFacts) -> Statement {
    let here = status::serving(&DeploymentFacts::new(world), &world.pods);
    if !facts.serves() {
        return if here.holds {
            Statement { message: format!("{} on this cluster", here.message), ..here }
        } else {
            let message = "no deployment in Azure answers requests";
            Statement::new(ConditionType::Serving, false, Reason::NoReadyPods, message)
        };
    }
    Statement::new(ConditionType::Serving, true, Reason::Answering, facts.describe())
}

fn serves_here(world: &World) -> bool {
    status::serving(&DeploymentFacts::new(world), &world.pods).holds
}

/// Everything of this Endpoint on this cluster, the autoscaler before what it scales and the pods before their address.
fn removals(world: &World) -> Vec<Step> {
    let metadata = &world.endpoint.metadata;
    let is_ours = |kind: &ChildKind| {
        let seen = &world.children[kind];
        let controller = seen.controller.as_ref();
        !seen.deleting && controller.is_some_and(|it| Some(&it.uid) == metadata.uid.as_ref())
    };
    let present = ChildKind::ALL.into_iter().rev().filter(|kind| world.children.contains_key(kind));
    present
        .filter(is_ours)
        .map(|kind| {
            Step::Delete(Delete {
                kind,
                namespace: metadata.namespace.clone().unwrap_or_default(),
                name: metadata.name.clone().unwrap_or_default(),
                uid: world.children[&kind].uid.clone(),
                why: "Azure serves the model",
            })
        })
        .collect()
}

/// The plan of an Endpoint of this cluster, beside what it still has in Azure.
pub(super) fn beside(world: &World, mut plan: Plan<EndpointStatus>) -> Plan<EndpointStatus> {
    let old = world.endpoint.status.clone().unwrap_or_default();
    let Some(outcome) = &world.azure else {
        // What can't be read now is remembered.
        plan.status.azure = old.azure;
        return plan;
    };
    let azure = &outcome.plan.status;
    let facts = AzureFacts::new(azure, false);
    // What Azure gives up comes after what this cluster needs.
    plan.steps.extend(outcome.plan.steps.iter().cloned());
    if !outcome.plan.steps.is_empty() || !azure.resources.is_empty() {
        plan.events.extend(outcome.plan.events.iter().cloned());
    }
    plan.next = sooner(plan.next, outcome.plan.next);
    if facts.serves() && !serves_here(world) {
        plan.status.url = facts.scoring_uri();
        let says = Statement::new(ConditionType::Serving, true, Reason::Answering, facts.describe());
        let generation = world.endpoint.metadata.generation;
        let merged = condition::merge(&old.conditions, &[says], generation, world.now);
        for new in merged {
            plan.status
                .conditions
                .iter_mut()
                .filter(|it| it.type_ == new.type_)
                .for_each(|it| it.clone_from(&new));
        }
    }
    let here = std::mem::take(&mut plan.status.revisions);
    plan.status.revisions = revisions(here, facts.revisions(&world.endpoint), &old.revisions);
    plan.status.azure = (!azure.resources.is_empty()).then(|| azure.clone());
    plan
}

/// The plan of an Endpoint that is being deleted: what it has in Azure goes before it.
pub(super) fn leaving(world: &World, mut plan: Plan<EndpointStatus>) -> Plan<EndpointStatus> {
    let Some(outcome) = &world.azure else { return plan };
    let old = world.endpoint.status.clone().unwrap_or_default();
    let facts = AzureFacts::new(&outcome.plan.status, false);
    let statements = statements(world, outcome, &facts);
    let generation = world.endpoint.metadata.generation;
    plan.steps.clone_from(&outcome.plan.steps);
    plan.events.clone_from(&outcome.plan.events);
    plan.next = outcome.plan.next;
    plan.status.observed_generation = generation;
    plan.status.conditions = condition::merge(&old.conditions, &statements, generation, world.now);
    plan.status.revisions =
        revisions(status::retiring(&world.pods), facts.revisions(&world.endpoint), &old.revisions);
    plan.status.azure = Some(outcome.plan.status.clone());
    plan
}

/// A plan whose steps are shown or left, as the management mode says.
pub(super) fn held(world: &World, mut plan: Plan<EndpointStatus>) -> Plan<EndpointStatus> {
    let Endpoint { metadata, spec, status: old } = &world.endpoint;
    let old = old.clone().unwrap_or_default();
    let mut steps = world.azure.as_ref().map(|outcome| outcome.proposed.clone()).unwrap_or_default();
    steps.extend(
        plan.steps
            .iter()
            .filter(|step| matches!(step, Step::Apply(_) | Step::Delete(_) | Step::WriteKeys(_)))
            .cloned(),
    );
    plan.steps.clear();
    let paused = spec.management.mode == ManagementMode::Paused;
    if !paused {
        plan.status.plan = planned(&steps);
        if steps.is_empty() {
            return plan;
        }
    }
    let ready = if paused {
        let holds = find(&old.conditions, ConditionType::Ready).is_some_and(|it| it.status == "True");
        let message = "nothing is written, because spec.management.mode is Paused";
        Statement::new(ConditionType::Ready, holds, Reason::Paused, message)
    } else {
        let message = format!("{} writes are planned and none is made; read status.plan", steps.len());
        Statement::new(ConditionType::Ready, false, Reason::Planned, message)
    };
    plan.events = condition::transition(&old.conditions, std::slice::from_ref(&ready), "Reconcile");
    let mut conditions = condition::merge(&old.conditions, &[ready], metadata.generation, world.now);
    let replaced =
        [ConditionType::Ready, ConditionType::Reconciling, ConditionType::Stalled].map(ConditionType::name);
    let others = plan.status.conditions.into_iter().filter(|it| !replaced.contains(&it.type_.as_str()));
    conditions.extend(others);
    plan.status.conditions = conditions;
    plan
}

/// Revisions of the place that is wanted, then those of the other; what is not known of one is taken from before.
fn revisions(wanted: Vec<Revision>, others: Vec<Revision>, old: &[Revision]) -> Vec<Revision> {
    let known = |name: &str| old.iter().find(|it| it.name == name);
    let mut all: Vec<Revision> = Vec::new();
    for revision in wanted.into_iter().chain(others) {
        if !all.iter().any(|it| it.name == revision.name) {
            let known = known(&revision.name);
            let model = revision.model.clone().or_else(|| known?.model.clone());
            // Of a deployment that goes, Azure is not asked how many instances it has.
            let (replicas, ready_replicas) = match known.filter(|_| revision.traffic > Some(0)) {
                Some(known) if revision.replicas == 0 => (known.replicas, known.ready_replicas),
                _ => (revision.replicas, revision.ready_replicas),
            };
            all.push(Revision { model, replicas, ready_replicas, ..revision });
        }
    }
    all.truncate(REVISION_LIMIT);
    all
}

pub(super) fn sooner(one: Next, other: Next) -> Next {
    let wait = |next| match next {
        Next::OnChange => Duration::MAX,
        Next::After(wait) => wait,
    };
    if wait(one) <= wait(other) { one } else { other }
}
