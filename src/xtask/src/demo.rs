//! `cargo xtask demo`: the main job on a real cluster, from nothing to a model that answers and is replaced under load.
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::cluster::{self, Cluster, say};
use crate::{cache, image, progress};

pub mod address;
pub mod azure;
pub mod install;
pub mod kubectl;
pub mod load;
pub mod rollout;
pub mod rows;
pub mod store;

use address::Address;
use azure::{Azure, Online};
use kubectl::{apply, kubectl};
use load::Load;
use rows::{Comparison, Rows};

/// The Endpoint of `config/samples/endpoint.yaml`, and the namespace that it goes to.
const ENDPOINT: &str = "breast-cancer";
const NAMESPACE: &str = "default";
/// How long a rollout may take on a busy machine.
const PATIENCE: &str = "--timeout=300s";
/// How many rows the table shows; all are compared.
const SHOWN: usize = 5;

/// Which cluster to show it on.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Use the cluster of this kubeconfig context instead of starting one on this machine.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// The name of the cluster on this machine.
    #[arg(long, default_value = "default", conflicts_with = "context")]
    name: String,
}

impl Default for Arguments {
    fn default() -> Self {
        Self { context: None, name: cluster::Options::default().name }
    }
}

/// Shows it; a second run works on the same cluster.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let options = cluster::Options {
        name: arguments.name.clone(),
        context: arguments.context.clone(),
        ..cluster::Options::default()
    };
    let cluster = progress::step("a cluster", || cluster::up(&options))?;
    install::install(&cluster)?;
    progress::step("a store for the model's files, in the cluster", || {
        store::run(&cluster, NAMESPACE, &store::demo_files()?)
    })?;
    let rows = Rows::of_demo()?;
    progress::step("kubectl apply -f config/samples/endpoint.yaml, and wait until it is ready", || {
        let sample = cache::repository().join("config/samples/endpoint.yaml");
        kubectl(&cluster, NAMESPACE, &["apply", "-f", &sample.to_string_lossy()])?;
        wait_until_ready(&cluster, ENDPOINT)
    })?;
    let address = Address::of(&cluster, NAMESPACE, ENDPOINT, arguments.context.is_some())?;
    let url = format!("{}/v2/models/{ENDPOINT}/infer", address.base());
    progress::step("score rows that the model was not trained on, and compare with scikit-learn", || {
        rows.until_answered(&url, Duration::from_secs(20))?;
        compare(&rows, &url, "1")
    })?;
    roll_over(&cluster, &rows, &url)?;
    rollout::run(&cluster, &rows, arguments.context.is_some())?;
    in_azure(&cluster, arguments, &rows)?;
    say_what_is_next(&cluster, arguments, address.base())
}

/// The same model in an Azure: registered there, served there, and scored by the official SDK.
fn in_azure(cluster: &Cluster, arguments: &Arguments, rows: &Rows) -> anyhow::Result<()> {
    let azure = Azure::start(cluster, arguments.context.is_some())?;
    azure.introduce(cluster)?;
    let endpoint = format!("{ENDPOINT}-azure");
    progress::step("kubectl apply -f config/demo/azure.yaml, and wait until Azure serves the model", || {
        let manifest = cache::repository().join("config/demo/azure.yaml");
        kubectl(cluster, NAMESPACE, &["apply", "-f", &manifest.to_string_lossy()])?;
        wait_until_ready(cluster, &endpoint)
    })?;
    progress::step("score the rows with the official SDK, and compare with scikit-learn", || {
        let online = Online { group: ENDPOINT, workspace: ENDPOINT, name: &endpoint };
        show(&azure.score(&online, rows, "1")?, "1", rows.tolerance)
    })
}

fn wait_until_ready(cluster: &Cluster, name: &str) -> anyhow::Result<()> {
    let endpoint = format!("endpoint.mlops-operator.dev/{name}");
    let waited = kubectl(cluster, NAMESPACE, &["wait", "--for=condition=Ready", &endpoint, PATIENCE]);
    waited.map(drop).map_err(|error| {
        let seen = kubectl(cluster, NAMESPACE, &["get", &endpoint, "-o", "jsonpath={.status.conditions}"]);
        error.context(format!("the endpoint says: {}", seen.unwrap_or_default()))
    })
}

/// Scores every row, and shows what came back.
fn compare(rows: &Rows, url: &str, version: &str) -> anyhow::Result<()> {
    show(&rows.compare(url, version)?, version, rows.tolerance)
}

/// Prints some rows, and fails where an answer is not scikit-learn's own.
fn show(comparison: &Comparison, version: &str, tolerance: f64) -> anyhow::Result<()> {
    eprintln!("    {:<8} {:>14} {:>14} {:>10}", "row", "endpoint", "scikit-learn", "difference");
    for line in comparison.lines.iter().take(SHOWN) {
        let difference = (line.answered - line.expected).abs();
        eprintln!("    {:<8} {:>14.9} {:>14.9} {difference:>10.1e}", line.id, line.answered, line.expected);
    }
    eprintln!(
        "    version {version}: {} rows, the largest difference of a probability is {:.1e} (allowed: {tolerance:.0e})",
        comparison.lines.len(),
        comparison.largest,
    );
    if comparison.largest > tolerance {
        bail!("version {version} does not answer as scikit-learn does: {:.1e} apart", comparison.largest);
    }
    Ok(())
}

