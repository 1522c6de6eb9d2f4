//! What the status of an Endpoint says, from what was seen and what is about to be done.
use std::collections::BTreeMap;

use api::endpoint::{ResolvedModel, Revision, RevisionState};
use api::meta::{ConditionType, ENDPOINT_LABEL};
use api::{EndpointStatus, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::deployment::{DeploymentFacts, Presence};
use super::http_route::{self, Standing};
use super::valid::{Refusal, Valid};
use super::{Cause, PodFacts, World, build, model_uri};
use crate::child::{ChildKind, Observed};
use crate::condition::{self, Statement};
use crate::step::{Event, Step};
use crate::subset;

/// The most revisions that a status lists.
const REVISION_LIMIT: usize = 16;
/// The longest URI that a status holds; an annotation, which anybody may have changed, can be longer.
const URI_LIMIT: usize = 2048;

/// The status and the events of an Endpoint.
pub(super) fn status(
    world: &World,
    valid: Result<&Valid, &Refusal>,
    steps: &[Step],
) -> (EndpointStatus, Vec<Event>) {
    let old = world.endpoint.status.clone().unwrap_or_default();
    let deployment = DeploymentFacts::new(world);
    let revision = valid.ok().map(build::revision);
    let outcome = match valid {
        Err(refusal) => Outcome::stalled(refusal.reason, refusal.message.clone()),
        Ok(valid) => {
            let seen = world.children.get(&ChildKind::Deployment);
            let revision = revision.as_deref();
            let said = outcome(&Scene { world, valid, steps, deployment: &deployment, seen, revision });
            match valid.own_gateway {
                Some(own) => Standing::new(world, valid, own, &http_route::whole(valid, own)).judge(said),
                None => said,
            }
        }
    };
    let statements = statements(&outcome, &deployment, &world.pods);
    let generation = world.endpoint.metadata.generation;
    let events = condition::transition(&old.conditions, &statements, "Reconcile");
    let status = EndpointStatus {
        observed_generation: generation,
        conditions: condition::merge(&old.conditions, &statements, generation, world.now),
        url: valid.map_or(old.url, Valid::url),
        replicas: Some(deployment.replicas),
        ready_replicas: Some(deployment.ready),
        selector: world.endpoint.metadata.name.as_ref().map(|name| format!("{ENDPOINT_LABEL}={name}")),
        revisions: revisions(&world.pods, revision.as_deref(), &outcome, valid.ok()),
        resolved_model: resolved(world, old.resolved_model.as_ref()),
        // What can't be planned now is not forgotten.
        rollout: if valid.is_err() { old.rollout } else { None },
        ..EndpointStatus::default()
    };
    (status, events)
}

/// Where a registered model lies, remembered while Azure can't be asked.
pub(super) fn resolved(world: &World, old: Option<&ResolvedModel>) -> Option<ResolvedModel> {
    let is_registered = model_uri::is_registered(&world.endpoint.spec);
    let found = world.model.as_ref().and_then(|found| found.as_ref().ok());
    found.or(old).filter(|_| is_registered).cloned()
}

/// What is known while the outcome is decided.
pub(super) struct Scene<'a> {
    pub(super) world: &'a World,
    pub(super) valid: &'a Valid<'a>,
    pub(super) steps: &'a [Step],
    pub(super) deployment: &'a DeploymentFacts,
    /// The Deployment with the revision.
    pub(super) seen: Option<&'a Observed>,
    pub(super) revision: Option<&'a str>,
}

/// Whether the Endpoint is as wanted, and if not, whether it gets there by itself.
pub(super) struct Outcome {
    pub(super) verdict: Verdict,
    pub(super) reason: Reason,
    pub(super) message: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    Ready,
    Reconciling,
    Stalled,
}

impl Outcome {
    pub(super) fn stalled(reason: Reason, message: String) -> Self {
        Self { verdict: Verdict::Stalled, reason, message }
    }

