//! A control plane on this machine: etcd, the API server, the controller manager and the scheduler. Needs no root.
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::certificate::{Authority, Pair, file_name, write_kubeconfig};
use super::process::{self, Lifetime};
use crate::shell;
use crate::tools::Tools;

const ETCD: &str = "etcd";
/// The component that answers everybody.
pub(super) const API_SERVER: &str = "kube-apiserver";
const CONTROLLER_MANAGER: &str = "kube-controller-manager";
const SCHEDULER: &str = "kube-scheduler";

/// The addresses of Services.
pub(super) const SERVICE_NETWORK: &str = "10.233.0.0/16";
/// The Service `kubernetes.default`: the first address of that network.
const API_SERVICE: &str = "10.233.0.1";

/// What a control plane is made of.
#[derive(Debug, Clone)]
pub struct Options {
    /// The address that the API server listens on.
    pub address: Ipv4Addr,
    /// Whether the controllers of the built-in kinds run.
    pub controller_manager: bool,
    /// Whether pods are given nodes.
    pub scheduler: bool,
    /// Arguments for the API server after the usual ones, which they override.
    pub api_server_arguments: Vec<String>,
    /// Arguments for the controller manager after the usual ones, such as `--controllers` with those that a test needs.
    pub controller_manager_arguments: Vec<String>,
    /// Whether it outlives the process that starts it.
    pub lifetime: Lifetime,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: Ipv4Addr::LOCALHOST,
            controller_manager: true,
            scheduler: true,
            api_server_arguments: Vec::new(),
            controller_manager_arguments: Vec::new(),
            lifetime: Lifetime::Owned,
        }
    }
}

/// A running control plane. An owned one ends when this value is dropped.
pub struct ControlPlane {
    name: String,
    directory: PathBuf,
    options: Options,
    tools: Tools,
    authority: Authority,
    ports: Ports,
    children: BTreeMap<&'static str, Child>,
}

#[derive(Clone, Copy)]
struct Ports {
    etcd: u16,
    etcd_peer: u16,
    api_server: u16,
}

impl ControlPlane {
    /// Starts one in `directory`, which is its alone, and waits until the API server is ready.
    ///
    /// What an earlier run left in that folder, processes included, is removed first.
    pub fn start(name: &str, directory: &Path, options: Options) -> anyhow::Result<Self> {
        use crate::tools::{Module, ensure_only};
        let tools = ensure_only(&[Module::Kubernetes, Module::Etcd])?;
        Self::start_with(name, directory, options, tools)
    }

    pub(super) fn start_with(
        name: &str,
        directory: &Path,
        options: Options,
        tools: Tools,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let directory = directory.canonicalize()?;
        process::stop_orphans()?;
        remove(&directory)?;
        let ports = Ports { etcd: free_port()?, etcd_peer: free_port()?, api_server: free_port()? };
        let authority = Authority::create(&directory.join("certificates"))?;
        let children = BTreeMap::new();
        let name = name.to_owned();
        let mut plane = Self { name, directory, options, tools, authority, ports, children };
        plane.write_credentials()?;
        plane.start_etcd()?;
        plane.start_api_server()?;
        plane.start_controllers()?;
        Ok(plane)
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        kubeconfig(&self.directory)
    }

    /// Where the API server writes one line of JSON per request: who, what, when; no bodies.
    pub fn audit_log(&self) -> PathBuf {
        audit_log(&self.directory)
    }

    /// The folder that holds everything of this control plane.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The address of the API server.
    pub fn api_server_url(&self) -> String {
        format!("https://{}:{}", self.options.address, self.ports.api_server)
    }

