//! Blobs in a real blob service, where the official clients upload.
use std::time::Duration;

use arm_emulator::data_plane::{Options, Service, Storage};
use serde_json::json;

use crate::support::{World, demo, options, reference, score};

#[tokio::test(flavor = "multi_thread")]
async fn model_in_a_blob_service_is_served_and_a_job_writes_there() {
    let data = tempfile::tempdir().unwrap();
    let azurite = xtask::azurite::start(&xtask::azurite::Options::new(data.path())).unwrap();
    let account = xtask::azurite::ACCOUNT;
    let (endpoint, key) = (azurite.endpoint(account), azurite.key(account).unwrap().to_owned());
    azurite.create_container(account, "files").unwrap();
    azurite
        .put_blob(account, "files", "m/model.onnx", &std::fs::read(demo("model-v1.onnx")).unwrap())
        .unwrap();
    let service = Service { endpoint: endpoint.clone(), account: account.to_owned(), key };
    let options = Options { job_timeout: Duration::from_mins(1), ..options(Storage::Service(service)) };
    let world = World::with(options, tempfile::tempdir().unwrap(), account).await;
    upload(&world).await;
    let blob = json!({"properties": {"modelUri": format!("{endpoint}/files/m")}});
    assert_eq!(world.arm("PUT", "models/cancer/versions/1", blob).await.status, 201);
    world.endpoint("blobs", json!({})).await;
    let (ended, _) =
        world.deploy("onlineEndpoints/blobs/deployments/blue", "cancer/versions/1", json!({})).await;
    assert_eq!(ended["status"], "Succeeded", "{ended}");
    let key = world.endpoint("blobs", json!({"blue": 100})).await;
    let answer = world.call("POST", &score("blobs"), &key, reference()[0]["request"].clone()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let job = world
        .job(
            "writes",
            json!({
                "command": "wc -c < ${{inputs.model}}/model.onnx > ${{outputs.o}}/size.txt",
                "inputs": {"model": {"jobInputType": "uri_folder", "uri": "azureml://datastores/files/paths/m"}},
                // The default datastore's container is made with the workspace.
                "outputs": {"o": {"jobOutputType": "uri_folder"}},
            }),
        )
        .await;
    assert_eq!(job["status"], "Completed", "{job} {}", world.log("writes").await);
    let again = json!({
        "command": "cat ${{inputs.o}}/size.txt",
        "inputs": {"o": {"jobInputType": "uri_folder", "uri": job["outputs"]["o"]["uri"]}},
    });
    world.job("reads", again).await;
    let size = std::fs::metadata(demo("model-v1.onnx")).unwrap().len();
    assert!(world.log("reads").await.contains(&size.to_string()), "{}", world.log("reads").await);
    let absent = json!({"command": "true", "inputs": {"x": {"jobInputType": "uri_file", "uri": "azureml://datastores/files/paths/no"}}});
    assert_eq!(world.job("absent", absent).await["status"], "Failed");
}

/// The link of a pending upload leads to a container that is there, and lets its bearer write.
async fn upload(world: &World) {
    let link = world.arm("POST", "codes/any/versions/1/startPendingUpload", json!({})).await.json();
    let link = link["blobReferenceForConsumption"]["credential"]["sasUri"].as_str().unwrap().to_owned();
    let (container, query) = link.split_once('?').unwrap();
    let put = world.http.put(format!("{container}/run.sh?{query}")).header("x-ms-blob-type", "BlockBlob");
    assert_eq!(put.body("echo uploaded").send().await.unwrap().status().as_u16(), 201);
    let code = json!({"properties": {"codeUri": container}});
    assert_eq!(world.arm("PUT", "codes/any/versions/1", code).await.status, 201);
    let code = format!("{}/codes/any/versions/1", crate::support::WORKSPACE);
    let job = world.job("uploaded", json!({"command": "sh run.sh", "codeId": code})).await;
    assert_eq!(job["status"], "Completed", "{job}");
    assert!(world.log("uploaded").await.contains("uploaded"));
}
