//! Every sample that concerns Azure is made there; its bodies keep every key in Go's models, and what was made is
//! imported without a difference.
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, anyhow, bail, ensure};
use arm_emulator::Entry;
use e2e::azure::SUBSCRIPTION;
use e2e::context::{CONVERGES, JSON, Place, conditions};
use e2e::{Azure, Context, Operator, PATIENCE, until};
use serde_json::{Value, json};
use xtask::image::binary;
use xtask::tools::{self, Module};

/// The samples, none before what it needs; each with the plural of its kind.
const SAMPLES: [(&str, &str); 12] = [
    ("mlworkspace", "mlworkspaces"),
    ("mlworkspace-production", "mlworkspaces"),
    ("compute", "computes"),
    ("compute-instance", "computes"),
    ("compute-kubernetes", "computes"),
    ("dataasset", "dataassets"),
    ("model", "models"),
    ("modelregistry", "modelregistries"),
    ("endpoint-managed-online", "endpoints"),
    ("endpoint-managed-canary", "endpoints"),
    ("endpoint-managed-batch", "endpoints"),
    ("endpoint-arc", "endpoints"),
];

/// The tag by which the operator knows what it made.
const OWNER: &str = "mlops-operator-owner";
/// What the samples find in Azure: a connected cluster, and somebody else's registry with a model.
const CLUSTER: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/edge/providers/Microsoft.Kubernetes/connectedClusters/factory";

/// The model in Go's library of what is put at a type, without `Microsoft.`.
const MODELS: [(&str, &str); 22] = [
    ("MachineLearningServices/workspaces", "Workspace"),
    ("MachineLearningServices/workspaces/computes", "ComputeResource"),
    ("MachineLearningServices/workspaces/connections", "WorkspaceConnectionPropertiesV2BasicResource"),
    ("MachineLearningServices/workspaces/data/versions", "DataVersionBase"),
    ("MachineLearningServices/workspaces/datastores", "Datastore"),
    ("MachineLearningServices/workspaces/codes/versions", "CodeVersion"),
    ("MachineLearningServices/workspaces/environments/versions", "EnvironmentVersion"),
    ("MachineLearningServices/workspaces/models", "ModelContainer"),
    ("MachineLearningServices/workspaces/models/versions", "ModelVersion"),
    ("MachineLearningServices/workspaces/onlineEndpoints", "OnlineEndpoint"),
    ("MachineLearningServices/workspaces/onlineEndpoints/deployments", "OnlineDeployment"),
    ("MachineLearningServices/workspaces/batchEndpoints", "BatchEndpoint"),
    ("MachineLearningServices/workspaces/batchEndpoints/deployments", "BatchDeployment"),
    ("MachineLearningServices/workspaces/outboundRules", "OutboundRuleBasicResource"),
    ("MachineLearningServices/registries", "Registry"),
    ("KubernetesConfiguration/extensions", "Extension"),
    ("Insights/diagnosticSettings", "DiagnosticSettingsResource"),
    ("Insights/components", "InsightsComponent"),
    ("OperationalInsights/workspaces", "LogAnalyticsWorkspace"),
    ("Storage/storageAccounts", "StorageAccountCreateParameters"),
    ("KeyVault/vaults", "VaultCreateOrUpdateParameters"),
    ("ContainerRegistry/registries", "ContainerRegistry"),
];

pub(crate) async fn every_sample_is_made_in_azure_and_imported_without_a_difference(
    context: &mut Context,
) -> anyhow::Result<()> {
    let azure = Azure::start(context).await?;
    surroundings(&azure, context).await?;
    let before = azure.emulator.log().last();
    let mut operator = azure.operator(context).await?;
    let mut paths = Vec::new();
    for (sample, plural) in SAMPLES {
        let object = read(sample)?;
        context.must("POST", context.own(plural, "").trim_end_matches('/'), JSON, &object).await?;
        paths.push(context.own(plural, object["metadata"]["name"].as_str().unwrap_or_default()));
    }
    for path in &paths {
        context.object_says(path, "Ready=True/Ready").await?;
    }
    operator.check_alive()?;
    every_key_is_known_to_go(&azure.writes(before), context)?;
    let workspace = format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/churn/providers/Microsoft.MachineLearningServices/workspaces/churn-dev"
    );
    nothing_is_planned(context, &azure)?;
    // What is imported was made by people, without the operator's tags.
    operator.terminate().await?;
    let owners = Owners::of(&azure, before)?;
    owners.set(&azure, false)?;
    imported(context, &azure, &workspace).await?;
    owners.set(&azure, true)?;
    let mut operator = azure.operator(context).await?;
    // What needs something goes before it.
    for path in paths.iter().rev() {
        context.delete(path).await?;
        context.gone(path).await?;
    }
    operator.check_alive()?;
    ensure!(azure.emulator.resource(&workspace).is_none(), "the workspace is still there");
    let production = workspace.replace("/churn/", "/churn-prod/").replace("churn-dev", "churn-prod");
    ensure!(azure.emulator.resource(&production).is_some(), "the sample for production lost its workspace");
    Ok(())
}

