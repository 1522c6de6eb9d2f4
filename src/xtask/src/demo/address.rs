//! How this machine reaches a Service: by its address where this machine is the node, else through the API server.
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use anyhow::Context as _;

use super::kubectl::kubectl;
use crate::cluster::Cluster;

/// The way to a Service; it ends with this value.
pub struct Address {
    base: String,
    proxy: Option<Child>,
}

impl Address {
    /// Finds the way to the port `http` of a Service.
    pub fn of(cluster: &Cluster, namespace: &str, service: &str, elsewhere: bool) -> anyhow::Result<Self> {
        if elsewhere {
            return Self::through_api_server(cluster, namespace, service);
        }
        let address =
            kubectl(cluster, namespace, &["get", "service", service, "-o", "jsonpath={.spec.clusterIP}"])?;
        Ok(Self { base: format!("http://{address}"), proxy: None })
    }

    /// Every request is sent on to a pod that answers, so that it works during a rollout too; a forwarded port
    /// would stay with one pod.
    fn through_api_server(cluster: &Cluster, namespace: &str, service: &str) -> anyhow::Result<Self> {
        let mut command = cluster.kubectl();
        command.args(["proxy", "--port=0", "--reject-methods=^$", "--reject-paths=^$"]);
        let mut child = command.stdout(Stdio::piped()).spawn().context("failed to start kubectl proxy")?;
        let mut line = String::new();
        let output = child.stdout.take().context("kubectl proxy has no output")?;
        let read = BufReader::new(output).read_line(&mut line);
        // From here on the process ends with this value, also when something fails.
        let mut address = Self { base: String::new(), proxy: Some(child) };
        read?;
        let port = line.trim().rsplit(':').next().unwrap_or_default();
        let port: u16 = port.parse().with_context(|| format!("kubectl proxy said {line:?}"))?;
        address.base =
            format!("http://127.0.0.1:{port}/api/v1/namespaces/{namespace}/services/{service}:http/proxy");
        Ok(address)
    }

    /// The first part of the URL.
    pub fn base(&self) -> &str {
        &self.base
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        if let Some(proxy) = &mut self.proxy {
            let _ = proxy.kill();
            let _ = proxy.wait();
        }
    }
}
