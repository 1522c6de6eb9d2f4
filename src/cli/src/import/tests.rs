//! What `import` writes for an Azure in this process.
use arm::ResourceId;
use arm_emulator::Emulator;
use serde_json::{Value, json};

use super::manifest::Manifest;
use super::{is_importable, manifests, write};
use crate::azure::Reads;
use crate::failure::Failure;
use crate::fixtures::{azure_environment, put};

const GROUP: &str = "/subscriptions/s1/resourceGroups/rg/providers";

fn workspace() -> ResourceId {
    ResourceId::parse(&format!("{GROUP}/Microsoft.MachineLearningServices/workspaces/churn")).unwrap()
}

/// A workspace, and below it paths with their bodies.
fn contents() -> Vec<(&'static str, Value)> {
    vec![
        (
            "",
            json!({"location": "westeurope", "identity": {"type": "SystemAssigned"}, "tags": {"environment": "dev"},
                "properties": {"friendlyName": "Churn", "publicNetworkAccess": "Enabled",
                    "storageAccount": format!("{GROUP}/Microsoft.Storage/storageAccounts/churn"),
                    "keyVault": format!("{GROUP}/Microsoft.KeyVault/vaults/churn"),
                    "applicationInsights": format!("{GROUP}/Microsoft.Insights/components/churn")}}),
        ),
        (
            "/datastores/customers",
            json!({"properties": {"datastoreType": "AzureBlob", "accountName": "source", "containerName": "customers",
                "credentials": {"credentialsType": "AccountKey", "secrets": {"secretsType": "AccountKey", "key": "a2V5"}}}}),
        ),
        (
            "/connections/code",
            json!({"properties": {"authType": "PAT", "category": "Git", "target": "https://git.example.com",
                "credentials": {"pat": "hidden"}}}),
        ),
        (
            "/computes/cpu",
            json!({"location": "westeurope", "properties": {"computeType": "AmlCompute", "properties": {
                "vmSize": "Standard_DS3_v2", "vmPriority": "Dedicated",
                "scaleSettings": {"minNodeCount": 0, "maxNodeCount": 4, "nodeIdleTimeBeforeScaleDown": "PT2M"}}}}),
        ),
        ("/models/churn", json!({"properties": {"description": "who leaves"}})),
        (
            "/models/churn/versions/1",
            json!({"properties": {"modelUri": "azureml://datastores/workspaceblobstore/paths/m/model.onnx",
                "modelType": "custom_model"}}),
        ),
        ("/data/customers", json!({"properties": {"dataType": "uri_file"}})),
        (
            "/data/customers/versions/3",
            json!({"properties": {"dataType": "uri_file",
                "dataUri": "azureml://datastores/workspaceblobstore/paths/customers.csv"}}),
        ),
    ]
}

/// An Azure with a workspace and things in it.
async fn filled() -> (Emulator, Reads) {
    let emulator = Emulator::builder().operation_duration(0).rates(None).start().await.unwrap();
    let (environment, ca) = azure_environment(&emulator);
    for (path, body) in contents() {
        put(&emulator, &ca, &format!("{}{path}", workspace()), &body).await.unwrap();
    }
    let reads = Reads::connect(&environment, Some(ca.path())).unwrap();
    (emulator, reads)
}

fn names(manifests: &[Manifest]) -> Vec<String> {
    manifests.iter().map(Manifest::file_name).collect()
}

#[tokio::test]
async fn a_workspace_is_imported_with_all_that_is_in_it_and_without_a_difference() {
    let (emulator, reads) = filled().await;
    let manifests = manifests(&reads, &workspace(), 50, "team").await.unwrap();
    let expected =
        ["mlworkspace-churn.yaml", "compute-cpu.yaml", "model-churn.yaml", "dataasset-customers-3.yaml"];
    assert_eq!(names(&manifests), expected);
    for manifest in &manifests {
        assert_eq!(manifest.remaining, Vec::<String>::new(), "{}", manifest.file_name());
    }
    let text = manifests[0].text().unwrap();
    assert!(text.contains("# fill in the Secret churn-code with the keys pat"), "{text}");
    assert!(!text.contains("hidden") && !text.contains("a2V5"), "no secret is written: {text}");
    assert!(text.contains("mode: Plan"), "{text}");
    emulator.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_imported_fits_its_schema_and_is_planned_without_any_field_that_differs() {
    let (emulator, reads) = filled().await;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &manifests(&reads, &workspace(), 50, "team").await.unwrap()).unwrap();
    let files = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 4);
    let report = crate::preview::planned_for(&[folder.path().to_owned()], &reads).await.unwrap();
    let report = json!(report);
    for object in report["objects"].as_array().unwrap() {
        let writes = object["writes"].as_array().unwrap().iter();
        let differing: Vec<&Value> = writes
            .flat_map(|write| write["differences"].as_array().into_iter().flatten())
            .filter(|it| !it["field"].as_str().unwrap().ends_with("/mlops-operator-owner"))
            .collect();
        assert!(differing.is_empty(), "{}: {differing:?}", object["name"]);
        let problems = &object["problems"];
        assert!(
            problems.as_array().unwrap().iter().all(|it| it.as_str().unwrap().starts_with("SecretNotFound")),
            "{problems}"
        );
    }
    emulator.stop().await.unwrap();
}

#[tokio::test]
async fn a_workspace_that_does_not_exist_is_told() {
    let (emulator, reads) = filled().await;
    let other = workspace().parent().unwrap();
    let other = other.with_provider("Microsoft.MachineLearningServices/workspaces", "gone").unwrap();
    let failure = manifests(&reads, &other, 50, "team").await.err();
    assert!(
        matches!(failure, Some(Failure::Error(message)) if message.contains("there is no /subscriptions"))
    );
    let compute = workspace().child("computes", "cpu").unwrap();
    assert!(is_importable(&other) && !is_importable(&compute));
    emulator.stop().await.unwrap();
}