    pub(super) fn reconciling(reason: Reason, message: String) -> Self {
        Self { verdict: Verdict::Reconciling, reason, message }
    }
}

impl Scene<'_> {
    /// Whether every pod runs the wanted revision, and enough of them answer. An autoscaler that asks for more pods
    /// does not undo this.
    fn is_rolled_out(&self) -> bool {
        let (deployment, minimum) = (self.deployment, self.valid.replicas.minimum());
        if !deployment.current {
            return self.is_only_rescaled();
        }
        let enough = if self.valid.replicas.is_fixed() { deployment.wanted } else { minimum };
        deployment.updated >= enough
            && deployment.replicas <= deployment.updated
            && deployment.available >= minimum
    }

    /// Whether an Endpoint that was ready waits for nothing but the Deployment's controller to see another number of
    /// pods, which the autoscaler has set.
    fn is_only_rescaled(&self) -> bool {
        let mut pods = self.world.pods.iter().filter(|pod| !pod.leaving).peekable();
        let minimum = usize::try_from(self.valid.replicas.minimum()).unwrap_or_default();
        !self.valid.replicas.is_fixed()
            && self.old_ready().is_some_and(|ready| ready.status == "True")
            && pods.peek().is_some()
            && pods.clone().all(|pod| is_wanted(self, pod))
            && pods.filter(|pod| pod.ready).count() >= minimum
    }

    /// What `Ready` said about this very spec.
    fn old_ready(&self) -> Option<&Condition> {
        let old = self.world.endpoint.status.as_ref()?;
        let ready = condition::find(&old.conditions, ConditionType::Ready)?;
        (ready.observed_generation == self.world.endpoint.metadata.generation).then_some(ready)
    }

    /// Whether the Endpoint was ready for this very spec, so that what is missing now was lost.
    fn was_ready(&self) -> bool {
        self.old_ready()
            .is_some_and(|ready| ready.status == "True" || ready.reason == Reason::Degraded.name())
    }

    /// Whether a step is about to change what the Deployment's pods are, not merely what is written beside.
    fn changes_pods(&self) -> bool {
        let name = self.seen.and_then(|seen| seen.body["metadata"]["name"].as_str());
        self.steps.iter().any(|step| match step {
            Step::Apply(apply)
                if apply.kind == ChildKind::Deployment && name.is_none_or(|name| name == apply.name) =>
            {
                let seen = self.seen;
                seen.is_none_or(|seen| subset::difference(&apply.body["spec"], &seen.body["spec"]).is_some())
            }
            _ => false,
        })
    }

    /// The number of pods that the Endpoint is to have.
    fn wanted(&self) -> i32 {
        let minimum = self.valid.replicas.minimum();
        if self.valid.replicas.is_fixed() { minimum } else { self.deployment.wanted.max(minimum) }
    }
}

