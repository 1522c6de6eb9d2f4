//! The report of `status`: plain facts, made from what was seen. Its shape is that of `-o json`.
use std::collections::BTreeMap;

use api::azure::ResourceState;
use api::endpoint::{Revision, RevisionState, RolloutPhase, RolloutStatus};
use api::meta::{ConditionType, ENDPOINT_LABEL};
use api::{Endpoint, ServingRuntime};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;
use plan::condition;
use plan::endpoint::{PodFacts, model_uri};
use serde::Serialize;

use crate::health::Health;
use crate::objects::{AzureObject, Kind};

/// What was seen.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) runtimes: Vec<ServingRuntime>,
    /// What lives in Azure alone, of each kind that the cluster knows.
    pub(super) azure: BTreeMap<Kind, Vec<AzureObject>>,
    /// None when the user may not see pods.
    pub(super) pods: Option<Vec<Pod>>,
}

/// What is shown.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) endpoints: Vec<EndpointReport>,
    /// What lives in Azure alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) azure: Vec<AzureReport>,
    pub(super) serving_runtimes: Vec<RuntimeReport>,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AzureReport {
    pub(super) kind: &'static str,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) health: Health,
    pub(super) reason: Option<String>,
    pub(super) message: Option<String>,
    pub(super) id: Option<String>,
    pub(super) portal_url: Option<String>,
    /// The resources that are not as wanted.
    pub(super) resources: Vec<ResourceReport>,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResourceReport {
    pub(super) id: String,
    pub(super) state: ResourceState,
    /// The fields that differ.
    pub(super) differences: Vec<String>,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointReport {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) health: Health,
    pub(super) reason: Option<String>,
    pub(super) message: Option<String>,
    /// Whether requests are answered; None before the operator has said so.
    pub(super) serving: Option<bool>,
    pub(super) url: Option<String>,
    pub(super) model: String,
    /// The rollout in short, unless there is none or it is complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rollout: Option<RolloutReport>,
    pub(super) revisions: Vec<RevisionReport>,
    /// Pods of no revision that the status lists.
    pub(super) other_pods: Vec<PodReport>,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RolloutReport {
    pub(super) phase: RolloutPhase,
    pub(super) candidate: Option<String>,
    pub(super) step: Option<i32>,
    pub(super) steps: Option<i32>,
    /// The shares of requests that the candidate answers, and of those that it gets a copy of, in percent.
    pub(super) traffic: Option<i32>,
    pub(super) mirror: Option<i32>,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RevisionReport {
    pub(super) name: String,
    pub(super) state: RevisionState,
    pub(super) model: Option<String>,
    pub(super) replicas: i32,
    pub(super) ready_replicas: i32,
    pub(super) pods: Vec<PodReport>,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodReport {
    pub(super) name: String,
    pub(super) state: PodState,
    pub(super) reason: Option<String>,
    pub(super) message: Option<String>,
}

/// Where a pod stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(super) enum PodState {
    /// It answers requests.
    Ready,
    /// It does not answer yet, and nothing is known to hold it up.
    Starting,
    /// Something holds it up that may pass by itself.
    Retrying,
    /// It does not answer until a person acts.
    Failed,
    /// It is on its way out.
    Leaving,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RuntimeReport {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) health: Health,
    pub(super) reason: Option<String>,
    pub(super) message: Option<String>,
    pub(super) formats: Vec<&'static str>,
    pub(super) image: Option<String>,
}

impl Report {
    /// Sorts out what was seen, by namespace and name.
    pub(super) fn new(seen: Seen) -> Self {
        let pods = seen.pods.unwrap_or_default();
        let mut endpoints: Vec<EndpointReport> =
            seen.endpoints.iter().map(|endpoint| endpoint_report(endpoint, &pods)).collect();
        endpoints.sort_by(|left, right| (&left.namespace, &left.name).cmp(&(&right.namespace, &right.name)));
        let mut serving_runtimes: Vec<RuntimeReport> = seen.runtimes.iter().map(runtime_report).collect();
        serving_runtimes
            .sort_by(|left, right| (&left.namespace, &left.name).cmp(&(&right.namespace, &right.name)));
        let azure = seen.azure.iter().flat_map(|(kind, all)| all.iter().map(|it| azure_report(*kind, it)));
        let mut azure: Vec<AzureReport> = azure.collect();
        azure.sort_by(|left, right| {
            (&left.namespace, left.kind, &left.name).cmp(&(&right.namespace, right.kind, &right.name))
        });
        Self { endpoints, azure, serving_runtimes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.endpoints.is_empty() && self.azure.is_empty() && self.serving_runtimes.is_empty()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.healths().all(|health| health == Health::Ready)
    }

    /// Whether nothing changes until somebody changes something.
    pub(super) fn is_settled(&self) -> bool {
        self.healths().all(Health::is_settled)
    }

    fn healths(&self) -> impl Iterator<Item = Health> {
        let endpoints = self.endpoints.iter().map(|endpoint| endpoint.health);
        let azure = self.azure.iter().map(|object| object.health);
        endpoints.chain(azure).chain(self.serving_runtimes.iter().map(|runtime| runtime.health))
    }
}

fn endpoint_report(endpoint: &Endpoint, pods: &[Pod]) -> EndpointReport {
    let status = endpoint.status.clone().unwrap_or_default();
    let health = Health::new(&endpoint.metadata, status.observed_generation, &status.conditions);
    let mut revisions: Vec<RevisionReport> = status.revisions.into_iter().map(revision).collect();
    let mut other_pods = Vec::new();
    for facts in pods.iter().filter(|pod| belongs(pod, endpoint)).map(PodFacts::from_pod) {
        let owner = revisions.iter_mut().find(|revision| revision.name == facts.revision);
        owner.map_or(&mut other_pods, |revision| &mut revision.pods).push(pod(facts));
    }
    for revision in &mut revisions {
        revision.pods.sort_by(|left, right| left.name.cmp(&right.name));
    }
    other_pods.sort_by(|left: &PodReport, right| left.name.cmp(&right.name));
    let (reason, message) = ready(health, &status.conditions);
    let serving = condition::find(&status.conditions, ConditionType::Serving);
    EndpointReport {
        namespace: endpoint.namespace().unwrap_or_default(),
        name: endpoint.name_any(),
        health,
        reason,
        message,
        serving: serving.map(|serving| serving.status == "True"),
        url: status.url,
        model: model_uri::display(&endpoint.spec.model),
        rollout: status.rollout.filter(|rollout| rollout.phase != RolloutPhase::Completed).map(rollout),
        revisions,
        other_pods,
    }
}

/// What the condition `Ready` says, unless it speaks of an earlier spec.
fn ready(health: Health, conditions: &[Condition]) -> (Option<String>, Option<String>) {
    let ready = condition::find(conditions, ConditionType::Ready).filter(|_| health != Health::Unseen);
    (ready.map(|ready| ready.reason.clone()), ready.map(|ready| ready.message.clone()))
}

fn belongs(pod: &Pod, endpoint: &Endpoint) -> bool {
    pod.namespace() == endpoint.namespace() && pod.labels().get(ENDPOINT_LABEL) == Some(&endpoint.name_any())
}

fn rollout(rollout: RolloutStatus) -> RolloutReport {
    RolloutReport {
        phase: rollout.phase,
        candidate: rollout.candidate,
        step: rollout.step,
        steps: rollout.steps,
        traffic: rollout.traffic.filter(|traffic| *traffic > 0),
        mirror: rollout.mirror.filter(|mirror| *mirror > 0),
    }
}

fn revision(revision: Revision) -> RevisionReport {
    RevisionReport {
        name: revision.name,
        state: revision.state,
        model: revision.model,
        replicas: revision.replicas,
        ready_replicas: revision.ready_replicas,
        pods: Vec::new(),
    }
}

fn pod(facts: PodFacts) -> PodReport {
    let state = match &facts.cause {
        _ if facts.leaving => PodState::Leaving,
        _ if facts.ready => PodState::Ready,
        None => PodState::Starting,
        Some(cause) if cause.settled => PodState::Failed,
        Some(_) => PodState::Retrying,
    };
    let cause = facts.cause.filter(|_| !facts.leaving);
    PodReport {
        name: facts.name,
        state,
        reason: cause.as_ref().map(|cause| cause.reason.name().to_owned()),
        message: cause.map(|cause| cause.message),
    }
}

fn azure_report(kind: Kind, object: &AzureObject) -> AzureReport {
    let status = object.status.clone().unwrap_or_default();
    let health = Health::new(&object.metadata, status.observed_generation, &status.conditions);
    let (reason, message) = ready(health, &status.conditions);
    let unsettled = status.resources.into_iter().filter(|resource| resource.state != ResourceState::Ready);
    AzureReport {
        kind: kind.name(),
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
        health,
        reason,
        message,
        id: status.id,
        portal_url: status.portal_url,
        resources: unsettled
            .map(|resource| ResourceReport {
                id: resource.id,
                state: resource.state,
                differences: resource.differences.into_iter().map(|difference| difference.field).collect(),
            })
            .collect(),
    }
}

fn runtime_report(runtime: &ServingRuntime) -> RuntimeReport {
    let status = runtime.status.clone().unwrap_or_default();
    let health = Health::new(&runtime.metadata, status.observed_generation, &status.conditions);
    let (reason, message) = ready(health, &status.conditions);
    RuntimeReport {
        namespace: runtime.namespace().unwrap_or_default(),
        name: runtime.name_any(),
        health,
        reason,
        message,
        formats: runtime.spec.supported_formats.iter().map(|format| format.name()).collect(),
        image: runtime.spec.image.clone(),
    }
}
