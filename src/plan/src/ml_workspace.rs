//! What an MLWorkspace wants in Azure: what it stands on, the workspace, and what it gives to its users.
mod access;
mod dependent;
mod network;

use api::MLWorkspace;
use api::azure::{DeletionPolicy, Export as ExportTo};
use api::ml_workspace::{
    Environment, MLWorkspaceSpec, OnDelete, PublicNetworkAccess, SystemDatastoresAuthMode, WorkspaceKind,
    WorkspaceSku,
};
use arm::ResourceId;
use serde_json::{Value, json};

use crate::azure::reference::{id, read, workspace, workspace_id};
use crate::azure::{Compiled, Export, ExportValue, Facts, Output, Refusal, Wanted, identity};

/// The fields of a workspace that Azure changes by PATCH.
const PATCHABLE: &[&str] = &[
    "/tags",
    "/properties/applicationInsights",
    "/properties/containerRegistry",
    "/properties/description",
    "/properties/friendlyName",
    "/properties/imageBuildCompute",
    "/properties/managedNetwork/firewallSku",
    "/properties/managedNetwork/isolationMode",
    "/properties/publicNetworkAccess",
    "/properties/serverlessComputeSettings",
    "/properties/systemDatastoresAuthMode",
    "/properties/v1LegacyMode",
];

/// A workspace that is to be, and where.
struct Scene<'a> {
    spec: &'a MLWorkspaceSpec,
    main: ResourceId,
    name: &'a str,
    facts: &'a Facts<'a>,
}

/// Says what an MLWorkspace wants in Azure.
pub(crate) fn compile(object: &Value, facts: &Facts) -> Result<Compiled, Refusal> {
    let object_read: MLWorkspace = read(object)?;
    let spec = &object_read.spec;
    if spec.subscription_id.is_none() && facts.subscription.is_none() {
        return Err(invalid("set spec.subscriptionId: the operator has no default subscription"));
    }
    let name = spec.name.as_deref().or(object_read.metadata.name.as_deref()).unwrap_or_default();
    let scene = Scene { spec, main: id(workspace_id(object, facts))?, name, facts };
    let mut dependents = dependent::of(&scene)?;
    let mut wanted = std::mem::take(&mut dependents.wanted);
    wanted.push(Wanted {
        after: wanted.iter().map(|it| it.id.clone()).collect(),
        patchable: PATCHABLE,
        one_at_a_time_with: Some(scene.main.clone()),
        delete_query: match spec.soft_delete.on_delete {
            OnDelete::SoftDelete => String::new(),
            OnDelete::Purge => "forceToPurge=true".to_owned(),
        },
        ..Wanted::new(scene.main.clone(), body(&scene, &dependents, hub(&scene)?.as_ref()))
    });
    wanted.extend(network::rules(&scene)?);
    wanted.extend(access::datastores(&scene)?);
    wanted.extend(access::connections(&scene)?);
    wanted.extend(access::diagnostic_settings(&scene)?);
    let output = |name, pointer| Output { name, id: scene.main.clone(), pointer };
    Ok(Compiled {
        wanted,
        reads: Vec::new(),
        requires: Vec::new(),
        outputs: vec![
            output("discoveryUrl", "/properties/discoveryUrl"),
            output("mlflowTrackingUri", "/properties/mlFlowTrackingUri"),
            output("principalId", "/identity/principalId"),
            output("studioUrl", "https://ml.azure.com/?wsid={/id}&tid={/properties/tenantId}"),
            output("workspaceId", "/properties/workspaceId"),
        ],
        exports: spec.export.iter().flat_map(|export| exports(&scene, export)).collect(),
        revision: None,
        main: scene.main,
    })
}

/// What becomes of a workspace when nobody says: that of a production environment stays.
pub(crate) fn deletion(object: &Value) -> DeletionPolicy {
    let is_production = object["spec"]["environment"] == json!(Environment::Production);
    if is_production { DeletionPolicy::Orphan } else { DeletionPolicy::Delete }
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal { reason: api::Reason::Invalid, message: message.into() }
}

/// The id of the hub of a project.
fn hub(scene: &Scene) -> Result<Option<ResourceId>, Refusal> {
    let spec = scene.spec;
    if let Some(hub) = &spec.hub_resource_id {
        return id(ResourceId::parse(hub)).map(Some);
    }
    let Some(hub) = &spec.hub_ref else { return Ok(None) };
    let kind =
        scene.facts.objects.find("MLWorkspace", &hub.name).map(|object| object["spec"]["kind"].clone());
    if kind.is_some_and(|kind| kind != json!(WorkspaceKind::Hub)) {
        return Err(invalid(format!("hubRef names {}, which is not of the kind Hub", hub.name)));
    }
    workspace(scene.facts, &hub.name).map(|hub| Some(hub.id))
}

