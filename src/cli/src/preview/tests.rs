//! What `plan` shows: offline for the samples, and against an Azure in this process.
use std::path::{Path, PathBuf};

use arm_emulator::Emulator;
use serde_json::{Value, json};

use super::{documents, offline, report, schema};
use crate::azure::{Environment, Reads};
use crate::failure::Failure;
use crate::fixtures::{PLAIN, azure_environment};
use crate::output::{Format, document};

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/samples")
}

/// The plan of texts, with nothing in existence.
async fn planned(texts: &[&str]) -> Result<super::Report, Failure> {
    let mut documents = Vec::new();
    for text in texts {
        documents.extend(documents::parse("test", text)?);
    }
    let mut scene = offline(&Environment::new());
    report(&mut scene, documents, "team").await
}

/// The plan of samples, which may refer to each other.
async fn sample(names: &[&str]) -> String {
    let texts: Vec<String> = names
        .iter()
        .map(|name| std::fs::read_to_string(samples().join(format!("{name}.yaml"))).unwrap())
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    // Hashes change with every word of a plan; that they are stable is tested by itself.
    let hash = regex_lite::Regex::new("sha256:[0-9a-f]{64}").unwrap();
    hash.replace_all(&planned(&texts).await.unwrap().render(PLAIN), "sha256:HASH").into_owned()
}

#[tokio::test]
async fn a_workspace_and_what_belongs_to_it_is_planned_without_anybody_being_asked() {
    insta::assert_snapshot!(sample(&["mlworkspace", "compute", "dataasset", "model"]).await);
}

#[tokio::test]
async fn requests_are_sent_to_a_deployment_after_it_is_ready() {
    insta::assert_snapshot!(sample(&["endpoint-managed-online", "mlworkspace"]).await);
}

#[tokio::test]
async fn a_registry_and_an_endpoint_of_the_cluster_are_planned_too() {
    insta::assert_snapshot!(sample(&["modelregistry", "endpoint", "servingruntime"]).await);
}

#[tokio::test]
async fn every_sample_can_be_planned_together() {
    let documents = documents::read(&[samples()]).unwrap();
    let count = documents.len();
    let mut scene = offline(&Environment::new());
    let report = report(&mut scene, documents, "team").await.unwrap();
    assert!(report.has_changes() && count >= 15, "{count} samples");
    let again = json!(report);
    let all = again["objects"].as_array().unwrap().iter();
    let problems: Vec<&Value> = all.flat_map(|object| object["problems"].as_array().unwrap()).collect();
    assert!(problems.is_empty(), "{problems:?}");
    let mut scene = offline(&Environment::new());
    let documents = documents::read(&[samples()]).unwrap();
    let report = super::report(&mut scene, documents, "team").await.unwrap();
    assert_eq!(again["hash"], json!(report)["hash"], "the same manifests have the same hash");
}

#[tokio::test]
async fn a_reference_to_nothing_is_told_in_the_operators_words() {
    let text = "apiVersion: mlops-operator.dev/v1alpha1\nkind: DataAsset\nmetadata: {name: a}\nspec: {workspaceRef: \
                {name: gone}, version: '1', type: File, uri: 'azureml://datastores/d/paths/p'}\n";
    let report = planned(&[text]).await.unwrap();
    assert!(report.is_refused());
    let said = report.render(PLAIN);
    assert!(said.contains("DependencyNotReady: there is no MLWorkspace gone in this namespace"), "{said}");
}

#[tokio::test]
async fn the_shape_of_json_holds_bodies_and_the_hash() {
    let text = std::fs::read_to_string(samples().join("modelregistry.yaml")).unwrap();
    let report = planned(&[&text]).await.unwrap();
    let json: Value =
        serde_json::from_str(&document(Format::Json, &report, |_| String::new()).unwrap()).unwrap();
    let write = &json["objects"][0]["writes"][1];
    assert_eq!(
        (&write["system"], &write["action"], &write["method"]),
        (&json!("Azure"), &json!("Create"), &json!("PUT"))
    );
    assert!(write["body"]["properties"]["regionDetails"].is_array(), "{write}");
    assert!(json["hash"].as_str().unwrap().starts_with("sha256:"), "{json}");
}

