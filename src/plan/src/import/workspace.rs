//! An MLWorkspace for a workspace that exists, with its rules, datastores, connections and diagnostic settings.
mod access;

use arm::ResourceId;
use serde_json::{Value, json};

use self::access::{Parts, diagnostics};
use super::{Bodies, Imported, Spec, children, identity, own_name, tags, text};

/// The manifest of a workspace.
pub fn workspace(id: &ResourceId, body: &Value, bodies: &Bodies, namespace: &str) -> Imported {
    let mut parts = Parts { namer: id.name().to_ascii_lowercase(), ..Parts::default() };
    let mut spec = Spec::default();
    spec.set("environment", environment(body))
        .set("subscriptionId", id.subscription())
        .set("resourceGroup", id.resource_group().unwrap_or_default())
        .set("location", text(body, "/location").replace(' ', "").to_ascii_lowercase())
        .set("name", own_name(id.name()))
        .set("kind", kind(body))
        .copy(
            body,
            &[
                ("friendlyName", "/properties/friendlyName"),
                ("description", "/properties/description"),
                ("publicNetworkAccess", "/properties/publicNetworkAccess"),
                ("primaryUserAssignedIdentity", "/properties/primaryUserAssignedIdentity"),
                ("hbiWorkspace", "/properties/hbiWorkspace"),
                ("imageBuildCompute", "/properties/imageBuildCompute"),
                ("v1LegacyMode", "/properties/v1LegacyMode"),
                ("systemDatastoresAuthMode", "/properties/systemDatastoresAuthMode"),
                ("hubResourceId", "/properties/hubResourceId"),
            ],
        )
        .set("tags", tags(body, "/tags"))
        .set("sku", sku(body))
        .set("identity", identity(body));
    if text(body, "/properties/hubResourceId").is_empty() {
        dependents(&mut spec, body);
        spec.set("managedNetwork", network(id, body, bodies)).set("encryption", encryption(body));
    }
    spec.set("serverlessCompute", serverless(body)).set("hub", hub(body)).set("featureStore", store(body));
    spec.set("datastores", parts.datastores(id, bodies))
        .set("connections", parts.connections(id, bodies))
        .set("diagnosticSettings", diagnostics(id, bodies));
    let mut imported = Imported::new("MLWorkspace", id.name(), namespace, spec);
    imported.secrets = parts.secrets;
    imported.notes = parts.notes;
    imported
}

/// What a workspace is for is no field of Azure. Production is the careful answer: nothing of it is ever deleted.
fn environment(body: &Value) -> &'static str {
    match text(body, "/tags/environment").to_ascii_lowercase().as_str() {
        "development" | "dev" => "Development",
        "staging" => "Staging",
        _ => "Production",
    }
}

fn kind(body: &Value) -> &'static str {
    let kinds = ["Default", "Hub", "Project", "FeatureStore"];
    let kind = text(body, "/kind");
    kinds.into_iter().find(|known| known.eq_ignore_ascii_case(kind)).unwrap_or("Default")
}

fn sku(body: &Value) -> Value {
    match text(body, "/sku/name") {
        "Basic" => json!("Basic"),
        "Enterprise" => json!("Enterprise"),
        _ => Value::Null,
    }
}

fn dependents(spec: &mut Spec, body: &Value) {
    for (field, pointer) in [
        ("storageAccount", "/properties/storageAccount"),
        ("keyVault", "/properties/keyVault"),
        ("applicationInsights", "/properties/applicationInsights"),
        ("containerRegistry", "/properties/containerRegistry"),
    ] {
        let mut part = Spec::default();
        part.copy(body, &[("id", pointer)]);
        spec.set(field, part.value());
    }
}

fn encryption(body: &Value) -> Value {
    if text(body, "/properties/encryption/status") != "Enabled" {
        return Value::Null;
    }
    let mut encryption = Spec::default();
    encryption.copy(
        body,
        &[
            ("keyVaultId", "/properties/encryption/keyVaultProperties/keyVaultArmId"),
            ("keyIdentifier", "/properties/encryption/keyVaultProperties/keyIdentifier"),
            ("userAssignedIdentity", "/properties/encryption/identity/userAssignedIdentity"),
        ],
    );
    encryption.value()
}

fn serverless(body: &Value) -> Value {
    let mut serverless = Spec::default();
    serverless.copy(
        body,
        &[
            ("subnetId", "/properties/serverlessComputeSettings/serverlessComputeCustomSubnet"),
            ("noPublicIp", "/properties/serverlessComputeSettings/serverlessComputeNoPublicIP"),
        ],
    );
    serverless.value()
}

fn hub(body: &Value) -> Value {
    let mut hub = Spec::default();
    let at = "/properties/workspaceHubConfig";
    hub.copy(
        body,
        &[
            ("defaultWorkspaceResourceGroup", &format!("{at}/defaultWorkspaceResourceGroup")),
            ("additionalWorkspaceStorageAccounts", &format!("{at}/additionalWorkspaceStorageAccounts")),
        ],
    );
    hub.value()
}

fn store(body: &Value) -> Value {
    let mut store = Spec::default();
    let at = "/properties/featureStoreSettings";
    store.copy(
        body,
        &[
            ("sparkRuntimeVersion", &format!("{at}/computeRuntime/sparkRuntimeVersion")),
            ("offlineStoreConnectionName", &format!("{at}/offlineStoreConnectionName")),
            ("onlineStoreConnectionName", &format!("{at}/onlineStoreConnectionName")),
        ],
    );
    store.value()
}

fn network(id: &ResourceId, body: &Value, bodies: &Bodies) -> Value {
    let mode = text(body, "/properties/managedNetwork/isolationMode");
    if mode.is_empty() {
        return Value::Null;
    }
    let rules: Vec<Value> =
        children(bodies, id, "outboundRules").into_iter().filter_map(|(id, body)| rule(id, body)).collect();
    let mut network = Spec::default();
    network.set("isolationMode", mode).set("outboundRules", rules);
    if mode == "AllowOnlyApprovedOutbound" {
        network.copy(body, &[("firewallSku", "/properties/managedNetwork/firewallSku")]);
    }
    network.value()
}

/// A rule of the users' own; those that Azure keeps itself are none.
fn rule(id: &ResourceId, body: &Value) -> Option<Value> {
    let category = text(body, "/properties/category");
    if !(category.is_empty() || category == "UserDefined") {
        return None;
    }
    let type_ = text(body, "/properties/type");
    let at = "/properties/destination";
    let mut rule = Spec::default();
    rule.set("name", id.name()).set("type", type_);
    let mut destination = Spec::default();
    match type_ {
        "FQDN" => {
            rule.copy(body, &[("fqdn", at)]);
        }
        "ServiceTag" => {
            destination.copy(
                body,
                &[
                    ("serviceTag", &format!("{at}/serviceTag")),
                    ("protocol", &format!("{at}/protocol")),
                    ("portRanges", &format!("{at}/portRanges")),
                    ("addressPrefixes", &format!("{at}/addressPrefixes")),
                ],
            );
            rule.set("serviceTag", destination.value());
        }
        _ => {
            destination.copy(
                body,
                &[
                    ("serviceResourceId", &format!("{at}/serviceResourceId")),
                    ("subresourceTarget", &format!("{at}/subresourceTarget")),
                    ("sparkEnabled", &format!("{at}/sparkEnabled")),
                    ("fqdns", "/properties/fqdns"),
                ],
            );
            rule.set("privateEndpoint", destination.value());
        }
    }
    Some(rule.value())
}
