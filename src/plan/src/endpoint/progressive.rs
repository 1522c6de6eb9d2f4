//! The plan of an Endpoint whose revisions have Deployments of their own, between which requests move.
use std::collections::BTreeMap;
use std::time::Duration;

use api::endpoint::{PauseCause, Revision, RevisionState, RolloutPhase, RolloutStatus};
use api::meta::{ENDPOINT_LABEL, MODEL_ANNOTATION, REVISION_LABEL, ROLLOUT_ACTION_ANNOTATION};
use api::{EndpointStatus, Reason};

use super::build::Speech;
use super::build::route::RoutedRevision;
use super::deployment::{DeploymentFacts, Presence};
use super::http_route::Standing;
use super::pod::Cause;
use super::rollout::action::{WORD_LIMIT, said};
use super::rollout::state::{Advanced, Facts, RevisionFacts, Shares, advance};
use super::routed::Routes;
use super::status::{self, Outcome, Scene, Verdict};
use super::valid::{Replicas, Valid};
use super::{World, apply, apply_over, build, is_predecessor, reason_to_apply, story};
use crate::child::{ChildKind, Observed};
use crate::condition;
use crate::step::{Apply, Delete, FieldManager, Next, Plan, Step};

/// Everything that is known while the plan is made.
struct Scenery<'a> {
    world: &'a World,
    valid: &'a Valid<'a>,
    wanted: String,
    deployments: BTreeMap<String, &'a Observed>,
    revisions: BTreeMap<String, RevisionFacts>,
}

/// The plan of an Endpoint with a progressive strategy.
pub(super) fn plan(world: &World, valid: &Valid) -> Plan<EndpointStatus> {
    let scenery = Scenery::new(world, valid);
    let old = world.endpoint.status.clone().unwrap_or_default();
    let old_rollout = old.rollout.clone().unwrap_or_default();
    let selected = selector_revision(world.children.get(&ChildKind::Service));
    let advanced = advance(&Facts {
        now: world.now,
        rollout: &world.endpoint.spec.rollout,
        wanted: &scenery.wanted,
        revisions: &scenery.revisions,
        selected: selected.as_deref(),
        replicas: scenery.full(&old_rollout.stable),
        action: said(&world.endpoint, ROLLOUT_ACTION_ANNOTATION, WORD_LIMIT),
        evidence: world.evidence.as_ref(),
        shares: Shares::Decided(&|rollout| scenery.routes(rollout).awaited()),
        kept_by: "rollout.revisionHistoryLimit says how many are kept",
        old: &old_rollout,
    });
    let routes = scenery.routes(&advanced.status);
    let steps = scenery.steps(&advanced, &routes);
    let next = scenery.next(&advanced, &routes);
    let (status, mut events) = scenery.status(&advanced, &routes, &steps, &old);
    events.extend(advanced.events);
    Plan { steps, status, events, next }
}

/// The revision that a Service selects.
fn selector_revision(service: Option<&Observed>) -> Option<String> {
    Some(service?.body["spec"]["selector"][REVISION_LABEL].as_str()?.to_owned())
}

/// The revision that the Service goes on selecting, while the Deployment that takes all revisions is not there yet for
/// an Endpoint whose revisions had Deployments of their own.
pub(super) fn selected(world: &World, valid: &Valid) -> Option<String> {
    let selected = selector_revision(world.children.get(&ChildKind::Service))?;
    let has_further = world.further.iter().any(|(kind, seen)| {
        *kind == ChildKind::Deployment && !seen.deleting && revision_of(seen) == Some(selected.as_str())
    });
    let facts = DeploymentFacts::new(world);
    let is_ready = facts.presence == Presence::Present
        && facts.current
        && facts.available >= valid.replicas.minimum()
        && facts.updated >= valid.replicas.minimum();
    (has_further && !is_ready).then_some(selected)
}

