//! A ModelRegistry for a registry that exists.
use arm::ResourceId;
use serde_json::{Value, json};

use super::{Imported, Spec, identity, own_name, tags, text};

/// The manifest of a registry.
pub fn registry(id: &ResourceId, body: &Value, namespace: &str) -> Imported {
    let regions = body.pointer("/properties/regionDetails").and_then(Value::as_array);
    let regions: Vec<Value> = regions.into_iter().flatten().map(region).collect();
    let mut spec = Spec::default();
    spec.set("subscriptionId", id.subscription())
        .set("resourceGroup", id.resource_group().unwrap_or_default())
        .set("location", text(body, "/location").replace(' ', "").to_ascii_lowercase())
        .set("name", own_name(id.name()))
        .copy(
            body,
            &[
                ("publicNetworkAccess", "/properties/publicNetworkAccess"),
                ("managedResourceGroup", "/properties/managedResourceGroup/resourceId"),
            ],
        )
        .set("identity", identity(body))
        .set("tags", tags(body, "/tags"))
        .set("regionDetails", regions);
    Imported::new("ModelRegistry", id.name(), namespace, spec)
}

fn region(from: &Value) -> Value {
    let mut region = Spec::default();
    region.set("location", text(from, "/location").replace(' ', "").to_ascii_lowercase());
    let registry = text(from, "/acrDetails/0/userCreatedAcrAccount/armResourceId/resourceId");
    if !registry.is_empty() {
        region.set("containerRegistry", json!({"id": registry}));
    }
    let account = &from["storageAccountDetails"][0];
    let mut storage = Spec::default();
    storage.copy(
        account,
        &[
            ("id", "/userCreatedStorageAccount/armResourceId/resourceId"),
            ("storageAccountType", "/systemCreatedStorageAccount/storageAccountType"),
            ("storageAccountHnsEnabled", "/systemCreatedStorageAccount/storageAccountHnsEnabled"),
        ],
    );
    region.set("storageAccount", storage.value());
    region.value()
}
