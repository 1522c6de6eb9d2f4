//! The objects of an Endpoint. Every function here is total: a valid Endpoint always has its objects.
use std::collections::BTreeMap;

use api::endpoint::{AuthMode, RolloutStrategy, ScalingBehavior, ScalingPolicy, ScalingRules};
use api::meta::{
    APPLIED_ANNOTATION, ENDPOINT_LABEL, GATEWAY_NAME, MANAGED_BY_LABEL, MANAGER, MODEL_ANNOTATION,
    REVISION_LABEL,
};
use api::serving_runtime::Protocol;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscaler,
    HorizontalPodAutoscalerBehavior, HorizontalPodAutoscalerSpec, MetricSpec, MetricTarget,
    ResourceMetricSource,
};
use k8s_openapi::api::core::v1::{Service, ServiceAccount, ServicePort, ServiceSpec};
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Serialize;
use serde_json::{Value, json};

use super::valid::{ModelSource, Replicas, Valid};
use crate::child::{ChildKind, Observed};
use crate::digest;

pub(super) mod http_route;
pub(crate) mod pod_template;
pub(super) mod route;

/// The name of the port that answers gRPC, of containers and of Services.
const GRPC: &str = "grpc";
/// The port of a Service that answers gRPC.
const GRPC_PORT: i32 = 8081;
/// The variable that tells a container what its HTTP port is to speak, where that is not HTTP/1.1.
const PROTOCOL: &str = "HTTP_PROTOCOL";
/// What [`PROTOCOL`] says of a port that speaks HTTP/2.
const H2C: &str = "H2C";

/// The annotation that says who sets the number of replicas.
pub(super) const REPLICAS_ANNOTATION: &str = "mlops-operator.dev/replicas-by";
/// The operator sets the replicas.
pub(super) const BY_OPERATOR: &str = "operator";
/// An autoscaler sets the replicas.
pub(super) const BY_AUTOSCALER: &str = "autoscaler";
/// The rollout sets the replicas, each revision's apart.
pub(super) const BY_ROLLOUT: &str = "rollout";

/// Names a ServiceAccount's managed identity to the webhook of Azure Workload Identity.
const IDENTITY_ANNOTATION: &str = "azure.workload.identity/client-id";

/// The addresses where clouds answer with the credentials of the node: no model is fetched from there.
const METADATA_ADDRESSES: [&str; 2] = ["169.254.0.0/16", "168.63.129.16/32"];

/// The objects that an Endpoint needs whose one Deployment takes every revision, in the order in which they are applied.
/// While pods of other Deployments are there, the Service goes on selecting the revision that is `selected`.
pub(super) fn children(
    valid: &Valid,
    deployment_seen: Option<&Observed>,
    selected: Option<&str>,
) -> Vec<(ChildKind, Value)> {
    let mut children = shared(valid, selected);
    children.push((ChildKind::Deployment, finished(&deployment(valid, deployment_seen))));
    children.extend(autoscaler(valid, valid.name));
    children
}

/// What all revisions of an Endpoint share: its identity, its rules, and the address of the revision that is `selected`.
pub(super) fn shared(valid: &Valid, selected: Option<&str>) -> Vec<(ChildKind, Value)> {
    vec![
        (ChildKind::ServiceAccount, finished(&service_account(valid))),
        (ChildKind::NetworkPolicy, finished(&network_policy(valid))),
        (ChildKind::Service, finished(&service(valid, valid.name, selected))),
        (ChildKind::PodDisruptionBudget, finished(&pod_disruption_budget(valid))),
    ]
}

/// The autoscaler of a Deployment, when there is a range.
pub(super) fn autoscaler(valid: &Valid, deployment: &str) -> Option<(ChildKind, Value)> {
    let Replicas::Range { min, max, cpu_utilization } = valid.replicas else { return None };
    let autoscaler = horizontal_pod_autoscaler(valid, deployment, (min, max), cpu_utilization);
    Some((ChildKind::HorizontalPodAutoscaler, finished(&autoscaler)))
}

