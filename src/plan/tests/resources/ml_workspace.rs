//! MLWorkspaces.
use serde_json::{Value, json};
use testkit::azure::FakeAzure;

use super::{change, compiled, compiled_among, delete, id, inside, left, object, page, place, ready, settle};

const IDENTITY: &str =
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/ml";
const TENANT: &str = "00000000-0000-0000-0000-00000000000f";

/// A workspace on accounts that exist.
fn named() -> Value {
    let given =
        |type_: &str| json!({"id": format!("/subscriptions/s/resourceGroups/g/providers/{type_}/shared")});
    object(
        "MLWorkspace",
        "dev",
        &json!({
            "environment": "Development", "resourceGroup": "ml", "location": "westeurope",
            "storageAccount": given("Microsoft.Storage/storageAccounts"),
            "keyVault": given("Microsoft.KeyVault/vaults"),
        }),
    )
}

/// A workspace with everything.
fn full() -> Value {
    let mut object = named();
    let more = json!({
        "environment": "Production", "friendlyName": "Churn", "description": "who leaves", "tags": {"team": "churn"},
        "sku": "Basic",
        "storageAccount": {"create": {"sku": "Standard_ZRS", "hierarchicalNamespace": true}},
        "keyVault": {"create": {"tenantId": TENANT}},
        "applicationInsights": {"create": {"retentionInDays": 60}},
        "containerRegistry": {"create": {"sku": "Premium"}},
        "identity": {"type": "SystemAssignedAndUserAssigned", "userAssignedIdentities": [IDENTITY]},
        "primaryUserAssignedIdentity": IDENTITY,
        "publicNetworkAccess": "Disabled",
        "managedNetwork": {"isolationMode": "AllowOnlyApprovedOutbound", "firewallSku": "Basic", "outboundRules": [
            {"name": "pypi", "type": "FQDN", "fqdn": "*.pypi.example"},
            {"name": "monitor", "type": "ServiceTag", "serviceTag": {"serviceTag": "AzureMonitor", "portRanges": "443"}},
            {"name": "lake", "type": "PrivateEndpoint", "privateEndpoint": {
                "serviceResourceId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/lake",
                "subresourceTarget": "dfs", "sparkEnabled": true, "fqdns": ["lake.dfs.core.windows.net"],
            }},
        ]},
        "encryption": {
            "keyVaultId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/keys",
            "keyIdentifier": "https://keys.vault.azure.net/keys/ml/1", "userAssignedIdentity": IDENTITY,
        },
        "hbiWorkspace": true, "imageBuildCompute": "builder", "v1LegacyMode": false,
        "systemDatastoresAuthMode": "Identity",
        "serverlessCompute": {"noPublicIp": true},
        "softDelete": {"onDelete": "Purge"},
        "export": {"secretName": "workspace-keys", "configMapName": "workspace"},
    });
    extend(&mut object["spec"], &more);
    extend(&mut object["spec"], &gives());
    object
}

/// What a workspace gives to its users.
fn gives() -> Value {
    json!({
        "datastores": [
            {"name": "raw", "type": "AzureBlob", "accountName": "churnraw", "containerName": "raw"},
            {"name": "lake", "type": "AzureDataLakeGen2", "accountName": "lake", "filesystem": "fs", "credentials": {
                "servicePrincipal": {"tenantId": TENANT, "clientId": TENANT, "clientSecret": {"name": "lake", "key": "secret"}},
            }},
            {"name": "share", "type": "AzureFile", "accountName": "share", "fileShareName": "files", "credentials": {
                "accountKey": {"name": "share", "key": "key"},
            }},
            {"name": "signed", "type": "AzureBlob", "accountName": "signed", "containerName": "c", "credentials": {
                "sas": {"name": "share", "key": "sas"},
            }},
        ],
        "connections": [
            {"name": "feed", "category": "PythonFeed", "target": "https://feed.example", "authType": "UsernamePassword", "secrets": [
                {"field": "username", "valueFrom": {"name": "feed", "key": "user"}},
                {"field": "password", "valueFrom": {"name": "feed", "key": "password"}},
            ]},
            {"name": "git", "category": "Git", "target": "https://git.example", "authType": "PAT", "secrets": [
                {"field": "pat", "valueFrom": {"name": "feed", "key": "pat"}},
            ]},
            {"name": "custom", "category": "CustomKeys", "target": "_", "authType": "CustomKeys", "secrets": [
                {"field": "one", "valueFrom": {"name": "feed", "key": "pat"}},
            ]},
            {"name": "lake", "category": "ADLSGen2", "target": "https://lake.dfs.core.windows.net", "authType": "ServicePrincipal",
                "clientId": TENANT, "tenantId": TENANT, "metadata": {"kind": "raw"}, "isSharedToAll": true,
                "secrets": [{"field": "clientSecret", "valueFrom": {"name": "lake", "key": "secret"}}]},
            {"name": "open", "category": "Git", "target": "https://open.example", "authType": "None"},
        ],
        "diagnosticSettings": [{
            "name": "audit",
            "workspaceId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.OperationalInsights/workspaces/logs",
            "eventHub": {"authorizationRuleId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.EventHub/namespaces/n/authorizationRules/send", "name": "ml"},
            "logs": [{"categoryGroup": "audit", "enabled": true}, {"category": "RunEvent", "enabled": false}],
            "metrics": [{"category": "AllMetrics", "enabled": true}],
        }],
    })
}

