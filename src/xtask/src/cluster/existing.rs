//! A cluster that exists already, by the name of its kubeconfig context.
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use super::{Cluster, Place, certificate};
use crate::tools::{self, Module, packages::on_path};
use crate::{cache, shell};

/// Writes a kubeconfig that knows this context only, so that nothing meant for it can reach another cluster.
pub(super) fn connect(context: &str) -> anyhow::Result<Cluster> {
    let kubectl = match on_path("kubectl") {
        Some(program) => program,
        None => tools::ensure_only(&[Module::Kubernetes])?.kubectl(),
    };
    let mut view = Command::new(&kubectl);
    view.args(["config", "view", "--raw", "--minify", "--flatten", "--context", context]);
    let text = shell::output(&mut view).with_context(|| {
        format!("the kubeconfig has no usable context {context}; kubectl config get-contexts lists them")
    })?;
    let folder = cache::root()?.join("contexts");
    std::fs::create_dir_all(&folder)?;
    let kubeconfig = folder.join(format!("{}.kubeconfig", certificate::file_name(context)));
    certificate::write_secret(&kubeconfig, &text)?;
    let cluster = Cluster { kubeconfig, kubectl, place: Place::Elsewhere(context.to_owned()) };
    shell::output(cluster.kubectl().args(["get", "--raw", "/readyz", "--request-timeout=10s"]))
        .with_context(|| format!("the cluster of the context {context} does not answer; is it running?"))?;
    Ok(cluster)
}

/// Loads an image where there is a way without a registry.
pub(super) fn load_image(context: &str, archive: &Path) -> anyhow::Result<()> {
    let Some(name) = context.strip_prefix("kind-") else {
        bail!(
            "no way is known to load {} into the nodes of {context}; push it to a registry that they can reach",
            archive.display()
        );
    };
    shell::output(Command::new("kind").args(["load", "image-archive", "--name", name]).arg(archive)).map(drop)
}
