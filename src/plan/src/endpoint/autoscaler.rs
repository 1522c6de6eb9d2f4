//! Autoscalers that somebody else has put over an Endpoint: the operator does not fight them, and says so.
use api::Reason;
use api::meta::ConditionType;

use super::{World, load};
use crate::child::{ChildKind, Controller};
use crate::condition::Statement;

/// A HorizontalPodAutoscaler that is not the operator's. A ScaledObject of KEDA has one too.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Autoscaler {
    /// Its name.
    pub name: String,
    /// The object that made it, if any.
    pub controller: Option<Controller>,
    /// The kind of what it scales.
    pub target_kind: String,
    /// The name of what it scales.
    pub target_name: String,
}

impl Autoscaler {
    /// Its name, and who made it.
    fn display(&self) -> String {
        match &self.controller {
            Some(owner) => format!("HorizontalPodAutoscaler {} of {} {}", self.name, owner.kind, owner.name),
            None => format!("HorizontalPodAutoscaler {}", self.name),
        }
    }
}

/// The autoscaler that sets the number of pods in the operator's place, if any: one of the Deployment that answers.
pub(super) fn of_pods(world: &World) -> Option<&Autoscaler> {
    let name = world.endpoint.metadata.name.as_deref()?;
    let stable =
        world.endpoint.status.as_ref().and_then(|it| it.rollout.as_ref()).map(|it| it.stable.as_str());
    let scales = |it: &&Autoscaler| {
        it.target_kind == "Deployment" && (it.target_name == name || Some(it.target_name.as_str()) == stable)
    };
    world.autoscalers.iter().filter(scales).min()
}

/// The number of pods that it has set.
pub(super) fn replicas(world: &World, autoscaler: &Autoscaler) -> i32 {
    let further = world.further.iter().filter(|(kind, _)| *kind == ChildKind::Deployment).map(|(_, it)| it);
    let mut all = world.children.get(&ChildKind::Deployment).into_iter().chain(further);
    let found = all.find(|it| it.body["metadata"]["name"] == *autoscaler.target_name);
    let replicas = found.and_then(|it| it.body["spec"]["replicas"].as_i64());
    replicas.and_then(|it| i32::try_from(it).ok()).unwrap_or(1)
}

/// Why the number of pods is left as it is, although the spec or the load asks for another.
pub(super) fn held(world: &World) -> Option<Statement> {
    let said = |reason, message| Some(Statement::new(ConditionType::ScalingHeld, true, reason, message));
    let name = world.endpoint.metadata.name.as_deref().unwrap_or_default();
    if let Some(autoscaler) = of_pods(world) {
        let message = format!(
            "{} sets the pods of Deployment {}, so that spec.scaling is left aside: delete it, or let it scale Endpoint {name} and set scaling.replicas",
            autoscaler.display(),
            autoscaler.target_name
        );
        return said(Reason::ScaledElsewhere, message);
    }
    let of_endpoint = |it: &&Autoscaler| it.target_kind == "Endpoint" && it.target_name == name;
    let of_endpoint = world.autoscalers.iter().filter(of_endpoint).min();
    if let Some(autoscaler) = of_endpoint.filter(|_| world.endpoint.spec.scaling.max_replicas.is_some()) {
        let message = format!(
            "{} can't scale this Endpoint, whose scaling.maxReplicas makes it follow the load by itself: delete the one, or remove the other",
            autoscaler.display()
        );
        return said(Reason::ScaledElsewhere, message);
    }
    load::unavailable(world).and_then(|message| said(Reason::MetricUnavailable, message))
}
