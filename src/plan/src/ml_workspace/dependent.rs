//! What a workspace stands on: named by its id, or made beside it.
//!
//! The names of what is made are derived from the id of the workspace. So they are the same whenever the object is
//! applied anew, and nobody else's, since storage accounts, key vaults and registries share one name space worldwide.
use api::ml_workspace::{
    CreateInsights, CreateKeyVault, CreateRegistry, CreateStorage, OnDelete, PublicNetworkAccess,
    RegistrySku, SystemDatastoresAuthMode,
};
use arm::ResourceId;
use serde_json::{Value, json};

use super::{Scene, access};
use crate::azure::reference::id;
use crate::azure::{Refusal, Sight, Wanted};
use crate::digest;

/// What a workspace stands on.
#[derive(Default)]
pub(super) struct Dependents {
    pub(super) storage: Option<ResourceId>,
    pub(super) key_vault: Option<ResourceId>,
    pub(super) insights: Option<ResourceId>,
    pub(super) registry: Option<ResourceId>,
    /// What is to be made.
    pub(super) wanted: Vec<Wanted>,
}

/// The parts of a workspace's foundation, and those of them that are to be made.
pub(super) fn of(scene: &Scene) -> Result<Dependents, Refusal> {
    let spec = scene.spec;
    let mut all = Dependents::default();
    if let Some(part) = &spec.storage_account {
        all.storage = Some(match &part.create {
            Some(create) => all.make(scene, "Microsoft.Storage/storageAccounts", &storage(scene, create))?,
            None => named(part.id.as_ref())?,
        });
    }
    if let Some(part) = &spec.key_vault {
        all.key_vault = Some(match &part.create {
            Some(create) => all.make_key_vault(scene, create)?,
            None => named(part.id.as_ref())?,
        });
    }
    if let Some(part) = &spec.application_insights {
        all.insights = Some(match &part.create {
            Some(create) => all.make_insights(scene, create)?,
            None => named(part.id.as_ref())?,
        });
    }
    if let Some(part) = &spec.container_registry {
        all.registry = Some(match &part.create {
            Some(create) => {
                all.make(scene, "Microsoft.ContainerRegistry/registries", &registry(scene, create))?
            }
            None => named(part.id.as_ref())?,
        });
    }
    Ok(all)
}

fn named(given: Option<&String>) -> Result<ResourceId, Refusal> {
    id(ResourceId::parse(given.map_or("", String::as_str)))
}

/// A resource that is to be made: its name, and its body without location and tags.
struct Made {
    name: String,
    body: Value,
}

impl Dependents {
    /// Adds a resource of the workspace's resource group.
    fn make(&mut self, scene: &Scene, type_: &str, made: &Made) -> Result<ResourceId, Refusal> {
        let group = id(ResourceId::resource_group_of(scene.main.subscription(), &scene.spec.resource_group))?;
        let made_id = id(group.with_provider(type_, &made.name))?;
        let mut body = made.body.clone();
        body["location"] = json!(scene.spec.location);
        body["tags"] = json!(scene.spec.tags);
        // A workspace that may be recovered needs what it stood on.
        let stays = scene.spec.soft_delete.on_delete == OnDelete::SoftDelete;
        self.wanted.push(Wanted { stays, ..Wanted::new(made_id.clone(), body) });
        Ok(made_id)
    }

