//! The plan of an Endpoint: which objects it needs on this cluster and in Azure, and what its status says.

use std::time::Duration;

pub mod autoscaler;
pub mod azure;
pub(crate) mod build;
mod deployment;
mod elsewhere;
mod http_route;
pub mod keys;
pub mod load;
pub mod model_uri;
pub mod pod;
mod progressive;
pub mod rollout;
pub mod routed;
mod status;
mod story;
pub(crate) mod tested;
pub(crate) mod valid;

use api::azure::ManagementMode;
use api::endpoint::{ResolvedModel, ScalingStatus};
use api::{Endpoint, EndpointStatus, Reason, ServingRuntimeSpec};
use jiff::Timestamp;

pub use self::pod::{Cause, PodFacts};
use self::rollout::evidence::Evidence;
use self::routed::Routes;
pub use self::valid::Refusal;
use self::valid::Valid;
use crate::child::{ChildKind, Children, Observed};
use crate::condition;
use crate::settings::Settings;
use crate::step::{Apply, Delete, FieldManager, Next, Plan, Step};
use crate::subset;

/// The longest message of the status about scaling, in characters.
const SCALING_MESSAGE: usize = 500;
/// How often the keys of an Endpoint are read again.
const KEYS_PERIOD: Duration = Duration::from_secs(30);
/// The same while there are none.
const MISSING_KEYS_PERIOD: Duration = Duration::from_secs(3);

/// How often what remains of a progressive strategy is looked at.
const LEFTOVERS_PERIOD: Duration = Duration::from_secs(2);

/// Everything that the plan of an Endpoint depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct World {
    /// The time of the observation.
    pub now: Timestamp,
    /// The object.
    pub endpoint: Endpoint,
    /// The ServingRuntimes of its namespace and of the operator's.
    pub runtimes: Vec<RuntimeFacts>,
    /// The objects that bear its label and name.
    pub children: Children,
    /// The Deployments and Services that bear its label and another name: those of its revisions.
    pub further: Vec<(ChildKind, Observed)>,
    /// Its routing document.
    pub route: Option<Observed>,
    /// Whether the cluster knows HTTPRoutes, as far as the settings let the operator look.
    pub knows_http_routes: bool,
    /// What the gateway, or Azure Monitor, measured in the present step of its rollout.
    pub evidence: Option<Evidence>,
    /// What the gateway measures of its callers, when [`load::is_measured`] says that it scales by that.
    pub load: Option<load::Load>,
    /// What Prometheus tells, when [`load::query`] says that it scales by that.
    pub metric: Option<Result<f64, String>>,
    /// The autoscalers of others that name it or one of its Deployments.
    pub autoscalers: Vec<autoscaler::Autoscaler>,
    /// Its keys, when [`keys::secret`] says that a Secret must be read.
    pub keys: Option<Result<keys::Keys, Refusal>>,
    /// Its pods.
    pub pods: Vec<PodFacts>,
    /// What the operator was started with.
    pub settings: Settings,
    /// What was decided about its part in Azure, when [`azure::azure_part`] says that there is one and Azure answers.
    pub azure: Option<crate::azure::Outcome>,
    /// Where its model was found to lie, when [`model_uri::is_registered`] says that Azure must be asked.
    pub model: Option<Result<ResolvedModel, Refusal>>,
}

/// A ServingRuntime that an Endpoint may use.
#[derive(Clone, Debug, PartialEq)]
pub struct RuntimeFacts {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What it says.
    pub spec: ServingRuntimeSpec,
}

