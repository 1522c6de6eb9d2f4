//! Tools built from pinned Go modules into the cache, and the Debian packages that a node needs.
//!
//! Each module has a folder of its own, because their requirements conflict.
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::{cache, progress, shell};

pub mod gateway_api;
pub mod packages;

const KUBERNETES_VERSION: &str = "v1.35.4";

/// One Go module, under `src/xtask/tools` or, where the programs are tests, under `e2e`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Module {
    /// Every program of Kubernetes itself, kubectl included.
    Kubernetes,
    /// The API server's database.
    Etcd,
    /// The chart installer.
    Helm,
    /// The cluster's DNS server.
    CoreDns,
    /// The programs that judge what is said to and by Azure.
    AzureClients,
    /// What runs health scripts as Argo CD does.
    ArgoHealth,
}

/// The folders with the built programs.
#[derive(Debug, Clone)]
pub struct Tools {
    kubernetes: PathBuf,
    etcd: PathBuf,
    helm: PathBuf,
    coredns: PathBuf,
    azure: PathBuf,
    argo: PathBuf,
}

/// Builds what is missing of every module; instant when all are there.
pub fn ensure() -> anyhow::Result<Tools> {
    ensure_only(&[Module::Kubernetes, Module::Etcd, Module::Helm, Module::CoreDns])
}

/// Builds what is missing of these modules; the paths of the others are known, but nothing may be there yet.
pub fn ensure_only(modules: &[Module]) -> anyhow::Result<Tools> {
    let go = go()?;
    let version = shell::output(Command::new(&go).args(["env", "GOVERSION"]))?;
    let build = Build { go, version: version.trim().to_owned() };
    for module in modules {
        build.ensure(*module)?;
    }
    Ok(Tools {
        kubernetes: build.folder(Module::Kubernetes)?,
        etcd: build.folder(Module::Etcd)?,
        helm: build.folder(Module::Helm)?,
        coredns: build.folder(Module::CoreDns)?,
        azure: build.folder(Module::AzureClients)?,
        argo: build.folder(Module::ArgoHealth)?,
    })
}

impl Tools {
    /// The API server.
    pub fn kube_apiserver(&self) -> PathBuf {
        self.kubernetes.join("kube-apiserver")
    }

    /// The controllers of the built-in kinds.
    pub fn kube_controller_manager(&self) -> PathBuf {
        self.kubernetes.join("kube-controller-manager")
    }

    /// The scheduler.
    pub fn kube_scheduler(&self) -> PathBuf {
        self.kubernetes.join("kube-scheduler")
    }

    /// The node's agent.
    pub fn kubelet(&self) -> PathBuf {
        self.kubernetes.join("kubelet")
    }

    /// What makes Service addresses work.
    pub fn kube_proxy(&self) -> PathBuf {
        self.kubernetes.join("kube-proxy")
    }

    /// The command line client.
    pub fn kubectl(&self) -> PathBuf {
        self.kubernetes.join("kubectl")
    }

    /// The API server's database.
    pub fn etcd(&self) -> PathBuf {
        self.etcd.join("etcd")
    }

    /// The chart installer.
    pub fn helm(&self) -> PathBuf {
        self.helm.join("helm")
    }

    /// The cluster's DNS server.
    pub fn coredns(&self) -> PathBuf {
        self.coredns.join("coredns")
    }

    /// The official Go client of Azure Machine Learning, as a program that judges a Resource Manager.
    pub fn azure_client(&self) -> PathBuf {
        self.azure.join("client")
    }

    /// The official Go models, as a program that judges bodies.
    pub fn azure_bodies(&self) -> PathBuf {
        self.azure.join("bodies")
    }

    /// A program that runs a health script on objects.
    pub fn argo_health(&self) -> PathBuf {
        self.argo.join("argo-health")
    }

    /// The official Go fake server, as a program that clients in any language can talk to.
    pub fn azure_fake(&self) -> PathBuf {
        self.azure.join("fake")
    }
}

