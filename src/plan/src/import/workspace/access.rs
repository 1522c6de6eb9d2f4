//! What a workspace gives to its users: datastores, connections, and where its logs go.
use std::collections::BTreeMap;

use arm::ResourceId;
use serde_json::{Map, Value, json};

use super::super::{Bodies, Spec, children, object_name, tags, text};

/// Datastores that come with a workspace.
const OWN_DATASTORES: [&str; 4] =
    ["workspaceblobstore", "workspacefilestore", "workspaceartifactstore", "workspaceworkingdirectory"];

/// The entry in a connection's metadata that tells its credentials apart.
const CREDENTIALS_DIGEST: &str = "mlops-operator-credentials";

/// What is collected on the way.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) namer: String,
    pub(super) secrets: BTreeMap<String, Vec<String>>,
    pub(super) notes: Vec<String>,
}

impl Parts {
    /// A key of a Secret that somebody has to fill in.
    fn secret(&mut self, of: &str, key: &str) -> Value {
        let name = object_name(&format!("{}-{of}", self.namer));
        self.secrets.entry(name.clone()).or_default().push(key.to_owned());
        json!({"name": name, "key": key})
    }

    pub(super) fn datastores(&mut self, id: &ResourceId, bodies: &Bodies) -> Vec<Value> {
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

    pub(super) fn connections(&mut self, id: &ResourceId, bodies: &Bodies) -> Vec<Value> {
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

pub(super) fn diagnostics(id: &ResourceId, bodies: &Bodies) -> Vec<Value> {
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
