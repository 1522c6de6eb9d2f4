//! What all journeys share: the cluster, a store with good and bad models, and scikit-learn's answers.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use xtask::cluster::Cluster;
use xtask::demo::rows::Rows;
use xtask::demo::{install, kubectl, make_restricted_namespace, store};
use xtask::image::binary;

/// The namespace of the store.
const STORE: &str = "journeys-store";
/// The variable that names the cluster.
const KUBECONFIG: &str = "MLOPS_E2E_KUBECONFIG";
/// The name of a file in the store that is no model.
pub(crate) const CORRUPT: &str = "corrupt.onnx";

/// The name of a file in the store with a model that takes the two classes for each other.
pub(crate) const SWAPPED: &str = "swapped.onnx";

/// The name of a file in the store with rows of the demo.
pub(crate) const ROWS: &str = "rows.csv";

/// Reports of tests in JUnit's XML.
const REPORTS: [(&str, &str); 2] = [
    ("passed.xml", "<testsuite><testcase name='prices'/></testsuite>"),
    (
        "failed.xml",
        "<testsuite><testcase name='names'/><testcase classname='shop' name='prices'><failure/></testcase></testsuite>",
    ),
];

/// The first version of the model with the names of its two classes changed about: the attribute `classlabels_ints` holds
/// `0, 1`, each behind the tag of its field.
fn swapped(model: &[u8]) -> anyhow::Result<Vec<u8>> {
    let (before, after) = (b"classlabels_ints\x40\x00\x40\x01", b"classlabels_ints\x40\x01\x40\x00");
    let place = model.windows(before.len()).position(|window| window == before);
    let place = place.context("the first version of the model has no two classes")?;
    let mut model = model.to_vec();
    model.splice(place..place + before.len(), after.iter().copied());
    Ok(model)
}

/// What all journeys share.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) rows: Rows,
    files: BTreeMap<String, Vec<u8>>,
    plugin: PathBuf,
}

impl Stage {
    /// Finds the cluster and the operator on it.
    pub(crate) fn enter() -> anyhow::Result<Self> {
        let kubeconfig = std::env::var_os(KUBECONFIG).with_context(|| {
            format!("{KUBECONFIG} names no cluster: run cargo xtask test, or cargo xtask demo and set it")
        })?;
        let cluster = Cluster::at(Path::new(&kubeconfig))?;
        let pods = ["get", "pods", "-l", "app.kubernetes.io/name=mlops-operator", "-o", "name"];
        let pods = kubectl::kubectl(&cluster, install::NAMESPACE, &pods)?;
        ensure!(!pods.is_empty(), "the operator is not installed on the cluster: run cargo xtask demo");
        let mut files = store::demo_files()?;
        files.insert(CORRUPT.to_owned(), b"This is not a model.".to_vec());
        let swapped = swapped(&files["model-v1.onnx"])?;
        files.insert(SWAPPED.to_owned(), swapped);
        let rows = Rows::of_demo()?;
        files.insert(ROWS.to_owned(), crate::promotions::rows(&rows)?.into_bytes());
        files.extend(REPORTS.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())));
        make_restricted_namespace(&cluster, STORE)?;
        store::serve(&cluster, STORE, &files)?;
        let plugin = binary::build(&["kubectl-mlops"], false)?.swap_remove(0);
        Ok(Self { cluster, rows, files, plugin })
    }

    /// Runs kubectl and returns what it printed.
    pub(crate) fn kubectl(&self, namespace: &str, arguments: &[&str]) -> anyhow::Result<String> {
        kubectl::kubectl(&self.cluster, namespace, arguments)
    }

    /// Runs helm on the operator's namespace and returns what it printed.
    pub(crate) fn helm(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut helm = self.cluster.helm()?;
        xtask::shell::output(helm.args(arguments).args(["--namespace", install::NAMESPACE]))
    }

    /// A run of the kubectl plugin.
    pub(crate) fn plugin(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = std::process::Command::new(&self.plugin);
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(name);
        }
        command.env("KUBECONFIG", self.cluster.kubeconfig()).args(arguments);
        xtask::shell::output(&mut command)
    }

    /// The bytes of a file of the store.
    pub(crate) fn file(&self, name: &str) -> anyhow::Result<&[u8]> {
        Ok(self.files.get(name).with_context(|| format!("the store has no {name}"))?)
    }

    /// The address of a file of the store, seen from a pod.
    pub(crate) fn uri(name: &str) -> String {
        format!("http://{}.{STORE}.svc/{name}", store::NAME)
    }
}