fn extend(spec: &mut Value, more: &Value) {
    for (field, value) in more.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
}

fn azure() -> FakeAzure {
    let mut azure = FakeAzure::new();
    azure.add_secret("lake", "1", &["secret"]);
    azure.add_secret("share", "1", &["key", "sas"]);
    azure.add_secret("feed", "1", &["user", "password", "pat"]);
    azure
}

#[test]
fn a_workspace_wants_itself_and_what_it_stands_on() {
    insta::assert_snapshot!("ml_workspace", page(&named()));
    insta::assert_snapshot!("ml_workspace_full", page(&full()));
}

#[test]
fn names_are_derived_from_the_workspace_and_fit_every_rule() {
    for name in ["dev", "a-very_long-name-of-a-workspace01", "0-9", "___"] {
        let mut object = full();
        object["spec"]["name"] = json!(name);
        let first = compiled(&object).unwrap();
        let name_of =
            |type_: &str| first.wanted.iter().find(|it| it.id.is_a(type_)).unwrap().id.name().to_owned();
        let plain = |text: &str| text.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit());
        let storage = name_of("Microsoft.Storage/storageAccounts");
        assert!(plain(&storage) && (3..=24).contains(&storage.len()), "{storage}");
        let vault = name_of("Microsoft.KeyVault/vaults");
        assert!(plain(&vault) && vault.starts_with("kv") && vault.len() <= 24, "{vault}");
        let registry = name_of("Microsoft.ContainerRegistry/registries");
        assert!(plain(&registry) && (5..=50).contains(&registry.len()), "{registry}");
        let logs = name_of("Microsoft.OperationalInsights/workspaces");
        assert!(!logs.contains('_') && logs.len() <= 63, "{logs}");
        // Another object for the same workspace means the same accounts; another workspace has others.
        object["metadata"]["uid"] = json!("another");
        assert_eq!(compiled(&object).unwrap().wanted, first.wanted);
        object["spec"]["resourceGroup"] = json!("other");
        assert!(compiled(&object).unwrap().wanted.iter().all(|it| it.id.name() != storage));
    }
}

#[test]
fn a_workspace_with_everything_comes_and_is_left_alone() {
    let (mut azure, mut object) = (azure(), full());
    azure.ticks = 2;
    insta::assert_snapshot!("ml_workspace_steps", settle(&mut azure, &mut object).join("\n"));
    let outputs = &object["status"]["outputs"];
    for output in ["workspaceId", "discoveryUrl", "mlflowTrackingUri", "principalId"] {
        assert!(outputs[output].is_string(), "{output}");
    }
    let studio = outputs["studioUrl"].as_str().unwrap();
    assert!(
        studio.starts_with("https://ml.azure.com/?wsid=/subscriptions/")
            && studio.ends_with(&format!("&tid={TENANT}"))
    );
    let keys: Vec<&String> = azure.exported("workspace").unwrap().values.keys().collect();
    assert!(!keys.iter().any(|key| key.contains("Key") || key.contains("Password")), "{keys:?}");
    assert!(azure.exported("workspace-keys").unwrap().values.contains_key("storageAccountKey"));
}

#[test]
fn what_is_removed_from_the_spec_goes_and_what_came_by_itself_stays() {
    let (mut azure, mut object) = (azure(), full());
    azure.ticks = 1;
    settle(&mut azure, &mut object);
    change(&mut object, |spec| {
        spec["datastores"].as_array_mut().unwrap().retain(|store| store["name"] != "raw");
        spec["managedNetwork"]["outboundRules"].as_array_mut().unwrap().truncate(1);
    });
    let steps = settle(&mut azure, &mut object);
    assert_eq!(
        steps,
        ["delete W/outboundRules/monitor", "delete W/outboundRules/lake", "delete W/datastores/raw"]
    );
    assert!(azure.get(&inside("datastores/workspaceblobstore")).is_some());
}

