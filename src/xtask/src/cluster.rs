//! A real Kubernetes cluster on this machine: started, found again, taken down without a trace.
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::tools::{self, Module, Tools};
use crate::{cache, progress, shell};

mod certificate;
pub mod control_plane;
mod existing;
mod images;
mod network;
mod node;
mod preflight;
mod process;
mod restart;
mod status;
mod teardown;
#[cfg(test)]
mod tests;

pub(crate) use certificate::Authority;
pub use control_plane::ControlPlane;
pub use process::Lifetime;

/// What to do with the cluster.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Start it; says so when it is up already.
    Up(Options),
    /// End it and remove what it left on this machine.
    Down {
        /// Which cluster.
        #[arg(long, default_value = "default")]
        name: String,
    },
    /// Say how each part of it is.
    Status {
        /// Which cluster.
        #[arg(long, default_value = "default")]
        name: String,
    },
}

/// Which cluster to start or use.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The cluster's name; its folder has the same.
    #[arg(long, default_value = "default")]
    pub name: String,
    /// Start the API server and the controllers only: needs no root, runs no pods.
    #[arg(long)]
    pub control_plane_only: bool,
    /// Use the cluster of this kubeconfig context instead of starting one.
    #[arg(long, value_name = "NAME", conflicts_with = "control_plane_only")]
    pub context: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { name: "default".to_owned(), control_plane_only: false, context: None }
    }
}

/// A cluster that answers.
#[derive(Debug, Clone)]
pub struct Cluster {
    kubeconfig: PathBuf,
    kubectl: PathBuf,
    place: Place,
}

/// Where a cluster's pods run.
#[derive(Debug, Clone)]
enum Place {
    /// On this machine's node, whose folder this is.
    Here(PathBuf),
    /// Nowhere: there is no node.
    Nowhere,
    /// On the nodes of an existing cluster, by the name of its context.
    Elsewhere(String),
}

/// Runs one cluster command.
pub fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Up(options) => {
            let cluster = up(&options)?;
            let programs = cluster.kubectl.parent().unwrap_or(Path::new("/usr/bin"));
            say(&format!("export KUBECONFIG={}", cluster.kubeconfig.display()));
            say(&format!("export PATH={}:$PATH  # kubectl is here", programs.display()));
            Ok(())
        }
        Command::Down { name } => down(&name),
        Command::Status { name } => status::print(&name),
    }
}

/// Starts the cluster, or finds it running; returns when its node is ready and names resolve.
pub fn up(options: &Options) -> anyhow::Result<Cluster> {
    if let Some(context) = &options.context {
        return existing::connect(context);
    }
    let directory = directory(&options.name)?;
    let _lock = cache::lock(&directory.with_extension("lock"))?;
    if let Some(cluster) = running(&directory, options)? {
        eprintln!("the cluster {} is up already", options.name);
        return Ok(cluster);
    }
    if options.control_plane_only {
        up_control_plane(&directory, options)?;
    } else {
        up_full(&directory, options)?;
    }
    // The last thing written: without it the next run takes everything here for the remains of a killed one.
    std::fs::write(directory.join(READY), if options.control_plane_only { "control plane" } else { "full" })?;
    running(&directory, options)?.with_context(|| format!("the cluster {} went away at once", options.name))
}

/// Whether the cluster is up and complete.
pub fn is_up(options: &Options) -> anyhow::Result<bool> {
    Ok(running(&directory(&options.name)?, options)?.is_some())
}

/// Ends the cluster and removes everything it left on this machine; its logs stay beside its folder.
pub fn down(name: &str) -> anyhow::Result<()> {
    let directory = directory(name)?;
    let _lock = cache::lock(&directory.with_extension("lock"))?;
    progress::step(&format!("take the cluster {name} down"), || teardown::tear_down(&directory))
}

