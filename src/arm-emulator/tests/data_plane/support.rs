//! An emulator with a data plane in a folder, and what tests ask of it.
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use arm_emulator::Emulator;
use arm_emulator::data_plane::{Local, Options, Storage};
use serde_json::{Value, json};

/// No step of a test takes longer.
const DEADLINE: Duration = Duration::from_mins(2);
pub(crate) const WORKSPACE: &str = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/group/providers/Microsoft.MachineLearningServices/workspaces/shop";

/// The answer to a call.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A running emulator with a workspace `shop` and a datastore `files`.
pub(crate) struct World {
    pub(crate) emulator: Emulator,
    pub(crate) http: reqwest::Client,
    pub(crate) token: String,
    pub(crate) folder: tempfile::TempDir,
}

/// ONNX Runtime's library: ORT_DYLIB_PATH, else where `cargo xtask test` puts it.
pub(crate) fn library() -> PathBuf {
    let path = std::env::var_os("ORT_DYLIB_PATH")
        .map_or_else(|| xtask::python::onnxruntime_library().unwrap(), PathBuf::from);
    assert!(path.is_file(), "{} is missing; run `cargo xtask test`, which fetches it", path.display());
    path
}

/// A file of the demo model.
pub(crate) fn demo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/models/breast-cancer").join(name)
}