#[test]
fn a_manifest_that_does_not_fit_its_schema_is_told_field_by_field() {
    let object = json!({"apiVersion": "mlops-operator.dev/v1alpha1", "kind": "Compute", "metadata": {"name": "a"},
        "spec": {"workspaceRef": {"name": "W_1"}, "type": "Toaster", "colour": "red",
            "amlCompute": {"vmSize": "Standard_DS3_v2", "scaleSettings": {"maxNodeCount": "four"}}}});
    insta::assert_snapshot!(schema::problems(&object).join("\n"));
    let unknown = json!({"apiVersion": "mlops-operator.dev/v1alpha1", "kind": "Computer"});
    assert!(
        schema::problems(&unknown)[0]
            .starts_with("kind Computer is not known: it is one of Approval, Compute, ")
    );
}

#[test]
fn other_manifests_and_empty_documents_are_left_out() {
    let text = "---\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: a}\n---\napiVersion: v1\nkind: List\nitems:\n\
                - {apiVersion: mlops-operator.dev/v1alpha1, kind: Model, metadata: {name: b}}\n";
    let found = documents::parse("test", text).unwrap();
    let names: Vec<&str> = found.iter().map(|document| documents::name(&document.object)).collect();
    assert_eq!(names, ["b"]);
    assert!(documents::parse("test", "a: [").is_err());
}

#[tokio::test]
async fn differences_from_a_live_azure_are_shown_and_nothing_is_written() {
    let emulator = Emulator::builder().operation_duration(0).rates(None).start().await.unwrap();
    let (environment, ca) = azure_environment(&emulator);
    let text = "apiVersion: mlops-operator.dev/v1alpha1\nkind: ModelRegistry\nmetadata: {name: contoso}\nspec:\n  \
                management: {adoption: IfUnowned}\n  subscriptionId: s1\n  resourceGroup: rg\n  location: westeurope\n  \
                tags: {team: churn}\n";
    let live = crate::fixtures::put(&emulator, &ca, "/subscriptions/s1/resourceGroups/rg/providers/Microsoft.MachineLearningServices/registries/contoso",
        &json!({"location": "westeurope", "identity": {"type": "SystemAssigned"}, "tags": {"team": "fraud"},
            "properties": {"publicNetworkAccess": "Enabled", "regionDetails": [{"location": "westeurope",
                "acrDetails": [{"systemCreatedAcrAccount": {"acrAccountSku": "Premium"}}],
                "storageAccountDetails": [{"systemCreatedStorageAccount": {"storageAccountType": "Standard_LRS", "storageAccountHnsEnabled": false, "allowBlobPublicAccess": false}}]}]}})).await;
    assert!(live.is_ok(), "{live:?}");
    let mut scene = offline(&environment);
    scene.reads = Reads::connect(&environment, Some(ca.path())).unwrap();
    let report = report(&mut scene, documents::parse("test", text).unwrap(), "team").await.unwrap();
    let said = report.render(PLAIN);
    assert!(said.contains("/tags/team: \"fraud\" -> \"churn\""), "{said}");
    assert!(said.contains("~ PATCH") || said.contains("~ PUT"), "{said}");
    let read = emulator.resource(
        "/subscriptions/s1/resourceGroups/rg/providers/Microsoft.MachineLearningServices/registries/contoso",
    );
    assert_eq!(read.unwrap()["tags"]["team"], "fraud", "a plan writes nothing");
}

const WORKSPACE: &str =
    "/subscriptions/s1/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/dev";

