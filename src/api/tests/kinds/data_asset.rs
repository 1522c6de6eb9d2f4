//! Manifests of DataAssets.
use serde_json::{Value, json};

use super::{accepts, accepts_change, object, refuses, refuses_change, with};

fn asset(changes: &Value) -> Value {
    let spec = json!({
        "workspaceRef": {"name": "dev"},
        "version": "1",
        "type": "Folder",
        "uri": "azureml://datastores/raw/paths/churn/2026-01/",
    });
    object("DataAsset", "churn", &with(&spec, changes))
}

#[test]
fn sensible_data_assets_are_accepted() {
    for changes in [
        json!({}),
        json!({"type": "MLTable", "tags": {"owner": "anna"}}),
        json!({"type": "File", "uri": "https://account.blob.core.windows.net/raw/churn.csv"}),
        json!({"uri": "abfss://raw@account.dfs.core.windows.net/churn"}),
        json!({"uri": "wasbs://raw@account.blob.core.windows.net/churn"}),
        json!({"name": "churn_2026", "version": "2026-01-31.1"}),
    ] {
        accepts(&asset(&changes));
    }
}

#[test]
fn nonsense_in_a_data_asset_is_refused_with_a_sentence() {
    let uri = "uri must be azureml://datastores/STORE/paths/PATH";
    for (changes, words) in [
        (json!({"uri": "s3://bucket/churn"}), uri),
        (json!({"uri": "/mnt/churn"}), uri),
        (json!({"uri": "https://host/a b"}), uri),
        (json!({"uri": "https://user:password@host/churn"}), uri),
        (json!({"uri": "https://host/churn.csv?sig=secret"}), "must not carry a query"),
        (json!({"uri": ""}), "minLength"),
        (json!({"type": "Table"}), "is none of"),
        (json!({"version": null}), "version: required"),
        (json!({"tags": {"a": "b".repeat(257)}}), "maxLength"),
    ] {
        refuses(&asset(&changes), words);
    }
}

#[test]
fn a_data_asset_stays_where_it_is() {
    let words = "workspaceRef and name can't be changed";
    refuses_change(&asset(&json!({})), &asset(&json!({"workspaceRef.name": "other"})), words);
    refuses_change(&asset(&json!({})), &asset(&json!({"name": "other"})), words);
    accepts_change(&asset(&json!({})), &asset(&json!({"version": "2"})));
}
