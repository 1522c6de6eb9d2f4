//! An MLWorkspace for a workspace that exists, with its rules, datastores, connections and diagnostic settings.
use std::collections::BTreeMap;

use arm::ResourceId;
use serde_json::{Map, Value, json};

use super::{Bodies, Imported, Spec, children, identity, own_name, tags, text};

/// Datastores that come with a workspace.
const OWN_DATASTORES: [&str; 4] =
    ["workspaceblobstore", "workspacefilestore", "workspaceartifactstore", "workspaceworkingdirectory"];

/// The entry in a connection's metadata that tells its credentials apart.
const CREDENTIALS_DIGEST: &str = "mlops-operator-credentials";

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

/// What is collected on the way.
#[derive(Default)]
struct Parts {
    namer: String,
    secrets: BTreeMap<String, Vec<String>>,
    notes: Vec<String>,
}

impl Parts {
    /// A key of a Secret that somebody has to fill in.
    fn secret(&mut self, of: &str, key: &str) -> Value {
        let name = super::object_name(&format!("{}-{of}", self.namer));
        self.secrets.entry(name.clone()).or_default().push(key.to_owned());
        json!({"name": name, "key": key})
    }

    fn datastores(&mut self, id: &ResourceId, bodies: &Bodies) -> Vec<Value> {
        let mut stores = Vec::new();
        for (store_id, body) in children(bodies, id, "datastores") {
            if OWN_DATASTORES.contains(&store_id.name()) {
                continue;
            }
            let type_ = text(body, "/properties/datastoreType");
            if !["AzureBlob", "AzureDataLakeGen2", "AzureFile"].contains(&type_) {
                self.notes.push(format!("the datastore {} of the type {type_}", store_id.name()));
                continue;
            }
            let mut store = Spec::default();
            store.set("name", store_id.name()).set("type", type_);
            for field in [
                "accountName",
                "containerName",
                "filesystem",
                "fileShareName",
                "endpoint",
                "protocol",
                "subscriptionId",
                "resourceGroup",
                "serviceDataAccessAuthIdentity",
                "description",
            ] {
                store.set(field, body["properties"][field].clone());
            }
            let credentials = self.credentials(store_id.name(), body);
            store.set("tags", tags(body, "/properties/tags")).set("credentials", credentials);
            stores.push(store.value());
        }
        stores
    }

    fn credentials(&mut self, store: &str, body: &Value) -> Value {
        match text(body, "/properties/credentials/credentialsType") {
            "AccountKey" => json!({"accountKey": self.secret(store, "account-key")}),
            "Sas" => json!({"sas": self.secret(store, "sas")}),
            "ServicePrincipal" => json!({"servicePrincipal": {
                "tenantId": text(body, "/properties/credentials/tenantId"),
                "clientId": text(body, "/properties/credentials/clientId"),
                "clientSecret": self.secret(store, "client-secret"),
            }}),
            _ => Value::Null,
        }
    }

    fn connections(&mut self, id: &ResourceId, bodies: &Bodies) -> Vec<Value> {
        let mut connections = Vec::new();
        for (connection_id, body) in children(bodies, id, "connections") {
            let auth_type = text(body, "/properties/authType");
            let mut connection = Spec::default();
            connection.set("name", connection_id.name()).set("authType", auth_type).copy(
                body,
                &[
                    ("category", "/properties/category"),
                    ("target", "/properties/target"),
                    ("isSharedToAll", "/properties/isSharedToAll"),
                    ("clientId", "/properties/credentials/clientId"),
                    ("tenantId", "/properties/credentials/tenantId"),
                    ("resourceId", "/properties/credentials/resourceId"),
                ],
            );
            let mut metadata: Map<String, Value> =
                tags(body, "/properties/metadata").as_object().cloned().unwrap_or_default();
            metadata.remove(CREDENTIALS_DIGEST);
            connection.set("metadata", metadata);
            let fields = secret_fields(auth_type, body);
            let Some(fields) = fields else {
                self.notes
                    .push(format!("the connection {} of the authType {auth_type}", connection_id.name()));
                continue;
            };
            let secrets: Vec<Value> = fields
                .iter()
                .map(|field| json!({"field": field, "valueFrom": self.secret(connection_id.name(), field)}))
                .collect();
            connection.set("secrets", secrets);
            connections.push(connection.value());
        }
        connections
    }
}

/// The fields of a connection's credentials; `None` when they can't be said.
fn secret_fields(auth_type: &str, body: &Value) -> Option<Vec<String>> {
    let fields: &[&str] = match auth_type {
        "None" | "AAD" | "ManagedIdentity" => &[],
        "ApiKey" | "AccountKey" => &["key"],
        "PAT" => &["pat"],
        "SAS" => &["sas"],
        "UsernamePassword" => &["username", "password"],
        "ServicePrincipal" => &["clientSecret"],
        "AccessKey" => &["accessKeyId", "secretAccessKey"],
        "CustomKeys" => {
            let keys = body.pointer("/properties/credentials/keys").and_then(Value::as_object)?;
            return (!keys.is_empty()).then(|| keys.keys().cloned().collect());
        }
        _ => return None,
    };
    // Azure may keep the identifiers of a principal to itself.
    let is_whole = match auth_type {
        "ManagedIdentity" => !text(body, "/properties/credentials/clientId").is_empty(),
        "ServicePrincipal" => !text(body, "/properties/credentials/tenantId").is_empty(),
        _ => true,
    };
    is_whole.then(|| fields.iter().map(|field| (*field).to_owned()).collect())
}

fn diagnostics(id: &ResourceId, bodies: &Bodies) -> Vec<Value> {
    let is_here = |it: &ResourceId| {
        it.is_a("Microsoft.Insights/diagnosticSettings") && it.parent().as_ref() == Some(id)
    };
    let one = |(setting_id, body): (&ResourceId, &Value)| {
        let mut setting = Spec::default();
        let mut hub = Spec::default();
        hub.copy(
            body,
            &[
                ("authorizationRuleId", "/properties/eventHubAuthorizationRuleId"),
                ("name", "/properties/eventHubName"),
            ],
        );
        let categories = |list: &str| -> Vec<Value> {
            let entries = body["properties"][list].as_array().into_iter().flatten();
            let category = |entry: &Value| {
                let mut category = Spec::default();
                category.copy(
                    entry,
                    &[
                        ("category", "/category"),
                        ("categoryGroup", "/categoryGroup"),
                        ("enabled", "/enabled"),
                    ],
                );
                category.value()
            };
            entries.map(category).collect()
        };
        setting
            .set("name", setting_id.name())
            .copy(
                body,
                &[
                    ("workspaceId", "/properties/workspaceId"),
                    ("storageAccountId", "/properties/storageAccountId"),
                ],
            )
            .set("eventHub", hub.value())
            .set("logs", categories("logs"))
            .set("metrics", categories("metrics"));
        setting.value()
    };
    bodies.iter().filter(|(it, _)| is_here(it)).map(one).collect()
}
