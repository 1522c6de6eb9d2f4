//! Where logs and metrics of a workspace go.
#![expect(unreachable_pub, reason = "the schema derive writes a private copy of each type")]
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where logs and metrics go.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(
    validation = Rule::new("has(self.workspaceId) || has(self.storageAccountId) || has(self.eventHub)")
        .message("a diagnostic setting needs workspaceId, storageAccountId or eventHub"),
    validation = Rule::new("(has(self.logs) && size(self.logs) > 0) || (has(self.metrics) && size(self.metrics) > 0)")
        .message("a diagnostic setting needs logs, metrics or both")
)]
pub struct DiagnosticSetting {
    /// Its name.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[-a-zA-Z0-9_.]+$"))]
    pub name: String,
    /// The id of a Log Analytics workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^/subscriptions/[^\s]+$"))]
    pub workspace_id: Option<String>,
    /// The id of a storage account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^/subscriptions/[^\s]+$"))]
    pub storage_account_id: Option<String>,
    /// An event hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_hub: Option<EventHub>,
    /// The logs that go there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub logs: Vec<LogCategory>,
    /// The metrics that go there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub metrics: Vec<MetricCategory>,
}

/// An event hub.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct EventHub {
    /// The id of the rule that allows to send.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^/subscriptions/[^\s]+$"))]
    pub authorization_rule_id: String,
    /// The name of the hub. Without it, one for each category.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub name: Option<String>,
}

/// One category of logs, or a group of categories.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(validation = Rule::new("has(self.category) != has(self.categoryGroup)")
    .message("each of logs has either a category or a categoryGroup"))]
pub struct LogCategory {
    /// The category, such as `AmlComputeJobEvent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[a-zA-Z0-9]+$"))]
    pub category: Option<String>,
    /// The group of categories: `allLogs` or `audit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[a-zA-Z0-9]+$"))]
    pub category_group: Option<String>,
    /// Whether it goes there.
    #[serde(default = "enabled")]
    pub enabled: bool,
}

/// One category of metrics.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct MetricCategory {
    /// The category, such as `AllMetrics`.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[a-zA-Z0-9]+$"))]
    pub category: String,
    /// Whether it goes there.
    #[serde(default = "enabled")]
    pub enabled: bool,
}

fn enabled() -> bool {
    true
}