/// The Deployment of the wanted revision alone. The number of its pods is set apart, since those of other revisions
/// can be set in no other way.
pub(super) fn revision_deployment(valid: &Valid, name: &str) -> Value {
    let mut deployment = deployment(valid, None);
    let revision = revision(valid);
    deployment.metadata.name = Some(name.to_owned());
    deployment.metadata.annotations = Some([(REPLICAS_ANNOTATION.to_owned(), BY_ROLLOUT.to_owned())].into());
    if let Some(spec) = &mut deployment.spec {
        spec.replicas = None;
        // A Deployment that had every revision before keeps its selector, which can't be changed.
        if name != valid.name {
            let labels = spec.selector.match_labels.get_or_insert_default();
            labels.insert(REVISION_LABEL.to_owned(), revision);
        }
    }
    finished(&deployment)
}

/// The address of one revision alone.
pub(super) fn revision_service(valid: &Valid, revision: &str) -> Value {
    finished(&service(valid, revision, Some(revision)))
}

/// The wanted revision's name: the Endpoint's name and a digest of what its pods run.
pub(super) fn revision(valid: &Valid) -> String {
    format!("{}-{}", valid.name, digest::of(&json!(pod_template::pod_template(valid)), 8))
}

/// The number of replicas alone, for the manager that holds it during a hand-over.
pub(super) fn replicas_only(valid: &Valid, deployment: &str, replicas: i64) -> Value {
    json!({
        "apiVersion": ChildKind::Deployment.coordinates().api_version,
        "kind": ChildKind::Deployment.coordinates().kind,
        "metadata": {"name": deployment, "namespace": valid.namespace},
        "spec": {"replicas": replicas},
    })
}

/// An object as JSON, with the digest of what it says as an annotation.
fn finished<K: Serialize>(object: &K) -> Value {
    let mut body = json!(object);
    let applied = digest::of(&body, 24);
    body["metadata"]["annotations"][APPLIED_ANNOTATION] = json!(applied);
    body
}

/// What the pods of a revision speak. A revision that was made by another ServingRuntime keeps to that one's word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Speech {
    /// Whether the HTTP port speaks HTTP/2.
    pub(super) is_http_2: bool,
    /// Whether there is a port for gRPC.
    pub(super) has_grpc: bool,
}

impl Speech {
    /// What the wanted revision speaks.
    pub(super) fn wanted(valid: &Valid) -> Self {
        Self {
            is_http_2: valid.runtime.protocol == Protocol::H2c,
            has_grpc: valid.runtime.grpc_port.is_some(),
        }
    }

    /// What the pods of a Deployment speak.
    pub(super) fn of(deployment: &Observed) -> Self {
        let server = &deployment.body["spec"]["template"]["spec"]["containers"][0];
        let has = |list: &str, field: &str, value: &str| {
            server[list].as_array().is_some_and(|list| list.iter().any(|it| it[field] == value))
        };
        Self { is_http_2: has("env", "name", PROTOCOL), has_grpc: has("ports", "name", GRPC) }
    }
}

