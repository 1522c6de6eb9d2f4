//! ModelRegistries.
use serde_json::{Value, json};
use testkit::azure::FakeAzure;

use super::{change, delete, left, object, page, settle};

fn registry() -> Value {
    object("ModelRegistry", "contoso", &json!({"resourceGroup": "ml", "location": "westeurope"}))
}

fn full() -> Value {
    let mut registry = registry();
    let more = json!({
        "regionDetails": [
            {"location": "westeurope", "storageAccount": {"storageAccountType": "Standard_GRS", "storageAccountHnsEnabled": true}},
            {"location": "northeurope",
                "containerRegistry": {"id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/acr"},
                "storageAccount": {"id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/own"}},
        ],
        "managedResourceGroup": "/subscriptions/s/resourceGroups/managed",
        "publicNetworkAccess": "Disabled",
        "tags": {"team": "platform"},
        "export": {"configMapName": "registry"},
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        registry["spec"][field] = value.clone();
    }
    registry
}

#[test]
fn a_registry_wants_itself() {
    insta::assert_snapshot!("model_registry", page(&registry()));
    insta::assert_snapshot!("model_registry_full", page(&full()));
}

#[test]
fn a_registry_comes_changes_and_goes() {
    let (mut azure, mut object) = (FakeAzure::new(), registry());
    azure.ticks = 2;
    assert_eq!(settle(&mut azure, &mut object), ["add the finalizer", "create R"]);
    let outputs = object["status"]["outputs"].as_object().unwrap();
    let names: Vec<&String> = outputs.keys().collect();
    assert_eq!(names, ["discoveryUrl", "managedResourceGroup", "mlflowRegistryUri", "principalId"]);
    change(&mut object, |spec| spec["tags"] = json!({"team": "platform"}));
    assert_eq!(settle(&mut azure, &mut object), ["patch R"]);
    change(&mut object, |spec| {
        spec["regionDetails"] = json!([{"location": "westeurope"}, {"location": "northeurope"}]);
        spec["export"] = json!({"configMapName": "registry"});
    });
    assert_eq!(settle(&mut azure, &mut object), ["update R", "apply ConfigMap team/registry"]);
    delete(&mut object);
    assert_eq!(settle(&mut azure, &mut object), ["delete R", "remove the finalizer"]);
    assert_eq!(left(&azure), Vec::<String>::new());
}
