//! Manifests of ModelRegistries.
use serde_json::{Value, json};

use super::{accepts, accepts_change, object, refuses, refuses_change, with};

fn registry(changes: &Value) -> Value {
    let spec = json!({"resourceGroup": "ml", "location": "westeurope", "regionDetails": [{"location": "westeurope"}]});
    object("ModelRegistry", "contoso", &with(&spec, changes))
}

#[test]
fn registries_are_judged_by_their_regions() {
    let account = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a";
    for changes in [
        json!({}),
        json!({"regionDetails": null}),
        json!({"regionDetails.0.storageAccount": {"id": account}}),
        json!({"regionDetails.0.storageAccount": {"storageAccountType": "Premium_LRS"}, "publicNetworkAccess": "Disabled"}),
    ] {
        accepts(&registry(&changes));
    }
    for (changes, words) in [
        (json!({"regionDetails.0.location": "northeurope"}), "regionDetails must have an entry for location"),
        (
            json!({"regionDetails.0.storageAccount": {"id": account, "storageAccountType": "Premium_LRS"}}),
            "are for an account that Azure makes",
        ),
        (json!({"location": "West Europe", "name": "a"}), "minLength"),
    ] {
        refuses(&registry(&changes), words);
    }
    refuses(
        &object("ModelRegistry", "a.b", &registry(&json!({}))["spec"]),
        "metadata.name must have 3 to 33",
    );
}

#[test]
fn regions_can_be_added_and_not_removed() {
    let two = registry(&json!({"regionDetails": [{"location": "westeurope"}, {"location": "northeurope"}]}));
    let one = registry(&json!({}));
    accepts_change(&one, &two);
    refuses_change(&two, &one, "a region can't be removed");
    refuses_change(
        &one,
        &registry(&json!({"name": "other"})),
        "can't be changed: make another ModelRegistry",
    );
}
