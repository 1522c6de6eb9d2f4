//! A rollout in steps through the inference gateway, judged by what callers get, and told as it goes.
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::address::Address;
use super::kubectl::kubectl;
use super::rows::Rows;
use super::{NAMESPACE, ask_for_version_2, compare, install, under_load, wait_until_ready};
use crate::cluster::Cluster;
use crate::{cache, progress};

/// The Endpoint of `config/demo/canary.yaml`.
const ENDPOINT: &str = "breast-cancer-steps";
/// The gateway's Service.
const GATEWAY: &str = "mlops-operator-gateway";
/// How long a rollout may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(5);

/// Shows it: version 2 gets copies of requests, then a share of them, then all.
pub(super) fn run(cluster: &Cluster, rows: &Rows, elsewhere: bool) -> anyhow::Result<()> {
    progress::step("kubectl apply -f config/demo/canary.yaml, and wait until it is ready", || {
        let manifest = cache::repository().join("config/demo/canary.yaml");
        kubectl(cluster, NAMESPACE, &["apply", "-f", &manifest.to_string_lossy()])?;
        wait_until_ready(cluster, ENDPOINT)
    })?;
    let address = Address::of(cluster, install::NAMESPACE, GATEWAY, elsewhere)?;
    let url = format!("{}/endpoints/{NAMESPACE}/{ENDPOINT}/v2/models/{ENDPOINT}/infer", address.base());
    rows.until_answered(&url, Duration::from_mins(1))?;
    let title = "roll version 2 out in steps through the gateway: copies first, then a share of the requests";
    under_load(rows, &url, title, || {
        ask_for_version_2(cluster, ENDPOINT)?;
        follow(cluster)
    })?;
    compare(rows, &url, "2")
}

/// Prints what the status tells of the rollout whenever that changes, until it is over.
fn follow(cluster: &Cluster) -> anyhow::Result<()> {
    let (started, mut told) = (Instant::now(), String::new());
    loop {
        let endpoint = format!("endpoint.mlops-operator.dev/{ENDPOINT}");
        let endpoint: Value =
            serde_json::from_str(&kubectl(cluster, NAMESPACE, &["get", &endpoint, "-o", "json"])?)?;
        let (status, rollout) = (&endpoint["status"], &endpoint["status"]["rollout"]);
        let is_of_spec = status["observedGeneration"] == endpoint["metadata"]["generation"];
        let message = rollout["message"].as_str().unwrap_or_default();
        if is_of_spec && message != told {
            message.clone_into(&mut told);
            eprintln!("    {message}");
        }
        match rollout["phase"].as_str().context("the status tells of no rollout")? {
            "Completed" if is_of_spec => return Ok(()),
            "RolledBack" | "Paused" if is_of_spec => bail!("the rollout did not go on: {message}"),
            _ if started.elapsed() > PATIENCE => bail!("the rollout is not over: {message}"),
            _ => std::thread::sleep(Duration::from_millis(250)),
        }
    }
}