/// Replaces the model while clients ask without a pause, and fails if one of their requests does.
fn roll_over(cluster: &Cluster, rows: &Rows, url: &str) -> anyhow::Result<()> {
    let title = "roll version 2 out while clients keep asking, over kept and over new connections";
    under_load(rows, url, title, || {
        ask_for_version_2(cluster, ENDPOINT)?;
        wait_until_ready(cluster, ENDPOINT)?;
        wait_until_old_pods_are_gone(cluster)
    })?;
    compare(rows, url, "2")
}

/// Does something while clients ask for both versions, and fails if one of their requests does.
fn under_load(
    rows: &Rows,
    url: &str,
    title: &str,
    work: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let load = Load::start(rows, url, &["1", "2"])?;
    let worked = progress::step(title, || {
        load.wait_for(200, Duration::from_secs(30))?;
        work()
    });
    let outcome = load.stop();
    worked?;
    eprintln!(
        "    {} requests meanwhile: {} answered by version 1, {} by version 2, {} failed",
        outcome.requests(),
        outcome.answers("1"),
        outcome.answers("2"),
        outcome.failed
    );
    if let Some(first) = &outcome.first_failure {
        bail!("{} of {} requests failed; the first: {first}", outcome.failed, outcome.requests());
    }
    if outcome.answers("1") == 0 || outcome.answers("2") == 0 {
        bail!("the load did not see both versions, so that it shows nothing");
    }
    Ok(())
}

/// Changes the model of an Endpoint to its second version.
fn ask_for_version_2(cluster: &Cluster, endpoint: &str) -> anyhow::Result<()> {
    let file = cache::repository().join("config/models/breast-cancer/model-v2.onnx");
    let model = json!({
        "uri": format!("http://{}.{NAMESPACE}.svc/model-v2.onnx", store::NAME),
        "digest": digest(&file)?,
    });
    let patch = json!({"spec": {"model": model}}).to_string();
    let endpoint = format!("endpoint.mlops-operator.dev/{endpoint}");
    kubectl(cluster, NAMESPACE, &["patch", &endpoint, "--type=merge", "--patch", &patch]).map(drop)
}

fn wait_until_old_pods_are_gone(cluster: &Cluster) -> anyhow::Result<()> {
    let current = kubectl(
        cluster,
        NAMESPACE,
        &[
            "get",
            "deployment",
            ENDPOINT,
            "-o",
            &format!("jsonpath={{.spec.template.metadata.labels.{REVISION}}}"),
        ],
    )?;
    let others = format!("mlops-operator.dev/endpoint={ENDPOINT},mlops-operator.dev/revision!={current}");
    kubectl(cluster, NAMESPACE, &["wait", "--for=delete", "pod", "-l", &others, PATIENCE]).map(drop)
}

/// The label of the revision, as a JSONPath has to write it.
const REVISION: &str = r"mlops-operator\.dev/revision";

fn digest(file: &Path) -> anyhow::Result<String> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let list = file.with_file_name("digests.txt");
    let text =
        std::fs::read_to_string(&list).with_context(|| format!("failed to read {}", list.display()))?;
    let line = text.lines().find_map(|line| line.strip_suffix(&name));
    Ok(format!("sha256:{}", line.with_context(|| format!("{} lacks {name}", list.display()))?.trim()))
}

fn say_what_is_next(cluster: &Cluster, arguments: &Arguments, base: &str) -> anyhow::Result<()> {
    let programs = cluster.kubectl().get_program().to_owned();
    let programs = Path::new(&programs).parent().unwrap_or(Path::new("/usr/bin")).to_owned();
    let plugin = progress::step("compile kubectl mlops", || image::binary::build(&["kubectl-mlops"], false))?;
    let plugin = plugin.first().and_then(|path| path.parent()).unwrap_or(Path::new("."));
    say("");
    say("The cluster stays up. To look around:");
    say(&format!("  export KUBECONFIG={}", cluster.kubeconfig().display()));
    say(&format!("  export PATH={}:{}:$PATH", programs.display(), plugin.display()));
    say("  kubectl get mlops -A");
    say("  kubectl mlops status");
    say(&format!("  kubectl mlops explain endpoint {ENDPOINT}"));
    if arguments.context.is_none() {
        let rows = "config/models/breast-cancer/rows.json";
        say("To score a row:");
        say(&format!(
            "  python3 -c 'import json; print(json.dumps(json.load(open(\"{rows}\"))[\"rows\"][0][\"request\"]))' |"
        ));
        say(&format!("    curl --noproxy '*' --data @- {base}/v2/models/{ENDPOINT}/infer"));
        say("To take it down:");
        say(&format!("  cargo xtask cluster down --name {}", arguments.name));
    } else {
        say("To remove what the demo added:");
        say(
            "  kubectl delete -f config/demo/azure.yaml -f config/demo/canary.yaml -f config/samples/endpoint.yaml",
        );
        say(&format!("  kubectl delete namespace {}", azure::NAMESPACE));
        say(&format!("  kubectl -n {NAMESPACE} delete deployment,service,configmap {}", store::NAME));
        say(&format!("  helm -n {} uninstall {}", install::NAMESPACE, install::RELEASE));
    }
    Ok(())
}

/// The manifest of a namespace whose pods must satisfy the Pod Security Standard `restricted`.
pub fn restricted_namespace(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    })
}

/// Makes that namespace, or labels the one that is there.
pub fn make_restricted_namespace(cluster: &Cluster, name: &str) -> anyhow::Result<()> {
    apply(cluster, name, &[restricted_namespace(name)])
}
