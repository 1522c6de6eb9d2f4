//! What the status of the part in Azure tells: who gets requests there, and how many instances there are.
use std::collections::BTreeMap;

use api::Endpoint;
use api::azure::{AzureStatus, ResourceState, ResourceStatus};
use api::endpoint::{Revision, RevisionState};
use arm::ResourceId;

use super::super::model_uri;

/// What is known of the endpoint in Azure and its deployments.
pub(super) struct AzureFacts<'a> {
    status: &'a AzureStatus,
    deployments: Vec<(ResourceId, &'a ResourceStatus)>,
    /// The share of requests that each deployment answers, in percent.
    traffic: BTreeMap<String, i32>,
    /// The share of requests of which each deployment gets a copy, in percent.
    mirrored: BTreeMap<String, i32>,
    /// The deployment that is wanted; none when the endpoint is wanted elsewhere.
    wanted: Option<String>,
}

impl<'a> AzureFacts<'a> {
    /// Reads a status. The wanted deployment comes first in its list, if there is one.
    pub(super) fn new(status: &'a AzureStatus, is_wanted: bool) -> Self {
        let main = status.id.as_deref().and_then(|id| ResourceId::parse(id).ok());
        let parsed = status.resources.iter().filter_map(|it| Some((ResourceId::parse(&it.id).ok()?, it)));
        let deployments: Vec<_> = parsed.filter(|(id, _)| id.parent() == main && main.is_some()).collect();
        let traffic = match status.outputs.get("defaultDeployment") {
            Some(name) => BTreeMap::from([(name.clone(), 100)]),
            None => shares(status.outputs.get("traffic")),
        };
        let wanted = deployments.first().filter(|_| is_wanted).map(|(id, _)| id.name().to_owned());
        Self { deployments, traffic, mirrored: shares(status.outputs.get("mirrorTraffic")), wanted, status }
    }

    /// The deployments, and where each stands.
    pub(super) fn deployments(&self) -> impl Iterator<Item = (&str, ResourceState)> {
        self.deployments.iter().map(|(id, status)| (id.name(), status.state))
    }

    /// The share of requests that a deployment answers, in percent.
    pub(super) fn traffic_of(&self, name: &str) -> i32 {
        self.traffic.get(name).copied().unwrap_or(0)
    }

    /// The shares of a deployment: what it answers, and what it gets copies of; none while the endpoint is being changed.
    pub(super) fn shares(&self, name: &str) -> Option<(i32, i32)> {
        let main = self.status.resources.iter().find(|it| Some(&it.id) == self.status.id.as_ref())?;
        matches!(main.state, ResourceState::Ready | ResourceState::Differs)
            .then(|| (self.traffic_of(name), self.mirrored.get(name).copied().unwrap_or(0)))
    }

    /// The deployment that answers most requests.
    pub(super) fn most(&self) -> Option<&str> {
        let names = self.deployments.iter().map(|(id, _)| id.name());
        names.filter(|name| self.traffic_of(name) > 0).max_by_key(|name| self.traffic_of(name))
    }

    /// How many instances a deployment has, as far as that was asked.
    pub(super) fn capacity_of(&self, name: &str) -> Option<i32> {
        self.capacity().filter(|_| self.wanted.as_deref() == Some(name))
    }

    /// Whether a deployment can answer.
    pub(super) fn is_running(&self, name: &str) -> bool {
        let runs =
            |state| matches!(state, ResourceState::Ready | ResourceState::Updating | ResourceState::Differs);
        self.deployments.iter().any(|(id, status)| id.name() == name && runs(status.state))
    }

    /// Whether a deployment that runs gets requests.
    pub(super) fn serves(&self) -> bool {
        self.traffic.keys().any(|name| self.is_running(name))
    }

    pub(super) fn scoring_uri(&self) -> Option<String> {
        self.status.outputs.get("scoringUri").cloned().filter(|uri| uri.len() <= 1024)
    }

    /// How many instances the wanted deployment has.
    pub(super) fn capacity(&self) -> Option<i32> {
        self.status.outputs.get("capacity")?.parse().ok()
    }

    /// How many instances of the wanted deployment answer.
    pub(super) fn ready_capacity(&self) -> i32 {
        let runs = self.wanted.as_deref().is_some_and(|name| self.is_running(name));
        self.capacity().filter(|_| runs).unwrap_or(0)
    }

    /// Who answers requests, in words.
    pub(super) fn describe(&self) -> String {
        let share =
            |(name, share): (&String, &i32)| format!("deployment {name} answers {share} % of requests");
        let copy = |(name, share): (&String, &i32)| format!("deployment {name} gets a copy of {share} %");
        let parts: Vec<String> =
            self.traffic.iter().map(share).chain(self.mirrored.iter().map(copy)).collect();
        if parts.is_empty() { "no deployment in Azure gets requests".to_owned() } else { parts.join(", ") }
    }

    /// The deployments as revisions.
    pub(super) fn revisions(&self, endpoint: &Endpoint) -> Vec<Revision> {
        let one = |(id, status): &(ResourceId, &ResourceStatus)| {
            let name = id.name();
            let is_wanted = self.wanted.as_deref() == Some(name);
            let replicas = if is_wanted { self.capacity().unwrap_or(0) } else { 0 };
            let traffic = self.traffic.get(name).copied();
            Revision {
                name: name.to_owned(),
                model: is_wanted.then(|| model_uri::display(&endpoint.spec.model)),
                replicas,
                ready_replicas: if self.is_running(name) { replicas } else { 0 },
                traffic: Some(traffic.unwrap_or(0)),
                state: match status.state {
                    _ if !is_wanted => RevisionState::Retiring,
                    ResourceState::Failed | ResourceState::Foreign => RevisionState::Failed,
                    _ if traffic.is_some() && self.is_running(name) => RevisionState::Stable,
                    _ => RevisionState::Progressing,
                },
            }
        };
        self.deployments.iter().map(one).collect()
    }
}

/// The shares above nought of a map that Azure gave.
fn shares(text: Option<&String>) -> BTreeMap<String, i32> {
    let map: BTreeMap<String, i32> =
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    map.into_iter().filter(|(_, share)| *share > 0).collect()
}