/// Where a resource bears it.
const PLACES: [&str; 3] = ["/tags", "/properties/tags", "/properties/metadata"];

/// The operator's tags on what it made.
struct Owners(Vec<(String, &'static str, Value)>);

impl Owners {
    fn of(azure: &Azure, since: u64) -> anyhow::Result<Self> {
        let made: BTreeSet<String> = azure
            .writes(since)
            .into_iter()
            .filter(|call| call.method == "PUT")
            .map(|call| call.path)
            .collect();
        let owner = |id: String| {
            let body = azure.emulator.resource(&id)?;
            let place =
                PLACES.into_iter().find(|place| body.pointer(&format!("{place}/{OWNER}")).is_some())?;
            Some((id, place, body.pointer(&format!("{place}/{OWNER}"))?.clone()))
        };
        let found: Vec<_> = made.into_iter().filter_map(owner).collect();
        ensure!(found.len() >= 10, "only {found:?} bear the operator's tag");
        Ok(Self(found))
    }

    /// Puts the tags on, or takes them off.
    fn set(&self, azure: &Azure, on: bool) -> anyhow::Result<()> {
        for (id, place, owner) in &self.0 {
            let owner = json!({OWNER: if on { owner.clone() } else { Value::Null }});
            let inside = |patch: Value, field: &str| json!({field: patch});
            let patch = place.split('/').skip(1).collect::<Vec<_>>().into_iter().rev().fold(owner, inside);
            ensure!(azure.emulator.control().merge(id, &patch), "{id} is gone");
        }
        Ok(())
    }
}

fn read(sample: &str) -> anyhow::Result<Value> {
    let file = xtask::cache::repository().join(format!("config/samples/{sample}.yaml"));
    let text =
        std::fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))?;
    Ok(serde_saphyr::from_str(&text)?)
}

/// What the samples say that exists.
async fn surroundings(azure: &Azure, context: &Context) -> anyhow::Result<()> {
    let cluster = json!({
        "location": "westeurope", "identity": {"type": "SystemAssigned"},
        "properties": {"agentPublicKeyCertificate": "", "connectivityStatus": "Connected"},
    });
    azure.ask("PUT", &format!("{CLUSTER}?api-version=2021-10-01"), Some(&cluster)).await?;
    let registry = "/subscriptions/00000000-0000-0000-0000-000000000002/resourceGroups/contoso/providers/Microsoft.MachineLearningServices/registries/contoso";
    let body = json!({
        "location": "westeurope", "identity": {"type": "SystemAssigned"},
        "properties": {"regionDetails": [{
            "location": "westeurope",
            "acrDetails": [{"systemCreatedAcrAccount": {"acrAccountSku": "Premium"}}],
            "storageAccountDetails": [{"systemCreatedStorageAccount": {"storageAccountType": "Standard_LRS"}}],
        }]},
    });
    azure.ask("PUT", &format!("{registry}?api-version=2025-12-01"), Some(&body)).await?;
    let model = format!("{registry}/models/churn/versions/7?api-version=2025-12-01");
    let body = json!({"properties": {"modelType": "custom_model", "modelUri": "https://contoso.blob.core.windows.net/models/churn/7"}});
    until("the registry", PATIENCE, async || {
        Ok(azure.ask("PUT", &model, Some(&body)).await.map_err(|error| error.to_string()))
    })
    .await?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "churn-sources"},
        "stringData": {"storage-key": "c2VjcmV0", "git-token": "token"},
    });
    let secrets = format!("/api/v1/namespaces/{}/secrets", context.namespace);
    context.must("POST", &secrets, JSON, &secret).await?;
    Ok(())
}

/// Passes every body that the operator sent through the models of Azure's official Go library.
fn every_key_is_known_to_go(writes: &[Entry], context: &Context) -> anyhow::Result<()> {
    let mut lines = String::new();
    let mut types: BTreeMap<&str, u32> = BTreeMap::new();
    // A POST asks for keys, and says nothing.
    for call in writes.iter().filter(|call| call.method != "POST" || call.body.is_some()) {
        let id = arm::ResourceId::parse(&call.path).map_err(|error| anyhow!("{}: {error}", call.path))?;
        let type_ = id.type_().trim_start_matches("Microsoft.").to_owned();
        let model = MODELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(&type_));
        let (Some((_, model)), "PUT", Some(body)) = (model, call.method.as_str(), &call.body) else {
            bail!("no Go model is known for {} {}: {:?}", call.method, call.path, call.body);
        };
        *types.entry(model).or_default() += 1;
        lines += &json!({"type": model, "name": call.path, "body": body}).to_string();
        lines.push('\n');
    }
    let file = context.plane.folder().join("bodies.jsonl");
    std::fs::write(&file, lines)?;
    let tools = tools::ensure_only(&[Module::AzureClients])?;
    let summary = xtask::azure::judge(&tools.azure_bodies(), &file)?;
    let never: Vec<&str> =
        MODELS.map(|(_, model)| model).into_iter().filter(|it| !types.contains_key(it)).collect();
    ensure!(never.is_empty(), "no sample sends a body of {never:?}");
    context.tell(format!("{} bodies keep every key in Go's models", summary["bodies"]));
    Ok(())
}

