//! What the status of an Endpoint says, from what was seen and what is about to be done.
use std::collections::BTreeMap;

use api::endpoint::{Revision, RevisionState};
use api::meta::{ConditionType, ENDPOINT_LABEL};
use api::{EndpointStatus, Reason};
use k8s_openapi::api::apps::v1::DeploymentStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::valid::{Refusal, Valid};
use super::{Cause, PodFacts, World, build};
use crate::child::{ChildKind, Observed};
use crate::condition::{self, Statement};
use crate::step::{Event, Step};

/// The most revisions that a status lists.
const REVISION_LIMIT: usize = 16;

/// The status and the events of an Endpoint.
pub(super) fn status(
    world: &World,
    valid: Result<&Valid, &Refusal>,
    steps: &[Step],
) -> (EndpointStatus, Vec<Event>) {
    let old = world.endpoint.status.clone().unwrap_or_default();
    let deployment = DeploymentFacts::new(world.children.get(&ChildKind::Deployment));
    let revision = valid.ok().map(build::revision);
    let outcome = match valid {
        Err(refusal) => Outcome::stalled(refusal.reason, refusal.message.clone()),
        Ok(valid) => {
            outcome(&Scene { world, valid, steps, deployment: &deployment, revision: revision.as_deref() })
        }
    };
    let statements = statements(&outcome, &deployment, &world.pods);
    let generation = world.endpoint.metadata.generation;
    let events = condition::transition(&old.conditions, &statements, "Reconcile");
    let status = EndpointStatus {
        observed_generation: generation,
        conditions: condition::merge(&old.conditions, &statements, generation, world.now),
        url: valid.map_or(old.url, |valid| Some(url(valid))),
        replicas: Some(deployment.replicas),
        ready_replicas: Some(deployment.ready),
        selector: world.endpoint.metadata.name.as_ref().map(|name| format!("{ENDPOINT_LABEL}={name}")),
        revisions: revisions(&world.pods, revision.as_deref(), &outcome, valid.ok()),
    };
    (status, events)
}

/// What is known while the outcome is decided.
struct Scene<'a> {
    world: &'a World,
    valid: &'a Valid<'a>,
    steps: &'a [Step],
    deployment: &'a DeploymentFacts,
    revision: Option<&'a str>,
}

/// Whether the Endpoint is as wanted, and if not, whether it gets there by itself.
struct Outcome {
    verdict: Verdict,
    reason: Reason,
    message: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    Ready,
    Reconciling,
    Stalled,
}

impl Outcome {
    fn stalled(reason: Reason, message: String) -> Self {
        Self { verdict: Verdict::Stalled, reason, message }
    }

    fn reconciling(reason: Reason, message: String) -> Self {
        Self { verdict: Verdict::Reconciling, reason, message }
    }
}

/// What matters of a Deployment's status.
#[derive(Default)]
struct DeploymentFacts {
    exists: bool,
    deleting: bool,
    current: bool,
    wanted: i32,
    replicas: i32,
    updated: i32,
    ready: i32,
    available: i32,
    refused: Option<String>,
    deadline_exceeded: bool,
}

impl DeploymentFacts {
    fn new(seen: Option<&Observed>) -> Self {
        let Some(seen) = seen else { return Self::default() };
        let status: DeploymentStatus =
            serde_json::from_value(seen.body["status"].clone()).unwrap_or_default();
        let condition = |type_: &str, status_: &str| {
            let mut conditions = status.conditions.iter().flatten();
            conditions.find(|condition| condition.type_ == type_ && condition.status == status_)
        };
        let deadline = condition("Progressing", "False")
            .is_some_and(|condition| condition.reason.as_deref() == Some("ProgressDeadlineExceeded"));
        Self {
            exists: true,
            deleting: seen.deleting,
            current: status.observed_generation >= seen.body["metadata"]["generation"].as_i64(),
            wanted: seen.body["spec"]["replicas"]
                .as_i64()
                .and_then(|number| number.try_into().ok())
                .unwrap_or(1),
            replicas: status.replicas.unwrap_or(0),
            updated: status.updated_replicas.unwrap_or(0),
            ready: status.ready_replicas.unwrap_or(0),
            available: status.available_replicas.unwrap_or(0),
            refused: condition("ReplicaFailure", "True").map(|it| it.message.clone().unwrap_or_default()),
            deadline_exceeded: deadline,
        }
    }

