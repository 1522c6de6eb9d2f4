//! An Azure of a test's own: the emulator in this process, and operators that talk to it.
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, ensure};
use arm_emulator::{Builder, Emulator, Entry, Fault, Rates};
use serde_json::{Value, json};

pub use self::fleet::{COMPUTE, DATA, Fleet, MODEL, WORKSPACE, says};
pub use self::size::{Size, seconds, sized};
use crate::context::{Context, JSON, Place, manifest};
use crate::operator::{self, Operator};

mod fleet;
mod size;

/// The subscription that the tests use.
pub const SUBSCRIPTION: &str = "5b2d0c3e-0000-4000-8000-00000000e2e0";
/// The resource group that the tests use.
pub const GROUP: &str = "ml";

/// An Azure of a test's own.
pub struct Azure {
    /// The emulator.
    pub emulator: Emulator,
    /// How often operators read everything again, in seconds.
    sync: u64,
    /// Whether operators keep to the real limits; otherwise to none that is felt.
    limited: bool,
    ca: PathBuf,
}

impl Azure {
    /// An Azure without limits whose operations take a fifth of a second.
    pub async fn start(context: &Context) -> anyhow::Result<Self> {
        Self::start_with(context, Emulator::builder().operation_duration(200)).await
    }

    /// An Azure without limits, else as the builder says.
    pub async fn start_with(context: &Context, builder: Builder) -> anyhow::Result<Self> {
        let azure = Self::start_at(certificate(context), builder.rates(None)).await?;
        Ok(Self { limited: false, ..azure })
    }

    /// An Azure with the real buckets, whose operations take a fifth of a second.
    pub async fn start_limited(context: &Context) -> anyhow::Result<Self> {
        let builder = Emulator::builder().operation_duration(200).rates(Some(Rates::default()));
        Self::start_at(certificate(context), builder).await
    }

    /// An Azure as the builder says, whose certificate is kept in a file.
    pub async fn start_at(ca: PathBuf, builder: Builder) -> anyhow::Result<Self> {
        let emulator = builder.start().await?;
        std::fs::write(&ca, emulator.ca_pem()).context("failed to write the certificate of the emulator")?;
        Ok(Self { emulator, sync: 2, limited: true, ca })
    }

    /// The same, with another time between two reads of everything.
    #[must_use]
    pub fn sync(self, seconds: u64) -> Self {
        Self { sync: seconds, ..self }
    }

    /// How to start an operator that talks to this Azure as a service principal.
    pub fn options(&self, context: &Context) -> anyhow::Result<operator::Options> {
        Ok(self.options_with(context.options()?))
    }

    /// The same for an operator that is started in another way.
    pub fn options_with(&self, mut options: operator::Options) -> operator::Options {
        options.arguments.push(self.trust());
        options.arguments.push(format!("--azure-sync-seconds={}", self.sync));
        if !self.limited {
            options.arguments.push("--azure-limits-percent=10000".to_owned());
        }
        options.environment = self.environment();
        options
    }

    /// The argument by which an operator trusts this Azure.
    pub fn trust(&self) -> String {
        format!("--azure-ca-file={}", self.ca.display())
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

    /// The same for an operator that watches another namespace.
    pub fn options_in(&self, context: &Context, place: &Place) -> anyhow::Result<operator::Options> {
        // One of its own: the kubeconfig of a user is written anew each time.
        let user = context.plane.user(&format!("operator-{}", place.namespace), &["system:masters"])?;
        Ok(self.options_with(context.options_for(&place.namespace, &user)?))
    }

    /// Sets a fault.
    pub fn fault(&self, fault: Fault) -> anyhow::Result<u64> {
        self.emulator.faults().set(fault).map_err(anyhow::Error::msg)
    }

    /// Asks as an administrator who has nothing to do with the operator; `path` has its query. Fails unless the answer
    /// is a good one.
    pub async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<()> {
        let ca = reqwest::Certificate::from_pem(self.emulator.ca_pem().as_bytes())?;
        let client = reqwest::Client::builder().tls_certs_only([ca]).build()?;
        let url = format!("{}{path}", self.emulator.url());
        let mut request = client.request(method.parse()?, url).bearer_auth(self.emulator.token()?);
        if let Some(body) = body {
            request = request.header("content-type", JSON).body(body.to_string());
        }
        let answer = request.send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "{method} {path}: {status} {}", answer.text().await?);
        Ok(())
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

    /// The requests for tokens since a sequence number.
    pub fn tokens(&self, since: u64) -> Vec<Entry> {
        let all = self.emulator.log().since(since);
        all.into_iter().filter(|entry| entry.path.ends_with("/token")).collect()
    }

    /// How often a workspace was put, whatever came of it.
    pub fn puts(&self, name: &str) -> usize {
        let id = workspace_id(name);
        let is_put = |call: &&Entry| call.method == "PUT" && call.path.eq_ignore_ascii_case(&id);
        self.writes(0).iter().filter(is_put).count()
    }

    /// The writes since a sequence number.
    pub fn writes(&self, since: u64) -> Vec<Entry> {
        self.calls(since).into_iter().filter(|entry| entry.method != "GET").collect()
    }
}

/// Where the certificate of a case's next Azure is kept.
fn certificate(context: &Context) -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    context.plane.folder().join(format!("{}-{number}-azure-ca.pem", context.namespace))
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

impl Place {
    /// Creates an object of one of our kinds.
    pub async fn make(&self, kind: &str, plural: &str, name: &str, spec: &Value) -> anyhow::Result<Value> {
        self.must("POST", &self.own(plural, ""), JSON, &manifest(kind, name, spec)).await
    }
}
