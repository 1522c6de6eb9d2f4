//! What a case works with: a namespace with its stand-in and its record of truth, and the operators that it starts.
use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use kube::Client;
use plan::ChildKind;
use serde_json::{Value, json};

use crate::audit::{self, Entry};
use crate::operator::{self, Operator, tail};
use crate::plane::{self, OPERATOR_NAMESPACE, Plane};
use crate::proxy::Proxy;
use crate::stand_in::StandIn;
use crate::truth::Truth;
use crate::wait::{PATIENCE, until};

/// How long anything may take to converge.
pub const CONVERGES: Duration = PATIENCE;

/// A case's surroundings.
pub struct Context {
    /// The control plane that all cases share.
    pub plane: Arc<Plane>,
    /// The case's record of truth.
    pub truth: Truth,
    place: Place,
    start: u64,
    logs: Mutex<Vec<PathBuf>>,
    figures: Mutex<Vec<String>>,
}

impl Deref for Context {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

impl Context {
    /// A namespace for a case.
    pub async fn new(plane: &Arc<Plane>, name: &str) -> anyhow::Result<Self> {
        let name = name.rsplit("::").next().unwrap_or(name).replace('_', "-");
        let name: String = name.chars().take(40).collect();
        let name = name.trim_end_matches('-');
        let place = Place::new(plane.client().await?, name).await?;
        let truth = place.truth.clone();
        let start = audit::position(plane.audit_log());
        Ok(Self {
            plane: Arc::clone(plane),
            truth,
            place,
            start,
            logs: Mutex::default(),
            figures: Mutex::default(),
        })
    }

    /// A further namespace.
    pub async fn place(&self, suffix: &str) -> anyhow::Result<Place> {
        Place::new(self.client.clone(), &format!("{}-{suffix}", self.namespace)).await
    }

    /// The user under which the operators of this case ask the API server.
    pub fn user(&self) -> String {
        format!("operator-{}", self.namespace)
    }

    /// How to start an operator that watches this case's namespace, without an election.
    pub fn options(&self) -> anyhow::Result<operator::Options> {
        self.options_for(&self.namespace, &self.plane.user(&self.user(), &["system:masters"])?)
    }

    /// How to start an operator that watches a namespace, with a kubeconfig.
    pub fn options_for(
        &self,
        namespace: &str,
        kubeconfig: &std::path::Path,
    ) -> anyhow::Result<operator::Options> {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let log = self.plane.folder().join(format!("{namespace}-{}.log", logs.len()));
        logs.push(log.clone());
        let cluster = self.plane.folder().canonicalize().context("the control plane has no folder")?;
        Ok(operator::Options {
            kubeconfig: kubeconfig.to_owned(),
            log,
            cluster: cluster.join("cluster"),
            arguments: [
                &format!("--watch-namespace={namespace}"),
                &format!("--operator-namespace={OPERATOR_NAMESPACE}"),
                "--leader-election=false",
                "--model-server-image=mlops-model-server:test",
                "--log-level=info,operator=debug",
            ]
            .map(ToOwned::to_owned)
            .to_vec(),
            environment: Vec::new(),
        })
    }

    /// Starts an operator for this case's namespace.
    pub fn operator(&self) -> anyhow::Result<Operator> {
        Operator::start(self.options()?)
    }

    /// Starts a proxy with the rights of this case's user.
    pub async fn proxy(&self) -> anyhow::Result<Proxy> {
        self.proxy_named(&self.namespace).await
    }

    /// Starts one of several proxies.
    pub async fn proxy_named(&self, name: &str) -> anyhow::Result<Proxy> {
        let kubeconfig = self.plane.user(&format!("operator-{name}"), &["system:masters"])?;
        let client = plane::client(&kubeconfig).await?;
        Proxy::start(client, self.plane.folder(), name).await
    }

    /// Starts an operator for this case's namespace, behind a proxy.
    pub async fn operator_behind(&self, proxy: &Proxy) -> anyhow::Result<Operator> {
        let operator = Operator::start(self.options_for(&self.namespace, proxy.kubeconfig())?)?;
        operator.ready().await?;
        Ok(operator)
    }

    /// What this case's operators asked the API server so far.
    pub fn requests(&self) -> anyhow::Result<Vec<Entry>> {
        self.requests_of(&self.user())
    }

    /// What a user asked the API server since this case began.
    pub fn requests_of(&self, user: &str) -> anyhow::Result<Vec<Entry>> {
        audit::since(self.plane.audit_log(), self.start, user)
    }

    /// Notes what was measured, to be told with the case's outcome.
    pub fn tell(&self, figures: String) {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner).push(figures);
    }

