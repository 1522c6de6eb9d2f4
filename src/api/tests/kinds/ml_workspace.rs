//! Manifests of MLWorkspaces.
use serde_json::{Value, json};

use super::{accepts, accepts_change, object, refuses, refuses_change, with};

const STORAGE: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a";
const IDENTITY: &str =
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i";
const UUID: &str = "00000000-0000-0000-0000-000000000000";

fn spec() -> Value {
    json!({
        "environment": "Development", "resourceGroup": "ml", "location": "westeurope",
        "storageAccount": {"id": STORAGE},
        "keyVault": {"create": {"tenantId": UUID}},
        "datastores": [{"name": "raw", "type": "AzureBlob", "accountName": "raw", "containerName": "raw"}],
        "connections": [{"name": "git", "category": "Git", "target": "https://git", "authType": "None"}],
        "managedNetwork": {"isolationMode": "AllowOnlyApprovedOutbound", "outboundRules": [
            {"name": "pypi", "type": "FQDN", "fqdn": "*.pypi.example"},
        ]},
        "diagnosticSettings": [{"name": "d", "storageAccountId": STORAGE, "logs": [{"categoryGroup": "allLogs"}]}],
    })
}

fn workspace(changes: &Value) -> Value {
    object("MLWorkspace", "churn-dev", &with(&spec(), changes))
}

#[test]
fn sensible_workspaces_are_accepted() {
    let identity = json!({"type": "UserAssigned", "userAssignedIdentities": [IDENTITY]});
    let project = json!({
        "kind": "Project", "hubRef": {"name": "hub"}, "storageAccount": null, "keyVault": null, "managedNetwork": null,
    });
    let secret = |field: &str| json!([{"field": field, "valueFrom": {"name": "s", "key": "k"}}]);
    for changes in [
        json!({}),
        json!({"environment": "Production", "softDelete": {"onDelete": "Purge"}, "sku": "Basic"}),
        json!({"storageAccount": {"create": {}}, "containerRegistry": {"create": {"sku": "Premium"}}, "applicationInsights": {"create": {}}}),
        json!({"identity": identity, "primaryUserAssignedIdentity": IDENTITY}),
        project,
        json!({"kind": "FeatureStore", "featureStore": {"sparkRuntimeVersion": "3.5"}}),
        json!({"kind": "Hub", "hub": {}}),
        json!({"connections.0.authType": "ApiKey", "connections.0.secrets": secret("key")}),
        json!({"connections.0.authType": "CustomKeys", "connections.0.secrets": secret("anything")}),
        json!({"connections.0.authType": "ManagedIdentity", "connections.0.clientId": UUID, "connections.0.resourceId": IDENTITY}),
        json!({"datastores.0.credentials": {"sas": {"name": "s", "key": "k"}}}),
        json!({"name": "Dev_1", "export": {"configMapName": "ids"}}),
    ] {
        accepts(&workspace(&changes));
    }
}

#[test]
fn nonsense_in_a_workspace_is_refused_with_a_sentence() {
    for (changes, words) in [
        (json!({"kind": "Project"}), "a Project needs either hubRef or hubResourceId"),
        (json!({"hubRef": {"name": "hub"}}), "a Project needs either hubRef or hubResourceId"),
        (json!({"kind": "Project", "hubRef": {"name": "hub"}}), "from its hub: remove them here"),
        (json!({"keyVault": null}), "storageAccount and keyVault are needed"),
        (json!({"featureStore": {}}), "featureStore applies to the kind FeatureStore only"),
        (json!({"hub": {}}), "hub applies to the kind Hub only"),
        (json!({"environment": "Test"}), "is none of"),
        (json!({"storageAccount": {}}), "set either id, for one that exists, or create"),
        (
            json!({"storageAccount": {"id": STORAGE, "create": {}}}),
            "set either id, for one that exists, or create",
        ),
        (
            json!({"storageAccount": {"id": IDENTITY}}),
            "id must be of the form /subscriptions/S/resourceGroups/G/providers/Microsoft.Storage/storageAccounts/NAME",
        ),
        (json!({"keyVault": {"create": {}}}), "tenantId: required"),
        (json!({"primaryUserAssignedIdentity": IDENTITY}), "must be one of identity.userAssignedIdentities"),
        (
            json!({"identity": {"type": "UserAssigned", "userAssignedIdentities": [IDENTITY]}}),
            "needs primaryUserAssignedIdentity",
        ),
        (
            json!({"managedNetwork.isolationMode": "Disabled"}),
            "outboundRules need an isolation mode other than Disabled",
        ),
        (
            json!({"managedNetwork.isolationMode": "AllowInternetOutbound"}),
            "rules of the types FQDN and ServiceTag need",
        ),
        (
            json!({"managedNetwork": {"isolationMode": "AllowInternetOutbound", "firewallSku": "Basic"}}),
            "firewallSku applies to",
        ),
        (json!({"managedNetwork.outboundRules.0.type": "ServiceTag"}), "set exactly the section of the type"),
    ] {
        refuses(&workspace(&changes), words);
    }
    refuses(&object("MLWorkspace", "a.b", &spec()), "metadata.name must have 3 to 33");
}