/// What an API server has, by path; what is not there does not exist.
fn cluster_contents() -> Value {
    let group = "/apis/mlops-operator.dev/v1alpha1/namespaces/team";
    let workspace = json!({"apiVersion": "mlops-operator.dev/v1alpha1", "kind": "MLWorkspace",
        "metadata": {"name": "dev", "namespace": "team"},
        "spec": {"environment": "Development", "subscriptionId": "s1", "resourceGroup": "rg", "location": "westeurope"}});
    let status = json!({"observedGeneration": 3, "id": format!("{WORKSPACE}/data/a/versions/1"),
        "resources": [{"id": format!("{WORKSPACE}/data/a/versions/1"), "state": "Ready", "owned": true},
            {"id": format!("{WORKSPACE}/data/old/versions/1"), "state": "Ready", "owned": true}]});
    let asset = json!({"apiVersion": "mlops-operator.dev/v1alpha1", "kind": "DataAsset",
        "metadata": {"name": "a", "namespace": "team", "generation": 3, "uid": "1", "finalizers": [api::azure::FINALIZER]},
        "spec": {}, "status": status});
    json!({
        "/api/v1/namespaces/kube-system": {"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {"name": "kube-system", "uid": "cluster-1"}},
        format!("{group}/mlworkspaces"): {"apiVersion": "mlops-operator.dev/v1alpha1", "kind": "MLWorkspaceList",
            "metadata": {}, "items": [workspace]},
        format!("{group}/dataassets/a"): asset,
    })
}

/// A cluster whose API server knows a few objects, and the requests that it got.
async fn cluster() -> (crate::connect::Cluster, std::sync::Arc<std::sync::Mutex<Vec<String>>>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let requests = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&requests);
    tokio::spawn(async move {
        let contents = cluster_contents();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.unwrap() > 0 {}
            let head = String::from_utf8(head).unwrap();
            let line = head.lines().next().unwrap();
            let path = line.split([' ', '?']).nth(1).unwrap();
            let missing = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "NotFound",
                "message": "not found", "code": 404});
            let (status, body) = match contents.get(path) {
                Some(body) => ("200 OK", body),
                None => ("404 Not Found", &missing),
            };
            seen.lock().unwrap().push(line.to_owned());
            let body = body.to_string();
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let client = kube::Client::try_from(kube::Config::new(server.parse().unwrap())).unwrap();
    (crate::connect::Cluster { client, namespace: "team".to_owned(), server }, requests)
}

#[tokio::test]
async fn a_live_object_is_compared_and_what_it_no_longer_wants_is_deleted() {
    let emulator = Emulator::builder().operation_duration(0).rates(None).start().await.unwrap();
    let (environment, ca) = azure_environment(&emulator);
    let tags = json!({"mlops-operator-owner": "cluster-1/DataAsset/team/a", "team": "fraud"});
    let uri = "azureml://datastores/d/paths/p";
    let dependents = json!({"location": "westeurope", "identity": {"type": "SystemAssigned"}, "properties": {
        "storageAccount": "/subscriptions/s1/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/a",
        "keyVault": "/subscriptions/s1/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/a"}});
    let version =
        json!({"properties": {"dataType": "uri_file", "dataUri": uri, "tags": tags, "isArchived": false}});
    for (path, body) in
        [("", &dependents), ("/data/a/versions/1", &version), ("/data/old/versions/1", &version)]
    {
        crate::fixtures::put(&emulator, &ca, &format!("{WORKSPACE}{path}"), body).await.unwrap();
    }
    let start = emulator.log().since(0).len();
    let (cluster, requests) = cluster().await;
    let reads = Reads::connect(&environment, Some(ca.path())).unwrap();
    let mut scene = super::cluster::scene(cluster, reads, &environment).await.unwrap();
    let text = format!(
        "apiVersion: mlops-operator.dev/v1alpha1\nkind: DataAsset\nmetadata: {{name: a}}\nspec: {{workspaceRef: {{name: \
         dev}}, version: '1', type: File, uri: '{uri}', tags: {{team: churn}}}}\n"
    );
    let report = report(&mut scene, documents::parse("test", &text).unwrap(), "team").await.unwrap();
    let said = report.render(PLAIN);
    assert!(said.contains("/properties/tags/team: \"fraud\" -> \"churn\""), "{said}");
    assert!(
        said.contains("- DELETE") && said.contains("data/old/versions/1: it is no longer wanted"),
        "{said}"
    );
    assert!(said.contains("0 to create, 1 to change, 1 to delete"), "{said}");
    let requests = requests.lock().unwrap();
    assert!(!requests.is_empty() && requests.iter().all(|it| it.starts_with("GET ")), "{requests:?}");
    let calls = emulator.log().since(0);
    let writes =
        calls[start..].iter().filter(|it| it.path.starts_with("/subscriptions/") && it.method != "GET");
    assert_eq!(writes.count(), 0, "a plan writes nothing");
}