    fn make_key_vault(&mut self, scene: &Scene, create: &CreateKeyVault) -> Result<ResourceId, Refusal> {
        let name = create.name.clone().unwrap_or_else(|| format!("kv{}", unique(scene, 12)));
        let type_ = "Microsoft.KeyVault/vaults";
        let made = Made {
            name,
            body: json!({"properties": {
                "tenantId": create.tenant_id,
                "sku": {"family": "A", "name": "standard"},
                "enableRbacAuthorization": true,
                "enableSoftDelete": true,
                "softDeleteRetentionInDays": create.soft_delete_retention_in_days,
                "enablePurgeProtection": true,
                "publicNetworkAccess": access(scene.spec.public_network_access),
                "networkAcls": network_rules(scene.spec.public_network_access),
            }}),
        };
        let made_id = self.make(scene, type_, &made)?;
        if !matches!(scene.facts.seen.get(&made_id), Some(Sight::Present(_)))
            && let Some(vault) = self.wanted.last_mut()
        {
            // A new vault must have the list; later it is Azure's own, which puts the workspace's identity there.
            vault.body["properties"]["accessPolicies"] = json!([]);
        }
        Ok(made_id)
    }

    fn make_insights(&mut self, scene: &Scene, create: &CreateInsights) -> Result<ResourceId, Refusal> {
        let base = scene.name.replace('_', "-");
        let logs = if let Some(given) = &create.log_analytics_id {
            id(ResourceId::parse(given))?
        } else {
            let body = json!({"properties": {
                "sku": {"name": "PerGB2018"},
                "retentionInDays": create.retention_in_days,
            }});
            let made = Made { name: format!("{base}-logs"), body };
            self.make(scene, "Microsoft.OperationalInsights/workspaces", &made)?
        };
        let made = Made {
            name: create.name.clone().unwrap_or_else(|| format!("{base}-insights")),
            body: json!({
                "kind": "web",
                "properties": {"Application_Type": "web", "WorkspaceResourceId": logs},
            }),
        };
        let insights = self.make(scene, "Microsoft.Insights/components", &made)?;
        if let Some(wanted) = self.wanted.last_mut() {
            wanted.after = vec![logs];
        }
        Ok(insights)
    }
}

fn storage(scene: &Scene, create: &CreateStorage) -> Made {
    let spec = scene.spec;
    // Who reads by identity alone needs no keys.
    let by_identity = spec.system_datastores_auth_mode == Some(SystemDatastoresAuthMode::Identity);
    let properties = json!({
        "minimumTlsVersion": "TLS1_2",
        "supportsHttpsTrafficOnly": true,
        "allowBlobPublicAccess": false,
        "allowCrossTenantReplication": false,
        "allowSharedKeyAccess": by_identity.then_some(false),
        "isHnsEnabled": create.hierarchical_namespace.then_some(true),
        "publicNetworkAccess": access(spec.public_network_access),
        "networkAcls": network_rules(spec.public_network_access),
    });
    Made {
        name: create.name.clone().unwrap_or_else(|| unique(scene, 14)),
        body: json!({"kind": "StorageV2", "sku": {"name": create.sku}, "properties": properties}),
    }
}

fn registry(scene: &Scene, create: &CreateRegistry) -> Made {
    // The lower tiers can't be closed to the internet.
    let is_closable = create.sku == RegistrySku::Premium;
    Made {
        name: create.name.clone().unwrap_or_else(|| format!("cr{}", unique(scene, 38))),
        body: json!({"sku": {"name": create.sku}, "properties": {
            "adminUserEnabled": false,
            "publicNetworkAccess": is_closable.then(|| access(scene.spec.public_network_access)),
        }}),
    }
}

/// Azure's own services come in; others as the workspace is open.
fn network_rules(access: PublicNetworkAccess) -> Value {
    let action = match access {
        PublicNetworkAccess::Enabled => "Allow",
        PublicNetworkAccess::Disabled => "Deny",
    };
    json!({"bypass": "AzureServices", "defaultAction": action})
}

/// A name of lower-case letters and digits: at most `length` of the workspace's name, and 10 of the digest of its id.
fn unique(scene: &Scene, length: usize) -> String {
    let plain = scene.name.chars().filter(char::is_ascii_alphanumeric).take(length);
    let of_id = digest::of(&json!(scene.main.as_str().to_ascii_lowercase()), 10);
    plain.collect::<String>().to_ascii_lowercase() + &of_id
}
