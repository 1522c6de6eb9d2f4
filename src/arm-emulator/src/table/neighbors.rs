//! Rows of the providers beside machine learning: what a workspace depends on, and what watches it.
use super::{Action, PLAIN, Parent, Reply, Row, Shape};
use crate::rules::{neighbor as rules, template};

const LATER: Row = Row {
    put: Some((Reply::Later(201, Shape::AsyncOperation), Reply::Later(200, Shape::AsyncOperation))),
    delete: Some(Reply::Later(202, Shape::Location)),
    provisioned: true,
    ..PLAIN
};

/// Alerts and settings, whose PUT is never answered by 201.
const ALWAYS_200: Row = Row { put: Some((Reply::Now(200), Reply::Now(200))), parent: Parent::Free, ..PLAIN };

pub(super) const ROWS: &[Row] = &[
    Row {
        kind: "Microsoft.Kubernetes/connectedClusters",
        patch: Some(Reply::Now(200)),
        required: &["/location", "/identity", "/properties/agentPublicKeyCertificate"],
        fixed: &["/location"],
        read_only: &[
            "/properties/connectivityStatus",
            "/properties/agentVersion",
            "/properties/kubernetesVersion",
        ],
        write: rules::cluster,
        ..LATER
    },
    Row {
        kind: "Microsoft.KubernetesConfiguration/extensions",
        patch: Some(Reply::Later(202, Shape::AsyncOperation)),
        parent: Parent::Free,
        required: &["/properties/extensionType"],
        fixed: &["/properties/extensionType"],
        read_only: &["/properties/currentVersion", "/properties/statuses", "/properties/isSystemExtension"],
        write: rules::extension,
        ..LATER
    },
    Row {
        kind: "Microsoft.Insights/metricAlerts",
        patch: Some(Reply::Now(200)),
        required: &[
            "/location",
            "/properties/criteria",
            "/properties/scopes",
            "/properties/severity",
            "/properties/enabled",
            "/properties/evaluationFrequency",
            "/properties/windowSize",
        ],
        write: rules::alert,
        ..ALWAYS_200
    },
    Row {
        kind: "Microsoft.Insights/actionGroups",
        patch: Some(Reply::Now(200)),
        required: &["/location", "/properties/groupShortName"],
        write: rules::action_group,
        ..PLAIN
    },
    Row {
        kind: "Microsoft.Insights/diagnosticSettings",
        parent: Parent::Required,
        write: rules::diagnostics,
        ..ALWAYS_200
    },
    Row { kind: "Microsoft.Insights/scheduledQueryRules", patch: Some(Reply::Now(200)), ..PLAIN },
    Row {
        kind: "Microsoft.Insights/components",
        patch: Some(Reply::Now(200)),
        required: &["/location"],
        write: rules::insights,
        ..ALWAYS_200
    },
    Row {
        kind: "Microsoft.Storage/storageAccounts",
        put: Some((Reply::Later(202, Shape::Location), Reply::Now(200))),
        patch: Some(Reply::Now(200)),
        required: &["/location", "/sku", "/kind"],
        fixed: &["/location"],
        name: "^[a-z0-9]{3,24}$",
        actions: &[Action::post("listKeys", rules::storage_keys)],
        write: rules::storage,
        ..PLAIN
    },
    Row {
        kind: "Microsoft.KeyVault/vaults",
        patch: Some(Reply::Now(200)),
        required: &["/location"],
        fixed: &["/location"],
        name: "^[a-zA-Z][a-zA-Z0-9-]{1,22}[a-zA-Z0-9]$",
        write: rules::vault,
        ..PLAIN
    },
    Row {
        kind: "Microsoft.ContainerRegistry/registries",
        patch: Some(Reply::Later(200, Shape::AsyncOperation)),
        required: &["/location", "/sku"],
        fixed: &["/location"],
        name: "^[a-zA-Z0-9]{5,50}$",
        write: rules::image_registry,
        ..LATER
    },
    Row {
        kind: "Microsoft.ManagedIdentity/userAssignedIdentities",
        patch: Some(Reply::Now(200)),
        required: &["/location"],
        fixed: &["/location"],
        write: rules::user_identity,
        ..PLAIN
    },
    Row {
        kind: "Microsoft.OperationalInsights/workspaces",
        patch: Some(Reply::Now(200)),
        required: &["/location"],
        fixed: &["/location"],
        provisioned: true,
        write: rules::log_workspace,
        ..PLAIN
    },
    Row { kind: "Microsoft.EventGrid/eventSubscriptions", parent: Parent::Free, ..PLAIN },
    Row {
        kind: "Microsoft.Resources/deployments",
        required: &["/properties/template"],
        provisioned: true,
        actions: &[Action::get("operations", template::operations)],
        write: template::deploy,
        ..LATER
    },
    Row { kind: "Microsoft.Storage/storageAccounts/blobServices/containers", parent: Parent::Free, ..PLAIN },
    Row { kind: "Microsoft.Network/virtualNetworks", ..PLAIN },
    Row { kind: "Microsoft.Network/virtualNetworks/subnets", ..PLAIN },
    Row { kind: "Microsoft.Network/privateEndpoints", ..PLAIN },
];