pub(super) fn outcome(scene: &Scene) -> Outcome {
    let (deployment, valid) = (scene.deployment, scene.valid);
    let absent = match deployment.presence {
        Presence::Present => None,
        Presence::Leaving => Some((Reason::Creating, "the Deployment from before is on its way out")),
        Presence::Absent if scene.was_ready() => {
            Some((Reason::Degraded, "the Deployment was deleted and is created again"))
        }
        Presence::Absent => Some((Reason::Creating, "the first pods start")),
    };
    if let Some((reason, message)) = absent {
        return Outcome::reconciling(reason, message.to_owned());
    }
    let rolled_out = !scene.changes_pods() && scene.is_rolled_out();
    if !rolled_out && (scene.changes_pods() || !deployment.current) {
        return progress(scene);
    }
    if let Some(refused) = deployment.refused.as_ref().filter(|_| deployment.current) {
        let reason = Reason::PodsRefused;
        let message = format!(
            "the cluster refuses the pods: {}. {}{}",
            refused.trim_end_matches('.'),
            reason.action(),
            kept(scene)
        );
        return Outcome::stalled(reason, message);
    }
    if rolled_out && scene.wanted() == 0 {
        let message = "no pod runs, since there are no requests; the next one starts one".to_owned();
        return Outcome { verdict: Verdict::Ready, reason: Reason::Ready, message };
    }
    if rolled_out {
        let message = format!("{} of {} pods answer", deployment.available, scene.wanted());
        return Outcome { verdict: Verdict::Ready, reason: Reason::Ready, message };
    }
    if let Some((pod, cause)) = cause(scene) {
        let advice = cause.reason.action();
        let message = format!("{} (pod {pod}). {advice}{}", cause.message.trim_end_matches('.'), kept(scene));
        let stalled = cause.settled || deployment.deadline_exceeded;
        return Outcome {
            verdict: if stalled { Verdict::Stalled } else { Verdict::Reconciling },
            reason: cause.reason,
            message,
        };
    }
    if deployment.deadline_exceeded {
        let running = scene.world.pods.iter().any(|pod| is_wanted(scene, pod) && !pod.leaving);
        let (reason, what, advice) = if running {
            let reason = Reason::NotAnswering;
            (reason, "the pods run but do not become ready", reason.action())
        } else {
            let advice = "Look at the events of the Deployment and its ReplicaSets.";
            (Reason::DeadlineExceeded, "no pod was started", advice)
        };
        let seconds = valid.progress_deadline_seconds;
        let message = format!("{what} within {seconds} s. {advice}{}", kept(scene));
        return Outcome::stalled(reason, message);
    }
    progress(scene)
}

/// That the revision before goes on answering, when it does.
fn kept(scene: &Scene) -> &'static str {
    let before = |pod: &PodFacts| pod.ready && !pod.leaving && !is_wanted(scene, pod);
    if scene.world.pods.iter().any(before) { " The revision before keeps serving." } else { "" }
}

fn is_wanted(scene: &Scene, pod: &PodFacts) -> bool {
    scene.revision == Some(pod.revision.as_str())
}

/// The most telling cause among the pods of the wanted revision: one that stays beats one that may pass.
fn cause<'a>(scene: &Scene<'a>) -> Option<(&'a str, &'a Cause)> {
    let pods = scene.world.pods.iter().filter(|pod| is_wanted(scene, pod) && !pod.leaving);
    let causes = pods.filter_map(|pod| Some((pod.name.as_str(), pod.cause.as_ref()?)));
    causes.min_by_key(|(name, cause)| (!cause.settled, cause.reason, *name))
}

/// The Endpoint is on its way.
fn progress(scene: &Scene) -> Outcome {
    let deployment = scene.deployment;
    let others = scene.world.pods.iter().any(|pod| !is_wanted(scene, pod) && !pod.leaving);
    let answering =
        scene.world.pods.iter().filter(|pod| is_wanted(scene, pod) && pod.ready && !pod.leaving).count();
    let wanted = scene.wanted();
    // With the strategy Recreate, all pods of the revision before are gone while the rollout still goes on.
    let goes_on = deployment.available == 0
        && scene.old_ready().is_some_and(|ready| ready.reason == Reason::RollingOut.name());
    let (reason, message) = if others || deployment.replicas > deployment.updated || goes_on {
        let revision = scene.revision.unwrap_or_default();
        (Reason::RollingOut, format!("{answering} of {wanted} pods of revision {revision} answer"))
    } else if scene.was_ready() {
        (Reason::Degraded, format!("{} of {wanted} pods answer", deployment.available))
    } else if deployment.available > wanted {
        (Reason::Scaling, format!("{} pods answer, {wanted} are wanted", deployment.available))
    } else if deployment.available > 0 {
        (Reason::Scaling, format!("{} of {wanted} pods answer", deployment.available))
    } else {
        (Reason::Creating, format!("{answering} of {wanted} pods answer"))
    };
    Outcome::reconciling(reason, message)
}

