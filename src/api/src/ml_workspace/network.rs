//! The network that Azure keeps for a workspace's machines.
#![expect(unreachable_pub, reason = "the schema derive writes a private copy of each type")]
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The network that Azure keeps for a workspace's machines.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(
    validation = Rule::new("self.isolationMode == 'AllowOnlyApprovedOutbound' || !has(self.firewallSku)")
        .message("firewallSku applies to the isolation mode AllowOnlyApprovedOutbound only"),
    validation = Rule::new("self.isolationMode != 'Disabled' || !has(self.outboundRules) || size(self.outboundRules) == 0")
        .message("outboundRules need an isolation mode other than Disabled"),
    validation = Rule::new("self.isolationMode == 'AllowOnlyApprovedOutbound' || !has(self.outboundRules) || self.outboundRules.all(rule, rule.type == 'PrivateEndpoint')")
        .message("rules of the types FQDN and ServiceTag need the isolation mode AllowOnlyApprovedOutbound"),
    validation = Rule::new("oldSelf.isolationMode == self.isolationMode || oldSelf.isolationMode == 'Disabled' || self.isolationMode == 'AllowOnlyApprovedOutbound'")
        .message("a managed network can't be made less isolated once it is there")
)]
pub struct ManagedNetwork {
    /// What the machines may reach.
    pub isolation_mode: IsolationMode,
    /// The pricing tier of the firewall.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firewall_sku: Option<FirewallSku>,
    /// What the machines may reach beside what the workspace needs. A rule that is removed here is deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub outbound_rules: Vec<OutboundRule>,
}

/// What the machines of a managed network may reach.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum IsolationMode {
    /// There is no managed network.
    Disabled,
    /// The whole internet.
    AllowInternetOutbound,
    /// What rules allow, and nothing else.
    AllowOnlyApprovedOutbound,
}

/// The pricing tier of a firewall.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum FirewallSku {
    /// The usual one.
    Standard,
    /// The cheaper one.
    Basic,
}

/// Something that the machines may reach.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(validation = Rule::new("has(self.fqdn) == (self.type == 'FQDN') && has(self.serviceTag) == (self.type == 'ServiceTag') && has(self.privateEndpoint) == (self.type == 'PrivateEndpoint')")
    .message("set exactly the section of the type: fqdn for FQDN, serviceTag for ServiceTag, privateEndpoint for PrivateEndpoint"))]
pub struct OutboundRule {
    /// Its name.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-zA-Z0-9][-a-zA-Z0-9_]*$"))]
    pub name: String,
    /// What it allows.
    #[serde(rename = "type")]
    pub type_: RuleType,
    /// A host, or all of a domain: `*.example.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^(\*\.)?[-a-zA-Z0-9.]+$"))]
    pub fqdn: Option<String>,
    /// A service of Azure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tag: Option<ServiceTagDestination>,
    /// A resource, through a private endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_endpoint: Option<PrivateEndpointDestination>,
}

/// What an outbound rule allows.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum RuleType {
    /// A host.
    #[serde(rename = "FQDN")]
    Fqdn,
    /// A service of Azure.
    ServiceTag,
    /// A resource, through a private endpoint.
    PrivateEndpoint,
}

/// A service of Azure.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct ServiceTagDestination {
    /// The tag, such as `AzureMonitor`.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[a-zA-Z0-9._-]+$"))]
    pub service_tag: String,
    /// How it is reached.
    #[serde(default)]
    pub protocol: Protocol,
    /// The ports, such as `443` or `80,8000-9000`.
    #[serde(default = "https_port")]
    #[schemars(
        length(min = 1, max = 256),
        regex(pattern = r"^(\*|[0-9]+(-[0-9]+)?(,\s*[0-9]+(-[0-9]+)?)*)$")
    )]
    pub port_ranges: String,
    /// Ranges of addresses, in place of those of the tag.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(min = 1, max = 64), regex(pattern = r"^[0-9a-fA-F.:]+(/[0-9]+)?$"))
    )]
    pub address_prefixes: Vec<String>,
}

fn https_port() -> String {
    "443".to_owned()
}

/// How a service is reached.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum Protocol {
    /// By TCP.
    #[default]
    #[serde(rename = "TCP")]
    Tcp,
    /// By UDP.
    #[serde(rename = "UDP")]
    Udp,
    /// By ICMP.
    #[serde(rename = "ICMP")]
    Icmp,
    /// By any.
    #[serde(rename = "*")]
    Any,
}

/// A resource, through a private endpoint.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct PrivateEndpointDestination {
    /// The id of the resource.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^/subscriptions/[^\s]+$"))]
    pub service_resource_id: String,
    /// The part of it, such as `blob` or `vault`.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-zA-Z0-9._-]+$"))]
    pub subresource_target: String,
    /// Whether Spark may use it too.
    #[serde(default)]
    pub spark_enabled: bool,
    /// The hosts that lead to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253), regex(pattern = r"^[-a-zA-Z0-9.]+$")))]
    pub fqdns: Vec<String>,
}
