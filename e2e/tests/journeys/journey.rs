//! One journey: a namespace that enforces `restricted`, its endpoints, and what is expected of them.
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use api::Endpoint;
use e2e::until;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use xtask::demo::load::{Load, Outcome};
use xtask::demo::{install, make_restricted_namespace};

use crate::stage::Stage;

/// How long a rollout or the report of a failure may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(150);
/// The name of a journey's endpoint.
pub(crate) const NAME: &str = "tumour";

/// One journey.
pub(crate) struct Journey<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

impl<'a> Journey<'a> {
    /// Makes its namespace.
    pub(crate) async fn begin(stage: &'a Stage, name: &str) -> anyhow::Result<Self> {
        let name: String =
            name.rsplit("::").next().unwrap_or_default().replace('_', "-").chars().take(30).collect();
        let namespace = format!("journey-{}-{}", name.trim().trim_matches('-'), std::process::id());
        make_restricted_namespace(&stage.cluster, &namespace)?;
        // It fails only when a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let kubeconfig = Kubeconfig::read_from(stage.cluster.kubeconfig())?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        config.proxy_url = None;
        Ok(Self { stage, client: Client::try_from(config)?, namespace })
    }

    /// Lets its namespace go; nobody waits for it.
    pub(crate) fn end(&self) {
        let _ =
            self.stage.kubectl(&self.namespace, &["delete", "namespace", &self.namespace, "--wait=false"]);
    }

    pub(crate) fn endpoints(&self) -> Api<Endpoint> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A model of the store, with its digest.
    pub(crate) fn model(&self, file: &str) -> anyhow::Result<Value> {
        Ok(json!({"uri": Stage::uri(file), "digest": digest(self.stage.file(file)?), "format": "ONNX"}))
    }

    /// A spec with this model that takes little of the machine.
    pub(crate) fn spec(&self, file: &str) -> anyhow::Result<Value> {
        let resources = json!({"requests": {"cpu": "20m", "memory": "128Mi"}});
        Ok(json!({"model": self.model(file)?, "resources": resources}))
    }

    /// Applies the journey's endpoint.
    pub(crate) async fn apply(&self, spec: &Value) -> anyhow::Result<()> {
        let body = json!({
            "apiVersion": "mlops-operator.dev/v1alpha1",
            "kind": "Endpoint",
            "metadata": {"name": NAME},
            "spec": spec,
        });
        let parameters = PatchParams::apply("journey").force();
        self.endpoints().patch(NAME, &parameters, &Patch::Apply(&body)).await?;
        Ok(())
    }

    /// Waits until the status speaks of the present spec and `looks_right`; returns the endpoint.
    pub(crate) async fn until(
        &self,
        what: &str,
        looks_right: impl Fn(&Endpoint) -> bool,
    ) -> anyhow::Result<Endpoint> {
        let endpoints = self.endpoints();
        until(what, PATIENCE, async || {
            let endpoint = endpoints.get(NAME).await?;
            let seen = endpoint.status.as_ref().and_then(|status| status.observed_generation);
            let current = seen == endpoint.metadata.generation && looks_right(&endpoint);
            Ok(if current { Ok(endpoint) } else { Err(conditions(&endpoint)) })
        })
        .await
    }

    /// Waits until the endpoint is ready and only pods of its present revision are left.
    pub(crate) async fn until_ready(&self) -> anyhow::Result<Endpoint> {
        let ready = self.until("readiness", |it| says(it, "Ready", "True", None)).await?;
        let status = ready.status.clone().context("no status")?;
        ensure!(says(&ready, "Serving", "True", None), "ready but not serving: {}", conditions(&ready));
        let stable = status.revisions.first().context("no revision")?.name.clone();
        let others = format!("{}={NAME},{}!={stable}", api::meta::ENDPOINT_LABEL, api::meta::REVISION_LABEL);
        let (pods, others) = (self.pods(), ListParams::default().labels(&others));
        until("the end of the pods of other revisions", PATIENCE, async || {
            let left = pods.list(&others).await?.items;
            let names: Vec<String> = left.iter().map(kube::ResourceExt::name_any).collect();
            Ok(if names.is_empty() { Ok(()) } else { Err(names.join(", ")) })
        })
        .await?;
        Ok(ready)
    }

