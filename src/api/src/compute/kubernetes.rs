//! A Kubernetes cluster that is attached to a workspace, and the extension that runs on it.
#![expect(clippy::struct_excessive_bools, reason = "the extension is set by switches")]
use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::azure::{LocalReference, ShortText};

/// A Kubernetes cluster that is attached to a workspace.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(validation = Rule::new("!has(self.defaultInstanceType) || self.defaultInstanceType == 'defaultinstancetype' || has(self.instanceTypes) && self.defaultInstanceType in self.instanceTypes")
    .message("kubernetes.defaultInstanceType must be one of kubernetes.instanceTypes, or defaultinstancetype"))]
pub struct KubernetesCompute {
    /// The id of the cluster: `/subscriptions/…/Microsoft.Kubernetes/connectedClusters/NAME` when Azure Arc connects it,
    /// `/subscriptions/…/Microsoft.ContainerService/managedClusters/NAME` when Azure runs it. It can't be changed later.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('(?i)^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/(Microsoft.Kubernetes/connectedClusters|Microsoft.ContainerService/managedClusters)/[^/]+$')")
        .message("kubernetes.clusterId must be the id of a connected cluster, /subscriptions/S/resourceGroups/G/providers/Microsoft.Kubernetes/connectedClusters/NAME, or of a managed one, with Microsoft.ContainerService/managedClusters"))]
    pub cluster_id: String,
    /// The extension by which Azure Machine Learning works on the cluster. Without it, nothing is checked or installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension: Option<Extension>,
    /// The namespace of the cluster in which jobs and deployments run. It must exist. It can't be changed later.
    #[serde(default = "default_namespace")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: String,
    /// The instance type of what names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub default_instance_type: Option<String>,
    /// What jobs and deployments may ask for, by name: nodes, and CPU, memory and GPUs on them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub instance_types: BTreeMap<String, InstanceType>,
}

fn default_namespace() -> String {
    "default".to_owned()
}

/// What jobs and deployments may ask for.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct InstanceType {
    /// The labels of the nodes on which it runs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, ShortText>", extend("maxProperties" = 16))]
    pub node_selector: BTreeMap<String, String>,
    /// What it gets there.
    pub resources: InstanceTypeResources,
}

/// What an instance gets.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(validation = Rule::new("self.requests.all(name, !(name in self.limits) || !isQuantity(self.requests[name]) || !isQuantity(self.limits[name]) || quantity(self.limits[name]).compareTo(quantity(self.requests[name])) >= 0)")
    .message("each of resources.limits must be at least the request of the same name"),
    validation = Rule::new("self.requests.all(name, name in ['cpu', 'memory'])")
    .message("resources.requests may name cpu and memory; devices such as nvidia.com/gpu go into resources.limits"))]
pub struct InstanceTypeResources {
    /// What it is given for sure: `cpu` (for example 100m) and `memory` (for example 2Gi).
    #[schemars(with = "BTreeMap<String, QuantityText>", extend("maxProperties" = 8))]
    #[x_kube(validation = Rule::new("self.all(name, isQuantity(self[name]) && quantity(self[name]).isGreaterThan(quantity('0')))")
        .message("each of resources.requests must be a positive quantity, such as cpu: 250m or memory: 2Gi"))]
    pub requests: BTreeMap<String, String>,
    /// What it may use at most, devices such as `nvidia.com/gpu` (1) too.
    #[schemars(with = "BTreeMap<String, QuantityText>", extend("maxProperties" = 8))]
    #[x_kube(validation = Rule::new("self.all(name, isQuantity(self[name]) && quantity(self[name]).isGreaterThan(quantity('0')))")
        .message("each of resources.limits must be a positive quantity, such as cpu: 2, memory: 8Gi or nvidia.com/gpu: 1"))]
    pub limits: BTreeMap<String, String>,
}

