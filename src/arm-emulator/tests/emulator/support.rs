//! A client with a token, and bodies that every type accepts.
use std::time::Duration;

use arm_emulator::{Builder, Emulator};
use reqwest::{Method, Response};
use serde_json::{Value, json};

pub(crate) const WORKSPACE: &str =
    "/subscriptions/s1/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/ws1";
pub(crate) const REGISTRY: &str =
    "/subscriptions/s1/resourceGroups/rg/providers/Microsoft.MachineLearningServices/registries/reg1";
pub(crate) const VERSION: &str = "2025-12-01";

/// An emulator and a client of it.
pub(crate) struct Session {
    pub(crate) emulator: Emulator,
    pub(crate) http: reqwest::Client,
    pub(crate) token: String,
}

/// An answer, read completely.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or("")
    }

    pub(crate) fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or("")
    }
}

/// A client that trusts an emulator's authority.
pub(crate) fn http(emulator: &Emulator) -> reqwest::Client {
    // Tests of one process share the provider; the second to install it is told so, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(emulator.ca_pem().as_bytes()).unwrap()])
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap()
}

impl Session {
    /// Quick operations, and buckets that are never empty.
    pub(crate) async fn start() -> Self {
        Self::of(Emulator::builder().operation_duration(20).rates(None)).await
    }

    pub(crate) async fn of(builder: Builder) -> Self {
        let emulator = builder.start().await.unwrap();
        let http = http(&emulator);
        let token = emulator.token().unwrap();
        Self { emulator, http, token }
    }

    /// The same, with a workspace.
    pub(crate) async fn with_workspace() -> Self {
        let session = Self::start().await;
        session.done("PUT", WORKSPACE, &workspace()).await;
        session
    }

    pub(crate) fn url(&self, path: &str) -> String {
        if path.starts_with("https:") {
            return path.to_owned();
        }
        let mark = if path.contains('?') { '&' } else { '?' };
        let version = if path.contains("api-version=") {
            String::new()
        } else {
            format!("{mark}api-version={VERSION}")
        };
        format!("{}{path}{version}", self.emulator.url())
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: &Value) -> reqwest::Result<Response> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.http.request(method, self.url(path)).bearer_auth(&self.token);
        if body.is_null() { request.send().await } else { request.json(body).send().await }
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: &Value) -> Reply {
        let response = self.send(method, path, body).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        Reply { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::Null) }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.call("GET", path, &Value::Null).await
    }

    /// Follows an operation to its end by whichever header leads there, and gives its last answer.
    pub(crate) async fn follow(&self, reply: &Reply) -> Reply {
        let asynchronous = reply.header("azure-asyncoperation").to_owned();
        let url =
            if asynchronous.is_empty() { reply.header("location").to_owned() } else { asynchronous.clone() };
        for _ in 0..500 {
            let polled = self.get(&url).await;
            let running = if asynchronous.is_empty() {
                polled.status == 202
            } else {
                polled.body["status"] == "InProgress"
            };
            if !running {
                return polled;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the operation at {url} does not end");
    }

    /// A write that must succeed, operation and all.
    pub(crate) async fn done(&self, method: &str, path: &str, body: &Value) -> Reply {
        let reply = self.call(method, path, body).await;
        assert!(reply.status < 300, "{method} {path}: {reply:?}");
        if !reply.header("azure-asyncoperation").is_empty() || !reply.header("location").is_empty() {
            let end = self.follow(&reply).await;
            assert!(end.status < 300 && end.body["status"] != "Failed", "{method} {path}: {end:?}");
        }
        reply
    }

    /// An endpoint with one deployment of a model.
    pub(crate) async fn serve(&self) {
        let model = json!({"properties": {"modelUri": "azureml://datastores/d/paths/m"}});
        self.done("PUT", &format!("{WORKSPACE}/models/m/versions/1"), &model).await;
        self.done("PUT", &format!("{WORKSPACE}/onlineEndpoints/churn"), &endpoint()).await;
        self.done("PUT", &format!("{WORKSPACE}/onlineEndpoints/churn/deployments/blue"), &deployment()).await;
    }
}

pub(crate) fn workspace() -> Value {
    json!({
        "location": "eastus", "identity": {"type": "SystemAssigned"},
        "properties": {"storageAccount": "/subscriptions/s1/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/sa1"},
    })
}

pub(crate) fn endpoint() -> Value {
    json!({"location": "eastus", "identity": {"type": "SystemAssigned"}, "properties": {"authMode": "Key"}})
}

pub(crate) fn deployment() -> Value {
    json!({"location": "eastus", "properties": {
        "endpointComputeType": "Managed", "model": format!("{WORKSPACE}/models/m/versions/1"),
        "instanceType": "Standard_DS2_v2"}})
}

pub(crate) fn registry() -> Value {
    json!({"location": "eastus", "identity": {"type": "SystemAssigned"}, "properties": {
        "regionDetails": [{"location": "eastus"}]}})
}