impl Cluster {
    /// The cluster on this machine that this kubeconfig is for; its images are loaded already.
    pub fn at(kubeconfig: &Path) -> anyhow::Result<Self> {
        anyhow::ensure!(kubeconfig.is_file(), "there is no file {}", kubeconfig.display());
        let kubectl = tools::ensure_only(&[])?.kubectl();
        Ok(Self { kubeconfig: kubeconfig.to_owned(), kubectl, place: Place::Nowhere })
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// kubectl, with that kubeconfig.
    pub fn kubectl(&self) -> Process {
        let mut command = Process::new(&self.kubectl);
        self.address(&mut command);
        command
    }

    /// Where the API server writes one line of JSON per request; only of a cluster that was started here.
    pub fn audit_log(&self) -> Option<PathBuf> {
        Some(control_plane::audit_log(self.control_plane()?))
    }

    /// Makes a client certificate for a user in at most two groups, and returns the kubeconfig that uses it.
    pub fn certificate_for(&self, user: &str, groups: &[&str]) -> anyhow::Result<PathBuf> {
        let directory =
            self.control_plane().context("only a cluster that was started here gives certificates")?;
        let path = "jsonpath={.clusters[0].cluster.server}";
        let server = shell::output(self.kubectl().args(["config", "view", "-o", path]))?;
        control_plane::certificate_for(directory, &server, user, groups)
    }

    /// Kills the API server the hard way, starts it again after a while, and waits until it is ready; only of a cluster
    /// that was started here.
    pub fn restart_api_server(&self, away: Duration) -> anyhow::Result<()> {
        let directory = self
            .control_plane()
            .context("only the API server of a cluster that was started here restarts")?;
        restart::api_server(&directory.canonicalize()?, away, || self.kubectl())
    }

    fn control_plane(&self) -> Option<&Path> {
        if matches!(self.place, Place::Elsewhere(_)) { None } else { self.kubeconfig.parent() }
    }

    fn address(&self, command: &mut Process) {
        command.env("KUBECONFIG", &self.kubeconfig);
        // An existing cluster may be behind a proxy; one on this machine never is.
        if !matches!(self.place, Place::Elsewhere(_)) {
            process::without_proxy(command);
        }
    }

    /// helm, with that kubeconfig; built first where it is missing.
    pub fn helm(&self) -> anyhow::Result<Process> {
        let found =
            if matches!(self.place, Place::Elsewhere(_)) { tools::packages::on_path("helm") } else { None };
        let program = match found {
            Some(program) => program,
            None => tools::ensure_only(&[Module::Helm])?.helm(),
        };
        let mut command = Process::new(program);
        self.address(&mut command);
        Ok(command)
    }

    /// Makes the image in an OCI archive available to the cluster's pods.
    pub fn load_image(&self, archive: &Path) -> anyhow::Result<()> {
        match &self.place {
            Place::Here(directory) => {
                node::Node::new(directory, &tools::ensure_only(&[])?).load_image(archive)
            }
            Place::Nowhere => {
                bail!("a control plane alone runs no pods; start the cluster without --control-plane-only")
            }
            Place::Elsewhere(context) => existing::load_image(context, archive),
        }
    }
}

/// Prints a line for whoever called; a reader that went away wants no more.
pub(crate) fn say(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// The file that a start writes last.
const READY: &str = "ready";

fn directory(name: &str) -> anyhow::Result<PathBuf> {
    if name.is_empty() || certificate::file_name(name) != name || name.contains('.') {
        bail!("the name {name:?} can't be a folder's; use letters, digits and hyphens");
    }
    let parent = cache::root()?.join("cluster");
    std::fs::create_dir_all(&parent).with_context(|| format!("failed to make {}", parent.display()))?;
    Ok(parent.canonicalize()?.join(name))
}

/// The cluster in this folder when it is whole and answers.
fn running(directory: &Path, options: &Options) -> anyhow::Result<Option<Cluster>> {
    let Ok(kind) = std::fs::read_to_string(directory.join(READY)) else { return Ok(None) };
    let full = kind == "full";
    let missing = status::missing(directory, full);
    if !missing.is_empty() {
        eprintln!(
            "the cluster {} is not whole ({} ended): it starts anew, without its objects",
            options.name,
            missing.join(", ")
        );
        return Ok(None);
    }
    let cluster = Cluster {
        kubeconfig: control_plane::kubeconfig(&directory.join(CONTROL_PLANE)),
        kubectl: tools::ensure_only(&[])?.kubectl(),
        place: if full { Place::Here(directory.join(NODE)) } else { Place::Nowhere },
    };
    let answer = shell::output(cluster.kubectl().args(["get", "--raw", "/readyz", "--request-timeout=5s"]));
    if answer.is_err() {
        return Ok(None);
    }
    if !full && !options.control_plane_only {
        bail!(
            "the cluster {0} is up as a control plane alone; take it down (cargo xtask cluster down --name {0}) or \
             choose another --name",
            options.name
        );
    }
    Ok(Some(cluster))
}

const CONTROL_PLANE: &str = "control-plane";
const NODE: &str = "node";

fn up_control_plane(directory: &Path, options: &Options) -> anyhow::Result<()> {
    preflight::control_plane()?;
    let tools = tools::ensure_only(&[Module::Kubernetes, Module::Etcd])?;
    teardown::tear_down(directory)?;
    let settings =
        control_plane::Options { lifetime: Lifetime::Detached, ..control_plane::Options::default() };
    or_tear_down(directory, || {
        progress::step("start the control plane", || {
            ControlPlane::start_with(&options.name, &directory.join(CONTROL_PLANE), settings, tools).map(drop)
        })
    })
}

/// A start that fails leaves its logs only.
fn or_tear_down(directory: &Path, start: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    start().map_err(|error| {
        let rest = match teardown::tear_down(directory) {
            Ok(()) => String::new(),
            Err(rest) => format!(" (and what it left could not be removed: {rest:#})"),
        };
        let logs = directory.with_extension("logs");
        error.context(format!("failed to start; the logs are in {}{rest}", logs.display()))
    })
}

fn up_full(directory: &Path, options: &Options) -> anyhow::Result<()> {
    preflight::full(directory)?;
    tools::packages::ensure()?;
    let tools = tools::ensure()?;
    teardown::tear_down(directory)?;
    preflight::free_of_others()?;
    or_tear_down(directory, || start_full(directory, &options.name, &tools))
}

fn start_full(directory: &Path, name: &str, tools: &Tools) -> anyhow::Result<()> {
    let node_directory = directory.join(NODE);
    std::fs::create_dir_all(&node_directory)?;
    let node = node::Node::new(&node_directory, tools);
    network::set_up(&directory.join(network::SAVED))?;
    teardown::make_control_groups()?;
    let settings = control_plane::Options {
        address: node::ADDRESS,
        lifetime: Lifetime::Detached,
        ..control_plane::Options::default()
    };
    let plane = progress::step("start the control plane and the container runtime", || {
        std::thread::scope(|scope| {
            let runtime = scope.spawn(|| node.start_containerd());
            let plane =
                ControlPlane::start_with(name, &directory.join(CONTROL_PLANE), settings, tools.clone());
            runtime.join().map_err(|_| anyhow::anyhow!("the start of containerd panicked"))??;
            plane
        })
    })?;
    progress::step("start the node and its DNS", || start_node(&node, &plane, directory))
}

fn start_node(node: &node::Node, plane: &ControlPlane, directory: &Path) -> anyhow::Result<()> {
    node.join(plane)?;
    let manifests = directory.join("coredns.yaml");
    std::fs::write(&manifests, include_str!("cluster/coredns.yaml"))?;
    shell::output(plane.kubectl().args(["apply", "--server-side", "-f"]).arg(&manifests))?;
    let alive = || match status::missing(directory, true).first() {
        Some(component) => {
            let folder = if node::COMPONENTS.contains(component) { NODE } else { CONTROL_PLANE };
            bail!("{component} ended; {}", process::last_words(&directory.join(folder), component))
        }
        None => Ok(()),
    };
    process::wait_until("readiness of the node", Duration::from_mins(2), || {
        alive()?;
        Ok(status::node_is_ready(|| plane.kubectl()))
    })?;
    process::wait_until("readiness of the DNS server", Duration::from_mins(2), || {
        alive()?;
        Ok(status::dns_is_ready(|| plane.kubectl()))
    })
    .with_context(|| {
        shell::output(plane.kubectl().args(["-n", "kube-system", "get", "pods,events"])).unwrap_or_default()
    })
}