    /// kubectl with the administrator's rights.
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(self.tools.kubectl());
        command.env("KUBECONFIG", self.kubeconfig());
        process::without_proxy(&mut command);
        command
    }

    /// Makes a client certificate for a user in at most two groups, and returns the kubeconfig that uses it.
    pub fn certificate_for(&self, user: &str, groups: &[&str]) -> anyhow::Result<PathBuf> {
        certificate_for(&self.directory, &self.api_server_url(), user, groups)
    }

    /// Kills the API server the hard way; the database keeps what was acknowledged.
    pub fn kill_api_server(&mut self) -> anyhow::Result<()> {
        self.end(API_SERVER, Duration::ZERO)
    }

    /// Starts the API server, again on the same address, and waits until it is ready.
    pub fn start_api_server(&mut self) -> anyhow::Result<()> {
        let mut command = self.api_server();
        self.spawn(API_SERVER, &mut command)?;
        let ready = format!("readiness of the API server of {}", self.name);
        process::wait_until(&ready, Duration::from_mins(2), || {
            self.check_alive(API_SERVER)?;
            Ok(shell::output(self.kubectl().args(["get", "--raw", "/readyz", "--request-timeout=5s"]))
                .is_ok())
        })
    }

    /// Ends every process; the folder stays.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.stop_all()
    }

    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    pub(super) fn write_kubeconfig(&self, path: &Path, pair: &Pair) -> anyhow::Result<()> {
        write_kubeconfig(path, &self.api_server_url(), &self.authority.certificate(), pair)
    }

    fn stop_all(&mut self) -> anyhow::Result<()> {
        // The database last, so that nobody's last words are about a missing database.
        for component in [SCHEDULER, CONTROLLER_MANAGER, API_SERVER, ETCD] {
            self.end(component, Duration::from_secs(2))?;
        }
        Ok(())
    }

    fn end(&mut self, component: &'static str, grace: Duration) -> anyhow::Result<()> {
        let processes: Vec<_> = process::of(&self.directory)
            .into_iter()
            .filter(|process| process.component == component)
            .collect();
        process::stop(&processes, grace)?;
        if let Some(mut child) = self.children.remove(component) {
            child.wait()?;
        }
        Ok(())
    }

    fn spawn(&mut self, component: &'static str, command: &mut Command) -> anyhow::Result<()> {
        let child = process::spawn(component, &self.directory, self.options.lifetime, command)?;
        self.children.insert(component, child);
        Ok(())
    }

    fn check_alive(&mut self, component: &'static str) -> anyhow::Result<()> {
        if let Some(child) = self.children.get_mut(component)
            && let Some(status) = child.try_wait()?
        {
            bail!("{component} ended with {status}; {}", process::last_words(&self.directory, component));
        }
        Ok(())
    }

    fn write_credentials(&self) -> anyhow::Result<()> {
        let address = self.options.address.to_string();
        let hosts = [
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "localhost",
            "127.0.0.1",
            API_SERVICE,
            &address,
        ];
        self.authority.service_accounts()?;
        self.authority.server("apiserver", "kube-apiserver", &[], &hosts)?;
        // The API server's own identity towards kubelets; the group is the one that may do all.
        self.authority.client("kubelet-client", &["system:masters"])?;
        for (component, user) in
            [(CONTROLLER_MANAGER, "system:kube-controller-manager"), (SCHEDULER, "system:kube-scheduler")]
        {
            let pair = self.authority.client(user, &[])?;
            self.write_kubeconfig(&self.file(&format!("{component}.kubeconfig")), &pair)?;
        }
        let admin = self.authority.client("admin", &["system:masters"])?;
        self.write_kubeconfig(&self.kubeconfig(), &admin)?;
        std::fs::write(
            self.file("audit-policy.yaml"),
            r#"{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [{"level": "Metadata"}]}"#,
        )?;
        Ok(())
    }

    fn start_etcd(&mut self) -> anyhow::Result<()> {
        let client = format!("http://127.0.0.1:{}", self.ports.etcd);
        let peer = format!("http://127.0.0.1:{}", self.ports.etcd_peer);
        let mut command = Command::new(self.tools.etcd());
        command.args(["--name=etcd", "--log-level=warn", "--unsafe-no-fsync"]);
        command.arg(format!("--data-dir={}", self.file("etcd").display()));
        command
            .arg(format!("--listen-client-urls={client}"))
            .arg(format!("--advertise-client-urls={client}"));
        command
            .arg(format!("--listen-peer-urls={peer}"))
            .arg(format!("--initial-advertise-peer-urls={peer}"));
        command.arg(format!("--initial-cluster=etcd={peer}"));
        self.spawn(ETCD, &mut command)?;
        let address = (Ipv4Addr::LOCALHOST, self.ports.etcd);
        process::wait_until("the start of etcd", Duration::from_mins(1), || {
            self.check_alive(ETCD)?;
            Ok(std::net::TcpStream::connect(address).is_ok())
        })
    }

    fn api_server(&self) -> Command {
        let certificates = self.file("certificates");
        let certificate = |name: &str| certificates.join(name).display().to_string();
        let authority = self.authority.certificate().display().to_string();
        let mut command = Command::new(self.tools.kube_apiserver());
        let mut set = |flag: &str, value: &str| {
            command.arg(format!("--{flag}={value}"));
        };
        let address = self.options.address.to_string();
        set("etcd-servers", &format!("http://127.0.0.1:{}", self.ports.etcd));
        set("bind-address", &address);
        set("secure-port", &self.ports.api_server.to_string());
        // A socket of a killed server may linger; the address is ours alone.
        set("permit-address-sharing", "true");
        set("service-cluster-ip-range", SERVICE_NETWORK);
        set("authorization-mode", "Node,RBAC");
        set("enable-admission-plugins", "NodeRestriction");
        set("allow-privileged", "true");
        set("client-ca-file", &authority);
        set("tls-cert-file", &certificate("apiserver.crt"));
        set("tls-private-key-file", &certificate("apiserver.key"));
        set("kubelet-certificate-authority", &authority);
        set("kubelet-client-certificate", &certificate("kubelet-client.crt"));
        set("kubelet-client-key", &certificate("kubelet-client.key"));
        // A node's name is in no DNS, so that logs and exec need its address.
        set("kubelet-preferred-address-types", "InternalIP");
        set("service-account-issuer", "https://kubernetes.default.svc.cluster.local");
        set("service-account-key-file", &certificate("service-accounts.pub"));
        set("service-account-signing-key-file", &certificate("service-accounts.key"));
        set("audit-policy-file", &self.file("audit-policy.yaml").display().to_string());
        set("audit-log-path", &self.audit_log().display().to_string());
        set("audit-log-maxsize", "4000");
        if self.options.address.is_loopback() {
            // The endpoint of kubernetes.default may not be a loopback address, and no pod needs it.
            set("endpoint-reconciler-type", "none");
        } else {
            set("advertise-address", &address);
        }
        command.args(&self.options.api_server_arguments);
        command
    }

    fn start_controllers(&mut self) -> anyhow::Result<()> {
        if self.options.controller_manager {
            let certificates = self.file("certificates");
            let mut command = self.controller(CONTROLLER_MANAGER, &self.tools.kube_controller_manager());
            command.arg("--use-service-account-credentials=true").arg("--concurrent-deployment-syncs=10");
            // After a restart of the API server, its view lags for a minute on a busy machine: it would take the only node
            // for gone, and every Service for one without pods.
            command.arg("--node-monitor-grace-period=10m");
            for (flag, file) in [
                ("root-ca-file", "ca.crt"),
                ("cluster-signing-cert-file", "ca.crt"),
                ("cluster-signing-key-file", "ca.key"),
                ("service-account-private-key-file", "service-accounts.key"),
            ] {
                command.arg(format!("--{flag}={}", certificates.join(file).display()));
            }
            // Its default is a folder of the system, which it makes.
            command.arg(format!("--flex-volume-plugin-dir={}", self.file("volume-plugins").display()));
            command.args(&self.options.controller_manager_arguments);
            self.spawn(CONTROLLER_MANAGER, &mut command)?;
        }
        if self.options.scheduler {
            let mut command = self.controller(SCHEDULER, &self.tools.kube_scheduler());
            self.spawn(SCHEDULER, &mut command)?;
        }
        Ok(())
    }

    /// What both have in common: no port of their own, no leader election, and no brake on the calls of a test.
    fn controller(&self, component: &str, program: &Path) -> Command {
        let mut command = Command::new(program);
        let kubeconfig = self.file(&format!("{component}.kubeconfig"));
        command.arg(format!("--kubeconfig={}", kubeconfig.display()));
        command.args([
            "--leader-elect=false",
            "--secure-port=0",
            "--kube-api-qps=200",
            "--kube-api-burst=400",
        ]);
        command
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        if self.options.lifetime == Lifetime::Owned
            && let Err(error) = self.stop_all()
        {
            eprintln!("failed to stop the control plane {}: {error:#}", self.name);
        }
    }
}

