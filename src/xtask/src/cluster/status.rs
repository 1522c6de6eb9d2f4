//! How each part of a cluster is.
use std::path::Path;
use std::process::Command;

use anyhow::bail;

use super::{CONTROL_PLANE, READY, control_plane, node, process};
use crate::{shell, tools};

/// The components that should run in this cluster and don't.
pub(super) fn missing(directory: &Path, full: bool) -> Vec<&'static str> {
    let running = process::within(directory);
    components(full)
        .into_iter()
        .filter(|component| !running.iter().any(|process| process.component == *component))
        .collect()
}

fn components(full: bool) -> Vec<&'static str> {
    let node: &[&str] = if full { &node::COMPONENTS } else { &[] };
    [&control_plane::COMPONENTS, node].concat()
}

/// Prints a line per component; an error when something that should run doesn't.
pub(super) fn print(name: &str) -> anyhow::Result<()> {
    let directory = super::directory(name)?;
    let hint = format!("start it with cargo xtask cluster up --name {name}");
    let Ok(kind) = std::fs::read_to_string(directory.join(READY)) else {
        let rest = process::within(&directory).len();
        if rest > 0 {
            bail!("the cluster {name} is being started, or its start was killed ({rest} processes); {hint}");
        }
        bail!("the cluster {name} is down; {hint}");
    };
    let full = kind == "full";
    let running = process::within(&directory);
    let mut broken = Vec::new();
    let mut line = |component: &str, state: Result<String, &str>| {
        let word = state.as_ref().map_or_else(|word| (*word).to_owned(), Clone::clone);
        super::say(&format!("{component:<26}{word}"));
        if state.is_err() {
            broken.push(component.to_owned());
        }
    };
    for component in components(full) {
        let process = running.iter().find(|process| process.component == component);
        line(
            component,
            process.map(|process| format!("running (process {})", process.pid)).ok_or("not running"),
        );
    }
    let kubeconfig = control_plane::kubeconfig(&directory.join(CONTROL_PLANE));
    let program = tools::ensure_only(&[])?.kubectl();
    let kubectl = || {
        let mut command = Command::new(&program);
        command.env("KUBECONFIG", &kubeconfig).arg("--request-timeout=5s");
        process::without_proxy(&mut command);
        command
    };
    let answers = shell::output(kubectl().args(["get", "--raw", "/readyz"])).is_ok();
    let ready = |is_ready: bool| if is_ready { Ok("ready".to_owned()) } else { Err("not ready") };
    line("API", ready(answers));
    if full {
        line("node", ready(answers && node_is_ready(kubectl)));
        line("CoreDNS", ready(answers && dns_is_ready(kubectl)));
    }
    super::say(&format!("export KUBECONFIG={}", kubeconfig.display()));
    if !broken.is_empty() {
        bail!("the cluster {name} is not whole ({}); {hint}", broken.join(", "));
    }
    Ok(())
}

pub(super) fn node_is_ready(kubectl: impl Fn() -> Command) -> bool {
    let path = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
    shell::output(kubectl().args(["get", "node", node::NAME, "-o", path]))
        .is_ok_and(|status| status == "True")
}

pub(super) fn dns_is_ready(kubectl: impl Fn() -> Command) -> bool {
    let path = "jsonpath={.status.availableReplicas}";
    shell::output(kubectl().args(["-n", "kube-system", "get", "deployment", "coredns", "-o", path]))
        .is_ok_and(|replicas| replicas == "1")
}
