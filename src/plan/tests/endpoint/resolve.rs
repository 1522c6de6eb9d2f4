//! Where registered models lie: every form of id and address, and what is refused.
use std::collections::BTreeMap;

use api::endpoint::ResolvedModel;
use arm::ResourceId;
use plan::azure::{Facts, Read, Refusal, Sight};
use plan::endpoint::model_uri;
use serde_json::{Value, json};

const WORKSPACE: &str =
    "/subscriptions/s/resourceGroups/ml/providers/Microsoft.MachineLearningServices/workspaces/dev";
const REGISTRY: &str =
    "/subscriptions/s/resourceGroups/ml/providers/Microsoft.MachineLearningServices/registries/contoso";
const GUID: &str = "11111111-2222-3333-4444-555555555555";

fn object(kind: &str, name: &str, id: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "mlops-operator.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "team"},
        "spec": spec,
        "status": {"id": id, "resources": [{"id": id, "state": "Ready"}]},
    })
}

fn objects() -> BTreeMap<(String, String), Value> {
    let place = |name: &str| json!({"subscriptionId": "s", "resourceGroup": "ml", "name": name});
    let model = json!({"workspaceRef": {"name": "ws"}, "versions": [{"version": "7"}]});
    let model_id = format!("{WORKSPACE}/models/churn");
    let mut model = object("Model", "churn", &model_id, &model);
    model["status"]["resources"]
        .as_array_mut()
        .unwrap()
        .push(json!({"id": format!("{model_id}/versions/7"), "state": "Ready"}));
    let all = [
        object("MLWorkspace", "ws", WORKSPACE, &place("dev")),
        object("ModelRegistry", "reg", REGISTRY, &place("contoso")),
        model,
    ];
    let key = |it: &Value| {
        (it["kind"].as_str().unwrap().to_owned(), it["metadata"]["name"].as_str().unwrap().to_owned())
    };
    all.into_iter().map(|it| (key(&it), it)).collect()
}

fn azure() -> BTreeMap<ResourceId, Value> {
    let version = |uri: &str| json!({"properties": {"modelUri": uri, "properties": {"mlops-operator-digest": testkit::DIGEST}}});
    let store = |type_: &str, container: &str| json!({"properties": {"datastoreType": type_, "accountName": "acct", container: "box", "endpoint": "core.windows.net", "protocol": "https"}});
    [
        (WORKSPACE.to_owned(), json!({"properties": {"workspaceId": GUID}})),
        (
            format!("{WORKSPACE}/models/churn/versions/7"),
            version("azureml://datastores/blob/paths/churn/a b.onnx"),
        ),
        (
            format!("{WORKSPACE}/models/job/versions/1"),
            version("azureml://jobs/run_1/outputs/artifacts/paths/model/"),
        ),
        (
            format!("{WORKSPACE}/models/odd/versions/1"),
            version("azureml://jobs/run_1/outputs/other/paths/model/"),
        ),
        (
            format!("{REGISTRY}/models/churn/versions/7"),
            version("https://reg.blob.core.windows.net/c/m.onnx"),
        ),
        (format!("{WORKSPACE}/datastores/blob"), store("AzureBlob", "containerName")),
        (format!("{WORKSPACE}/datastores/workspaceartifactstore"), store("AzureBlob", "containerName")),
        (format!("{WORKSPACE}/datastores/lake"), store("AzureDataLakeGen2", "filesystem")),
        (format!("{WORKSPACE}/datastores/share"), store("AzureFile", "fileShareName")),
    ]
    .into_iter()
    .map(|(id, body)| (ResourceId::parse(&id).unwrap(), body))
    .collect()
}