/// The schema of a quantity: a bounded string.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "only its schema is used")]
struct QuantityText(#[schemars(length(min = 1, max = 32))] String);

/// The extension by which Azure Machine Learning works on a cluster.
///
/// When the cluster has it already, it is used as it is.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(
    validation = Rule::new("!self.install || self.enableTraining || self.enableInference")
        .message("extension needs enableTraining, enableInference or both"),
    validation = Rule::new("!self.install || !self.enableInference || has(self.inferenceRouterServiceType)")
        .message("extension.enableInference needs inferenceRouterServiceType: LoadBalancer, NodePort or ClusterIP"),
    validation = Rule::new("!self.install || !self.enableInference || self.allowInsecureConnections || has(self.sslCname)")
        .message("extension.enableInference needs sslCname, the host name of the certificate, unless allowInsecureConnections is true"),
    validation = Rule::new("!self.install || !self.enableInference || self.allowInsecureConnections || has(self.sslSecret) != has(self.sslCertificateRef)")
        .message("extension.enableInference needs a certificate: set either sslSecret or sslCertificateRef, unless allowInsecureConnections is true"),
    validation = Rule::new("!has(self.internalLoadBalancerProvider) || has(self.inferenceRouterServiceType) && self.inferenceRouterServiceType == 'LoadBalancer'")
        .message("extension.internalLoadBalancerProvider goes with inferenceRouterServiceType: LoadBalancer"),
    validation = Rule::new("!has(self.version) || !self.autoUpgradeMinorVersion")
        .message("extension.version needs autoUpgradeMinorVersion: false, because upgrades would replace it"),
    validation = Rule::new("!has(self.settings) || self.settings.all(key, !(key in ['enableTraining', 'enableInference', 'inferenceRouterServiceType', 'allowInsecureConnections', 'sslSecret', 'sslCname', 'internalLoadBalancerProvider', 'inferenceRouterHA', 'installNvidiaDevicePlugin', 'installPromOp', 'installVolcano', 'installDcgmExporter']) && !key.startsWith('nodeSelector.'))")
        .message("extension.settings is for what has no field of its own: use the field instead")
)]
pub struct Extension {
    /// Whether to install it when the cluster does not have it. With `false`, it must be there.
    #[serde(default = "yes")]
    pub install: bool,
    /// The name of the extension.
    #[serde(default = "extension_name")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// The release train.
    #[serde(default = "release_train")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[A-Za-z]+$"))]
    pub release_train: String,
    /// Whether Azure upgrades it by itself.
    #[serde(default = "yes")]
    pub auto_upgrade_minor_version: bool,
    /// The version, when it is not upgraded by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[0-9]+(\.[0-9]+)*$"))]
    pub version: Option<String>,
    /// Whether jobs run on the cluster.
    #[serde(default)]
    pub enable_training: bool,
    /// Whether deployments run on the cluster.
    #[serde(default)]
    pub enable_inference: bool,
    /// How requests reach the router of the deployments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inference_router_service_type: Option<RouterServiceType>,
    /// Whether deployments answer on HTTP, without encryption.
    #[serde(default)]
    pub allow_insecure_connections: bool,
    /// A Secret in the namespace `azureml` of the cluster with the keys `cert.pem` and `key.pem`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub ssl_secret: Option<String>,
    /// A Secret of this namespace with `tls.crt` and `tls.key`, which Azure is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssl_certificate_ref: Option<LocalReference>,
    /// The host name of the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[A-Za-z0-9.*-]+$"))]
    pub ssl_cname: Option<String>,
    /// Whose load balancer keeps the router inside the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal_load_balancer_provider: Option<LoadBalancerProvider>,
    /// Whether the router has three replicas. Say `false` on clusters of fewer than three nodes.
    #[serde(default, rename = "inferenceRouterHA", skip_serializing_if = "Option::is_none")]
    pub inference_router_ha: Option<bool>,
    /// The labels of the nodes on which the extension itself runs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, ShortText>", extend("maxProperties" = 16))]
    pub node_selector: BTreeMap<String, String>,
    /// Whether it installs the device plugin for NVIDIA GPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install_nvidia_device_plugin: Option<bool>,
    /// Whether it installs the Prometheus operator. Say `false` when the cluster has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install_prom_op: Option<bool>,
    /// Whether it installs Volcano. Say `false` when the cluster has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install_volcano: Option<bool>,
    /// Whether it installs the exporter of GPU metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install_dcgm_exporter: Option<bool>,
    /// Further settings, as text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, ShortText>", extend("maxProperties" = 32))]
    pub settings: BTreeMap<String, String>,
}

fn yes() -> bool {
    true
}

fn extension_name() -> String {
    "azureml".to_owned()
}

fn release_train() -> String {
    "Stable".to_owned()
}

/// How requests reach the router of the deployments.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum RouterServiceType {
    /// Through a load balancer.
    LoadBalancer,
    /// Through a port of each node.
    NodePort,
    /// From inside the cluster only.
    #[serde(rename = "ClusterIP")]
    ClusterIp,
}

/// Whose load balancer keeps the router inside the network.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum LoadBalancerProvider {
    /// Azure's. For managed clusters only.
    Azure,
}
