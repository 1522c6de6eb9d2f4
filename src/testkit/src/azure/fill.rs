//! What Azure adds to a body: ids, addresses, identities.
use arm::ResourceId;
use serde_json::{Map, Value, json};

/// The tenant of every identity.
const TENANT: &str = "00000000-0000-0000-0000-00000000000f";

/// Fills the fields that only Azure knows.
pub(super) fn fill(id: &ResourceId, body: &mut Value) {
    body["id"] = json!(id);
    body["name"] = json!(id.name());
    body["type"] = json!(id.type_());
    identity(id, body);
    let name = id.name().to_ascii_lowercase();
    let region = body["location"].as_str().unwrap_or("westeurope").replace(' ', "").to_ascii_lowercase();
    if body.get("location").is_some() {
        body["location"] = json!(region);
    }
    let added = match id.type_().to_ascii_lowercase().as_str() {
        "microsoft.machinelearningservices/workspaces" => json!({
            "workspaceId": guid(id, "workspace"),
            "discoveryUrl": format!("https://{region}.api.azureml.ms/discovery"),
            "mlFlowTrackingUri": format!("azureml://{region}.api.azureml.ms/mlflow/v1.0{id}"),
            "tenantId": TENANT,
            "privateLinkCount": 0,
            "storageHnsEnabled": false,
        }),
        "microsoft.machinelearningservices/registries" => json!({
            "discoveryUrl": format!("https://{region}.api.azureml.ms/registrymanagement/v1.0/registries/{name}/discovery"),
            "mlFlowRegistryUri": format!("azureml://{region}.api.azureml.ms/mlflow/v1.0{id}"),
            "managedResourceGroup": {"resourceId": format!("/subscriptions/{}/resourceGroups/azureml-rg-{name}", id.subscription())},
        }),
        "microsoft.machinelearningservices/workspaces/onlineendpoints" => json!({
            "scoringUri": format!("https://{name}.{region}.inference.ml.azure.com/score"),
            "swaggerUri": format!("https://{name}.{region}.inference.ml.azure.com/swagger.json"),
        }),
        "microsoft.machinelearningservices/workspaces/batchendpoints" => json!({
            "scoringUri": format!("https://{name}.{region}.inference.ml.azure.com/jobs"),
        }),
        "microsoft.machinelearningservices/workspaces/datastores" => json!({"isDefault": false}),
        "microsoft.machinelearningservices/workspaces/outboundrules" => json!({"status": "Active"}),
        "microsoft.kubernetesconfiguration/extensions" => {
            json!({"currentVersion": "1.1.66", "isSystemExtension": false})
        }
        "microsoft.storage/storageaccounts" => json!({
            "primaryEndpoints": {"blob": format!("https://{name}.blob.core.windows.net/")},
        }),
        "microsoft.keyvault/vaults" => json!({"vaultUri": format!("https://{name}.vault.azure.net/")}),
        "microsoft.insights/components" => json!({"InstrumentationKey": guid(id, "insights")}),
        "microsoft.operationalinsights/workspaces" => json!({"customerId": guid(id, "logs")}),
        "microsoft.containerregistry/registries" => json!({"loginServer": format!("{name}.azurecr.io")}),
        _ => json!({}),
    };
    compute(body);
    for (key, value) in added.as_object().into_iter().flatten() {
        body["properties"][key] = value.clone();
    }
}

/// What the machines of a compute say of themselves.
fn compute(body: &mut Value) {
    let properties = &mut body["properties"];
    match properties["computeType"].as_str() {
        Some("AmlCompute") => {
            let nodes = properties["properties"]["scaleSettings"]["minNodeCount"].clone();
            properties["properties"]["allocationState"] = json!("Steady");
            properties["properties"]["currentNodeCount"] = nodes;
        }
        Some("ComputeInstance") => properties["properties"]["state"] = json!("Running"),
        _ => {}
    }
}

fn identity(id: &ResourceId, body: &mut Value) {
    let type_ = body["identity"]["type"].as_str().unwrap_or_default().to_owned();
    if type_.contains("SystemAssigned") {
        body["identity"]["principalId"] = json!(guid(id, "principal"));
        body["identity"]["tenantId"] = json!(TENANT);
    }
    let Some(assigned) = body["identity"]["userAssignedIdentities"].as_object().cloned() else { return };
    // Azure gives the keys back in a case of its own.
    let entry = |key: &String| {
        let ids = json!({"principalId": guid(id, key), "clientId": guid(id, &format!("client {key}"))});
        (key.replace("resourceGroups", "resourcegroups"), ids)
    };
    body["identity"]["userAssignedIdentities"] =
        Value::Object(assigned.keys().map(entry).collect::<Map<_, _>>());
}

/// An identifier that is the same for the same resource.
fn guid(id: &ResourceId, of: &str) -> String {
    let digest = plan::digest::of(&json!([id.as_str().to_ascii_lowercase(), of]), 32);
    let part = |from: usize, to: usize| digest.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}