/// Decides what to do about an Endpoint.
pub fn plan(world: &World) -> Plan<EndpointStatus> {
    let old = world.endpoint.status.clone().unwrap_or_default();
    if world.endpoint.metadata.deletion_timestamp.is_some() {
        // Every object that it owns goes with it, by owner reference.
        let plan = Plan { steps: Vec::new(), status: old, events: Vec::new(), next: Next::OnChange };
        return elsewhere::leaving(world, plan);
    }
    let plan = if world.endpoint.spec.target.type_.is_azure() {
        elsewhere::plan(world)
    } else {
        elsewhere::beside(world, here(world))
    };
    let plan = keys::keyed(world, scaled(world, plan));
    let plan = if keys::secret(&world.endpoint).is_some() {
        // A Secret is not watched: whether its keys have changed is seen by looking.
        let period = if keys::digests(world).is_err() { MISSING_KEYS_PERIOD } else { KEYS_PERIOD };
        Plan { next: elsewhere::sooner(plan.next, Next::After(period)), ..plan }
    } else {
        plan
    };
    match world.endpoint.spec.management.mode {
        ManagementMode::Manage => plan,
        ManagementMode::Plan | ManagementMode::Paused => elsewhere::held(world, plan),
    }
}

/// The plan of an Endpoint that scales by load: it says so, looks again soon, and says who else scales it.
fn scaled(world: &World, mut plan: Plan<EndpointStatus>) -> Plan<EndpointStatus> {
    if world.endpoint.spec.target.type_.is_azure() {
        return plan;
    }
    let other = autoscaler::of_pods(world);
    let held = autoscaler::held(world);
    if let Some(scaling) = load::scale(world) {
        plan.status.scaling = Some(match (other, &held) {
            (Some(other), Some(held)) => ScalingStatus {
                replicas: autoscaler::replicas(world, other),
                message: held.message.chars().take(SCALING_MESSAGE).collect(),
                ..ScalingStatus::default()
            },
            _ => scaling,
        });
        plan.next = elsewhere::sooner(plan.next, Next::After(load::PERIOD));
    }
    let old = world.endpoint.status.as_ref().map(|it| it.conditions.as_slice()).unwrap_or_default();
    let generation = world.endpoint.metadata.generation;
    let statements: Vec<_> = held.into_iter().collect();
    plan.status.conditions.extend(condition::merge(old, &statements, generation, world.now));
    plan
}

/// The plan of an Endpoint on this cluster.
fn here(world: &World) -> Plan<EndpointStatus> {
    let valid = valid::validate(world).and_then(|valid| without_strangers(valid, world));
    if let Ok(valid) = &valid
        && valid.strategy.is_progressive()
    {
        return progressive::plan(world, valid);
    }
    let mut steps = valid.as_ref().map_or_else(|_| Vec::new(), |valid| steps(valid, world));
    let (mut status, events) = status::status(world, valid.as_ref(), &steps);
    let mut next = Next::OnChange;
    if let Ok(valid) = &valid {
        // Requests leave what remains of other revisions before it goes.
        let routes = Routes::whole(world, valid, &status);
        steps.extend(routes.steps());
        if routes.let_go() {
            steps.extend(progressive::leftovers(world, valid, &status));
        }
        next = routes.next();
        if progressive::has_leftovers(world, valid) {
            // What is written here wakes nobody, and they go only behind it.
            next = elsewhere::sooner(next, Next::After(LEFTOVERS_PERIOD));
        }
        status.url = routes.url();
    }
    Plan { steps, status, events, next }
}

/// Refuses to touch an object that belongs to somebody else.
fn without_strangers<'a>(valid: Valid<'a>, world: &World) -> Result<Valid<'a>, Refusal> {
    for (kind, observed) in &world.children {
        if let Some(controller) = &observed.controller
            && controller.uid != valid.uid
            && !is_predecessor(observed, &world.endpoint)
        {
            let message = format!(
                "{kind} {} belongs to {} {}: rename this Endpoint, or delete the {kind}",
                valid.name, controller.kind, controller.name
            );
            return Err(Refusal { reason: Reason::Conflict, message });
        }
    }
    Ok(valid)
}

/// Whether an object belonged to an Endpoint of the same name that was deleted: it is about to go.
fn is_predecessor(observed: &Observed, endpoint: &Endpoint) -> bool {
    observed.controller.as_ref().is_some_and(|controller| {
        controller.kind == "Endpoint"
            && Some(&controller.name) == endpoint.metadata.name.as_ref()
            && Some(&controller.uid) != endpoint.metadata.uid.as_ref()
    })
}

