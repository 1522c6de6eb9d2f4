//! Deployments of templates, by which the official client creates workspaces.
use serde_json::{Value, json};

use crate::support::{Session, WORKSPACE};

const DEPLOYMENT: &str = "/subscriptions/s1/resourcegroups/rg/providers/Microsoft.Resources/deployments/d1";

fn deployment(resources: &Value) -> Value {
    json!({"properties": {"mode": "Incremental", "parameters": {"name": {"value": "ws1"}}, "template": {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "parameters": {"name": {"type": "string"}, "storage": {"type": "string", "defaultValue": "account1"}},
        "variables": {"id": "[resourceId('Microsoft.Storage/storageAccounts', parameters('storage'))]"},
        "resources": resources,
    }}})
}

fn resources() -> Value {
    json!([
        {"type": "Microsoft.MachineLearningServices/workspaces", "apiVersion": "2023-08-01-preview",
            "name": "[parameters('name')]", "location": "[resourceGroup().location]", "dependsOn": ["[variables('id')]"],
            "identity": {"type": "SystemAssigned"},
            "properties": {"storageAccount": "[variables('id')]", "containerRegistry": "[json('null')]"},
            "resources": [{"type": "connections", "apiVersion": "2024-04-01", "name": "git",
                "properties": {"authType": "None", "category": "Git", "target": "https://example.com"}}]},
        {"type": "Microsoft.Storage/storageAccounts", "apiVersion": "2023-04-01", "name": "[parameters('storage')]",
            "location": "eastus", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}, "properties": {}},
        {"type": "Microsoft.KeyVault/vaults", "apiVersion": "2023-07-01", "name": "never",
            "condition": "[equals(parameters('name'), 'other')]", "location": "eastus", "properties": {}},
    ])
}

#[tokio::test]
async fn a_template_makes_its_resources() {
    let session = Session::start().await;
    let begun =
        session.done("PUT", &format!("{DEPLOYMENT}?api-version=2020-06-01"), &deployment(&resources())).await;
    assert_eq!(begun.status, 201);
    let made = session.get(WORKSPACE).await.body;
    assert_eq!(made["properties"]["provisioningState"], "Succeeded");
    let storage = "/subscriptions/s1/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/account1";
    assert_eq!(made["properties"]["storageAccount"], storage);
    assert_eq!(session.get(&format!("{storage}?api-version=2023-04-01")).await.status, 200);
    assert_eq!(session.get(&format!("{WORKSPACE}/connections/git")).await.status, 200);
    let found = session.get(&format!("{DEPLOYMENT}?api-version=2020-06-01")).await.body;
    assert_eq!(found["properties"]["outputResources"].as_array().unwrap().len(), 3);
    let old_path = "/subscriptions/s1/resourcegroups/rg/deployments/d1/operations?api-version=2020-06-01";
    let operations = session.get(old_path).await.body;
    assert_eq!(operations["value"].as_array().unwrap().len(), 3);
    assert_eq!(operations["value"][0]["properties"]["provisioningState"], "Succeeded");
}

#[tokio::test]
async fn a_template_that_can_t_be_read_is_refused_and_one_that_can_t_be_done_fails() {
    let session = Session::start().await;
    let path = format!("{DEPLOYMENT}?api-version=2020-06-01");
    let unknown = json!([{"type": "Microsoft.Storage/storageAccounts", "apiVersion": "2023-04-01", "name": "[nothing()]"}]);
    let refused = session.call("PUT", &path, &deployment(&unknown)).await;
    assert_eq!((refused.status, refused.code()), (400, "InvalidTemplate"));
    let impossible = json!([{"type": "Microsoft.Storage/storageAccounts", "apiVersion": "2023-04-01", "name": "Bad_Name",
        "location": "eastus", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}]);
    let begun = session.call("PUT", &path, &deployment(&impossible)).await;
    let end = session.follow(&begun).await.body;
    assert_eq!(
        (end["status"].as_str(), end["error"]["code"].as_str()),
        (Some("Failed"), Some("DeploymentFailed"))
    );
    assert!(end["error"]["message"].as_str().unwrap().contains("Bad_Name"));
}
