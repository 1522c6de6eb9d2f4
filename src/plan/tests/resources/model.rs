//! Models.
use serde_json::{Value, json};

use super::{
    REGISTRY, azure, change, compiled, delete, id, inside, left, object, page, ready, settle, stuck,
};

fn version(version: &str) -> Value {
    json!({"version": version, "uri": format!("azureml://datastores/models/paths/churn/{version}"), "format": "ONNX"})
}

fn model(versions: &[Value]) -> Value {
    object("Model", "churn", &json!({"workspaceRef": {"name": "dev"}, "versions": versions}))
}

fn with(mut version: Value, field: &str, value: Value) -> Value {
    version[field] = value;
    version
}

fn environment() -> Value {
    json!({"name": "score", "version": "3", "image": "registry.example/score@sha256:0", "condaFile": "name: score\n"})
}

fn code() -> Value {
    json!({"uri": "https://account.blob.core.windows.net/code/churn", "scoringScript": "score.py"})
}

/// A model whose one version has an environment and code.
fn full() -> Value {
    model(&[with(with(version("1"), "environment", environment()), "code", code())])
}

#[test]
fn a_model_wants_a_container_and_its_versions() {
    insta::assert_snapshot!("model", page(&model(&[version("1")])));
    insta::assert_snapshot!("model_without_versions", page(&model(&[])));
}

#[test]
fn a_model_wants_what_its_versions_depend_on_before_them() {
    let last = json!({
        "version": "2",
        "uri": "azureml://jobs/train/outputs/artifacts/paths/model",
        "format": "MLflow",
        "description": "trained on January",
        "tags": {"team": "churn"},
        "properties": {"auc": "0.83"},
        "stage": "Staging",
        "flavors": {"python_function": {"loader_module": "mlflow.sklearn"}},
        "digest": "sha256:aaaa",
        "jobName": "train",
        "environment": {
            "name": "score", "version": "4", "image": "registry.example/score@sha256:1",
            "inferenceConfig": {
                "livenessRoute": {"path": "/live", "port": 8080},
                "readinessRoute": {"path": "/ready", "port": 8080},
                "scoringRoute": {"path": "/score", "port": 8080},
                "startupRoute": {"path": "/started", "port": 8080},
            },
            "description": "scores", "tags": {"cve": "none"},
        },
        "code": {
            "name": "score", "version": "9", "uri": "https://account.blob.core.windows.net/code/score",
            "scoringScript": "score.py",
        },
    });
    let first =
        with(with(version("1"), "environment", json!({"name": "old", "version": "1"})), "code", code());
    let mut model = model(&[first, last]);
    model["spec"]["description"] = json!("who leaves");
    model["spec"]["tags"] = json!({"area": "sales"});
    insta::assert_snapshot!("model_full", page(&model));
}

#[test]
fn a_model_of_a_registry_wants_the_same_there() {
    let mut model = full();
    model["spec"].as_object_mut().unwrap().remove("workspaceRef");
    model["spec"]["registryRef"] = json!({"name": "contoso"});
    model["spec"]["name"] = json!("churn-classifier");
    insta::assert_snapshot!("model_of_a_registry", page(&model));
    let mut azure = azure();
    azure.ticks = 2;
    let made = settle(&mut azure, &mut model);
    assert_eq!(made.last().unwrap(), "create R/models/churn-classifier/versions/1");
    delete(&mut model);
    settle(&mut azure, &mut model);
    let containers = ["R/codes/churn-classifier", "R/environments/score"];
    assert_eq!(left(&azure), containers);
    assert!(azure.get(&id(REGISTRY)).is_some());
}

#[test]
fn a_model_comes_in_order_and_goes_in_reverse() {
    let mut azure = azure();
    let mut model = full();
    let made = settle(&mut azure, &mut model);
    let version = "W/models/churn/versions/1";
    assert_eq!(
        made,
        [
            "add the finalizer",
            "create W/models/churn",
            "create W/environments/score/versions/3",
            "create W/codes/churn/versions/1",
            "create W/models/churn/versions/1",
        ]
    );
    assert_eq!(model["status"]["outputs"]["modelUri"], "azureml://datastores/models/paths/churn/1");
    delete(&mut model);
    let gone = settle(&mut azure, &mut model);
    assert_eq!(gone[0], format!("delete {version}"));
    assert_eq!(gone.last().unwrap(), "remove the finalizer");
    let at = |line: &str| gone.iter().position(|it| it == line).unwrap();
    assert!(at("delete W/environments/score/versions/3") > 0 && at("delete W/models/churn") > 0);
    // Containers that came with a version are nobody's.
    assert_eq!(left(&azure), ["W/codes/churn", "W/environments/score"]);
}

#[test]
fn a_version_that_is_taken_off_the_list_goes() {
    let mut azure = azure();
    let mut model = model(&[version("1"), version("2")]);
    settle(&mut azure, &mut model);
    change(&mut model, |spec| spec["versions"] = json!([version("2")]));
    assert_eq!(settle(&mut azure, &mut model), ["delete W/models/churn/versions/1"]);
}

