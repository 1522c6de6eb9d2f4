//! The operator on a cluster: images built and loaded, chart installed in a restricted namespace.
use super::kubectl::kubectl;
use super::make_restricted_namespace;
use crate::cluster::Cluster;
use crate::image::{self, Component};
use crate::{cache, progress, shell};

/// The namespace of the operator.
pub const NAMESPACE: &str = "mlops-system";
/// The name of the Helm release.
pub const RELEASE: &str = "mlops-operator";

/// Builds and loads the images, and installs or upgrades the chart with its default values.
pub fn install(cluster: &Cluster) -> anyhow::Result<()> {
    let images = image::build(&Component::CHART, false, &image::folder()?)?;
    progress::step("load the images into the cluster", || {
        images.iter().try_for_each(|image| cluster.load_image(&image.archive))
    })?;
    let digests: Vec<&str> = images.iter().map(|image| image.digest.as_str()).collect();
    let digest = digests.join("+");
    progress::step(
        "install the chart, in a namespace that enforces the Pod Security Standard restricted",
        || {
            make_restricted_namespace(cluster, NAMESPACE)?;
            // A run that was killed leaves a release that Helm takes for one in progress, and refuses to touch.
            let pending = "pending-install,pending-upgrade,pending-rollback";
            let left = format!("owner=helm,name={RELEASE},status in ({pending})");
            kubectl(cluster, NAMESPACE, &["delete", "secret", "-l", &left])?;
            upgrade(cluster, &digest, &[])
        },
    )
}

/// Installs or upgrades the chart and waits until all of it is ready.
///
/// Images keep their tags from build to build, so that their digests, as an annotation, tell the pods apart.
pub fn upgrade(cluster: &Cluster, digest: &str, more: &[&str]) -> anyhow::Result<()> {
    let chart = cache::repository().join("charts/mlops-operator");
    let mut helm = cluster.helm()?;
    helm.args(["upgrade", "--install", RELEASE]).arg(chart);
    helm.args(["--namespace", NAMESPACE, "--create-namespace", "--wait", "--timeout", "3m"]);
    // The demo's models, and those of the journeys, lie in the cluster itself.
    helm.args(["--set-json", r#"modelSources.allowedHosts=["*.svc"]"#]);
    for pods in ["podAnnotations", "gateway.podAnnotations"] {
        helm.args(["--set-string", &format!("{pods}.mlops-operator\\.dev/image={digest}")]);
    }
    shell::output(helm.args(more)).map(drop)
}