#[test]
fn nonsense_in_what_a_workspace_gives_is_refused_with_a_sentence() {
    let secret = json!({"name": "s", "key": "k"});
    let field = |field: &str| json!([{"field": field, "valueFrom": {"name": "s", "key": "k"}}]);
    for (changes, words) in [
        (json!({"datastores.0.type": "AzureFile"}), "set exactly the field of the type"),
        (
            json!({"datastores": [{"name": "f", "type": "AzureFile", "accountName": "abc", "fileShareName": "abc"}]}),
            "needs credentials.accountKey or credentials.sas",
        ),
        (json!({"datastores.0.credentials": {}}), "set exactly one of credentials.accountKey"),
        (
            json!({"datastores.0.credentials": {"sas": secret, "accountKey": secret}}),
            "set exactly one of credentials.accountKey",
        ),
        (
            json!({"datastores": [{"name": "l", "type": "AzureDataLakeGen2", "accountName": "abc", "filesystem": "abc", "credentials": {"sas": secret}}]}),
            "takes credentials.servicePrincipal, or none",
        ),
        (json!({"datastores.0.name": "workspaceblobstore"}), "comes with the workspace"),
        (json!({"datastores.0.isDefault": true}), "unknown field"),
        (json!({"connections.0.authType": "PAT"}), "secrets hold the credentials"),
        (json!({"connections.0.secrets": field("key")}), "secrets hold the credentials"),
        (
            json!({"connections.0.authType": "PAT", "connections.0.secrets": field("key")}),
            "the fields of secrets are",
        ),
        (
            json!({"connections.0.authType": "ServicePrincipal", "connections.0.secrets": field("clientSecret")}),
            "needs clientId and tenantId",
        ),
        (json!({"connections.0.target": "https://me:secret@git"}), "must not hold a user name or password"),
        (
            json!({"diagnosticSettings.0.storageAccountId": null}),
            "needs workspaceId, storageAccountId or eventHub",
        ),
        (json!({"diagnosticSettings.0.logs": []}), "needs logs, metrics or both"),
        (
            json!({"diagnosticSettings.0.logs": [{"category": "a", "categoryGroup": "b"}]}),
            "either a category or a categoryGroup",
        ),
        (json!({"export": {}}), "export needs secretName, configMapName or both"),
    ] {
        refuses(&workspace(&changes), words);
    }
}

#[test]
fn what_azure_can_t_change_is_refused_at_once() {
    let fixed = "subscriptionId, resourceGroup, location, name and kind can't be changed";
    let base = workspace(&json!({}));
    for change in [
        json!({"location": "northeurope"}),
        json!({"name": "other"}),
        json!({"kind": "Hub"}),
        json!({"subscriptionId": "s"}),
    ] {
        refuses_change(&base, &workspace(&change), fixed);
    }
    refuses_change(&base, &workspace(&json!({"hbiWorkspace": true})), "hbiWorkspace can't be changed");
    let open = json!({"managedNetwork": {"isolationMode": "AllowInternetOutbound"}});
    refuses_change(&base, &workspace(&open), "can't be made less isolated");
    accepts_change(&workspace(&open), &base);
    accepts_change(&base, &workspace(&json!({"friendlyName": "other", "datastores": []})));
}
