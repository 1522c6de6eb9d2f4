//! An Azure of a test's own: the emulator in this process, and operators that talk to it.
use std::path::PathBuf;

use anyhow::Context as _;
use arm_emulator::{Builder, Emulator, Entry};
use serde_json::{Value, json};

use crate::context::{Context, JSON, manifest};
use crate::operator::{self, Operator};

/// The subscription that the tests use.
pub const SUBSCRIPTION: &str = "5b2d0c3e-0000-4000-8000-00000000e2e0";
/// The resource group that the tests use.
pub const GROUP: &str = "ml";

/// An Azure of a test's own.
pub struct Azure {
    /// The emulator.
    pub emulator: Emulator,
    ca: PathBuf,
}

impl Azure {
    /// An Azure without limits whose operations take a fifth of a second.
    pub async fn start(context: &Context) -> anyhow::Result<Self> {
        Self::start_with(context, Emulator::builder().operation_duration(200).rates(None)).await
    }

    /// An Azure as the builder says.
    pub async fn start_with(context: &Context, builder: Builder) -> anyhow::Result<Self> {
        let emulator = builder.start().await?;
        let ca = context.plane.folder().join(format!("{}-azure-ca.pem", context.namespace));
        std::fs::write(&ca, emulator.ca_pem()).context("failed to write the certificate of the emulator")?;
        Ok(Self { emulator, ca })
    }

    /// How to start an operator that talks to this Azure as a service principal.
    pub fn options(&self, context: &Context) -> anyhow::Result<operator::Options> {
        Ok(self.options_with(context.options()?))
    }

    /// The same for an operator that is started in another way.
    pub fn options_with(&self, mut options: operator::Options) -> operator::Options {
        options.arguments.push(format!("--azure-ca-file={}", self.ca.display()));
        options.arguments.push("--azure-sync-seconds=2".to_owned());
        options.environment = self.environment();
        options
    }

    /// The environment of a service principal of this Azure.
    pub fn environment(&self) -> Vec<(String, String)> {
        let settings = arm_emulator::Settings::default();
        let pairs = [
            ("AZURE_RESOURCE_MANAGER_ENDPOINT", self.emulator.url()),
            ("AZURE_AUTHORITY_HOST", self.emulator.url()),
            ("AZURE_TENANT_ID", &settings.tenant),
            ("AZURE_CLIENT_ID", arm_emulator::CLIENT),
            ("AZURE_CLIENT_SECRET", arm_emulator::SECRET),
            ("AZURE_SUBSCRIPTION_ID", SUBSCRIPTION),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    /// Starts an operator that talks to this Azure.
    pub async fn operator(&self, context: &Context) -> anyhow::Result<Operator> {
        let operator = Operator::start(self.options(context)?)?;
        operator.ready().await?;
        Ok(operator)
    }

    /// The calls of Resource Manager since a sequence number, as `METHOD PATH`.
    pub fn calls(&self, since: u64) -> Vec<Entry> {
        let all = self.emulator.log().since(since);
        all.into_iter().filter(|entry| entry.path.starts_with("/subscriptions/")).collect()
    }

    /// The writes since a sequence number.
    pub fn writes(&self, since: u64) -> Vec<Entry> {
        self.calls(since).into_iter().filter(|entry| entry.method != "GET").collect()
    }
}

/// The id of a workspace.
pub fn workspace_id(name: &str) -> String {
    format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/{name}"
    )
}

/// The smallest spec of an MLWorkspace, with dependents that exist elsewhere.
pub fn workspace_spec() -> Value {
    let of = |type_: &str, name: &str| json!({"id": format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/{type_}/{name}")});
    json!({
        "environment": "Development",
        "resourceGroup": GROUP,
        "location": "westeurope",
        "storageAccount": of("Microsoft.Storage/storageAccounts", "e2estorage"),
        "keyVault": of("Microsoft.KeyVault/vaults", "e2evault"),
        "applicationInsights": of("Microsoft.Insights/components", "e2einsights"),
    })
}

/// The smallest spec of a DataAsset.
pub fn data_spec(workspace: &str, version: u32) -> Value {
    json!({
        "workspaceRef": {"name": workspace},
        "version": version.to_string(),
        "type": "File",
        "uri": format!("azureml://datastores/workspaceblobstore/paths/churn/{version}.csv"),
    })
}

impl Context {
    /// Creates an object of one of our kinds.
    pub async fn make(&self, kind: &str, plural: &str, name: &str, spec: &Value) -> anyhow::Result<Value> {
        self.must("POST", &self.own(plural, ""), JSON, &manifest(kind, name, spec)).await
    }
}