/// `kubectl mlops plan --server` finds nothing to do.
fn nothing_is_planned(context: &Context, azure: &Azure) -> anyhow::Result<()> {
    let kubeconfig = context.plane.user(&format!("planner-{}", context.namespace), &["system:masters"])?;
    let mut command = Command::new(plugin()?);
    command.args(["plan", "--server", "--exit-code", "--namespace", &context.namespace]).arg(azure.trust());
    for (sample, _) in SAMPLES {
        command.arg("-f").arg(xtask::cache::repository().join(format!("config/samples/{sample}.yaml")));
    }
    command.env("KUBECONFIG", kubeconfig);
    xtask::shell::output(command.envs(azure.environment())).map(drop)
}

fn plugin() -> anyhow::Result<PathBuf> {
    Ok(binary::build(&["kubectl-mlops"], false)?.swap_remove(0))
}

/// Imports everything in a workspace, and lets a second operator look at the manifests: there is nothing to do.
async fn imported(context: &Context, azure: &Azure, workspace: &str) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(plugin()?);
    command.args(["import", workspace, "--output-dir"]).arg(folder.path()).arg(azure.trust());
    xtask::shell::output(command.envs(azure.environment()))?;
    let place = context.place("imported").await?;
    let mut paths = Vec::new();
    let mut kinds: BTreeMap<String, u32> = BTreeMap::new();
    let mut refused = Vec::new();
    for entry in std::fs::read_dir(folder.path())? {
        let text = std::fs::read_to_string(entry?.path())?;
        ensure!(text.contains("# it says what exists, without any difference"), "{text}");
        fill_in_secrets(&place, &text).await?;
        let mut object: Value = serde_saphyr::from_str(&text)?;
        object["metadata"]["namespace"] = json!(place.namespace);
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        let plural = plural(&kind);
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if let Err(error) =
            place.must("POST", place.own(plural, "").trim_end_matches('/'), JSON, &object).await
        {
            refused.push(error.to_string());
        }
        paths.push(place.own(plural, &name));
        *kinds.entry(kind).or_default() += 1;
    }
    ensure!(refused.is_empty(), "imported manifests were refused:\n{}", refused.join("\n"));
    ensure!(kinds.len() == 5, "imported only {kinds:?}");
    let before = azure.emulator.log().last();
    let mut options = azure.options_in(context, &place)?;
    options.arguments.push("--cluster-id=another".to_owned());
    let mut second = Operator::start(options)?;
    second.ready().await?;
    for path in &paths {
        let object = until(&format!("a plan for {path}"), CONVERGES, async || {
            let object = place.get(path).await?.unwrap_or_default();
            let says = conditions(&object);
            let planned = says.iter().any(|it| it == "Ready=False/Planned" || it == "Ready=True/Ready");
            Ok(if planned { Ok(object) } else { Err(format!("{says:?}")) })
        })
        .await?;
        only_the_owner_is_missing(&object)?;
    }
    second.check_alive()?;
    let writes = azure.writes(before);
    ensure!(writes.is_empty(), "a second operator that only observes wrote: {writes:?}");
    context.tell(format!("{kinds:?} imported"));
    Ok(())
}

/// Makes the Secrets that a manifest asks for in its comments.
async fn fill_in_secrets(place: &Place, text: &str) -> anyhow::Result<()> {
    for line in text.lines().filter_map(|line| line.strip_prefix("# fill in the Secret ")) {
        let (name, keys) = line.split_once(" with the keys ").context("which keys?")?;
        let values: BTreeMap<&str, &str> = keys.split(", ").map(|key| (key, "c2VjcmV0")).collect();
        let secret =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values});
        place.must("POST", &format!("/api/v1/namespaces/{}/secrets", place.namespace), JSON, &secret).await?;
    }
    Ok(())
}

/// To be managed, what was imported needs the operator's tag and nothing else.
fn only_the_owner_is_missing(object: &Value) -> anyhow::Result<()> {
    let status =
        if object["status"]["azure"].is_null() { &object["status"] } else { &object["status"]["azure"] };
    for step in status["plan"]["steps"].as_array().into_iter().flatten() {
        let differences = step["differences"].as_array().context("a step without differences")?;
        let others: Vec<&Value> = differences
            .iter()
            .filter(|it| !it["field"].as_str().is_some_and(|it| it.ends_with(OWNER)))
            .collect();
        ensure!(
            others.is_empty() && !differences.is_empty(),
            "{} would be written: {step}",
            object["metadata"]["name"]
        );
    }
    Ok(())
}

fn plural(kind: &str) -> &'static str {
    match kind {
        "MLWorkspace" => "mlworkspaces",
        "Compute" => "computes",
        "DataAsset" => "dataassets",
        "Model" => "models",
        _ => "endpoints",
    }
}