fn labels(valid: &Valid) -> BTreeMap<String, String> {
    let pairs =
        [("app.kubernetes.io/name", valid.name), (MANAGED_BY_LABEL, MANAGER), (ENDPOINT_LABEL, valid.name)];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn selector(valid: &Valid) -> LabelSelector {
    let labels = [(ENDPOINT_LABEL.to_owned(), valid.name.to_owned())];
    LabelSelector { match_labels: Some(labels.into()), ..LabelSelector::default() }
}

fn metadata(valid: &Valid) -> ObjectMeta {
    ObjectMeta {
        name: Some(valid.name.to_owned()),
        namespace: Some(valid.namespace.to_owned()),
        labels: Some(labels(valid)),
        owner_references: Some(vec![OwnerReference {
            api_version: format!("{}/{}", api::GROUP, api::VERSION),
            kind: "Endpoint".to_owned(),
            name: valid.name.to_owned(),
            uid: valid.uid.to_owned(),
            controller: Some(true),
            // Blocking the owner's deletion needs a right on its finalizers that nothing else needs.
            block_owner_deletion: Some(false),
        }]),
        ..ObjectMeta::default()
    }
}

fn service_account(valid: &Valid) -> ServiceAccount {
    let identity = valid.identity.map(|client| [(IDENTITY_ANNOTATION.to_owned(), client.to_owned())].into());
    ServiceAccount {
        metadata: ObjectMeta { annotations: identity, ..metadata(valid) },
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

fn service(valid: &Valid, name: &str, revision: Option<&str>) -> Service {
    let port = |name: &str, port: i32, is_http_2: bool| ServicePort {
        name: Some(name.to_owned()),
        port,
        protocol: Some("TCP".to_owned()),
        app_protocol: is_http_2.then(|| "kubernetes.io/h2c".to_owned()),
        target_port: Some(IntOrString::String(name.to_owned())),
        ..ServicePort::default()
    };
    let mut ports = vec![port("http", 80, valid.runtime.protocol == Protocol::H2c)];
    ports.extend(valid.runtime.grpc_port.map(|_| port(GRPC, GRPC_PORT, true)));
    let mut selector = selector(valid).match_labels.unwrap_or_default();
    selector.extend(revision.map(|revision| (REVISION_LABEL.to_owned(), revision.to_owned())));
    let spec = ServiceSpec {
        type_: Some("ClusterIP".to_owned()),
        selector: Some(selector),
        ports: Some(ports),
        ..ServiceSpec::default()
    };
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..metadata(valid) };
    Service { metadata, spec: Some(spec), status: None }
}

/// One pod may go at a time: a budget that allows none would hold up the drain of a node for ever.
fn pod_disruption_budget(valid: &Valid) -> PodDisruptionBudget {
    let spec = PodDisruptionBudgetSpec {
        max_unavailable: Some(IntOrString::Int(1)),
        selector: Some(selector(valid)),
        // A pod that never became ready protects nobody.
        unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
        ..PodDisruptionBudgetSpec::default()
    };
    PodDisruptionBudget { metadata: metadata(valid), spec: Some(spec), status: None }
}

/// Requests come in on the ports of HTTP and gRPC; out go name look-ups and the fetch of the model, never to where clouds hand out
/// the node's credentials. Further NetworkPolicies of the namespace add to this one.
fn network_policy(valid: &Valid) -> NetworkPolicy {
    let port = |protocol: &str, port: IntOrString| NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(port),
        ..NetworkPolicyPort::default()
    };
    let egress = match valid.source {
        ModelSource::Claim { .. } => Vec::new(),
        ModelSource::Url { port: model_port, .. } => vec![
            NetworkPolicyEgressRule {
                ports: Some(vec![port("UDP", IntOrString::Int(53)), port("TCP", IntOrString::Int(53))]),
                to: None,
            },
            NetworkPolicyEgressRule {
                ports: Some(vec![port("TCP", IntOrString::Int(i32::from(model_port)))]),
                to: Some(vec![
                    block("0.0.0.0/0", &METADATA_ADDRESSES),
                    block("::/0", &["fe80::/10", "fd00:ec2::254/128"]),
                ]),
            },
        ],
    };
    let spec = NetworkPolicySpec {
        pod_selector: Some(selector(valid)),
        policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
        ingress: Some(vec![NetworkPolicyIngressRule {
            ports: Some(
                std::iter::once("http")
                    .chain(valid.runtime.grpc_port.map(|_| GRPC))
                    .map(|name| port("TCP", IntOrString::String(name.to_owned())))
                    .collect(),
            ),
            from: only_the_gateway(valid),
        }]),
        egress: Some(egress),
    };
    NetworkPolicy { metadata: metadata(valid), spec: Some(spec) }
}

/// Who may call the pods: where callers prove who they are, none but the gateway, which asks for the proof.
fn only_the_gateway(valid: &Valid) -> Option<Vec<NetworkPolicyPeer>> {
    let gateway = valid.gateway?;
    valid.traffic.auth.filter(|auth| auth.mode != AuthMode::None)?;
    let labels = |name: &str, value: &str| LabelSelector {
        match_labels: Some([(name.to_owned(), value.to_owned())].into()),
        ..LabelSelector::default()
    };
    Some(vec![NetworkPolicyPeer {
        namespace_selector: Some(labels("kubernetes.io/metadata.name", &gateway.namespace)),
        pod_selector: Some(labels("app.kubernetes.io/name", GATEWAY_NAME)),
        ip_block: None,
    }])
}

fn block(cidr: &str, except: &[&str]) -> NetworkPolicyPeer {
    let except = except.iter().map(|&cidr| cidr.to_owned()).collect();
    NetworkPolicyPeer {
        ip_block: Some(IPBlock { cidr: cidr.to_owned(), except: Some(except) }),
        ..NetworkPolicyPeer::default()
    }
}

fn horizontal_pod_autoscaler(
    valid: &Valid,
    name: &str,
    (min, max): (i32, i32),
    cpu_utilization: i32,
) -> HorizontalPodAutoscaler {
    let deployment = ChildKind::Deployment.coordinates();
    let metric = MetricSpec {
        type_: "Resource".to_owned(),
        resource: Some(ResourceMetricSource {
            name: "cpu".to_owned(),
            target: MetricTarget {
                type_: "Utilization".to_owned(),
                average_utilization: Some(cpu_utilization),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    };
    let spec = HorizontalPodAutoscalerSpec {
        scale_target_ref: CrossVersionObjectReference {
            api_version: Some(deployment.api_version.to_owned()),
            kind: deployment.kind.to_owned(),
            name: name.to_owned(),
        },
        min_replicas: Some(min),
        max_replicas: max,
        metrics: Some(vec![metric]),
        behavior: valid.behavior.map(behavior),
    };
    HorizontalPodAutoscaler { metadata: metadata(valid), spec: Some(spec), status: None }
}

/// The rules of scaling in the words of the HorizontalPodAutoscaler, from which they are taken.
fn behavior(wanted: &ScalingBehavior) -> HorizontalPodAutoscalerBehavior {
    let policy = |policy: &ScalingPolicy| HPAScalingPolicy {
        type_: format!("{:?}", policy.type_),
        value: policy.value,
        period_seconds: policy.period_seconds,
    };
    let rules = |rules: &ScalingRules| HPAScalingRules {
        stabilization_window_seconds: rules.stabilization_window_seconds,
        select_policy: rules.select_policy.map(|select| format!("{select:?}")),
        policies: (!rules.policies.is_empty()).then(|| rules.policies.iter().map(policy).collect()),
        ..HPAScalingRules::default()
    };
    HorizontalPodAutoscalerBehavior {
        scale_up: wanted.scale_up.as_ref().map(rules),
        scale_down: wanted.scale_down.as_ref().map(rules),
    }
}

fn deployment(valid: &Valid, seen: Option<&Observed>) -> Deployment {
    // A Deployment that does not exist yet starts with the fewest replicas of its range; from then on the autoscaler
    // sets the number, and the operator does not own the field.
    let replicas = match valid.replicas {
        Replicas::Fixed(replicas) => Some(replicas),
        Replicas::Range { min, .. } | Replicas::Elsewhere { min } => seen.is_none().then_some(min),
    };
    let mut metadata = metadata(valid);
    let by = if replicas.is_some() { BY_OPERATOR } else { BY_AUTOSCALER };
    metadata.annotations = Some([(REPLICAS_ANNOTATION.to_owned(), by.to_owned())].into());
    let mut template = pod_template::pod_template(valid);
    let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.insert(REVISION_LABEL.to_owned(), revision(valid));
    let annotations = [(MODEL_ANNOTATION.to_owned(), valid.source.display())].into();
    template.metadata.get_or_insert_default().annotations = Some(annotations);
    let spec = DeploymentSpec {
        replicas,
        selector: selector(valid),
        strategy: Some(strategy(valid.strategy)),
        progress_deadline_seconds: Some(valid.progress_deadline_seconds),
        revision_history_limit: Some(3),
        template,
        ..DeploymentSpec::default()
    };
    Deployment { metadata, spec: Some(spec), status: None }
}

/// A rolling update never goes below the wanted number of pods: the revision before serves until the new one answers.
fn strategy(strategy: RolloutStrategy) -> DeploymentStrategy {
    match strategy {
        // With the progressive strategies, a Deployment has one revision for life; what changes otherwise rolls.
        RolloutStrategy::RollingUpdate | RolloutStrategy::BlueGreen | RolloutStrategy::Canary => {
            DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::String("25%".to_owned())),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }
        }
        RolloutStrategy::Recreate => {
            DeploymentStrategy { type_: Some("Recreate".to_owned()), rolling_update: None }
        }
    }
}
