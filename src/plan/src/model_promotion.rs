//! The plan of a ModelPromotion: which stage is under way, what it waits for, and when a stage gets the version.
//!
//! It writes nothing but its own status: the Model reads there which version each stage runs ([`crate::model::stages`]),
//! and Endpoints follow the Model. Every moment that matters is in the status, so that a restart at any point goes on
//! where it was, and no step is taken twice.
mod bundle;
mod check;
mod endpoints;
mod freeze;
mod votes;
mod walk;

use std::collections::BTreeMap;

use api::model_promotion::{PromotionPhase, StageStatus, Supersession};
use api::{Approval, Endpoint, Model, ModelPromotion, ModelPromotionStatus, Reason};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub use self::bundle::bundle;
pub use self::votes::plan as plan_approval;
use self::walk::Walk;
use crate::child::Observed;
use crate::condition::{self, Statement};
use crate::endpoint::RuntimeFacts;
use crate::settings::Settings;
use crate::step::Plan;

/// Everything that the plan of a ModelPromotion depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct World {
    /// The time of the observation.
    pub now: Timestamp,
    /// The object.
    pub promotion: ModelPromotion,
    /// Its Model.
    pub model: Option<Model>,
    /// The other promotions of the same Model.
    pub others: Vec<ModelPromotion>,
    /// The votes on it.
    pub approvals: Vec<Approval>,
    /// The Endpoints that its stages name.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// The Jobs that bear its label, by name.
    pub jobs: BTreeMap<String, Observed>,
    /// The pods that bear its label.
    pub pods: Vec<Pod>,
    /// The ServingRuntimes of its namespace and of the operator's.
    pub runtimes: Vec<RuntimeFacts>,
    /// What the operator was started with.
    pub settings: Settings,
}

impl World {
    /// The promotion of the same model that came after this one and takes its place.
    fn successor(&self) -> Option<&ModelPromotion> {
        let takes_over = |it: &&ModelPromotion| {
            it.spec.supersession == Supersession::Cancel && came(it) > came(&self.promotion)
        };
        self.others.iter().find(takes_over)
    }

    /// A promotion of the same model that came before this one and is under way.
    fn predecessor(&self) -> Option<&ModelPromotion> {
        let is_before = |it: &&ModelPromotion| {
            let phase = it.status.as_ref().map(|it| it.phase).unwrap_or_default();
            !phase.is_over() && it.metadata.deletion_timestamp.is_none() && came(it) < came(&self.promotion)
        };
        self.others.iter().filter(is_before).min_by_key(|it| came(it))
    }
}

/// The order in which promotions came.
fn came(promotion: &ModelPromotion) -> (Option<Timestamp>, Option<&String>) {
    let metadata = &promotion.metadata;
    (metadata.creation_timestamp.as_ref().map(|it| it.0), metadata.name.as_ref())
}

/// Decides what to do about a ModelPromotion.
pub fn plan(world: &World) -> Plan<ModelPromotionStatus> {
    let old = world.promotion.status.clone().unwrap_or_default();
    let mut walk = Walk::new(world, old.clone());
    if world.promotion.metadata.deletion_timestamp.is_none() && !old.phase.is_over() {
        walk.go();
        let statements = statements(&walk.status, walk.reason, &walk.message);
        let generation = world.promotion.metadata.generation;
        walk.events.extend(condition::transition(&old.conditions, &statements, "Promotion"));
        walk.status.conditions = condition::merge(&old.conditions, &statements, generation, world.now);
        walk.status.observed_generation = generation;
        if walk.status.phase.is_over() {
            walk.status.ended_at = Some(Time(second(world.now)));
        }
    }
    if walk.status.phase.is_over() {
        walk.steps = check::left_over(world);
    }
    Plan { steps: walk.steps, status: walk.status, events: walk.events, next: walk.next }
}

/// A time as the API server keeps it, to the second.
fn second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn statements(status: &ModelPromotionStatus, reason: Reason, message: &str) -> Vec<Statement> {
    use api::meta::ConditionType::{ApprovalRequired, Ready, Reconciling, Stalled};
    let phase = status.phase;
    let mut statements = vec![Statement::new(Ready, phase == PromotionPhase::Succeeded, reason, message)];
    if phase == PromotionPhase::Held {
        statements.push(Statement::new(Stalled, true, reason, message));
    } else if !phase.is_over() {
        statements.push(Statement::new(Reconciling, true, reason, message));
    } else if phase != PromotionPhase::Succeeded {
        statements.push(Statement::new(Stalled, true, reason, message));
    }
    if phase == PromotionPhase::AwaitingApproval {
        statements.push(Statement::new(ApprovalRequired, true, reason, message));
    }
    statements
}

/// The status of a stage, if it has begun.
fn stage<'s>(status: &'s ModelPromotionStatus, name: &str) -> Option<&'s StageStatus> {
    status.stages.iter().find(|it| it.name == name)
}