    /// What was measured.
    pub fn told(&self) -> Vec<String> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What helps to understand a failure: objects, events, and the last lines of the operators.
    pub async fn describe(&self) -> String {
        let mut text = self.place.describe().await;
        let requests = audit::summary(self.plane.audit_log(), self.start, &self.namespace);
        for line in requests.unwrap_or_default().into_iter().take(15) {
            text += &format!("{line}\n");
        }
        for log in self.logs.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            text += &format!("--- {}\n{}\n", log.display(), tail(log, 25));
        }
        text
    }
}

/// A namespace, with a stand-in for its pods and a record of its statuses.
pub struct Place {
    /// A client with the administrator's rights.
    pub client: Client,
    /// Its name.
    pub namespace: String,
    /// What happens to its pods.
    pub stand_in: StandIn,
    /// Its record of truth.
    pub truth: Truth,
}

impl Place {
    /// Makes the namespace.
    pub async fn new(client: Client, namespace: &str) -> anyhow::Result<Self> {
        plane::create_namespace(&client, namespace, &[]).await?;
        Ok(Self {
            stand_in: StandIn::start(&client, namespace),
            truth: Truth::start(&client, namespace),
            client,
            namespace: namespace.to_owned(),
        })
    }

    /// Asks the API server; returns the status and the answer. `kind` is the content type of the body.
    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        kind: &str,
        body: &Value,
    ) -> anyhow::Result<(u16, Value)> {
        ask(&self.client, method, path, kind, body).await
    }

    /// Asks, and fails unless the answer is a good one.
    pub async fn must(&self, method: &str, path: &str, kind: &str, body: &Value) -> anyhow::Result<Value> {
        let (code, answer) = self.ask(method, path, kind, body).await?;
        ensure!((200..300).contains(&code), "{method} {path}: {code} {}", answer["message"]);
        Ok(answer)
    }

    /// The object at a path, or nothing.
    pub async fn get(&self, path: &str) -> anyhow::Result<Option<Value>> {
        let (code, answer) = self.ask("GET", path, JSON, &Value::Null).await?;
        ensure!(code == 200 || code == 404, "GET {path}: {code} {answer}");
        Ok((code == 200).then_some(answer))
    }

    /// Changes the object at a path by a merge patch.
    pub async fn merge(&self, path: &str, patch: &Value) -> anyhow::Result<Value> {
        self.must("PATCH", path, MERGE, patch).await
    }

    /// Deletes the object at a path; it may be gone already.
    pub async fn delete(&self, path: &str) -> anyhow::Result<()> {
        let (code, answer) = self.ask("DELETE", path, JSON, &Value::Null).await?;
        ensure!(code < 300 || code == 404, "DELETE {path}: {code} {answer}");
        Ok(())
    }

    /// The path of the Endpoints of this namespace, or of one of them.
    pub fn endpoint(&self, name: &str) -> String {
        self.own("endpoints", name)
    }

    /// The path of the ServingRuntimes of this namespace, or of one of them.
    pub fn runtime(&self, name: &str) -> String {
        self.own("servingruntimes", name)
    }

    /// The path of the objects of a kind of ours in this namespace, or of one of them.
    pub fn own(&self, plural: &str, name: &str) -> String {
        let path = format!("/apis/mlops-operator.dev/v1alpha1/namespaces/{}/{plural}/{name}", self.namespace);
        path.trim_end_matches('/').to_owned()
    }

    /// The path of a child.
    pub fn child(&self, kind: ChildKind, name: &str) -> String {
        let coordinates = kind.coordinates();
        let root = if coordinates.group.is_empty() { "/api" } else { "/apis" };
        let path = format!(
            "{root}/{}/namespaces/{}/{}/{name}",
            coordinates.api_version, self.namespace, coordinates.plural
        );
        path.trim_end_matches('/').to_owned()
    }

    /// Creates an Endpoint.
    pub async fn create(&self, name: &str, spec: &Value) -> anyhow::Result<Value> {
        self.must("POST", &self.endpoint(""), JSON, &manifest("Endpoint", name, spec)).await
    }

    /// Waits until an Endpoint's conditions say this, for example `Ready=True/Ready`, of its present spec.
    pub async fn says(&self, name: &str, wanted: &str) -> anyhow::Result<Value> {
        self.object_says(&self.endpoint(name), wanted).await
    }

    /// Waits until the conditions of the object at a path say this of its present spec.
    pub async fn object_says(&self, path: &str, wanted: &str) -> anyhow::Result<Value> {
        until(&format!("{wanted} of {path}"), CONVERGES, async || {
            let Some(object) = self.get(path).await? else { return Ok(Err("it does not exist".into())) };
            let current = object["status"]["observedGeneration"] == object["metadata"]["generation"];
            let said = conditions(&object);
            let fits = said.iter().any(|it| it == wanted || it.split('/').next() == Some(wanted));
            Ok(if current && fits { Ok(object) } else { Err(format!("{}", object["status"])) })
        })
        .await
    }

    /// Waits until nothing is at a path.
    pub async fn gone(&self, path: &str) -> anyhow::Result<()> {
        until(&format!("the end of {path}"), CONVERGES, async || {
            let left = self.get(path).await?;
            Ok(left.map_or(Ok(()), |object| Err(format!("{}", object["status"]))))
        })
        .await
    }

    /// The children of an Endpoint that exist.
    pub async fn children(&self, name: &str) -> anyhow::Result<BTreeMap<ChildKind, Value>> {
        let mut children = BTreeMap::new();
        for kind in ChildKind::ALL {
            if let Some(child) = self.get(&self.child(kind, name)).await? {
                children.insert(kind, child);
            }
        }
        Ok(children)
    }

    /// Every object in this namespace that bears the operator's label, as `KIND/NAME`.
    pub async fn labelled(&self) -> anyhow::Result<Vec<String>> {
        let mut found = Vec::new();
        for kind in ChildKind::ALL.into_iter().chain([ChildKind::HttpRoute]) {
            let path = format!(
                "{}?labelSelector=app.kubernetes.io/managed-by%3Dmlops-operator",
                self.child(kind, "")
            );
            let list = self.get(&path).await?.unwrap_or_default();
            let items = list["items"].as_array().into_iter().flatten();
            found.extend(
                items.map(|it| format!("{kind}/{}", it["metadata"]["name"].as_str().unwrap_or_default())),
            );
        }
        Ok(found)
    }

    /// Waits until nothing that bears the operator's label is left.
    pub async fn is_empty(&self) -> anyhow::Result<()> {
        until(&format!("the end of everything in {}", self.namespace), CONVERGES, async || {
            let left = self.labelled().await?;
            Ok(if left.is_empty() { Ok(()) } else { Err(left.join(", ")) })
        })
        .await
    }

    /// The events of this namespace, one per line.
    pub async fn events(&self) -> anyhow::Result<Vec<String>> {
        let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", self.namespace);
        let list = self.get(&path).await?.unwrap_or_default();
        let line = |event: &Value| {
            format!("{} {} {}: {}", event["type"], event["reason"], event["regarding"]["name"], event["note"])
        };
        Ok(list["items"].as_array().into_iter().flatten().map(line).collect())
    }

    async fn describe(&self) -> String {
        let mut text = format!("--- namespace {}\n", self.namespace);
        if let Ok(Some(list)) = self.get(&self.endpoint("")).await {
            for endpoint in list["items"].as_array().into_iter().flatten().take(3) {
                text += &format!(
                    "Endpoint {} generation {}: {}\n",
                    endpoint["metadata"]["name"], endpoint["metadata"]["generation"], endpoint["status"]
                );
            }
        }
        if let Ok(found) = self.labelled().await {
            text += &format!("objects: {}\n", found.into_iter().take(20).collect::<Vec<_>>().join(", "));
        }
        let events = self.events().await.unwrap_or_default();
        text + &events.into_iter().take(20).map(|line| line + "\n").collect::<String>()
    }
}