/// Whether pods of a revision with a Deployment of its own answer.
pub(super) fn answers(world: &World, revision: &str) -> bool {
    let further = world.further.iter().filter(|(kind, _)| *kind == ChildKind::Deployment);
    let mut of_revision = further.filter(|(_, seen)| !seen.deleting && revision_of(seen) == Some(revision));
    of_revision.any(|(_, seen)| DeploymentFacts::of(world, seen).available > 0)
}

/// Whether anything remains of a progressive strategy.
pub(super) fn has_leftovers(world: &World, valid: &Valid) -> bool {
    world.further.iter().any(|(_, seen)| is_ours(seen, valid) && !seen.deleting)
}

/// What remains of a progressive strategy once one Deployment takes all revisions: it goes when that one answers.
pub(super) fn leftovers(world: &World, valid: &Valid, status: &EndpointStatus) -> Vec<Step> {
    let ready = condition::find(&status.conditions, api::meta::ConditionType::Ready);
    if ready.is_none_or(|it| it.status != "True")
        || selector_revision(world.children.get(&ChildKind::Service)).is_some()
    {
        return Vec::new();
    }
    let ours = world.further.iter().filter(|(_, seen)| is_ours(seen, valid) && !seen.deleting);
    ours.map(|(kind, seen)| delete(valid, *kind, seen, "one Deployment takes all revisions now")).collect()
}

fn is_ours(seen: &Observed, valid: &Valid) -> bool {
    seen.controller.as_ref().is_some_and(|it| it.uid == valid.uid)
}

