//! Links, packet filter rules and kernel settings of a full cluster, and their removal.
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::node;
use crate::shell;
use crate::tools::packages::on_path;

/// The file in the cluster's folder that keeps the kernel's settings as they were.
pub(super) const SAVED: &str = "kernel-settings.json";
/// The bridge that carries the node's address.
const NODE_BRIDGE: &str = "mlops-node";
/// The bridge that pods are attached to.
pub(super) const POD_BRIDGE: &str = "mlops-pods";
/// The addresses of pods.
pub(super) const POD_NETWORK: &str = "10.232.0.0/16";
/// The name of the pods' network in the files of the network plugins.
pub(super) const POD_NETWORK_NAME: &str = "mlops-operator";

/// What the kubelet, the network plugins and kube-proxy change on a machine.
const KERNEL_SETTINGS: [&str; 9] = [
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "net/bridge/bridge-nf-call-iptables",
    "net/ipv4/conf/all/route_localnet",
    "net/ipv4/ip_forward",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
];

/// Writes down the kernel's settings, makes the node's bridge and lets pods' packets through.
///
/// `saved` exists from before the first change until the last one is undone.
pub(super) fn set_up(saved: &Path) -> anyhow::Result<()> {
    let values: BTreeMap<&str, String> = KERNEL_SETTINGS
        .iter()
        .filter_map(|name| Some((*name, std::fs::read_to_string(setting(name)).ok()?.trim().to_owned())))
        .collect();
    let part = saved.with_extension("part");
    std::fs::write(&part, serde_json::to_vec(&values)?)?;
    std::fs::rename(&part, saved)?;
    ip(&["link", "add", NODE_BRIDGE, "type", "bridge"])?;
    ip(&["addr", "add", &format!("{}/24", node::ADDRESS), "dev", NODE_BRIDGE])?;
    ip(&["link", "set", NODE_BRIDGE, "up"])?;
    std::fs::write(setting("net/ipv4/ip_forward"), "1")
        .context("failed to let the kernel forward packets")?;
    // Packets between two pods pass a bridge only; Services need the packet filter to see them.
    let bridged = setting("net/bridge/bridge-nf-call-iptables");
    if !Path::new(&bridged).exists() {
        // It may be a module that nothing loaded yet, or built in; the next line tells.
        let _ = shell::output(Command::new("modprobe").arg("br_netfilter"));
    }
    std::fs::write(&bridged, "1").context(
        "the kernel can't filter bridged packets (br_netfilter); use --control-plane-only or --context NAME",
    )?;
    // Machines with another container engine drop what they don't know.
    for direction in ["-s", "-d"] {
        let mut command = Command::new(on_path("iptables").context("iptables is not installed")?);
        command.args(["-w", "-I", "FORWARD", direction, POD_NETWORK, "-j", "ACCEPT"]);
        command.args(["-m", "comment", "--comment", POD_NETWORK_NAME]);
        shell::output(&mut command)?;
    }
    Ok(())
}

/// Whether the rules of some kube-proxy are on this machine.
pub(super) fn has_service_rules() -> bool {
    saved_rules("iptables-save").is_ok_and(|rules| rules.contains(":KUBE-SERVICES "))
}

/// Whether another network of this machine overlaps with those of the cluster.
pub(super) fn taken_network() -> anyhow::Result<Option<String>> {
    let routes = shell::output(
        Command::new(on_path("ip").context("ip of iproute2 is not installed")?).args(["-4", "route", "show"]),
    )?;
    Ok(routes
        .lines()
        .filter(|route| !route.contains(NODE_BRIDGE) && !route.contains(POD_BRIDGE))
        .find(|route| ["10.231.", "10.232.", "10.233."].iter().any(|network| route.starts_with(network)))
        .map(str::to_owned))
}

/// Removes links and rules and restores the kernel's settings; what is not there is fine.
pub(super) fn tear_down(saved: &Path) -> anyhow::Result<()> {
    for (save, restore) in [("iptables-save", "iptables-restore"), ("ip6tables-save", "ip6tables-restore")] {
        // A machine without the sixth version has nothing to remove from it.
        let Ok(rules) = saved_rules(save) else { continue };
        let removal = removal(&rules);
        if !removal.is_empty() {
            restore_rules(restore, &removal)?;
        }
    }
    remove_links()?;
    if let Ok(text) = std::fs::read_to_string(saved) {
        let values: BTreeMap<String, String> = serde_json::from_str(&text)?;
        for (name, value) in values {
            let path = setting(&name);
            let current = std::fs::read_to_string(&path).unwrap_or_default();
            if current.trim() != value {
                std::fs::write(&path, &value).with_context(|| format!("failed to restore {path}"))?;
            }
        }
        std::fs::remove_file(saved)?;
    }
    Ok(())
}

/// The lines for `iptables-restore --noflush` that remove kube-proxy's chains, the rules that lead there, and ours.
pub(super) fn removal(rules: &str) -> String {
    let mut removal = String::new();
    let mut table = Vec::new();
    let mut chains = Vec::new();
    for line in rules.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = vec![format!("*{name}")];
            chains.clear();
        } else if let Some(chain) = line.strip_prefix(':').and_then(|rest| rest.split(' ').next()) {
            if chain.starts_with("KUBE-") {
                table.push(format!(":{chain} - [0:0]"));
                chains.push(chain);
            }
        } else if let Some(rule) = line.strip_prefix("-A ") {
            let ours = rule.contains(&format!("--comment {POD_NETWORK_NAME} "))
                || rule.ends_with(&format!("--comment {POD_NETWORK_NAME}"));
            if !rule.starts_with("KUBE-") && (ours || rule.contains("-j KUBE-")) {
                table.push(format!("-D {rule}"));
            }
        } else if line == "COMMIT" && table.len() > 1 {
            table.extend(chains.iter().map(|chain| format!("-X {chain}")));
            table.push("COMMIT\n".to_owned());
            removal.push_str(&table.join("\n"));
        }
    }
    removal
}

/// The bridges, and the ends of pods' links on the bridge of a node whose pods were killed a moment ago.
fn remove_links() -> anyhow::Result<()> {
    let Ok(entries) = std::fs::read_dir("/sys/class/net") else { return Ok(()) };
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let master = std::fs::read_link(format!("/sys/class/net/{name}/master")).unwrap_or_default();
        let on_bridge = master.file_name().is_some_and(|master| master == POD_BRIDGE);
        if on_bridge || name == NODE_BRIDGE || name == POD_BRIDGE {
            // The kernel removes a link by itself when its pod's namespace goes.
            if let Err(error) = ip(&["link", "delete", &name])
                && Path::new("/sys/class/net").join(&name).exists()
            {
                return Err(error);
            }
        }
    }
    Ok(())
}

fn saved_rules(program: &str) -> anyhow::Result<String> {
    shell::output(&mut Command::new(on_path(program).with_context(|| format!("{program} is not installed"))?))
}

fn restore_rules(program: &str, lines: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    let program = on_path(program).with_context(|| format!("{program} is not installed"))?;
    let mut child = Command::new(&program)
        .args(["-w", "--noflush"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("no standard input")?.write_all(lines.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!(
            "{} failed to remove rules: {}",
            program.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let program = on_path("ip").context("ip of iproute2 is not installed")?;
    shell::output(Command::new(program).args(arguments)).map(drop)
}

fn setting(name: &str) -> String {
    format!("/proc/sys/{name}")
}
