//! What both charts say about themselves: `Chart.yaml`, with the list of kinds that Artifact Hub shows.
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

use super::crds::Kind;
use super::{Output, indented};

/// The version of the workspace, of the charts and of the images.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The oldest Kubernetes whose types the operator is compiled with.
const KUBERNETES: &str = ">=1.33.0-0";

/// Files that a template includes, which must lie in the chart's own folder.
const COPIES: [(&str, &str); 2] = [
    ("config/alerts/mlops-operator.yaml", "charts/mlops-operator/files/alerts.yaml"),
    ("config/dashboards/mlops-operator.json", "charts/mlops-operator/files/dashboard.json"),
];

/// The copies of `config`.
pub(super) fn copies(root: &Path) -> anyhow::Result<Vec<Output>> {
    let copies = COPIES.iter().map(|(from, to)| {
        let contents =
            std::fs::read_to_string(root.join(from)).with_context(|| format!("failed to read {from}"))?;
        Ok(Output::new(*to, contents))
    });
    copies.collect()
}

/// Both `Chart.yaml`.
pub(super) fn outputs(kinds: &[Kind], samples: &[Output]) -> anyhow::Result<[Output; 2]> {
    let operator = head(
        "mlops-operator",
        "Serves machine-learning models on Kubernetes, declared as custom resources.",
    ) + "keywords: [mlops, machine-learning, model-serving, onnx]\nannotations:\n  artifacthub.io/category: ai-machine-learning\n  \
           artifacthub.io/license: Apache-2.0\n  artifacthub.io/operator: \"true\"\n  \
           artifacthub.io/operatorCapabilities: Seamless Upgrades\n"
        + &images()
        + &crds_annotation(kinds)
        + &examples_annotation(kinds, samples)?;
    let definitions = head(
        "mlops-operator-crds",
        "The custom resource definitions of mlops-operator, to install and upgrade on their own.",
    ) + "annotations:\n  artifacthub.io/license: Apache-2.0\n"
        + &crds_annotation(kinds);
    Ok([
        Output::new("charts/mlops-operator/Chart.yaml", operator),
        Output::new("charts/mlops-operator-crds/Chart.yaml", definitions),
    ])
}

fn head(name: &str, description: &str) -> String {
    format!(
        "# Made by `cargo xtask gen`.\napiVersion: v2\nname: {name}\ndescription: {description}\ntype: application\n\
         version: {VERSION}\nappVersion: \"{VERSION}\"\nkubeVersion: \"{KUBERNETES}\"\n"
    )
}

fn images() -> String {
    format!(
        "  artifacthub.io/images: |\n    - name: operator\n      image: mlops-operator.dev/operator:{VERSION}\n    \
         - name: model-server\n      image: mlops-operator.dev/model-server:{VERSION}\n"
    )
}

fn crds_annotation(kinds: &[Kind]) -> String {
    kinds.iter().fold("  artifacthub.io/crds: |\n".to_owned(), |mut text, kind| {
        let description = kind.schema()["description"].as_str().unwrap_or_default();
        let _ = write!(
            text,
            "    - kind: {0}\n      version: {1}\n      name: {2}.{3}\n      displayName: {0}\n      description: {description}\n",
            kind.name,
            api::VERSION,
            kind.plural,
            api::GROUP
        );
        text
    })
}

/// One sample of each kind that people write: the file that bears its name.
fn examples_annotation(kinds: &[Kind], samples: &[Output]) -> anyhow::Result<String> {
    let mut text = "  artifacthub.io/crdsExamples: |\n".to_owned();
    for kind in kinds.iter().filter(|kind| kind.is_wanted()) {
        let file = format!("{}.yaml", kind.name.to_lowercase());
        let sample = samples.iter().find(|sample| sample.path.ends_with(&file));
        let sample = sample.with_context(|| format!("config/samples has no {file} for {}", kind.name))?;
        let value: Value = serde_saphyr::from_str(&sample.contents)?;
        let example = indented(&super::yaml(&value)?, 6);
        let _ = writeln!(text, "    - {}", example.trim());
    }
    Ok(text)
}