fn body(scene: &Scene, dependents: &dependent::Dependents, hub: Option<&ResourceId>) -> Value {
    let spec = scene.spec;
    let sku = spec.sku.map(|sku| match sku {
        WorkspaceSku::Basic => json!({"name": "Basic", "tier": "Basic"}),
        WorkspaceSku::Enterprise => json!({"name": "Enterprise", "tier": "Standard"}),
    });
    let encryption = spec.encryption.as_ref().map(|encryption| {
        let identity = encryption.user_assigned_identity.as_ref();
        json!({
            "status": "Enabled",
            "keyVaultProperties": {
                "keyVaultArmId": encryption.key_vault_id,
                "keyIdentifier": encryption.key_identifier,
            },
            "identity": identity.map(|id| json!({"userAssignedIdentity": id})),
        })
    });
    let serverless = spec.serverless_compute.as_ref().map(|serverless| {
        json!({
            "serverlessComputeCustomSubnet": serverless.subnet_id,
            "serverlessComputeNoPublicIP": serverless.no_public_ip,
        })
    });
    json!({
        "location": spec.location,
        "kind": spec.kind,
        "sku": sku,
        "identity": identity(&spec.identity),
        "tags": spec.tags,
        "properties": {
            "friendlyName": spec.friendly_name,
            "description": spec.description,
            "storageAccount": dependents.storage,
            "keyVault": dependents.key_vault,
            "applicationInsights": dependents.insights,
            "containerRegistry": dependents.registry,
            "publicNetworkAccess": access(spec.public_network_access),
            "hbiWorkspace": spec.hbi_workspace,
            "imageBuildCompute": spec.image_build_compute,
            "primaryUserAssignedIdentity": spec.primary_user_assigned_identity,
            "v1LegacyMode": spec.v1_legacy_mode,
            "systemDatastoresAuthMode": spec.system_datastores_auth_mode.map(auth_mode),
            "serverlessComputeSettings": serverless,
            "managedNetwork": network::settings(spec),
            "encryption": encryption,
            "hubResourceId": hub,
            "workspaceHubConfig": spec.hub.as_ref().map(|hub| json!({
                "defaultWorkspaceResourceGroup": hub.default_workspace_resource_group,
                "additionalWorkspaceStorageAccounts": hub.additional_workspace_storage_accounts,
            })),
            "featureStoreSettings": spec.feature_store.as_ref().map(|store| json!({
                "computeRuntime": store.spark_runtime_version.as_ref().map(|version| json!({"sparkRuntimeVersion": version})),
                "offlineStoreConnectionName": store.offline_store_connection_name,
                "onlineStoreConnectionName": store.online_store_connection_name,
            })),
        },
    })
}

fn access(access: PublicNetworkAccess) -> &'static str {
    match access {
        PublicNetworkAccess::Enabled => "Enabled",
        PublicNetworkAccess::Disabled => "Disabled",
    }
}

fn auth_mode(mode: SystemDatastoresAuthMode) -> &'static str {
    match mode {
        SystemDatastoresAuthMode::AccessKey => "AccessKey",
        SystemDatastoresAuthMode::Identity => "Identity",
        SystemDatastoresAuthMode::UserDelegationSAS => "UserDelegationSAS",
    }
}

/// Ids and addresses for everybody, keys for the Secret only.
fn exports(scene: &Scene, to: &ExportTo) -> Vec<Export> {
    let main = &scene.main;
    let text = |key: &str, value: &str| (key.to_owned(), ExportValue::Text(value.to_owned()));
    let field = |key: &str, pointer| (key.to_owned(), ExportValue::Field(main.clone(), pointer));
    let addresses = [
        text("subscriptionId", main.subscription()),
        text("resourceGroup", &scene.spec.resource_group),
        text("workspaceName", scene.name),
        text("id", main.as_str()),
        field("workspaceId", "/properties/workspaceId"),
        field("discoveryUrl", "/properties/discoveryUrl"),
        field("mlflowTrackingUri", "/properties/mlFlowTrackingUri"),
    ];
    let key = |key: &str, pointer| (key.to_owned(), ExportValue::Action(main.clone(), "listKeys", pointer));
    let keys = [
        key("storageAccountKey", "/userStorageKey"),
        key("applicationInsightsInstrumentationKey", "/appInsightsInstrumentationKey"),
        key("containerRegistryUsername", "/containerRegistryCredentials/username"),
        key("containerRegistryPassword", "/containerRegistryCredentials/passwords/0/value"),
    ];
    let config_map = to.config_map_name.iter().map(|name| Export {
        secret: false,
        name: name.clone(),
        values: addresses.iter().cloned().collect(),
    });
    let secret = to.secret_name.iter().map(|name| Export {
        secret: true,
        name: name.clone(),
        values: addresses.iter().chain(&keys).cloned().collect(),
    });
    config_map.chain(secret).collect()
}
