//! The one node of a full cluster: a bridge, containerd, the kubelet and kube-proxy. Needs root.
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use super::control_plane::ControlPlane;
use super::process::{self, Lifetime};
use super::{images, network};
use crate::shell;
use crate::tools::{Tools, packages};

pub(super) const COMPONENTS: [&str; 3] = [CONTAINERD, KUBELET, KUBE_PROXY];
const CONTAINERD: &str = "containerd";
const KUBELET: &str = "kubelet";
const KUBE_PROXY: &str = "kube-proxy";

/// The node's name in the cluster.
pub(super) const NAME: &str = "mlops-node";
/// The node's address, on a bridge of its own: the API server and the kubelet listen on it.
pub(super) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 231, 0, 1);
/// The DNS server's Service address.
pub(super) const DNS_ADDRESS: &str = "10.233.0.10";
/// The control group, in every hierarchy, that holds all pods.
pub(super) const CONTROL_GROUP: &str = "mlops-operator";

/// The node in its folder.
pub(super) struct Node {
    directory: PathBuf,
    tools: Tools,
}

impl Node {
    pub(super) fn new(directory: &Path, tools: &Tools) -> Self {
        Self { directory: directory.to_owned(), tools: tools.clone() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn text(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }

    /// containerd's own client, in the namespace that the kubelet uses.
    pub(super) fn ctr(&self) -> anyhow::Result<Command> {
        let mut command =
            Command::new(packages::on_path("ctr").context("ctr of containerd is not installed")?);
        command.arg("-a").arg(self.file("containerd.sock")).args(["-n", "k8s.io"]);
        process::mark("ctr", &self.directory, &mut command);
        Ok(command)
    }

    /// Starts containerd and loads the images that every cluster needs.
    pub(super) fn start_containerd(&self) -> anyhow::Result<()> {
        for folder in ["cni/conf", "cni/networks", "registries", "opt"] {
            std::fs::create_dir_all(self.file(folder))?;
        }
        std::fs::write(self.file("cni/conf/10-mlops-operator.conflist"), self.pod_network().to_string())?;
        std::fs::write(self.file("containerd.toml"), self.containerd_settings())?;
        let program = packages::on_path("containerd").context("containerd is not installed")?;
        let mut command = Command::new(program);
        command.arg("--config").arg(self.file("containerd.toml"));
        self.spawn(CONTAINERD, &mut command)?;
        process::wait_until("the start of containerd", Duration::from_secs(30), || {
            Ok(shell::output(self.ctr()?.args(["images", "ls", "-q"])).is_ok())
        })
        .with_context(|| process::last_words(&self.directory, CONTAINERD))?;
        self.load_image(&images::pause()?)?;
        self.load_image(&images::coredns(&self.tools)?)
    }

    /// Makes the images of an archive available to pods.
    pub(super) fn load_image(&self, archive: &Path) -> anyhow::Result<()> {
        shell::output(
            self.ctr()?.args(["images", "import", "--snapshotter", self.snapshotter()]).arg(archive),
        )
        .with_context(|| format!("failed to load {}", archive.display()))?;
        Ok(())
    }

    /// Starts the kubelet and kube-proxy.
    pub(super) fn join(&self, plane: &ControlPlane) -> anyhow::Result<()> {
        let address = ADDRESS.to_string();
        let node = format!("system:node:{NAME}");
        let hosts = [NAME, &address, "127.0.0.1"];
        let pair = plane.authority().server("node", &node, &["system:nodes"], &hosts)?;
        plane.write_kubeconfig(&self.file("kubelet.kubeconfig"), &pair)?;
        let proxy = plane.authority().client("system:kube-proxy", &[])?;
        plane.write_kubeconfig(&self.file("kube-proxy.kubeconfig"), &proxy)?;
        std::fs::write(self.file("resolv.conf"), "# Pods resolve names of the cluster only.\n")?;
        let authority = plane.authority().certificate();
        let settings = self.kubelet_settings(&authority, &pair.certificate, &pair.key);
        std::fs::write(self.file("kubelet.json"), settings.to_string())?;
        std::fs::write(self.file("kube-proxy.json"), self.proxy_settings().to_string())?;
        let mut kubelet = Command::new(self.tools.kubelet());
        kubelet.arg(format!("--config={}", self.text("kubelet.json")));
        kubelet.arg(format!("--kubeconfig={}", self.text("kubelet.kubeconfig")));
        kubelet.arg(format!("--root-dir={}", self.text("kubelet")));
        kubelet.arg(format!("--cert-dir={}", self.text("kubelet/pki")));
        kubelet.arg(format!("--node-ip={ADDRESS}")).arg(format!("--hostname-override={NAME}"));
        self.spawn(KUBELET, kubelet.env("PATH", system_path()))?;
        let mut proxy = Command::new(self.tools.kube_proxy());
        proxy.arg(format!("--config={}", self.text("kube-proxy.json")));
        proxy.arg(format!("--hostname-override={NAME}"));
        self.spawn(KUBE_PROXY, proxy.env("PATH", system_path()))
    }

    fn spawn(&self, component: &str, command: &mut Command) -> anyhow::Result<()> {
        // It outlives this process, whose end hands it over to init.
        process::spawn(component, &self.directory, Lifetime::Detached, command).map(drop)
    }

    /// An overlay can't lie on an overlay, which is what a container's own disk is; copies can.
    fn snapshotter(&self) -> &'static str {
        const OVERLAY: u64 = 0x794c_7630;
        let below = rustix::fs::statfs(&self.directory).map(|system| system.f_type as u64);
        if below == Ok(OVERLAY) { "native" } else { "overlayfs" }
    }

    fn containerd_settings(&self) -> String {
        let snapshotter = self.snapshotter();
        let pause = images::PAUSE;
        let [root, state, socket, opt, runc, conf, registries] = [
            self.text("containerd"),
            self.text("run"),
            self.text("containerd.sock"),
            self.text("opt"),
            self.text("runc"),
            self.text("cni/conf"),
            self.text("registries"),
        ];
        // Without the right to lower the score by which the kernel picks who dies for memory, runc can't start a pod
        // unless the score is restricted to what its parent has.
        format!(
            r#"version = 2
root = "{root}"
state = "{state}"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
path = "{opt}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
restrict_oom_score_adj = true
tolerate_missing_hugetlb_controller = true
netns_mounts_under_state_dir = true
stream_server_address = "127.0.0.1"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "{snapshotter}"
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
Root = "{runc}"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{conf}"
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{registries}"
"#
        )
    }

    /// Pods get no address translation towards the outside: their traffic stays on this machine.
    fn pod_network(&self) -> serde_json::Value {
        json!({
            "cniVersion": "0.4.0",
            "name": network::POD_NETWORK_NAME,
            "plugins": [{
                "type": "bridge",
                "bridge": network::POD_BRIDGE,
                "isGateway": true,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "dataDir": self.file("cni/networks"),
                    "ranges": [[{"subnet": network::POD_NETWORK}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }],
        })
    }

    fn kubelet_settings(&self, authority: &Path, certificate: &Path, key: &Path) -> serde_json::Value {
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": ADDRESS,
            "authentication": {
                "anonymous": {"enabled": false},
                "webhook": {"enabled": true},
                "x509": {"clientCAFile": authority},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": certificate,
            "tlsPrivateKeyFile": key,
            "containerRuntimeEndpoint": format!("unix://{}", self.text("containerd.sock")),
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": format!("/{CONTROL_GROUP}"),
            "failCgroupV1": false,
            "failSwapOn": false,
            "oomScoreAdj": 0,
            "makeIPTablesUtilChains": false,
            "clusterDomain": "cluster.local",
            "clusterDNS": [DNS_ADDRESS],
            "resolvConf": self.file("resolv.conf"),
            "podLogsDir": self.file("pod-logs"),
            "volumePluginDir": self.file("volume-plugins"),
            "healthzPort": 0,
            "readOnlyPort": 0,
            // A developer's disk is often nearly full, and no registry could bring a collected image back.
            "evictionHard": {
                "memory.available": "50Mi",
                "nodefs.available": "1%",
                "nodefs.inodesFree": "1%",
                "imagefs.available": "1%",
            },
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
        })
    }

    fn proxy_settings(&self) -> serde_json::Value {
        json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": self.file("kube-proxy.kubeconfig")},
            "mode": "iptables",
            "clusterCIDR": network::POD_NETWORK,
            "detectLocalMode": "ClusterCIDR",
            "nodePortAddresses": ["primary"],
            "oomScoreAdj": 0,
            "metricsBindAddress": "",
            "healthzBindAddress": "",
            "iptables": {"localhostNodePorts": false, "syncPeriod": "30s", "minSyncPeriod": "100ms"},
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        })
    }
}

/// The search path with the folders of system programs, which a user's path often lacks.
fn system_path() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{path}:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin")
}