/// Resolves a model as the operator does, and counts the reads.
fn resolve(model: &Value, status: &Value) -> Result<(ResolvedModel, usize), Refusal> {
    let mut endpoint = json!({
        "apiVersion": "mlops-operator.dev/v1alpha1",
        "kind": "Endpoint",
        "metadata": {"name": "churn", "namespace": "team"},
        "spec": {"model": model},
        "status": status,
    });
    endpoint["spec"]["model"]["format"] = json!("ONNX");
    let (objects, azure) = (objects(), azure());
    let mut seen = BTreeMap::new();
    for _ in 0..5 {
        let facts = Facts {
            now: testkit::now(),
            objects: &objects,
            seen: &seen,
            subscription: None,
            assume_ready: false,
        };
        let resolution = model_uri::resolve(&endpoint, &facts)?;
        if let Some(model) = resolution.model {
            return Ok((model, seen.len()));
        }
        assert!(!resolution.reads.is_empty());
        for read in resolution.reads {
            let Read::Get(id) = read else { panic!("{read:?}") };
            let sight = azure.get(&id).map_or(Sight::Absent, |body| Sight::Present(body.clone()));
            seen.insert(id, sight);
        }
    }
    panic!("it asks for ever")
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "the calls read better")]
fn lies_at(model: Value, url: &str) {
    let (found, _) = resolve(&model, &json!({})).unwrap();
    assert_eq!(found.url, url, "{model}");
}

#[test]
fn every_form_of_id_and_address_is_found() {
    let workspace = |uri: &str| json!({"uri": uri, "workspaceRef": {"name": "ws"}});
    let blob = "https://acct.blob.core.windows.net/box/churn/a%20b.onnx";
    lies_at(json!({"modelRef": {"name": "churn", "version": "7"}}), blob);
    lies_at(json!({"modelRef": {"name": "churn"}}), blob);
    lies_at(json!({"uri": format!("{WORKSPACE}/models/churn/versions/7")}), blob);
    lies_at(
        workspace(&format!("azureml://locations/westeurope/workspaces/{GUID}/models/churn/versions/7")),
        blob,
    );
    lies_at(
        json!({"uri": "azureml://registries/contoso/models/churn/versions/7", "registryRef": {"name": "reg"}}),
        "https://reg.blob.core.windows.net/c/m.onnx",
    );
    lies_at(
        workspace("azureml://datastores/lake/paths/a/b.onnx"),
        "https://acct.dfs.core.windows.net/box/a/b.onnx",
    );
    lies_at(
        json!({"uri": "azureml://subscriptions/s/resourcegroups/ml/workspaces/dev/datastores/blob/paths/a/b"}),
        "https://acct.blob.core.windows.net/box/a/b",
    );
    lies_at(
        json!({"uri": format!("{WORKSPACE}/models/job/versions/1")}),
        "https://acct.blob.core.windows.net/box/ExperimentRun/dcid.run_1/model/",
    );
}

#[test]
fn what_the_status_remembers_is_not_read_again() {
    let model = json!({"modelRef": {"name": "churn", "version": "7"}});
    let (found, reads) = resolve(&model, &json!({})).unwrap();
    assert_eq!((reads, found.digest.as_deref()), (2, Some(testkit::DIGEST)));
    let (again, reads) = resolve(&model, &json!({"resolvedModel": found})).unwrap();
    assert_eq!((again, reads), (found, 0));
}

#[test]
fn what_can_t_be_found_is_refused_in_words() {
    let workspace = |uri: &str| json!({"uri": uri, "workspaceRef": {"name": "ws"}});
    let refused = [
        (json!({"uri": "azureml://datastores/blob/paths/a"}), "set spec.model.workspaceRef"),
        (
            json!({"uri": "azureml://registries/contoso/models/churn/versions/7"}),
            "set spec.model.registryRef",
        ),
        (
            json!({"uri": "azureml://registries/other/models/m/versions/1", "registryRef": {"name": "reg"}}),
            "stands for contoso",
        ),
        (
            workspace(
                "azureml://locations/x/workspaces/22222222-2222-3333-4444-555555555555/models/churn/versions/7",
            ),
            "correct the uri",
        ),
        (workspace("azureml://datastores/share/paths/a"), "AzureFile"),
        (workspace("azureml://datastores/none/paths/a"), "Azure has no"),
        (workspace("azureml://models/churn"), "names no model"),
        (json!({"uri": format!("{WORKSPACE}/models/odd/versions/1")}), "register the model from a datastore"),
        (json!({"uri": format!("{WORKSPACE}/models/none/versions/1")}), "Azure has no"),
        (json!({"modelRef": {"name": "other"}}), "there is no Model other"),
    ];
    for (model, words) in refused {
        let refusal = resolve(&model, &json!({})).unwrap_err();
        assert!(refusal.message.contains(words), "{model}: {}", refusal.message);
    }
}