fn delete(valid: &Valid, kind: ChildKind, seen: &Observed, why: &'static str) -> Step {
    Step::Delete(Delete {
        kind,
        namespace: valid.namespace.to_owned(),
        name: seen.body["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
        uid: seen.uid.clone(),
        why,
    })
}

/// The revision of a Deployment's pods.
fn revision_of(deployment: &Observed) -> Option<&str> {
    deployment.body["spec"]["template"]["metadata"]["labels"][REVISION_LABEL].as_str()
}

impl<'a> Scenery<'a> {
    fn new(world: &'a World, valid: &'a Valid<'a>) -> Self {
        let of_name = world.children.get(&ChildKind::Deployment);
        let further = world.further.iter().filter(|(kind, _)| *kind == ChildKind::Deployment);
        let all = of_name.into_iter().chain(further.map(|(_, seen)| seen));
        let ours = all.filter(|seen| is_ours(seen, valid) && !seen.deleting);
        let deployments: BTreeMap<String, &Observed> =
            ours.filter_map(|seen| Some((revision_of(seen)?.to_owned(), seen))).collect();
        let revisions =
            deployments.iter().map(|(name, seen)| (name.clone(), revision(world, name, seen))).collect();
        Self { world, valid, wanted: build::revision(valid), deployments, revisions }
    }

    /// How many pods a revision with all requests needs: in a range, as many as the stable one has.
    fn full(&self, stable: &str) -> i32 {
        match self.valid.replicas {
            Replicas::Fixed(replicas) => replicas,
            Replicas::Range { min, max, .. } => {
                self.revisions.get(stable).map_or(min, |it| it.wanted.clamp(min, max))
            }
            Replicas::Elsewhere { min } => self.revisions.get(stable).map_or(min, |it| it.wanted.max(1)),
        }
    }

    fn steps(&self, advanced: &Advanced, routes: &Routes) -> Vec<Step> {
        let rollout = &advanced.status;
        let mut steps = self.removed_autoscaler();
        let selected = Some(rollout.stable.as_str()).filter(|it| self.deployments.contains_key(*it));
        let selected = selected.or(Some(self.wanted.as_str()));
        let (service, others): (Vec<_>, Vec<_>) = build::shared(self.valid, selected)
            .into_iter()
            .partition(|(kind, _)| *kind == ChildKind::Service);
        steps.extend(others.into_iter().filter_map(|(kind, body)| self.keep(kind, self.valid.name, body)));
        steps.extend(self.pods(advanced));
        // Requests move once the pods behind their new address are as wanted.
        steps.extend(service.into_iter().filter_map(|(kind, body)| self.keep(kind, self.valid.name, body)));
        steps.extend(routes.steps());
        if routes.let_go() {
            steps.extend(self.retired(rollout));
        }
        let scaled = self.revisions.get(&rollout.stable).map_or(self.wanted.as_str(), |it| &it.deployment);
        if let Some((kind, body)) = build::autoscaler(self.valid, scaled) {
            steps.extend(self.keep(kind, self.valid.name, body));
        }
        if routes.let_go() {
            steps.extend(self.forgotten(rollout));
        }
        steps
    }

    /// What no revision needs any more goes first, so that no autoscaler works against the numbers that are set next.
    fn removed_autoscaler(&self) -> Vec<Step> {
        super::removals(self.valid, self.world).into_iter().collect()
    }

    /// The step that brings an object up to date, if any is needed.
    fn keep(&self, kind: ChildKind, name: &str, body: serde_json::Value) -> Option<Step> {
        let further = self.world.further.iter().filter(|(it, _)| *it == kind).map(|(_, seen)| seen);
        let seen = self.world.children.get(&kind).into_iter().chain(further);
        let mut seen = seen.filter(|seen| seen.body["metadata"]["name"] == *name);
        let mut step = match seen.next() {
            None => apply(self.valid, kind, body, "it does not exist"),
            Some(seen) if seen.deleting || is_predecessor(seen, &self.world.endpoint) => return None,
            Some(seen) => {
                let why = reason_to_apply(&body, seen)?;
                apply_over(self.valid, kind, body, why)
            }
        };
        if let Step::Apply(apply) = &mut step {
            name.clone_into(&mut apply.name);
        }
        Some(step)
    }

    /// The Deployments and the addresses of the revisions, with the numbers of their pods.
    fn pods(&self, advanced: &Advanced) -> Vec<Step> {
        let rollout = &advanced.status;
        let mut steps = Vec::new();
        let runs_wanted = rollout.stable == self.wanted || rollout.candidate.as_ref() == Some(&self.wanted);
        if runs_wanted {
            let known = self.revisions.get(&self.wanted);
            let name = known.map_or(self.wanted.as_str(), |it| &it.deployment);
            let body = build::revision_deployment(self.valid, name);
            if let Some(step) = self.keep(ChildKind::Deployment, name, body) {
                // A number that nobody owns falls back to one.
                let held = known.map(|it| self.scale(name, it.wanted, "the rollout takes over the replicas"));
                steps.extend(held);
                steps.push(step);
            }
        }
        let mut wanted: Vec<(&str, Option<i32>)> = vec![(&rollout.stable, self.stable_replicas(rollout))];
        wanted.extend(rollout.candidate.as_deref().map(|it| (it, Some(advanced.candidate_replicas))));
        for (revision, replicas) in wanted {
            steps.extend(self.keep(
                ChildKind::Service,
                revision,
                build::revision_service(self.valid, revision),
            ));
            steps.extend(replicas.and_then(|replicas| self.scaled(revision, replicas)));
        }
        steps
    }

    /// The revisions without requests whose pods go now. They keep them for a while, until every gateway knows; while a
    /// candidate is there, only the one made last does, so that they don't pile up.
    fn retired(&self, rollout: &RolloutStatus) -> Vec<Step> {
        let is_needed = |name: &String| *name == rollout.stable || rollout.candidate.as_ref() == Some(name);
        let idle = || self.revisions.iter().filter(|(name, facts)| !is_needed(name) && facts.wanted > 0);
        let last = idle().max_by_key(|(name, facts)| (&facts.created, *name)).map(|(name, _)| name);
        let waits = !self.retires(rollout).is_zero();
        let keeps = |name: &String| waits && (rollout.candidate.is_none() || Some(name) == last);
        let gone = idle().filter(|(name, _)| !keeps(name));
        gone.map(|(_, it)| self.scale(&it.deployment, 0, "no requests come to this revision any more"))
            .collect()
    }

    /// How many pods the stable revision is to have; nothing where an autoscaler says so.
    fn stable_replicas(&self, rollout: &RolloutStatus) -> Option<i32> {
        match self.valid.replicas {
            Replicas::Fixed(replicas) => Some(replicas),
            Replicas::Range { min, .. } => {
                let seen = self.revisions.get(&rollout.stable).map_or(1, |it| it.wanted);
                let scaled = self.world.children.contains_key(&ChildKind::HorizontalPodAutoscaler);
                // An autoscaler never starts what has no pods.
                (seen == 0 || (!scaled && seen < min)).then_some(min)
            }
            Replicas::Elsewhere { .. } => None,
        }
    }

    fn scaled(&self, revision: &str, replicas: i32) -> Option<Step> {
        // A Deployment that is made in this very plan starts with one pod.
        let (name, seen) = match self.revisions.get(revision) {
            Some(facts) => (facts.deployment.as_str(), facts.wanted),
            None if revision == self.wanted => (revision, 1),
            None => return None,
        };
        (seen != replicas).then(|| self.scale(name, replicas, "another number of pods is wanted"))
    }

    fn scale(&self, deployment: &str, replicas: i32, why: &'static str) -> Step {
        Step::Apply(Apply {
            kind: ChildKind::Deployment,
            namespace: self.valid.namespace.to_owned(),
            name: deployment.to_owned(),
            body: build::replicas_only(self.valid, deployment, replicas.into()),
            manager: FieldManager::Scale,
            create: false,
            why,
        })
    }

    /// How long revisions without requests still keep their pods.
    fn retires(&self, rollout: &RolloutStatus) -> Duration {
        let delay = u64::try_from(self.world.endpoint.spec.rollout.scale_down_delay_seconds);
        let since = rollout.since.as_ref().map_or(self.world.now, |since| since.0);
        let elapsed = Duration::try_from(self.world.now.duration_since(since)).unwrap_or_default();
        Duration::from_secs(delay.unwrap_or_default()).saturating_sub(elapsed)
    }

    fn next(&self, advanced: &Advanced, routes: &Routes) -> Next {
        let waits = routes.awaited().unwrap_or_else(|| self.retires(&advanced.status));
        let next = super::elsewhere::sooner(advanced.next, routes.next());
        let rollout = &advanced.status;
        let has_pods = |(name, facts): (&String, &RevisionFacts)| {
            *name != rollout.stable && rollout.candidate.as_ref() != Some(name) && facts.wanted > 0
        };
        if waits.is_zero() || !self.revisions.iter().any(has_pods) {
            return next;
        }
        super::elsewhere::sooner(next, Next::After(waits))
    }

    /// What routes requests, by where a rollout stands.
    fn routes<'s>(&'s self, rollout: &'s RolloutStatus) -> Routes<'s> {
        let (stable, candidate) = build::route::shares(rollout);
        let routed = |name: &str, weight: i32| RoutedRevision {
            name: name.to_owned(),
            service: name.to_owned(),
            weight,
            ready: self.revisions.get(name).is_some_and(|it| it.available > 0),
            speech: self.deployments.get(name).map_or(Speech::wanted(self.valid), |it| Speech::of(it)),
        };
        let mut revisions = vec![routed(&rollout.stable, stable)];
        revisions.extend(rollout.candidate.as_deref().map(|it| routed(it, candidate)));
        let mirror = rollout.candidate.as_deref().zip(rollout.mirror.filter(|mirror| *mirror > 0));
        Routes::new(self.world, self.valid, revisions, mirror)
    }

    /// Revisions that are older than those that are kept.
    fn forgotten(&self, rollout: &RolloutStatus) -> Vec<Step> {
        let is_needed = |name: &String| *name == rollout.stable || rollout.candidate.as_ref() == Some(name);
        let is_retired = |name: &String, facts: &RevisionFacts| {
            !is_needed(name) && facts.wanted == 0 && facts.replicas == 0
        };
        let limit = usize::try_from(self.world.endpoint.spec.rollout.revision_history_limit).unwrap_or(0);
        let is_there = |name: &&String| self.revisions.contains_key(*name) && !is_needed(name);
        // Only what was stable is worth going back to; what was rejected last may be tried again.
        let mut kept: Vec<&String> = rollout.proven.iter().filter(is_there).take(limit).collect();
        kept.extend(rollout.rejected.as_ref().map(|it| &it.revision));
        let mut steps = Vec::new();
        for (name, facts) in &self.revisions {
            if is_retired(name, facts) && !kept.contains(&name) {
                let why = "it is not kept to go back to";
                steps.extend(
                    self.deployments.get(name).map(|it| delete(self.valid, ChildKind::Deployment, it, why)),
                );
            }
        }
        let services = self.world.further.iter().filter(|(kind, seen)| {
            *kind == ChildKind::Service && is_ours(seen, self.valid) && !seen.deleting
        });
        for (kind, seen) in services {
            let revision = seen.body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let has_pods = self.revisions.get(&revision).is_some_and(|it| it.wanted + it.replicas > 0);
            if !is_needed(&revision) && !has_pods {
                steps.push(delete(self.valid, *kind, seen, "its revision has no pods"));
            }
        }
        steps
    }

    fn status(
        &self,
        advanced: &Advanced,
        routes: &Routes,
        steps: &[Step],
        old: &EndpointStatus,
    ) -> (EndpointStatus, Vec<crate::step::Event>) {
        let mut rollout = advanced.status.clone();
        let seen = self.deployments.get(&rollout.stable).copied();
        let stable = seen.map_or_else(DeploymentFacts::default, |it| DeploymentFacts::of(self.world, it));
        let standing = routes.standing();
        let waits = standing.filter(|it| !it.is_in_force()).and_then(Standing::trouble);
        let answering = rollout.candidate.as_ref().and_then(|it| self.revisions.get(it));
        let answering = answering.map_or(0, |it| it.available);
        let facts = story::Facts {
            does: "starts its pods",
            so_far: format!("{answering} answer so far"),
            waits: waits.as_deref().filter(|_| answering > 0),
        };
        rollout.message = story::tell(&rollout, &self.world.endpoint.spec.rollout, &facts);
        let outcome = self.outcome(&rollout, steps, &stable);
        let outcome = match standing {
            Some(standing) => standing.judge(outcome),
            None => outcome,
        };
        let mut statements = status::statements(&outcome, &stable, &self.world.pods);
        statements.retain(|it| {
            it.type_ != api::meta::ConditionType::Stalled || outcome.verdict == Verdict::Stalled
        });
        let generation = self.world.endpoint.metadata.generation;
        // What a rollout does is told by its own events.
        let events = match rollout.phase {
            RolloutPhase::Completed => condition::transition(&old.conditions, &statements, "Reconcile"),
            _ => Vec::new(),
        };
        let total = |number: fn(&RevisionFacts) -> i32| self.revisions.values().map(number).sum::<i32>();
        let status = EndpointStatus {
            observed_generation: generation,
            conditions: condition::merge(&old.conditions, &statements, generation, self.world.now),
            url: routes.url(),
            replicas: Some(total(|it| it.replicas)),
            ready_replicas: Some(total(|it| it.available)),
            selector: Some(format!("{ENDPOINT_LABEL}={}", self.valid.name)),
            revisions: self.revisions_told(&rollout, &outcome),
            resolved_model: status::resolved(self.world, old.resolved_model.as_ref()),
            rollout: Some(rollout),
            ..EndpointStatus::default()
        };
        (status, events)
    }

    fn outcome(&self, rollout: &RolloutStatus, steps: &[Step], stable: &DeploymentFacts) -> Outcome {
        let message = rollout.message.clone();
        let cause = rollout.pause.as_ref().map(|pause| pause.cause);
        match (rollout.phase, cause) {
            (RolloutPhase::Progressing, _) => Outcome::reconciling(Reason::RollingOut, message),
            (RolloutPhase::Paused, Some(PauseCause::Failure | PauseCause::Inconclusive)) => {
                Outcome::stalled(Reason::AwaitingPerson, message)
            }
            (RolloutPhase::Paused, _) => Outcome::reconciling(Reason::AwaitingPerson, message),
            (RolloutPhase::RolledBack, _) => Outcome::stalled(Reason::RolledBack, message),
            (RolloutPhase::Completed, _) => status::outcome(&Scene {
                world: self.world,
                valid: self.valid,
                steps,
                deployment: stable,
                seen: self.deployments.get(&rollout.stable).copied(),
                revision: Some(&rollout.stable),
            }),
        }
    }

    /// The revisions with their shares, the wanted one first.
    fn revisions_told(&self, rollout: &RolloutStatus, outcome: &Outcome) -> Vec<Revision> {
        let (stable, candidate) = build::route::shares(rollout);
        let is_retired = |name: &str| self.revisions.get(name).is_none_or(|it| it.wanted == 0);
        let rejected = rollout.rejected.as_ref().map(|it| it.revision.as_str());
        let state = |name: &str| match outcome.verdict {
            _ if rollout.candidate.as_deref() == Some(name) => match rollout.step_since {
                Some(_) => RevisionState::Canary,
                None => RevisionState::Progressing,
            },
            Verdict::Stalled if rollout.stable == name && rollout.phase == RolloutPhase::Completed => {
                RevisionState::Failed
            }
            _ if rollout.stable == name => RevisionState::Stable,
            _ if rejected == Some(name) => RevisionState::RolledBack,
            _ if is_retired(name) => RevisionState::Retired,
            _ => RevisionState::Retiring,
        };
        let mut names: Vec<&str> = self.revisions.keys().map(String::as_str).collect();
        if !names.contains(&self.wanted.as_str()) {
            names.push(&self.wanted);
        }
        names.sort_by_key(|name| {
            let created = self.revisions.get(*name).map(|it| std::cmp::Reverse(it.created.clone()));
            (*name != self.wanted, *name != rollout.stable, created)
        });
        let told = names.into_iter().map(|name| {
            let facts = self.revisions.get(name).cloned().unwrap_or_default();
            let template = self.deployments.get(name).map(|it| &it.body["spec"]["template"]["metadata"]);
            let model = template.and_then(|it| it["annotations"][MODEL_ANNOTATION].as_str());
            let own = (name == self.wanted).then(|| self.valid.source.display());
            Revision {
                name: name.to_owned(),
                model: own.or_else(|| model.map(str::to_owned)).filter(|it| it.len() <= 2048),
                replicas: facts.replicas,
                ready_replicas: facts.available,
                traffic: match state(name) {
                    RevisionState::Stable | RevisionState::Failed => Some(stable),
                    RevisionState::Canary | RevisionState::Progressing => Some(candidate),
                    _ => Some(0),
                },
                state: state(name),
            }
        });
        told.take(16).collect()
    }
}

/// What is seen of a revision.
fn revision(world: &World, name: &str, seen: &Observed) -> RevisionFacts {
    let facts = DeploymentFacts::of(world, seen);
    let text = |field: &str| seen.body["metadata"][field].as_str().unwrap_or_default().to_owned();
    let pods = world.pods.iter().filter(|pod| pod.revision == name && !pod.leaving);
    // Where one pod has fetched the model, another that can't is in trouble of its own, which may pass.
    let has_fetched = facts.available > 0;
    let is_settled =
        |cause: &&Cause| cause.settled && !(has_fetched && cause.reason == Reason::ModelFetchFailed);
    let settled = pods.filter_map(|pod| pod.cause.as_ref()).find(is_settled);
    let failed = settled
        .map(|cause| format!("{} {}", cause.message.trim_end_matches('.'), cause.reason.action()))
        .or_else(|| facts.refused.as_ref().map(|it| format!("the cluster refuses the pods: {it}")))
        .or_else(|| facts.deadline_exceeded.then(|| "its pods did not become ready in time".to_owned()));
    RevisionFacts {
        deployment: text("name"),
        created: text("creationTimestamp"),
        wanted: facts.wanted,
        replicas: facts.replicas,
        available: if facts.current { facts.available } else { facts.available.min(facts.wanted) },
        failed: failed.map(|it| it.trim().to_owned()),
    }
}
