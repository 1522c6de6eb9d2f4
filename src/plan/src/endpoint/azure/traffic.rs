//! Where requests go in Azure while a rollout moves them: where the status says, once whoever is to get them can answer.
//!
//! What is decided stands in the status before anything moves. So an operator that starts anew goes on where the last
//! one was, and nothing is written on a decision that was not kept.
use std::collections::BTreeMap;
use std::time::Duration;

use api::endpoint::{RolloutStatus, TargetType};
use arm::ResourceId;
use serde_json::{Value, json};

use super::{Scene, state};
use crate::endpoint::build::route::shares;

impl Scene<'_> {
    /// Whether requests move step by step.
    pub(super) fn is_progressive(&self) -> bool {
        self.endpoint.spec.rollout.strategy.is_progressive() && !super::is_batch(&self.endpoint.spec)
    }

    /// How far a rollout has come; none before anything was decided.
    fn rollout(&self) -> Option<&RolloutStatus> {
        self.endpoint.status.as_ref()?.rollout.as_ref().filter(|_| self.is_progressive())
    }

    /// Whether the revision that the spec asks for was found worse than the one before, so that it is not to be there.
    pub(super) fn is_given_up(&self) -> bool {
        let name = self.deployment.name();
        self.rollout().is_some_and(|rollout| {
            let is_rejected = rollout.rejected.as_ref().is_some_and(|it| it.revision == name);
            is_rejected && rollout.stable != name && rollout.candidate.as_deref() != Some(name)
        })
    }

    /// The deployment whose instances the status counts.
    pub(super) fn counted(&self) -> ResourceId {
        let stable = self.rollout().filter(|_| self.is_given_up()).map(|rollout| &rollout.stable);
        let stable = stable.and_then(|name| self.main.child("deployments", name).ok());
        stable.unwrap_or_else(|| self.deployment.clone())
    }

    /// Puts the shares that the rollout has decided into the endpoint's properties. Before anything is decided, and while
    /// somebody who is to get requests can't answer, requests stay where they are; where none answers any, the first one
    /// gets all.
    pub(super) fn share_out(&self, properties: &mut Value) {
        let Some(rollout) = self.rollout() else {
            if self.live().is_empty() && self.is_deployed() {
                properties["traffic"] = json!(BTreeMap::from([(self.deployment.name(), 100)]));
            }
            return;
        };
        let (stable, candidate) = shares(rollout);
        let all = [(Some(&rollout.stable), stable), (rollout.candidate.as_ref(), candidate)];
        let named = all.into_iter().filter_map(|(name, share)| Some((name?.clone(), share)));
        let traffic: BTreeMap<String, i32> = named.filter(|(_, share)| *share > 0).collect();
        let live = self.live();
        if !traffic.keys().all(|name| live.contains(name) || self.can_answer(name)) {
            return;
        }
        let mirror = rollout.candidate.as_ref().zip(rollout.mirror.filter(|share| *share > 0));
        let mirror = mirror.filter(|(name, _)| !traffic.contains_key(*name) && self.can_answer(name));
        properties["traffic"] = json!(traffic);
        if self.endpoint.spec.target.type_ == TargetType::ManagedOnline {
            properties["mirrorTraffic"] = json!(BTreeMap::from_iter(mirror));
        }
    }

    fn can_answer(&self, name: &str) -> bool {
        let id = self.main.child("deployments", name).ok();
        id.and_then(|id| self.body(&id).map(state)) == Some("Succeeded")
    }

    /// Whether a deployment that gets no requests stays all the same: a rollout needs it, or a person may still go back
    /// to it.
    pub(super) fn is_kept(&self, id: &ResourceId) -> bool {
        let Some(rollout) = self.rollout() else {
            // Before anything is decided, nobody knows who is needed.
            return self.is_progressive();
        };
        if rollout.stable == id.name() || rollout.candidate.as_deref() == Some(id.name()) {
            return true;
        }
        let works = self.body(id).is_some_and(|body| !matches!(state(body), "Failed" | "Canceled"));
        works
            && !kept_for(rollout, self.endpoint.spec.rollout.scale_down_delay_seconds, self.facts.now)
                .is_zero()
    }

    /// Whether it is the revision that answers when none is wanted.
    pub(super) fn is_stable(&self, id: &ResourceId) -> bool {
        self.rollout().is_some_and(|rollout| rollout.stable == id.name())
    }
}

/// How long deployments from before are still kept: not at all while a rollout goes on, or when none has ended here.
pub(in crate::endpoint) fn kept_for(rollout: &RolloutStatus, seconds: i32, now: jiff::Timestamp) -> Duration {
    let Some(since) = rollout.since.as_ref().filter(|_| rollout.candidate.is_none()) else {
        return Duration::ZERO;
    };
    let elapsed = Duration::try_from(now.duration_since(since.0)).unwrap_or_default();
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default()).saturating_sub(elapsed)
}
