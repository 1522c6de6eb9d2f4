//! DataAssets.
use serde_json::{Value, json};

use super::{azure, change, compiled_among, delete, inside, left, object, page, settle, stuck};

fn asset() -> Value {
    object(
        "DataAsset",
        "churn",
        &json!({
            "workspaceRef": {"name": "dev"},
            "version": "1",
            "type": "Folder",
            "uri": "azureml://datastores/raw/paths/churn/",
        }),
    )
}

#[test]
fn a_data_asset_wants_one_version() {
    insta::assert_snapshot!("data_asset", page(&asset()));
    let mut full = asset();
    full["spec"]["name"] = json!("churn_raw");
    full["spec"]["type"] = json!("MLTable");
    full["spec"]["description"] = json!("raw events");
    full["spec"]["tags"] = json!({"owner": "anna"});
    insta::assert_snapshot!("data_asset_full", page(&full));
}

#[test]
fn a_data_asset_waits_for_its_workspace() {
    let refusal = compiled_among(&asset(), &std::collections::BTreeMap::new()).unwrap_err();
    assert_eq!(refusal.message, "there is no MLWorkspace dev in this namespace");
}

#[test]
fn a_new_version_replaces_the_one_before() {
    let mut azure = azure();
    let mut asset = asset();
    assert_eq!(settle(&mut azure, &mut asset), ["add the finalizer", "create W/data/churn/versions/1"]);
    change(&mut asset, |spec| {
        spec["version"] = json!("2");
        spec["uri"] = json!("azureml://datastores/raw/paths/churn-2/");
    });
    let moved = settle(&mut azure, &mut asset);
    assert_eq!(moved, ["create W/data/churn/versions/2", "delete W/data/churn/versions/1"]);
    delete(&mut asset);
    settle(&mut azure, &mut asset);
    assert_eq!(left(&azure), ["W/data/churn"]);
}

#[test]
fn with_archive_the_version_before_is_hidden() {
    let mut azure = azure();
    let mut asset = asset();
    asset["spec"]["management"] = json!({"deletion": "Archive"});
    settle(&mut azure, &mut asset);
    change(&mut asset, |spec| spec["version"] = json!("2"));
    settle(&mut azure, &mut asset);
    delete(&mut asset);
    settle(&mut azure, &mut asset);
    for version in ["1", "2"] {
        let body = azure.get(&inside(&format!("data/churn/versions/{version}"))).unwrap();
        assert_eq!(body["properties"]["isArchived"], true, "{version}");
    }
}

#[test]
fn another_place_of_the_same_version_is_refused() {
    let mut azure = azure();
    let mut asset = asset();
    settle(&mut azure, &mut asset);
    change(&mut asset, |spec| spec["uri"] = json!("azureml://datastores/raw/paths/other/"));
    let (reason, message) = stuck(&mut azure, &mut asset);
    assert_eq!(reason, "Immutable");
    assert!(message.contains("/properties/dataUri is"), "{message}");
}

#[test]
fn a_data_asset_that_somebody_else_made_is_not_overwritten() {
    let mut azure = azure();
    let theirs = json!({"properties": {"dataType": "uri_folder", "dataUri": "azureml://datastores/raw/paths/churn/", "isArchived": false}});
    azure.put(&inside("data/churn/versions/1"), &theirs);
    let mut asset = asset();
    let (reason, message) = stuck(&mut azure, &mut asset);
    assert_eq!(reason, "NotOwned");
    assert!(message.contains("set spec.management.adoption to IfUnowned"), "{message}");
    change(&mut asset, |spec| spec["management"] = json!({"adoption": "IfUnowned"}));
    assert_eq!(settle(&mut azure, &mut asset), ["update W/data/churn/versions/1"]);
}
