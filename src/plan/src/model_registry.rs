//! What a ModelRegistry wants in Azure: one registry, whose accounts Azure makes or the manifest names.
use api::ModelRegistry;
use api::ml_workspace::PublicNetworkAccess;
use api::model_registry::{ModelRegistrySpec, RegionDetails, RegionRegistry, RegionStorage};
use arm::ResourceId;
use serde_json::{Value, json};

use crate::azure::reference::{id, of_group, read};
use crate::azure::{Compiled, Export, ExportValue, Facts, Output, Refusal, Wanted, identity};

/// The fields of a registry that Azure changes by PATCH.
const PATCHABLE: &[&str] = &["/tags"];

/// Says what a ModelRegistry wants in Azure.
pub(crate) fn compile(object: &Value, facts: &Facts) -> Result<Compiled, Refusal> {
    let registry: ModelRegistry = read(object)?;
    let spec = &registry.spec;
    if spec.subscription_id.is_none() && facts.subscription.is_none() {
        return Err(Refusal {
            reason: api::Reason::Invalid,
            message: "set spec.subscriptionId: the operator has no default subscription".to_owned(),
        });
    }
    let main = id(of_group(object, facts, "registries"))?;
    let output = |name, pointer| Output { name, id: main.clone(), pointer };
    Ok(Compiled {
        wanted: vec![Wanted { patchable: PATCHABLE, ..Wanted::new(main.clone(), body(spec)) }],
        reads: Vec::new(),
        requires: Vec::new(),
        outputs: vec![
            output("discoveryUrl", "/properties/discoveryUrl"),
            output("managedResourceGroup", "/properties/managedResourceGroup/resourceId"),
            output("mlflowRegistryUri", "/properties/mlFlowRegistryUri"),
            output("principalId", "/identity/principalId"),
        ],
        exports: exports(spec, &main),
        revision: None,
        main,
    })
}

fn body(spec: &ModelRegistrySpec) -> Value {
    let regions: Vec<Value> = if spec.region_details.is_empty() {
        vec![region(&RegionDetails {
            location: spec.location.clone(),
            container_registry: RegionRegistry::default(),
            storage_account: RegionStorage::default(),
        })]
    } else {
        spec.region_details.iter().map(region).collect()
    };
    let access = match spec.public_network_access {
        PublicNetworkAccess::Enabled => "Enabled",
        PublicNetworkAccess::Disabled => "Disabled",
    };
    json!({
        "location": spec.location,
        "identity": identity(&spec.identity),
        "tags": spec.tags,
        "properties": {
            "publicNetworkAccess": access,
            "managedResourceGroup": spec.managed_resource_group.as_ref().map(|id| json!({"resourceId": id})),
            "regionDetails": regions,
        },
    })
}

/// A region as Azure has it. What Azure makes carries settings; what exists, its id.
fn region(region: &RegionDetails) -> Value {
    let given = |id: &String| json!({"armResourceId": {"resourceId": id}});
    let registry = match &region.container_registry.id {
        Some(id) => json!({"userCreatedAcrAccount": given(id)}),
        // Registries take no other tier.
        None => json!({"systemCreatedAcrAccount": {"acrAccountSku": "Premium"}}),
    };
    let account = &region.storage_account;
    let storage = match &account.id {
        Some(id) => json!({"userCreatedStorageAccount": given(id)}),
        None => json!({"systemCreatedStorageAccount": {
            "storageAccountType": account.storage_account_type.unwrap_or_default(),
            "storageAccountHnsEnabled": account.storage_account_hns_enabled.unwrap_or_default(),
            "allowBlobPublicAccess": false,
        }}),
    };
    json!({"location": region.location, "acrDetails": [registry], "storageAccountDetails": [storage]})
}

/// A registry has no keys: the Secret gets what the ConfigMap gets.
fn exports(spec: &ModelRegistrySpec, main: &ResourceId) -> Vec<Export> {
    let text = |key: &str, value: &str| (key.to_owned(), ExportValue::Text(value.to_owned()));
    let field = |key: &str, pointer| (key.to_owned(), ExportValue::Field(main.clone(), pointer));
    let values = [
        text("id", main.as_str()),
        text("registryName", main.name()),
        field("discoveryUrl", "/properties/discoveryUrl"),
        field("mlflowRegistryUri", "/properties/mlFlowRegistryUri"),
    ];
    let names = spec.export.iter().flat_map(|to| [(&to.config_map_name, false), (&to.secret_name, true)]);
    let named = names.filter_map(|(name, secret)| Some((name.clone()?, secret)));
    named.map(|(name, secret)| Export { secret, name, values: values.iter().cloned().collect() }).collect()
}
