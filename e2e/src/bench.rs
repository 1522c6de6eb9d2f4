//! What the benches share: definitions on a control plane of their own, and the operator as a process that is measured.
use std::path::{Path, PathBuf};

use anyhow::ensure;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt as _};
use serde_json::json;

mod process;

pub use process::Operator;

/// The namespace of the objects that are measured.
pub const NAMESPACE: &str = "bench";
/// The namespace of the operator.
pub const OPERATOR_NAMESPACE: &str = "mlops-system";

/// A client with the rights of a kubeconfig.
pub async fn client(kubeconfig: &Path) -> anyhow::Result<Client> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let context = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(Kubeconfig::read_from(kubeconfig)?, &context).await?;
    Ok(Client::try_from(config)?)
}

/// Installs the definitions and makes the namespaces.
pub async fn install(client: &Client) -> anyhow::Result<()> {
    let force = PatchParams::apply("bench").force();
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in api::crds() {
        definitions.patch(&definition.name_any(), &force, &Patch::Apply(&definition)).await?;
        kube::runtime::wait::await_condition(
            definitions.clone(),
            &definition.name_any(),
            kube::runtime::conditions::is_crd_established(),
        )
        .await?;
    }
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for name in [NAMESPACE, OPERATOR_NAMESPACE] {
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        namespaces.patch(name, &force, &Patch::Apply(&body)).await?;
    }
    Ok(())
}

/// A binary of this workspace, built beside this one.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    ensure!(path.exists(), "{} is missing: run it by cargo xtask bench", path.display());
    Ok(path)
}
