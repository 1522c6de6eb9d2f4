//! What a workspace gives to its users: datastores, connections, and where its logs go.
use api::azure::SecretKey;
use api::ml_workspace::{AuthType, Connection, Datastore, DiagnosticSetting};
use serde_json::{Value, json};

use super::Scene;
use crate::azure::reference::id;
use crate::azure::{Refusal, SecretValue, Wanted};
use crate::digest;

/// The entry in a connection's metadata that tells its credentials apart, which are never read back.
const CREDENTIALS_DIGEST: &str = "mlops-operator-credentials";

/// The datastores.
pub(super) fn datastores(scene: &Scene) -> Result<Vec<Wanted>, Refusal> {
    let one = |store: &Datastore| {
        let (credentials, secrets) = credentials(store);
        let body = json!({"properties": {
            "datastoreType": store.type_,
            "accountName": store.account_name,
            "containerName": store.container_name,
            "filesystem": store.filesystem,
            "fileShareName": store.file_share_name,
            "endpoint": store.endpoint,
            "protocol": store.protocol,
            "subscriptionId": store.subscription_id,
            "resourceGroup": store.resource_group,
            "serviceDataAccessAuthIdentity": store.service_data_access_auth_identity,
            "description": store.description,
            "tags": store.tags,
            "credentials": credentials,
        }});
        let store_id = id(scene.main.child("datastores", &store.name))?;
        Ok(Wanted { secrets, ..Wanted::new(store_id, body) })
    };
    scene.spec.datastores.iter().map(one).collect()
}

/// The credentials of a datastore without their secrets, and where these go.
fn credentials(store: &Datastore) -> (Value, Vec<SecretValue>) {
    let Some(given) = &store.credentials else { return (json!({"credentialsType": "None"}), Vec::new()) };
    let (type_, field, from) = match (&given.account_key, &given.sas, &given.service_principal) {
        (Some(key), ..) => ("AccountKey", "key", key),
        (None, Some(sas), _) => ("Sas", "sasToken", sas),
        (None, None, Some(principal)) => ("ServicePrincipal", "clientSecret", &principal.client_secret),
        (None, None, None) => return (json!({"credentialsType": "None"}), Vec::new()),
    };
    let principal = given.service_principal.as_ref();
    let body = json!({
        "credentialsType": type_,
        "clientId": principal.map(|principal| &principal.client_id),
        "tenantId": principal.map(|principal| &principal.tenant_id),
        "secrets": {"secretsType": type_},
    });
    (body, vec![secret(format!("/properties/credentials/secrets/{field}"), from)])
}

fn secret(pointer: String, from: &SecretKey) -> SecretValue {
    SecretValue { pointer, secret: from.name.clone(), key: from.key.clone() }
}

/// The connections.
pub(super) fn connections(scene: &Scene) -> Result<Vec<Wanted>, Refusal> {
    let one = |connection: &Connection| {
        let has_keys = connection.auth_type == AuthType::CustomKeys;
        let place = if has_keys { "/properties/credentials/keys" } else { "/properties/credentials" };
        let secrets = connection.secrets.iter();
        let secrets = secrets.map(|it| secret(format!("{place}/{}", it.field), &it.value_from)).collect();
        let has_none = matches!(connection.auth_type, AuthType::None | AuthType::AAD);
        let credentials = json!({
            "clientId": connection.client_id,
            "tenantId": connection.tenant_id,
            "resourceId": connection.resource_id,
        });
        let mut metadata = json!(connection.metadata);
        if connection.client_id.is_some() {
            metadata[CREDENTIALS_DIGEST] = json!(digest::of(&credentials, 16));
        }
        let body = json!({"properties": {
            "authType": connection.auth_type,
            "category": connection.category,
            "target": connection.target,
            "isSharedToAll": connection.is_shared_to_all,
            "metadata": metadata,
            "credentials": (!has_none).then_some(credentials),
        }});
        Ok(Wanted { secrets, ..Wanted::new(id(scene.main.child("connections", &connection.name))?, body) })
    };
    scene.spec.connections.iter().map(one).collect()
}

/// The diagnostic settings.
pub(super) fn diagnostic_settings(scene: &Scene) -> Result<Vec<Wanted>, Refusal> {
    let one = |setting: &DiagnosticSetting| {
        let hub = setting.event_hub.as_ref();
        let body = json!({"properties": {
            "workspaceId": setting.workspace_id,
            "storageAccountId": setting.storage_account_id,
            "eventHubAuthorizationRuleId": hub.map(|hub| &hub.authorization_rule_id),
            "eventHubName": hub.and_then(|hub| hub.name.as_ref()),
            "logs": setting.logs,
            "metrics": setting.metrics,
        }});
        let setting_id = scene.main.with_provider("Microsoft.Insights/diagnosticSettings", &setting.name);
        Ok(Wanted::new(id(setting_id)?, body))
    };
    scene.spec.diagnostic_settings.iter().map(one).collect()
}