fn steps(valid: &Valid, world: &World) -> Vec<Step> {
    let seen_deployment = world.children.get(&ChildKind::Deployment);
    // What is no longer wanted goes first, so that no autoscaler works against the number that is set next.
    let mut steps = Vec::from_iter(removals(valid, world));
    let selected = progressive::selected(world, valid);
    for (kind, wanted) in build::children(valid, seen_deployment, selected.as_deref()) {
        match world.children.get(&kind) {
            None => steps.push(apply(valid, kind, wanted, "it does not exist")),
            Some(seen) if seen.deleting || is_predecessor(seen, &world.endpoint) => {}
            Some(seen) => {
                if let Some(why) = reason_to_apply(&wanted, seen) {
                    steps.extend(hand_over(valid, kind, seen));
                    steps.push(apply_over(valid, kind, wanted, why));
                }
            }
        }
    }
    steps
}

/// Why an object must be applied again, if it must.
fn reason_to_apply(wanted: &serde_json::Value, seen: &Observed) -> Option<&'static str> {
    let digest = wanted["metadata"]["annotations"][api::meta::APPLIED_ANNOTATION].as_str();
    if seen.annotation(api::meta::APPLIED_ANNOTATION) != digest {
        return Some("what is wanted has changed");
    }
    subset::difference(wanted, &seen.body).map(|_| "somebody changed it")
}

/// Before the operator stops owning the replicas, another manager takes them at their present number: a field that
/// nobody owns falls back to its default, and an Endpoint under load would shrink to one pod.
fn hand_over(valid: &Valid, kind: ChildKind, seen: &Observed) -> Option<Step> {
    if kind != ChildKind::Deployment
        || seen.annotation(build::REPLICAS_ANNOTATION) == Some(build::BY_AUTOSCALER)
    {
        return None;
    }
    let replicas = (!valid.replicas.is_fixed()).then(|| seen.body["spec"]["replicas"].as_i64())??;
    // No autoscaler starts what has no pods, as the Deployment of a revision that was left.
    let replicas = if replicas == 0 { valid.replicas.minimum().into() } else { replicas };
    let body = build::replicas_only(valid, valid.name, replicas);
    Some(Step::Apply(Apply {
        manager: FieldManager::HandOver,
        ..step(valid, kind, body, "the autoscaler takes over the replicas")
    }))
}

fn apply(valid: &Valid, kind: ChildKind, body: serde_json::Value, why: &'static str) -> Step {
    Step::Apply(Apply { create: true, ..step(valid, kind, body, why) })
}

fn apply_over(valid: &Valid, kind: ChildKind, body: serde_json::Value, why: &'static str) -> Step {
    Step::Apply(step(valid, kind, body, why))
}

fn step(valid: &Valid, kind: ChildKind, body: serde_json::Value, why: &'static str) -> Apply {
    Apply {
        kind,
        namespace: valid.namespace.to_owned(),
        name: valid.name.to_owned(),
        body,
        manager: FieldManager::Operator,
        create: false,
        why,
    }
}

/// Objects of ours that the spec no longer asks for.
fn removals(valid: &Valid, world: &World) -> Option<Step> {
    let seen = world.children.get(&ChildKind::HorizontalPodAutoscaler)?;
    let ours = seen.controller.as_ref().is_some_and(|controller| controller.uid == valid.uid);
    let why = match valid.replicas {
        valid::Replicas::Range { .. } => return None,
        valid::Replicas::Fixed(_) => "the number of replicas is fixed",
        valid::Replicas::Elsewhere { .. } => "another autoscaler sets the replicas",
    };
    (ours && !seen.deleting).then(|| {
        Step::Delete(Delete {
            kind: ChildKind::HorizontalPodAutoscaler,
            namespace: valid.namespace.to_owned(),
            name: valid.name.to_owned(),
            uid: seen.uid.clone(),
            why,
        })
    })
}
