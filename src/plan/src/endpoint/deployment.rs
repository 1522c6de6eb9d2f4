//! What matters of an Endpoint's Deployment.
use k8s_openapi::api::apps::v1::DeploymentStatus;

use super::{World, is_predecessor};
use crate::child::{ChildKind, Observed};

/// What matters of a Deployment.
#[derive(Default)]
pub(super) struct DeploymentFacts {
    pub(super) presence: Presence,
    /// Whether its status speaks of its present spec.
    pub(super) current: bool,
    pub(super) wanted: i32,
    pub(super) replicas: i32,
    pub(super) updated: i32,
    pub(super) ready: i32,
    pub(super) available: i32,
    /// Why the API server refuses the pods, when it does.
    pub(super) refused: Option<String>,
    pub(super) deadline_exceeded: bool,
}

/// Whether there is a Deployment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Presence {
    #[default]
    Absent,
    Leaving,
    Present,
}

impl DeploymentFacts {
    /// The Deployment of an Endpoint of the same name that was deleted counts as one on its way out, and a stranger's
    /// does not count at all.
    pub(super) fn new(world: &World) -> Self {
        world.children.get(&ChildKind::Deployment).map_or_else(Self::default, |seen| Self::of(world, seen))
    }

    /// What matters of one of several.
    pub(super) fn of(world: &World, seen: &Observed) -> Self {
        if is_predecessor(seen, &world.endpoint) {
            return Self { presence: Presence::Leaving, ..Self::default() };
        }
        let uid = world.endpoint.metadata.uid.as_ref();
        if seen.controller.as_ref().is_some_and(|controller| Some(&controller.uid) != uid) {
            return Self::default();
        }
        let status: DeploymentStatus =
            serde_json::from_value(seen.body["status"].clone()).unwrap_or_default();
        let condition = |type_: &str, status_: &str| {
            let mut conditions = status.conditions.iter().flatten();
            conditions.find(|condition| condition.type_ == type_ && condition.status == status_)
        };
        let wanted = seen.body["spec"]["replicas"].as_i64();
        let late = |reason: Option<&str>| reason == Some("ProgressDeadlineExceeded");
        Self {
            presence: if seen.deleting { Presence::Leaving } else { Presence::Present },
            current: status.observed_generation >= seen.body["metadata"]["generation"].as_i64(),
            wanted: wanted.and_then(|number| number.try_into().ok()).unwrap_or(1),
            replicas: status.replicas.unwrap_or(0),
            updated: status.updated_replicas.unwrap_or(0),
            ready: status.ready_replicas.unwrap_or(0),
            available: status.available_replicas.unwrap_or(0),
            refused: condition("ReplicaFailure", "True").map(|it| it.message.clone().unwrap_or_default()),
            deadline_exceeded: condition("Progressing", "False").is_some_and(|it| late(it.reason.as_deref())),
        }
    }
}
