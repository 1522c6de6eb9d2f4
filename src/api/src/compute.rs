//! `Compute`: machines for training and serving.
#![expect(unreachable_pub, reason = "the schema derive writes a private copy of each type")]
use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::azure::{AzureAccess, AzureStatus, LocalReference, Management, ShortText};
use crate::identity::Identity;

pub use self::instance::{
    ApplicationSharingPolicy, AssignedUser, ComputeInstance, CronTrigger, Frequency, PowerAction,
    RecurrenceSchedule, RecurrenceTrigger, SetupScript, SetupScripts, StartStopSchedule, Weekday,
};
pub use self::kubernetes::{
    Extension, InstanceType, InstanceTypeResources, KubernetesCompute, LoadBalancerProvider,
    RouterServiceType,
};

mod instance;
mod kubernetes;

/// Machines of a workspace for training and serving: a cluster that scales, one person's machine, or a Kubernetes
/// cluster that is attached.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "mlops-operator.dev",
    version = "v1alpha1",
    kind = "Compute",
    plural = "computes",
    shortname = "mlc",
    category = "mlops",
    namespaced,
    status = "AzureStatus",
    derive = "PartialEq",
    doc = "Machines of a workspace for training and serving.",
    validation = Rule::new("has(self.spec.name) || self.metadata.name.matches('^[a-z][-a-z0-9]{0,30}[a-z0-9]$')")
        .message("metadata.name must start with a letter, hold only letters, digits and hyphens, and have 2 to 32 characters, because the compute gets the same name; or set spec.name"),
    validation = Rule::new("self.spec.type != 'ComputeInstance' || (has(self.spec.name) ? size(self.spec.name) : size(self.metadata.name)) >= 3 && (has(self.spec.name) ? size(self.spec.name) : size(self.metadata.name)) <= 24")
        .message("the name of a ComputeInstance must have 3 to 24 characters, and be the only one in its region; set spec.name"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason"
    ),
    printcolumn(name = "Workspace", type_ = "string", json_path = ".spec.workspaceRef.name"),
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "Nodes", type_ = "string", json_path = ".status.outputs.currentNodeCount"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.outputs.state"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.amlCompute) == (self.type == 'AmlCompute') && has(self.computeInstance) == (self.type == 'ComputeInstance') && has(self.kubernetes) == (self.type == 'Kubernetes')")
        .message("set exactly the section of the type: amlCompute for AmlCompute, computeInstance for ComputeInstance, kubernetes for Kubernetes"),
    validation = Rule::new("self.workspaceRef == oldSelf.workspaceRef && self.type == oldSelf.type && (has(self.name) ? self.name : '') == (has(oldSelf.name) ? oldSelf.name : '')")
        .message("workspaceRef, name and type can't be changed: make another Compute"),
    validation = Rule::new("!has(self.location) || self.type != 'Kubernetes'")
        .message("location applies to AmlCompute and ComputeInstance: a Kubernetes cluster is where it is")
        .field_path(".location")
)]
pub struct ComputeSpec {
    /// Who talks to Azure for it.
    #[serde(default)]
    pub azure: AzureAccess,
    /// How far the operator may go.
    #[serde(default)]
    pub management: Management,
    /// The MLWorkspace that it belongs to.
    pub workspace_ref: LocalReference,
    /// The name in Azure. Without it, the name of this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 32), regex(pattern = r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"))]
    pub name: Option<String>,
    /// What it is.
    #[serde(rename = "type")]
    pub type_: ComputeType,
    /// A cluster of machines that grows and shrinks with its jobs, for the type `AmlCompute`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aml_compute: Option<AmlCompute>,
    /// One person's machine, for the type `ComputeInstance`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute_instance: Option<ComputeInstance>,
    /// A Kubernetes cluster, for the type `Kubernetes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesCompute>,
    /// What it is for, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// The region of the machines. Without it, the region of the workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-z0-9]+$"))]
    pub location: Option<String>,
    /// The identity by which its jobs reach other resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Whether people sign in with their Azure identity only, without keys. It can't be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disable_local_auth: Option<bool>,
    /// Tags in Azure.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, ShortText>", extend("maxProperties" = 40))]
    pub tags: BTreeMap<String, String>,
}

/// What a compute is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum ComputeType {
    /// A cluster of machines that grows and shrinks with its jobs.
    AmlCompute,
    /// One person's machine.
    ComputeInstance,
    /// A Kubernetes cluster, connected by Azure Arc or run by Azure.
    Kubernetes,
}

/// A cluster of machines that grows and shrinks with its jobs.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(validation = Rule::new("has(self.sshUser) == has(oldSelf.sshUser) && (!has(self.sshUser) || self.sshUser == oldSelf.sshUser)")
    .message("amlCompute.sshUser can't be changed: make another Compute"))]
pub struct AmlCompute {
    /// The size of each machine, for example `Standard_DS3_v2`. It can't be changed later.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9_]+$"))]
    pub vm_size: String,
    /// Whether the machines may be taken away when somebody pays more. It can't be changed later.
    #[serde(default)]
    pub vm_priority: VmPriority,
    /// How many machines there are.
    pub scale_settings: ScaleSettings,
    /// The id of the subnet that the machines join, `/subscriptions/…/virtualNetworks/V/subnets/S`. It can't be changed
    /// later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^/subscriptions/[^\s]+/subnets/[^/\s]+$"))]
    pub subnet_id: Option<String>,
    /// Whether the machines get public addresses. It can't be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_node_public_ip: Option<bool>,
    /// Whether the port for SSH is open to the public. It can't be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_login_port_public_access: Option<PortAccess>,
    /// Whether the machines are cut off from other networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolated_network: Option<bool>,
    /// The administrator's account on each machine. It can't be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_user: Option<SshUser>,
}

/// Whether machines may be taken away.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum VmPriority {
    /// They stay.
    #[default]
    Dedicated,
    /// They cost less, and may be taken away in the middle of a job.
    LowPriority,
}

/// Whether a port is open to the public.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum PortAccess {
    /// It is.
    Enabled,
    /// It is not.
    Disabled,
    /// It is, unless the machines are in a subnet.
    NotSpecified,
}

/// How many machines there are.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(validation = Rule::new("self.minNodeCount <= self.maxNodeCount")
    .message("scaleSettings.minNodeCount must not be greater than scaleSettings.maxNodeCount"))]
pub struct ScaleSettings {
    /// The fewest machines. With 0, an idle cluster costs nothing.
    #[serde(default)]
    #[schemars(range(min = 0, max = 65_000))]
    pub min_node_count: i32,
    /// The most machines.
    #[schemars(range(min = 1, max = 65_000))]
    pub max_node_count: i32,
    /// How long a machine stays idle before it goes, as an ISO 8601 duration such as `PT5M` or `PT120S`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^P([0-9]+D)?(T([0-9]+H)?([0-9]+M)?([0-9]+S)?)?$')")
        .message("nodeIdleTimeBeforeScaleDown must be an ISO 8601 duration, such as PT5M or PT120S"))]
    pub node_idle_time_before_scale_down: Option<String>,
}

/// An account on a machine.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct SshUser {
    /// The name of the account.
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[a-z_][-a-z0-9_]*$"))]
    pub admin_user_name: String,
    /// The public key that may sign in, as in `id_ed25519.pub`.
    #[schemars(length(min = 1, max = 4096), regex(pattern = r"^(ssh|ecdsa|sk)-[^\r\n]+$"))]
    pub admin_user_ssh_public_key: String,
}