    /// Whether every pod runs the wanted revision.
    fn is_rolled_out(&self) -> bool {
        self.current && self.updated >= self.wanted && self.replicas <= self.updated
    }
}

fn outcome(scene: &Scene) -> Outcome {
    let (deployment, valid) = (scene.deployment, scene.valid);
    if !deployment.exists || deployment.deleting {
        let wait = if deployment.deleting {
            "the Deployment from before is on its way out"
        } else {
            "the first pods start"
        };
        return Outcome::reconciling(Reason::Creating, wait.to_owned());
    }
    let applied = scene
        .steps
        .iter()
        .any(|step| matches!(step, Step::Apply(apply) if apply.kind == ChildKind::Deployment));
    if applied || !deployment.current {
        return progress(scene);
    }
    if let Some(refused) = &deployment.refused {
        return Outcome::stalled(Reason::PodsRefused, format!("the cluster refuses the pods: {refused}"));
    }
    if deployment.is_rolled_out() && deployment.available >= valid.replicas.minimum() {
        let message = format!("{} of {} pods answer", deployment.available, deployment.wanted);
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
        let (reason, what) = if running {
            (Reason::NotAnswering, "the pods run but do not become ready")
        } else {
            (Reason::DeadlineExceeded, "no pod was started")
        };
        let message = format!(
            "{what} within {} s. {}{}",
            valid.progress_deadline_seconds,
            reason.action(),
            kept(scene)
        );
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
    let answering = scene.world.pods.iter().filter(|pod| is_wanted(scene, pod) && pod.ready).count();
    let old = scene.world.endpoint.status.as_ref();
    let ready = old.and_then(|old| condition::find(&old.conditions, ConditionType::Ready));
    let (reason, message) = if others || deployment.replicas > deployment.updated {
        let revision = scene.revision.unwrap_or_default();
        (
            Reason::RollingOut,
            format!("{answering} of {} pods of revision {revision} answer", deployment.wanted),
        )
    } else if ready.is_some_and(|ready| was_ready(ready, scene.world.endpoint.metadata.generation)) {
        (Reason::Degraded, format!("{} of {} pods answer", deployment.available, deployment.wanted))
    } else if deployment.available > 0 {
        (
            Reason::Scaling,
            format!("{} of {} pods answer", deployment.available, scene.valid.replicas.minimum()),
        )
    } else {
        (Reason::Creating, format!("{answering} of {} pods answer", deployment.wanted))
    };
    Outcome::reconciling(reason, message)
}

/// Whether the Endpoint was ready for this very spec, so that what is missing now was lost.
fn was_ready(ready: &Condition, generation: Option<i64>) -> bool {
    ready.observed_generation == generation
        && (ready.status == "True" || ready.reason == Reason::Degraded.name())
}

fn statements(outcome: &Outcome, deployment: &DeploymentFacts, pods: &[PodFacts]) -> Vec<Statement> {
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
fn serving(deployment: &DeploymentFacts, pods: &[PodFacts]) -> Statement {
    let mut by_revision: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| pod.ready && !pod.leaving) {
        *by_revision.entry(&pod.revision).or_default() += 1;
    }
    if deployment.available == 0 {
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

/// The revisions that have pods, the wanted one first, whether or not it has any.
fn revisions(
    pods: &[PodFacts],
    wanted: Option<&str>,
    outcome: &Outcome,
    valid: Option<&Valid>,
) -> Vec<Revision> {
    let mut revisions: BTreeMap<(bool, &str), Revision> = BTreeMap::new();
    let entry = |name: &str| Revision {
        name: name.to_owned(),
        model: None,
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
        revision.model = revision.model.take().or_else(|| pod.model.clone());
    }
    revisions.into_values().take(REVISION_LIMIT).collect()
}

fn url(valid: &Valid) -> String {
    let path = valid.runtime.inference_path.replace("{name}", valid.name);
    format!("http://{}.{}.svc{path}", valid.name, valid.namespace)
}