/// Asks the API server with a client's rights; returns the status and the answer. `kind` is the content type of the body.
pub async fn ask(
    client: &Client,
    method: &str,
    path: &str,
    kind: &str,
    body: &Value,
) -> anyhow::Result<(u16, Value)> {
    let bytes = if body.is_null() { Vec::new() } else { serde_json::to_vec(body)? };
    let request = http::Request::builder().method(method).uri(path);
    let request = request.header("content-type", kind).header("accept", "application/json");
    let answer = client.send(request.body(bytes.into())?).await?;
    let code = answer.status().as_u16();
    let body = answer.into_body().collect_bytes().await?;
    Ok((code, serde_json::from_slice(&body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&body)))))
}

/// The content type of a plain object.
pub const JSON: &str = "application/json";
/// The content type of a merge patch.
pub const MERGE: &str = "application/merge-patch+json";
/// The content type of a server-side apply.
pub const APPLY: &str = "application/apply-patch+yaml";

/// A manifest of one of the operator's kinds.
pub fn manifest(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "mlops-operator.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec,
    })
}

/// The smallest spec of an Endpoint, with this model version.
pub fn spec(version: u32) -> Value {
    json!({"model": {"uri": format!("https://models.example/churn/{version}/model.onnx"), "format": "ONNX"}})
}

/// The conditions of an object, each as `TYPE=STATUS/REASON`.
pub fn conditions(object: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions
        .map(|it| format!("{}={}/{}", text(&it["type"]), text(&it["status"]), text(&it["reason"])))
        .collect()
}

/// The message of a condition of an object.
pub fn message(object: &Value, type_: &str) -> String {
    let mut conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    let found = conditions.find(|condition| condition["type"] == type_);
    found.and_then(|condition| condition["message"].as_str()).unwrap_or_default().to_owned()
}