    /// Where requests for the endpoint's model go, once the node's rules know it; they send on from here too.
    pub(crate) fn url(&self) -> anyhow::Result<String> {
        let path = "jsonpath={.spec.clusterIP}";
        let address = self.stage.kubectl(&self.namespace, &["get", "service", NAME, "-o", path])?;
        let url = format!("http://{address}/v2/models/{NAME}/infer");
        self.stage.rows.until_answered(&url, Duration::from_secs(20))?;
        Ok(url)
    }

    /// Fails unless every row is answered as scikit-learn does.
    pub(crate) fn compare(&self, version: &str) -> anyhow::Result<()> {
        let comparison = self.stage.rows.compare(&self.url()?, version)?;
        let tolerance = self.stage.rows.tolerance;
        ensure!(comparison.lines.len() >= 10, "only {} rows", comparison.lines.len());
        ensure!(comparison.largest <= tolerance, "version {version} answers {} apart", comparison.largest);
        Ok(())
    }

    /// Starts clients that keep asking, and waits until they get answers.
    pub(crate) fn load(&self, versions: &[&str]) -> anyhow::Result<Load> {
        let load = Load::start(&self.stage.rows, &self.url()?, versions)?;
        load.wait_for(50, Duration::from_secs(30))?;
        Ok(load)
    }

    /// The pods of the endpoint, by name and identity.
    pub(crate) async fn pod_identities(&self) -> anyhow::Result<Vec<(String, Option<String>, i32)>> {
        let pods = self.pods().list(&ListParams::default()).await?;
        let restarts = |pod: &Pod| -> i32 {
            let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
            statuses.map(|container| container.restart_count).sum()
        };
        let mut pods: Vec<_> = pods.iter().map(|pod| (pod.name_any(), pod.uid(), restarts(pod))).collect();
        pods.sort();
        Ok(pods)
    }

    /// What the cluster knows of this journey, for the one who has to find out why it failed.
    pub(crate) fn describe(&self) -> String {
        let asked: [(&str, &[&str]); 6] = [
            (&self.namespace, &["get", "endpoints.mlops-operator.dev,pods,replicasets", "-o", "wide"]),
            (&self.namespace, &["get", "endpoints.mlops-operator.dev", "-o", "jsonpath={.items[*].status}"]),
            (&self.namespace, &["describe", "pods"]),
            (&self.namespace, &["get", "events", "--sort-by=.lastTimestamp"]),
            (install::NAMESPACE, &["logs", "-l", "app.kubernetes.io/component=operator", "--tail=40"]),
            (install::NAMESPACE, &["logs", "-l", "app.kubernetes.io/name=mlops-gateway", "--tail=2000"]),
        ];
        asked.iter().fold(String::new(), |mut text, (namespace, arguments)| {
            let printed =
                self.stage.kubectl(namespace, arguments).unwrap_or_else(|error| format!("{error:#}"));
            let _ = writeln!(text, "--- kubectl {}", arguments.join(" "));
            // The access log of what went well tells nothing.
            let lines = printed.lines().filter(|line| !line.contains("\"status\":200"));
            lines.for_each(|line| text.push_str(&format!("{line}\n")));
            text
        })
    }
}

/// Fails when a request did.
pub(crate) fn without_failure(outcome: &Outcome) -> anyhow::Result<()> {
    match &outcome.first_failure {
        None => Ok(()),
        Some(first) => {
            anyhow::bail!("{} of {} requests failed; the first: {first}", outcome.failed, outcome.requests())
        }
    }
}

/// Whether a condition has this status, and this reason when one is given.
pub(crate) fn says(endpoint: &Endpoint, type_: &str, status: &str, reason: Option<&str>) -> bool {
    condition(endpoint, type_).is_some_and(|condition| {
        condition.status == status && reason.is_none_or(|reason| condition.reason == reason)
    })
}

pub(crate) fn condition<'e>(
    endpoint: &'e Endpoint,
    type_: &str,
) -> Option<&'e k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> {
    endpoint.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == type_)
}

fn conditions(endpoint: &Endpoint) -> String {
    let conditions = endpoint.status.iter().flat_map(|status| &status.conditions);
    let line = |it: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
        format!("{}={} {}: {}", it.type_, it.status, it.reason, it.message)
    };
    conditions.map(line).collect::<Vec<_>>().join("; ")
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