#[test]
fn small_changes_are_patched_and_others_written_whole() {
    let (mut azure, mut object) = (azure(), named());
    settle(&mut azure, &mut object);
    change(&mut object, |spec| spec["friendlyName"] = json!("other"));
    assert_eq!(settle(&mut azure, &mut object), ["patch W"]);
    change(&mut object, |spec| {
        spec["identity"] =
            json!({"type": "SystemAssignedAndUserAssigned", "userAssignedIdentities": [IDENTITY]});
    });
    assert_eq!(settle(&mut azure, &mut object), ["update W"]);
}

#[test]
fn another_storage_account_is_refused_and_nothing_is_deleted() {
    let (mut azure, mut object) = (azure(), full());
    settle(&mut azure, &mut object);
    change(&mut object, |spec| spec["storageAccount"] = named()["spec"]["storageAccount"].clone());
    let calls = azure.calls.len();
    azure.converge(&mut object, 5);
    let (reason, message) = ready(&object);
    assert_eq!(reason, "Immutable");
    assert!(message.contains("/properties/storageAccount is"), "{message}");
    assert_eq!(azure.calls.len(), calls);
}

#[test]
fn credentials_that_are_never_read_back_are_sent_when_they_change() {
    let (mut azure, mut object) = (azure(), full());
    settle(&mut azure, &mut object);
    azure.add_secret("feed", "2", &["user", "password", "pat"]);
    let mut sent = settle(&mut azure, &mut object);
    sent.sort();
    assert_eq!(
        sent,
        ["update W/connections/custom", "update W/connections/feed", "update W/connections/git"]
    );
    change(&mut object, |spec| {
        spec["connections"][3]["clientId"] = json!("10000000-0000-0000-0000-000000000000");
    });
    assert_eq!(settle(&mut azure, &mut object), ["update W/connections/lake"]);
}

#[test]
fn a_workspace_that_can_be_recovered_keeps_what_it_stands_on() {
    let (mut azure, mut object) = (azure(), full());
    object["spec"]["environment"] = json!("Development");
    object["spec"]["softDelete"] = json!({"onDelete": "SoftDelete"});
    settle(&mut azure, &mut object);
    delete(&mut object);
    assert_eq!(settle(&mut azure, &mut object), ["delete W", "remove the finalizer"]);
    assert_eq!(left(&azure).len(), 5, "{:?}", left(&azure));
    // The name is taken until the workspace is recovered or purged.
    let mut again = full();
    azure.converge(&mut again, 5);
    assert_eq!(ready(&again).0, "SoftDeleted");
}

#[test]
fn a_purged_workspace_leaves_nothing_and_a_production_one_stays() {
    let (mut azure, mut object) = (azure(), full());
    object["spec"]["environment"] = json!("Staging");
    settle(&mut azure, &mut object);
    delete(&mut object);
    let steps = settle(&mut azure, &mut object);
    assert_eq!(steps[0], "delete W");
    assert_eq!(left(&azure), Vec::<String>::new());

    let (mut azure, mut object) = (self::azure(), full());
    settle(&mut azure, &mut object);
    let before = left(&azure);
    delete(&mut object);
    assert_eq!(settle(&mut azure, &mut object), ["remove the finalizer"]);
    assert_eq!(left(&azure), before);
}

#[test]
fn a_project_needs_a_hub() {
    let mut project = object(
        "MLWorkspace",
        "part",
        &json!({"environment": "Development", "resourceGroup": "ml", "location": "westeurope", "kind": "Project", "hubRef": {"name": "hub"}}),
    );
    let refusal = compiled(&project).unwrap_err();
    assert_eq!(
        (refusal.reason.name(), refusal.message.as_str()),
        ("DependencyNotReady", "there is no MLWorkspace hub in this namespace")
    );
    let hub_id = super::WORKSPACE.replace("workspaces/dev", "workspaces/hub");
    let mut hub = place("MLWorkspace", &hub_id, "hub");
    let among =
        |hub: &Value| [(("MLWorkspace".to_owned(), "hub".to_owned()), hub.clone())].into_iter().collect();
    hub["spec"]["kind"] = json!("Default");
    assert_eq!(
        compiled_among(&project, &among(&hub)).unwrap_err().message,
        "hubRef names hub, which is not of the kind Hub"
    );
    hub["spec"]["kind"] = json!("Hub");
    let wanted = compiled_among(&project, &among(&hub)).unwrap().wanted;
    assert_eq!(wanted[0].body["properties"]["hubResourceId"], json!(id(&hub_id)));
    project["spec"]["hubRef"] = Value::Null;
    project["spec"]["hubResourceId"] = json!(hub_id);
    assert_eq!(compiled(&project).unwrap().wanted[0].body, wanted[0].body);
}
