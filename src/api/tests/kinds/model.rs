//! Manifests of Models.
use serde_json::{Value, json};

use super::{accepts, accepts_change, object, refuses, refuses_change, with};

fn spec() -> Value {
    json!({
        "workspaceRef": {"name": "dev"},
        "versions": [{"version": "1", "uri": "azureml://datastores/models/paths/churn/1", "format": "ONNX"}],
    })
}

fn model(changes: &Value) -> Value {
    object("Model", "churn", &with(&spec(), changes))
}

#[test]
fn sensible_models_are_accepted() {
    for changes in [
        json!({}),
        json!({"versions": null}),
        json!({"workspaceRef": null, "versions.0.uri": "pvc://models/churn.onnx"}),
        json!({"workspaceRef": null, "versions.0.uri": "http://models.team.svc/churn.onnx"}),
        json!({"workspaceRef": null, "registryRef": {"name": "contoso"}}),
        json!({"versions.0.uri": "https://account.blob.core.windows.net/models/churn/1/model.onnx"}),
        json!({"versions.0.uri": "azureml://jobs/train/outputs/artifacts/paths/model"}),
        json!({"versions.0.uri": "runs:/train/model", "versions.0.format": "MLflow"}),
        json!({"versions.0.digest": format!("sha256:{}", "a".repeat(64))}),
        json!({"versions.0.flavors": {"onnx": {"onnx_version": "1.17"}}}),
        json!({"versions.0.environment": {"name": "score", "version": "1"}}),
        json!({"versions.0.environment": {"name": "score", "version": "1", "image": "score:1", "condaFile": "name: score"}}),
        json!({"versions.0.code": {"uri": "https://account.blob.core.windows.net/code/score", "scoringScript": "score.py"}}),
    ] {
        accepts(&model(&changes));
    }
}

#[test]
fn nonsense_in_a_model_is_refused_with_a_sentence() {
    let place = "set either workspaceRef or registryRef";
    let uri = "uri must be azureml://datastores/STORE/paths/PATH";
    for (changes, words) in [
        (json!({"registryRef": {"name": "contoso"}}), place),
        (json!({"workspaceRef": null}), "must be what pods can fetch"),
        (
            json!({"versions.0.uri": "pvc://models/churn.onnx"}),
            "uri in versions must be azureml://datastores",
        ),
        (json!({"versions.0.uri": "s3://bucket/model"}), uri),
        (json!({"versions.0.uri": "azureml://"}), uri),
        (json!({"versions.0.uri": "https://user:password@host/model"}), uri),
        (json!({"versions.0.uri": "https://host/model?sig=secret"}), "must not carry a query"),
        (json!({"versions.0.format": "Pickle"}), "is none of"),
        (json!({"versions.0.version": "1".repeat(31)}), "maxLength"),
        (
            json!({"versions.0.environment": {"name": "score", "version": "1", "condaFile": "name: score"}}),
            "environment needs image",
        ),
        (
            json!({"versions.0.environment": {"name": "score", "version": "1", "tags": {"a": "b"}}}),
            "environment needs image",
        ),
        (
            json!({"versions.0.code": {"uri": "https://host/code?sig=secret", "scoringScript": "score.py"}}),
            "code.uri must be the https:// address",
        ),
        (
            json!({"versions.0.code": {"uri": "azureml://code/score", "scoringScript": "score.py"}}),
            "code.uri must be the https:// address",
        ),
        (json!({"versions.0.tags": {"a": "b".repeat(257)}}), "maxLength"),
    ] {
        refuses(&model(&changes), words);
    }
}

#[test]
fn a_model_stays_where_it_is() {
    let words = "workspaceRef, registryRef and name can't be changed";
    for changes in [
        json!({"workspaceRef.name": "other"}),
        json!({"workspaceRef": null, "registryRef": {"name": "contoso"}}),
        json!({"name": "other"}),
    ] {
        refuses_change(&model(&json!({})), &model(&changes), words);
    }
    accepts_change(&model(&json!({})), &model(&json!({"versions.0.stage": "Production"})));
}