pub(super) fn statements(
    outcome: &Outcome,
    deployment: &DeploymentFacts,
    pods: &[PodFacts],
) -> Vec<Statement> {
    let said = |type_, holds| Statement::new(type_, holds, outcome.reason, outcome.message.clone());
    let mut statements = vec![said(ConditionType::Ready, outcome.verdict == Verdict::Ready)];
    match outcome.verdict {
        Verdict::Ready => {}
        Verdict::Reconciling => statements.push(said(ConditionType::Reconciling, true)),
        Verdict::Stalled => statements.push(said(ConditionType::Stalled, true)),
    }
    statements.push(serving(deployment, pods));
    statements
}

/// Whether requests are answered, and by which revisions.
pub(super) fn serving(deployment: &DeploymentFacts, pods: &[PodFacts]) -> Statement {
    let mut by_revision: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| pod.ready && !pod.leaving) {
        *by_revision.entry(&pod.revision).or_default() += 1;
    }
    // Pods that outlive their Deployment still answer, and a Deployment's status may come before its pods are seen.
    if deployment.presence == Presence::Present && deployment.wanted == 0 && by_revision.is_empty() {
        let message = "a request starts a pod, and is answered by it";
        return Statement::new(ConditionType::Serving, true, Reason::Answering, message);
    }
    if deployment.available == 0 && by_revision.is_empty() {
        let message = "no pod answers requests";
        return Statement::new(ConditionType::Serving, false, Reason::NoReadyPods, message);
    }
    let revisions: Vec<&str> = by_revision.keys().copied().filter(|revision| !revision.is_empty()).collect();
    let message = match revisions.as_slice() {
        [] => "requests are answered".to_owned(),
        [revision] => format!("revision {revision} answers requests"),
        several => format!("revisions {} answer requests", several.join(" and ")),
    };
    Statement::new(ConditionType::Serving, true, Reason::Answering, message)
}

/// The revisions that have pods, none of which is wanted on this cluster any more.
pub(super) fn retiring(pods: &[PodFacts]) -> Vec<Revision> {
    revisions(pods, None, &Outcome::reconciling(Reason::RollingOut, String::new()), None)
}

/// The revisions that have pods, the wanted one first, whether or not it has any.
pub(super) fn revisions(
    pods: &[PodFacts],
    wanted: Option<&str>,
    outcome: &Outcome,
    valid: Option<&Valid>,
) -> Vec<Revision> {
    let mut revisions: BTreeMap<(bool, &str), Revision> = BTreeMap::new();
    let entry = |name: &str| Revision {
        name: name.to_owned(),
        model: None,
        traffic: None,
        replicas: 0,
        ready_replicas: 0,
        state: match outcome.verdict {
            _ if wanted != Some(name) => RevisionState::Retiring,
            Verdict::Ready => RevisionState::Stable,
            Verdict::Reconciling if matches!(outcome.reason, Reason::Degraded | Reason::Scaling) => {
                RevisionState::Stable
            }
            Verdict::Reconciling => RevisionState::Progressing,
            Verdict::Stalled => RevisionState::Failed,
        },
    };
    if let (Some(name), Some(valid)) = (wanted, valid) {
        revisions.insert((false, name), Revision { model: Some(valid.source.display()), ..entry(name) });
    }
    for pod in pods.iter().filter(|pod| !pod.leaving && !pod.revision.is_empty()) {
        let name = pod.revision.as_str();
        let revision = revisions.entry((wanted != Some(name), name)).or_insert_with(|| entry(name));
        revision.replicas += 1;
        revision.ready_replicas += i32::from(pod.ready);
        revision.model =
            revision.model.take().or_else(|| pod.model.clone().filter(|model| model.len() <= URI_LIMIT));
    }
    revisions.into_values().take(REVISION_LIMIT).collect()
}
