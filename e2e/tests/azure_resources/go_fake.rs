//! The operator's core against the official fake server of Go's `armmachinelearning`, which nobody here wrote.
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use e2e::azure::{workspace_id, workspace_spec};
use e2e::{Azure, Context, Operator};
use serde_json::json;
use xtask::tools::{self, Module};

/// Go's fake server; ended when dropped.
struct Fake {
    child: Child,
    url: String,
    certificate: PathBuf,
}

impl Fake {
    fn start(context: &Context) -> anyhow::Result<Self> {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()])?;
        let folder = context.plane.folder();
        let (certificate, key) = (folder.join("go-fake.crt"), folder.join("go-fake.key"));
        std::fs::write(&certificate, made.cert.pem())?;
        std::fs::write(&key, made.signing_key.serialize_pem())?;
        let mut command = Command::new(tools::ensure_only(&[Module::AzureClients])?.azure_fake());
        command.arg("--tls-cert").arg(&certificate).arg("--tls-key").arg(&key);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().context("the server has no output")?;
        let mut fake = Self { child, url: String::new(), certificate };
        BufReader::new(output).read_line(&mut fake.url)?;
        fake.url = fake.url.trim().to_owned();
        if fake.url.is_empty() {
            bail!("Go's fake server ended before it was ready: {}", fake.child.wait()?);
        }
        Ok(fake)
    }

    /// The status of a GET.
    async fn status(&self, id: &str) -> anyhow::Result<u16> {
        let trusted = reqwest::Certificate::from_pem(&std::fs::read(&self.certificate)?)?;
        let client = reqwest::Client::builder().tls_certs_only([trusted]).build()?;
        let url = format!("{}{id}?api-version=2025-12-01", self.url);
        Ok(client.get(url).bearer_auth("any").send().await?.status().as_u16())
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) async fn the_core_works_against_go_s_official_fake_server(
    context: &mut Context,
) -> anyhow::Result<()> {
    // Go's server knows no tokens: those are the emulator's.
    let azure = Azure::start(context).await?;
    let fake = Fake::start(context)?;
    let mut options = azure.options(context)?;
    let trusted = context.plane.folder().join("go-fake-and-tokens.pem");
    std::fs::write(&trusted, std::fs::read_to_string(&fake.certificate)? + azure.emulator.ca_pem())?;
    options.arguments.retain(|argument| !argument.starts_with("--azure-ca-file"));
    options.arguments.push(format!("--azure-ca-file={}", trusted.display()));
    options.environment.retain(|(name, _)| name != "AZURE_RESOURCE_MANAGER_ENDPOINT");
    options.environment.push(("AZURE_RESOURCE_MANAGER_ENDPOINT".to_owned(), fake.url.clone()));
    let audience = azure.emulator.url().to_owned();
    options.environment.push(("AZURE_RESOURCE_MANAGER_AUDIENCE".to_owned(), audience));
    let mut operator = Operator::start(options)?;
    operator.ready().await?;

    let model = json!({
        "workspaceRef": {"name": "dev"},
        "versions": [{"version": "1", "uri": "azureml://datastores/models/paths/churn", "format": "MLflow"}],
    });
    let compute = json!({
        "workspaceRef": {"name": "dev"}, "type": "AmlCompute",
        "amlCompute": {"vmSize": "Standard_DS3_v2", "scaleSettings": {"maxNodeCount": 2}},
    });
    let endpoint = json!({
        "target": {
            "type": "ManagedOnline", "workspaceRef": {"name": "dev"}, "instanceType": "Standard_DS3_v2",
        },
        "model": {"modelRef": {"name": "churn", "version": "1"}, "format": "MLflow"},
    });
    let objects = [
        ("MLWorkspace", "mlworkspaces", "dev", workspace_spec(), String::new()),
        ("Compute", "computes", "cpu", compute, "/computes/cpu".to_owned()),
        ("Model", "models", "churn", model, "/models/churn/versions/1".to_owned()),
        ("Endpoint", "endpoints", "churn", endpoint, "/onlineEndpoints/churn".to_owned()),
    ];
    for (kind, plural, name, spec, _) in &objects {
        context.make(kind, plural, name, spec).await?;
    }
    for (_, plural, name, _, path) in &objects {
        context.object_says(&context.own(plural, name), "Ready=True/Ready").await?;
        let id = format!("{}{path}", workspace_id("dev"));
        ensure!(fake.status(&id).await? == 200, "Go's server has no {id}");
    }
    let workspace = context.own("mlworkspaces", "dev");
    context.merge(&workspace, &json!({"spec": {"description": "changed"}})).await?;
    context.object_says(&workspace, "Ready=True/Ready").await?;
    for (_, plural, name, _, path) in objects.iter().rev() {
        context.delete(&context.own(plural, name)).await?;
        context.gone(&context.own(plural, name)).await?;
        let id = format!("{}{path}", workspace_id("dev"));
        ensure!(fake.status(&id).await? == 404, "Go's server still has {id}");
    }
    operator.check_alive()
}