/// The components that a control plane consists of.
pub(super) const COMPONENTS: [&str; 4] = [ETCD, API_SERVER, CONTROLLER_MANAGER, SCHEDULER];

/// Where the administrator's kubeconfig of the cluster in this folder is.
pub(super) fn kubeconfig(directory: &Path) -> PathBuf {
    directory.join("kubeconfig")
}

/// Where the API server of the control plane in this folder writes what was asked.
pub(super) fn audit_log(directory: &Path) -> PathBuf {
    directory.join("logs/audit.log")
}

/// Makes a client certificate of the control plane in this folder, and the kubeconfig that uses it.
pub(super) fn certificate_for(
    directory: &Path,
    server: &str,
    user: &str,
    groups: &[&str],
) -> anyhow::Result<PathBuf> {
    let authority = Authority::open(&directory.join("certificates"))?;
    // A user may have the name of a component; what the components use stays as it is.
    let pair = authority.server(&format!("user-{user}"), user, groups, &[])?;
    let path = directory.join(format!("user-{}.kubeconfig", file_name(user)));
    write_kubeconfig(&path, server, &authority.certificate(), &pair)?;
    Ok(path)
}

/// Ends the processes of a control plane and removes its folder's content.
pub(super) fn remove(directory: &Path) -> anyhow::Result<()> {
    process::stop(&process::of(directory), Duration::ZERO)?;
    if directory.exists() {
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            let removed =
                if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.with_context(|| format!("failed to remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// A port that nobody listens on, below those that the kernel gives to outgoing connections and to NodePorts, so that
/// nobody is given it between this look and its use, or while a killed API server is away.
fn free_port() -> anyhow::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = (std::process::id() % 97) as u16 * 100;
    for _ in 0..9000 {
        let port = 20_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 9000;
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("every port from 20000 to 29000 is taken on this machine")
}
