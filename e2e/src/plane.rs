//! One control plane for a whole test program: started once, ended with it.
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tempfile::TempDir;
use xtask::cluster::control_plane::Options;
use xtask::cluster::{ControlPlane, Lifetime};

use crate::context::{JSON, ask, manifest};
use crate::wait::{PATIENCE, until};

/// The name of the definition of HTTPRoutes.
pub const GATEWAY_API: &str = "httproutes.gateway.networking.k8s.io";
/// The namespace of the operator, with the default ServingRuntimes.
pub const OPERATOR_NAMESPACE: &str = testkit::OPERATOR_NAMESPACE;

/// A control plane with the operator's definitions and default runtimes. It ends when this value is dropped; what a
/// killed run left behind, the next one ends.
pub struct Plane {
    // Dropped in this order: the processes before their folder.
    control: Mutex<ControlPlane>,
    kubeconfig: PathBuf,
    audit_log: PathBuf,
    folder: TempDir,
}

impl Plane {
    /// Starts it. Of the built-in controllers, only those run that delete: a stand-in plays the Deployments' part.
    pub fn start(name: &str) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix(&format!("mlops-e2e-{name}-")).tempdir()?;
        let options = Options {
            scheduler: false,
            controller_manager_arguments: vec![
                "--controllers=garbage-collector-controller,namespace-controller,serviceaccount-controller"
                    .to_owned(),
                "--concurrent-gc-syncs=20".to_owned(),
                "--concurrent-namespace-syncs=10".to_owned(),
            ],
            lifetime: Lifetime::Owned,
            ..Options::default()
        };
        let control = ControlPlane::start(name, &folder.path().join("cluster"), options)?;
        let (kubeconfig, audit_log) = (control.kubeconfig(), control.audit_log());
        Ok(Self { control: Mutex::new(control), kubeconfig, audit_log, folder })
    }

    /// Installs the definitions and the default runtimes.
    pub async fn install(&self) -> anyhow::Result<()> {
        let client = self.client().await?;
        let definitions = definitions(&client);
        for crd in api::crds() {
            let name = crd.metadata.name.clone().unwrap_or_default();
            let mut body = serde_json::to_value(&crd)?;
            body["apiVersion"] = json!("apiextensions.k8s.io/v1");
            body["kind"] = json!("CustomResourceDefinition");
            definitions.patch(&name, &PatchParams::apply("e2e").force(), &Patch::Apply(&body)).await?;
        }
        let of_admission = |plural: &str| format!("/apis/admissionregistration.k8s.io/v1/{plural}");
        for (policy, binding) in api::policies() {
            for (plural, body) in [
                ("validatingadmissionpolicies", serde_json::to_value(policy)?),
                ("validatingadmissionpolicybindings", serde_json::to_value(binding)?),
            ] {
                let (code, answer) = ask(&client, "POST", &of_admission(plural), JSON, &body).await?;
                anyhow::ensure!(code == 201 || code == 409, "{plural}: {code} {answer}");
            }
        }
        let endpoints: Api<api::Endpoint> = Api::all(client.clone());
        let runtimes: Api<api::ServingRuntime> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
        until("the definitions", PATIENCE, async || {
            let one = ListParams::default().limit(1);
            let listed = (endpoints.list(&one).await, runtimes.list(&one).await);
            Ok(if listed.0.is_ok() && listed.1.is_ok() { Ok(()) } else { Err("not served".to_owned()) })
        })
        .await?;
        let forged = manifest(
            "ModelPromotion",
            "forged",
            &json!({"requester": "nobody", "model": {"name": "a", "version": "1"}, "stages": [{"name": "a"}]}),
        );
        let path = "/apis/mlops-operator.dev/v1alpha1/namespaces/default/modelpromotions?dryRun=All";
        until("the policies", PATIENCE, async || {
            let (code, answer) = ask(&client, "POST", path, JSON, &forged).await?;
            let is_refused = answer["message"].as_str().is_some_and(|it| it.contains("requester must be"));
            Ok(if is_refused { Ok(()) } else { Err(format!("{code} {}", answer["message"])) })
        })
        .await?;
        create_namespace(&client, OPERATOR_NAMESPACE, &[]).await?;
        for runtime in testkit::runtimes() {
            let body = json!({
                "apiVersion": "mlops-operator.dev/v1alpha1", "kind": "ServingRuntime",
                "metadata": {"name": runtime.name}, "spec": runtime.spec,
            });
            runtimes.patch(&runtime.name, &PatchParams::apply("e2e"), &Patch::Apply(&body)).await?;
        }
        Ok(())
    }

    /// Installs the definitions of the Gateway API's standard channel, unless they are there.
    pub async fn install_gateway_api(&self) -> anyhow::Result<()> {
        let client = self.client().await?;
        let definitions = definitions(&client);
        let folder = tokio::task::spawn_blocking(xtask::tools::gateway_api::ensure).await??;
        for kind in ["gatewayclasses", "gateways", "httproutes", "referencegrants"] {
            let text =
                std::fs::read_to_string(folder.join(format!("gateway.networking.k8s.io_{kind}.yaml")))?;
            let body: Value = serde_saphyr::from_str(&text)?;
            let name = format!("{kind}.gateway.networking.k8s.io");
            definitions.patch(&name, &PatchParams::apply("e2e").force(), &Patch::Apply(&body)).await?;
        }
        let kind = plan::ChildKind::HttpRoute.coordinates();
        let kind = kube::core::GroupVersionKind::gvk(kind.group, kind.version, kind.kind);
        let resource = kube::api::ApiResource::from_gvk_with_plural(&kind, "httproutes");
        let routes: Api<DynamicObject> = Api::all_with(client, &resource);
        until("HTTPRoutes", PATIENCE, async || {
            let listed = routes.list(&ListParams::default().limit(1)).await;
            Ok(listed.map(drop).map_err(|error| error.to_string()))
        })
        .await
    }

    /// A client with the administrator's rights, bound to the async runtime of the caller.
    pub async fn client(&self) -> anyhow::Result<Client> {
        client(&self.kubeconfig).await
    }

    /// The kubeconfig of a user in at most two groups, made on first use.
    pub fn user(&self, name: &str, groups: &[&str]) -> anyhow::Result<PathBuf> {
        self.control().certificate_for(name, groups)
    }

    /// Where the API server writes what it was asked.
    pub fn audit_log(&self) -> &Path {
        &self.audit_log
    }

    /// A folder that lives as long as the control plane.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The address of the API server.
    pub fn url(&self) -> String {
        self.control().api_server_url()
    }

    /// Kills the API server the hard way.
    pub fn kill_api_server(&self) -> anyhow::Result<()> {
        self.control().kill_api_server()
    }

    /// Starts the API server again and waits until it is ready.
    pub fn start_api_server(&self) -> anyhow::Result<()> {
        self.control().start_api_server()
    }

    fn control(&self) -> std::sync::MutexGuard<'_, ControlPlane> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn definitions(client: &Client) -> Api<DynamicObject> {
    let kind = kube::core::GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    Api::all_with(client.clone(), &kube::api::ApiResource::from_gvk(&kind))
}

/// A client that uses a kubeconfig, without retries and time limits of its own.
pub async fn client(kubeconfig: &Path) -> anyhow::Result<Client> {
    let text = std::fs::read_to_string(kubeconfig)?;
    let kubeconfig: Kubeconfig = serde_json::from_str(&text).context("failed to read a kubeconfig")?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    config.proxy_url = None;
    config.read_timeout = None;
    Ok(Client::try_from(config)?)
}

/// Makes a namespace with labels.
pub async fn create_namespace(client: &Client, name: &str, labels: &[(&str, &str)]) -> anyhow::Result<()> {
    let labels: Value = labels.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.patch(name, &PatchParams::apply("e2e").force(), &Patch::Apply(&body)).await?;
    Ok(())
}