#[test]
fn with_archive_what_goes_is_hidden_and_comes_back() {
    let mut azure = azure();
    let mut model = model(&[version("1"), version("2")]);
    model["spec"]["management"] = json!({"deletion": "Archive"});
    settle(&mut azure, &mut model);
    let is_archived = |azure: &testkit::azure::FakeAzure, path: &str| {
        azure.get(&inside(path)).unwrap()["properties"]["isArchived"] == true
    };
    change(&mut model, |spec| spec["versions"] = json!([version("2")]));
    assert_eq!(settle(&mut azure, &mut model), ["update W/models/churn/versions/1"]);
    assert!(is_archived(&azure, "models/churn/versions/1"));
    change(&mut model, |spec| spec["versions"] = json!([version("1"), version("2")]));
    assert_eq!(settle(&mut azure, &mut model), ["update W/models/churn/versions/1"]);
    assert!(!is_archived(&azure, "models/churn/versions/1"));
    delete(&mut model);
    let gone = settle(&mut azure, &mut model);
    assert!(gone.iter().all(|line| !line.starts_with("delete")), "{gone:?}");
    for path in ["models/churn", "models/churn/versions/1", "models/churn/versions/2"] {
        assert!(is_archived(&azure, path), "{path}");
    }
}

#[test]
fn versions_that_others_registered_are_left_alone() {
    for deletion in ["Delete", "Archive"] {
        let mut azure = azure();
        let mut model = model(&[version("1")]);
        model["spec"]["management"] = json!({"deletion": deletion});
        settle(&mut azure, &mut model);
        let theirs = json!({"properties": {"modelUri": "runs:/r/model", "isArchived": false, "tags": {}}});
        azure.put(&inside("models/churn/versions/7"), &theirs);
        assert_eq!(ready(&model).0, "Ready");
        delete(&mut model);
        settle(&mut azure, &mut model);
        let kept = azure.get(&inside("models/churn/versions/7")).unwrap();
        assert_eq!(kept["properties"]["isArchived"], false, "{deletion}");
        assert!(left(&azure).contains(&"W/models/churn".to_owned()), "{deletion}");
    }
}

#[test]
fn a_registered_version_can_t_get_another_file() {
    let digest = |digit: &str| json!(format!("sha256:{}", digit.repeat(64)));
    let mut azure = azure();
    let mut model = model(&[version("1")]);
    settle(&mut azure, &mut model);
    change(&mut model, |spec| spec["versions"][0]["digest"] = digest("a"));
    assert_eq!(settle(&mut azure, &mut model), ["update W/models/churn/versions/1"]);
    change(&mut model, |spec| spec["versions"][0]["digest"] = digest("b"));
    let (reason, message) = stuck(&mut azure, &mut model);
    assert_eq!(reason, "Immutable");
    assert!(message.ends_with("another file needs a new version"), "{message}");
    change(&mut model, |spec| {
        spec["versions"][0]["digest"] = digest("a");
        spec["versions"][0]["uri"] = json!("azureml://datastores/models/paths/other");
    });
    let (reason, message) = stuck(&mut azure, &mut model);
    assert_eq!(reason, "Immutable");
    assert!(message.contains("/properties/modelUri is"), "{message}");
}

#[test]
fn the_address_that_azure_made_longer_is_the_same() {
    let mut azure = azure();
    let mut model = model(&[version("1")]);
    settle(&mut azure, &mut model);
    azure.edit(&inside("models/churn/versions/1"), |body| {
        body["properties"]["modelUri"] = json!(format!(
            "azureml://subscriptions/s/resourcegroups/ml/workspaces/dev/datastores/models/paths/churn/1"
        ));
    });
    assert_eq!(settle(&mut azure, &mut model), Vec::<String>::new());
}

#[test]
fn an_environment_of_its_own_is_not_described_in_two_ways() {
    let other = with(environment(), "image", json!("registry.example/other"));
    let versions =
        [with(version("1"), "environment", environment()), with(version("2"), "environment", other)];
    let refusal = compiled(&model(&versions)).unwrap_err();
    assert_eq!(refusal.reason, api::Reason::Invalid);
    assert_eq!(
        refusal.message,
        "version 2 describes score:3 otherwise than a version before it: give it a name or version of its own"
    );
    let versions =
        [with(version("1"), "environment", environment()), with(version("2"), "environment", environment())];
    assert_eq!(compiled(&model(&versions)).unwrap().wanted.len(), 4);
}

#[test]
fn an_environment_without_an_image_must_exist() {
    let mut azure = azure();
    let reference = json!({"name": "curated", "version": "5"});
    let mut model = model(&[with(version("1"), "environment", reference)]);
    let (reason, message) = stuck(&mut azure, &mut model);
    assert_eq!(reason, "DependencyNotReady");
    assert_eq!(message, "there is no environment curated:5 yet; register it, or give it an image");
    azure.put(&inside("environments/curated/versions/5"), &json!({"properties": {"image": "i"}}));
    settle(&mut azure, &mut model);
    delete(&mut model);
    settle(&mut azure, &mut model);
    assert!(azure.get(&inside("environments/curated/versions/5")).is_some());
}

#[test]
fn a_model_of_two_places_or_none_is_refused() {
    let mut nowhere = model(&[]);
    nowhere["spec"].as_object_mut().unwrap().remove("workspaceRef");
    let refusal = compiled(&nowhere).unwrap_err();
    assert_eq!(refusal.message, "a Model belongs to one place: set either workspaceRef or registryRef");
    nowhere["spec"]["registryRef"] = json!({"name": "fabrikam"});
    let refusal = compiled(&nowhere).unwrap_err();
    assert_eq!(refusal.message, "there is no ModelRegistry fabrikam in this namespace");
}