/// The reference rows: a request, and what each version answers.
pub(crate) fn reference() -> Vec<Value> {
    let text = std::fs::read_to_string(demo("rows.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["rows"].as_array().unwrap().clone()
}

pub(crate) fn options(storage: Storage) -> Options {
    let options = Options {
        onnxruntime: Some(library()),
        job_timeout: Duration::from_mins(1),
        ..Options::new(storage)
    };
    assert!(options.model_server.is_some(), "build it with `cargo build -p model-server`");
    options
}

pub(crate) async fn start(options: Options, state: Option<&Path>) -> Emulator {
    let mut settings = arm_emulator::Settings::default();
    if let Storage::Service(service) = &options.storage {
        // As the program's flags do it.
        let host = service.endpoint.split('/').nth(2).unwrap();
        "http".clone_into(&mut settings.storage_protocol);
        settings.storage_endpoint = host.to_owned();
        settings.storage_account = Some(service.account.clone());
        settings.storage_key = Some(service.key.clone());
    }
    let builder = Emulator::builder().settings(settings).http().rates(None).operation_duration(20);
    let builder = state.into_iter().fold(builder, arm_emulator::Builder::state);
    builder.data_plane(Local::new(options).unwrap()).start().await.unwrap()
}

impl World {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::Folder(folder.path().join("data"));
        Self::with(options(storage), folder, "mlopsstore").await
    }

    pub(crate) async fn with(options: Options, folder: tempfile::TempDir, account: &str) -> Self {
        let emulator = start(options, Some(&folder.path().join("state.json"))).await;
        let world = Self::around(emulator, folder);
        world.workspace(account).await;
        world
    }

    pub(crate) fn around(emulator: Emulator, folder: tempfile::TempDir) -> Self {
        let token = emulator.token().unwrap();
        Self { emulator, http: reqwest::Client::builder().no_proxy().build().unwrap(), token, folder }
    }

    pub(crate) async fn workspace(&self, account: &str) {
        let scope = WORKSPACE.split("/providers/").next().unwrap();
        let body = json!({
            "location": "eastus", "identity": {"type": "SystemAssigned"}, "properties": {
                "storageAccount": format!("{scope}/providers/Microsoft.Storage/storageAccounts/{account}"),
                "keyVault": format!("{scope}/providers/Microsoft.KeyVault/vaults/keys"),
            },
        });
        assert_eq!(self.settled("", body).await["properties"]["provisioningState"], "Succeeded");
        let store = json!({"properties": {
            "datastoreType": "AzureBlob", "accountName": account, "containerName": "files",
            "credentials": {"credentialsType": "None"},
        }});
        assert_eq!(self.arm("PUT", "datastores/files", store).await.status, 201);
    }

    /// Puts a blob into the datastore `files`.
    pub(crate) fn blob(&self, name: &str, bytes: &[u8]) {
        let file = self.folder.path().join("data/mlopsstore/files").join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }

    /// What lies at a name of the datastore `files`.
    pub(crate) fn read(&self, name: &str) -> String {
        let file = self.folder.path().join("data/mlopsstore/files").join(name);
        std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }

    /// A call of Resource Manager below the workspace.
    pub(crate) async fn arm(&self, method: &str, path: &str, body: Value) -> Answer {
        let slash = if path.is_empty() { "" } else { "/" };
        let path = format!("{WORKSPACE}{slash}{path}?api-version=2025-12-01");
        self.call(method, &path, &self.token, body).await
    }

    /// Any call. A body that is null is none.
    pub(crate) async fn call(&self, method: &str, path: &str, token: &str, body: Value) -> Answer {
        self.call_with(method, path, token, body, &[]).await
    }

    pub(crate) async fn call_with(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: Value,
        headers: &[(&str, &str)],
    ) -> Answer {
        let url =
            if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.emulator.url()) };
        let mut request = self.http.request(method.parse().unwrap(), url).bearer_auth(token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, text: response.text().await.unwrap() }
    }

    /// Reads until something holds.
    pub(crate) async fn until(&self, path: &str, mut holds: impl FnMut(&Answer) -> bool) -> Answer {
        let started = Instant::now();
        loop {
            let answer = self.arm("GET", path, Value::Null).await;
            if holds(&answer) {
                return answer;
            }
            assert!(started.elapsed() < DEADLINE, "{path} stays {}", answer.text);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Writes a resource and waits until its operation is over.
    pub(crate) async fn settled(&self, path: &str, body: Value) -> Value {
        self.operated("PUT", path, body).await.1
    }

    /// Writes a resource; the operation's end and the resource's.
    pub(crate) async fn operated(&self, method: &str, path: &str, body: Value) -> (Value, Value) {
        let answer = self.arm(method, path, body).await;
        assert!(answer.status < 300, "{path}: {}", answer.text);
        let operation = match answer.header("azure-asyncoperation") {
            "" => answer
                .header("location")
                .replace("&type=location", "")
                .replace("mfeOperationResults", "mfeOperationsStatus"),
            operation => operation.to_owned(),
        };
        let started = Instant::now();
        let ended = loop {
            let ended = self.call("GET", &operation, &self.token, Value::Null).await.json();
            if ended["status"] != "InProgress" {
                break ended;
            }
            assert!(started.elapsed() < DEADLINE, "{path} never ends: {ended}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        (ended, self.arm("GET", path, Value::Null).await.json())
    }

    /// Registers a model whose file is a blob of `files`.
    pub(crate) async fn model(&self, name: &str, version: &str, blob: &str) {
        let body = json!({"properties": {"modelUri": format!("azureml://datastores/files/paths/{blob}")}});
        let answer = self.arm("PUT", &format!("models/{name}/versions/{version}"), body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    }

    /// Both versions of the demo model.
    pub(crate) async fn demo_models(&self) {
        for version in ["1", "2"] {
            let blob = format!("models/v{version}/model.onnx");
            self.blob(&blob, &std::fs::read(demo(&format!("model-v{version}.onnx"))).unwrap());
            // A folder stands for the one model in it.
            self.model("cancer", version, &format!("models/v{version}")).await;
        }
    }

    /// An endpoint with keys, and its primary key.
    pub(crate) async fn endpoint(&self, name: &str, traffic: Value) -> String {
        let body = json!({"location": "eastus", "identity": {"type": "SystemAssigned"},
            "properties": {"authMode": "Key", "traffic": traffic}});
        let path = format!("onlineEndpoints/{name}");
        assert_eq!(self.settled(&path, body).await["properties"]["provisioningState"], "Succeeded");
        let keys = self.arm("POST", &format!("{path}/listKeys"), Value::Null).await.json();
        keys["primaryKey"].as_str().unwrap().to_owned()
    }

    /// The operation and the deployment of a model's version.
    pub(crate) async fn deploy(&self, path: &str, model: &str, more: Value) -> (Value, Value) {
        let mut properties = json!({
            "endpointComputeType": "Managed", "model": format!("{WORKSPACE}/models/{model}"),
            "instanceType": "Standard_DS3_v2",
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            properties[name] = value.clone();
        }
        let body = json!({"location": "eastus", "sku": {"name": "Default", "capacity": 1}, "properties": properties});
        self.operated("PUT", path, body).await
    }

    /// Stores a job and waits for its end.
    pub(crate) async fn job(&self, name: &str, properties: Value) -> Value {
        self.submit(name, properties).await;
        self.ended(name).await
    }

    pub(crate) async fn submit(&self, name: &str, mut properties: Value) {
        if properties["jobType"].is_null() {
            properties["jobType"] = json!("Command");
        }
        properties["environmentId"] = json!(format!("{WORKSPACE}/environments/base/versions/1"));
        let answer = self.arm("PUT", &format!("jobs/{name}"), json!({"properties": properties})).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    }

    pub(crate) async fn ended(&self, name: &str) -> Value {
        let over = |answer: &Answer| {
            ["Completed", "Failed", "Canceled"]
                .iter()
                .any(|status| answer.json()["properties"]["status"] == *status)
        };
        self.until(&format!("jobs/{name}"), over).await.json()["properties"].clone()
    }

    /// The log of a job, by the link that the run history gives.
    pub(crate) async fn log(&self, name: &str) -> String {
        let path = format!("/history/v1.0{WORKSPACE}/runs/{name}/details");
        let details = self.call("GET", &path, &self.token, Value::Null).await.json();
        let link = details["logFiles"]["user_logs/std_log.txt"].as_str().unwrap().to_owned();
        self.call("GET", &link, "", Value::Null).await.text
    }
}

/// The path of what the emulator scores with.
pub(crate) fn score(endpoint: &str) -> String {
    format!("/emulator/inference/eastus/{endpoint}/score")
}
