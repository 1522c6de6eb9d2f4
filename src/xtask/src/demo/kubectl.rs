//! kubectl in one line.
use std::io::Write as _;
use std::process::Stdio;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::shell;

/// Runs kubectl in a namespace and returns what it printed.
pub fn kubectl(cluster: &Cluster, namespace: &str, arguments: &[&str]) -> anyhow::Result<String> {
    shell::output(cluster.kubectl().args(["--namespace", namespace]).args(arguments))
}

/// Applies objects on the server's side.
pub fn apply(cluster: &Cluster, namespace: &str, objects: &[Value]) -> anyhow::Result<()> {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    let mut command = cluster.kubectl();
    command.args(["--namespace", namespace, "apply", "--server-side", "--force-conflicts", "-f", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("failed to start kubectl")?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(list.as_bytes()).context("kubectl did not read its input")?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!(
            "kubectl apply ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