impl Module {
    fn name(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Etcd => "etcd",
            Self::Helm => "helm",
            Self::CoreDns => "coredns",
            Self::AzureClients => "azure-clients",
            Self::ArgoHealth => "argo-health",
        }
    }

    /// The packages to build and the name of the program when there is a single one.
    fn packages(self) -> (&'static [&'static str], &'static str) {
        match self {
            Self::Kubernetes => (
                &[
                    "k8s.io/kubernetes/cmd/kube-apiserver",
                    "k8s.io/kubernetes/cmd/kube-controller-manager",
                    "k8s.io/kubernetes/cmd/kube-scheduler",
                    "k8s.io/kubernetes/cmd/kubectl",
                    "k8s.io/kubernetes/cmd/kubelet",
                    "k8s.io/kubernetes/cmd/kube-proxy",
                ],
                "",
            ),
            Self::Etcd => (&["go.etcd.io/etcd/server/v3"], "etcd"),
            Self::Helm => (&["helm.sh/helm/v4/cmd/helm"], "helm"),
            Self::CoreDns => (&["."], "coredns"),
            Self::AzureClients => (&["./bodies", "./client", "./fake"], ""),
            Self::ArgoHealth => (&["."], "argo-health"),
        }
    }

    /// Without a version in the linker's flags Kubernetes reports v0.0.0, which kubectl and helm refuse to work with.
    fn linker_flags(self) -> String {
        let version = KUBERNETES_VERSION.trim_start_matches('v');
        let mut parts = version.split('.');
        let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        match self {
            Self::Kubernetes => {
                let package = "k8s.io/component-base/version";
                format!(
                    "-s -w -X {package}.gitVersion={KUBERNETES_VERSION} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
                )
            }
            _ => "-s -w".to_owned(),
        }
    }

    /// What the first build takes on two cores, for people who wait.
    fn usual_time(self) -> &'static str {
        match self {
            Self::Kubernetes => "11 minutes",
            Self::Etcd | Self::AzureClients | Self::ArgoHealth => "1 minute",
            Self::Helm => "4 minutes",
            Self::CoreDns => "2 minutes",
        }
    }

    fn source(self) -> PathBuf {
        match self {
            Self::AzureClients => cache::repository().join("e2e/azure/go"),
            Self::ArgoHealth => cache::repository().join("e2e/argocd"),
            _ => cache::repository().join("src/xtask/tools").join(self.name()),
        }
    }
}

struct Build {
    go: PathBuf,
    version: String,
}

impl Build {
    /// The folder is named by everything that decides what is in it.
    fn folder(&self, module: Module) -> anyhow::Result<PathBuf> {
        let files = sources(&module.source())?;
        let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
        let flags = module.linker_flags();
        let words = [self.version.as_str(), flags.as_str(), std::env::consts::ARCH];
        let key = cache::key(&files, &[words.as_slice(), module.packages().0].concat())?;
        Ok(cache::root()?.join("tools").join(format!("{}-{key}", module.name())))
    }

    fn ensure(&self, module: Module) -> anyhow::Result<()> {
        let folder = self.folder(module)?;
        if folder.is_dir() {
            return Ok(());
        }
        let parent = folder.parent().context("the cache has no folder for tools")?;
        std::fs::create_dir_all(parent)?;
        let _lock = cache::lock(&parent.join(format!("{}.lock", module.name())))?;
        if folder.is_dir() {
            return Ok(());
        }
        let title = format!("build {} (about {} the first time)", module.name(), module.usual_time());
        progress::step(&title, || self.build(module, &folder))
    }

    /// Builds beside the final folder and renames, so that a killed build leaves nothing that looks finished.
    fn build(&self, module: Module, folder: &Path) -> anyhow::Result<()> {
        let part = folder.with_extension("part");
        if part.exists() {
            std::fs::remove_dir_all(&part)?;
        }
        std::fs::create_dir_all(&part)?;
        let (packages, program) = module.packages();
        let mut output = part.join(program).into_os_string();
        if program.is_empty() {
            output.push("/");
        }
        let mut command = Command::new(&self.go);
        command.current_dir(module.source()).env("CGO_ENABLED", "0").env("GOFLAGS", "-mod=readonly");
        command
            .args(["build", "-trimpath", "-buildvcs=false", "-ldflags", &module.linker_flags(), "-o"])
            .arg(output)
            .args(packages);
        shell::output(&mut command)
            .with_context(|| format!("failed to build {} with {}", module.name(), self.version))?;
        std::fs::rename(&part, folder)?;
        Ok(())
    }
}

/// Every file of Go in a folder and below it.
fn sources(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("failed to list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(sources(&path)?);
        } else if path
            .extension()
            .is_some_and(|extension| ["go", "mod", "sum"].iter().any(|known| extension == *known))
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Go, from the search path or from where its own archive is unpacked.
fn go() -> anyhow::Result<PathBuf> {
    let usual = PathBuf::from("/usr/local/go/bin/go");
    packages::on_path("go").or_else(|| usual.is_file().then_some(usual)).context(
        "Go is not installed, and it builds the cluster's programs: install Go 1.26 or newer (https://go.dev/dl), \
         or use a cluster that exists with --context NAME",
    )
}
