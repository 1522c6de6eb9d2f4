//! `cargo xtask image`: an OCI archive per component, written without a container engine.
//!
//! Invariant: the Containerfiles under `config/images` describe the same images; a test compares them.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::cluster::say;
use crate::oci::{self, File, Image};
use crate::{cache, progress, python, shell};

pub mod binary;
#[cfg(test)]
mod tests;

/// The user that every image runs as; it has no rights over anything in the image.
pub const USER: &str = "65532:65532";
/// Where a machine keeps the certificates of the authorities that it trusts, and where programs look for them.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Where the sources are, unless this checkout was cloned over https from elsewhere.
const SOURCE: &str = "https://mlops-operator.dev";

/// Which images to write, and where.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The components; without any, all.
    #[arg(value_enum, value_name = "COMPONENT")]
    components: Vec<Component>,
    /// Build with the profile of releases in place of the one that the tests share.
    #[arg(long)]
    release: bool,
    /// The folder for the archives; without it, a folder of the cache.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// A program with an image of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Component {
    /// The operator.
    #[value(name = "mlops-operator")]
    Operator,
    /// The model server.
    #[value(name = "mlops-model-server")]
    ModelServer,
    /// The gateway.
    #[value(name = "mlops-gateway")]
    Gateway,
    /// The emulator of Azure, which runs the model server for its deployments. The chart does not know it.
    #[value(name = "arm-emulator")]
    ArmEmulator,
}

/// An image that was written.
#[derive(Debug, Clone)]
pub struct Built {
    /// The name to run it by, as the chart's values have it.
    pub reference: String,
    /// The OCI archive.
    pub archive: PathBuf,
    /// The digest of its manifest.
    pub digest: String,
}

/// Writes the images and prints where they are.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let components =
        if arguments.components.is_empty() { &Component::ALL[..] } else { &arguments.components };
    let folder = match &arguments.out {
        Some(folder) => std::path::absolute(folder)?,
        None => folder()?,
    };
    for image in build(components, arguments.release, &folder)? {
        let megabytes = std::fs::metadata(&image.archive)?.len() as f64 / 1e6;
        say(&format!("{} {} {} ({megabytes:.1} MB)", image.reference, image.digest, image.archive.display()));
    }
    Ok(())
}

/// The folder of the cache for archives.
pub fn folder() -> anyhow::Result<PathBuf> {
    Ok(cache::root()?.join("images"))
}

/// Builds the programs and writes their images; the same programs give the same bytes.
pub fn build(components: &[Component], release: bool, folder: &Path) -> anyhow::Result<Vec<Built>> {
    let names: Vec<&str> = components.iter().map(|component| component.name()).collect();
    let mut programs: Vec<&str> =
        components.iter().flat_map(|component| component.programs()).copied().collect();
    programs.sort_unstable();
    programs.dedup();
    let binaries =
        progress::step(&format!("compile {}", names.join(" and ")), || binary::build(&programs, release))?;
    let binaries: BTreeMap<&str, PathBuf> = programs.into_iter().zip(binaries).collect();
    let labels = Labels::of_checkout();
    let write = |component: &Component| {
        let mut image = component.image(&labels)?;
        let stripped = folder.join(format!("{}.stripped", component.name()));
        std::fs::create_dir_all(&stripped)?;
        for name in component.programs() {
            let program = binary::strip(&binaries[name], &stripped.join(name))?;
            image.files.extend(oci::program(path_of(name), &program)?);
        }
        let archive = folder.join(format!("{}.tar", component.name()));
        let digest = image.write(&archive)?;
        std::fs::remove_dir_all(&stripped).context("failed to remove the stripped programs")?;
        Ok(Built { reference: image.reference, archive, digest })
    };
    progress::step("write the images", || components.iter().map(write).collect())
}

/// Where a program is in an image.
fn path_of(program: &str) -> String {
    format!("/usr/bin/{program}")
}

impl Component {
    /// Every component.
    pub const ALL: [Self; 4] = [Self::Operator, Self::ModelServer, Self::Gateway, Self::ArmEmulator];
    /// Those that the chart runs.
    pub const CHART: [Self; 3] = [Self::Operator, Self::ModelServer, Self::Gateway];

    /// Its name.
    pub fn name(self) -> &'static str {
        self.programs()[0]
    }

    /// Its programs; the first is what the image runs.
    fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Operator => &["mlops-operator"],
            Self::ModelServer => &["mlops-model-server", "mlops-checker"],
            Self::Gateway => &["mlops-gateway"],
            Self::ArmEmulator => &["arm-emulator", "mlops-model-server"],
        }
    }

    /// The image's name by the chart's default values, without a tag.
    pub fn repository(self) -> &'static str {
        match self {
            Self::Operator => "mlops-operator.dev/operator",
            Self::ModelServer => "mlops-operator.dev/model-server",
            Self::Gateway => "mlops-operator.dev/gateway",
            Self::ArmEmulator => "mlops-operator.dev/arm-emulator",
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::Operator => "Serves machine-learning models on Kubernetes, declared as custom resources.",
            Self::ModelServer => "Serves one ONNX model with the Open Inference Protocol v2.",
            Self::Gateway => {
                "Routes inference requests to model servers: keys, split, mirror, capture, metrics."
            }
            Self::ArmEmulator => {
                "Answers as Azure Machine Learning does, for tests and for a laptop without Azure."
            }
        }
    }

    fn licenses(self) -> &'static str {
        match self {
            Self::Operator | Self::Gateway => "Apache-2.0",
            // ONNX Runtime comes along.
            Self::ModelServer | Self::ArmEmulator => "Apache-2.0 AND MIT",
        }
    }

    /// The image without its programs and the libraries that are only found by looking at them.
    fn image(self, labels: &Labels) -> anyhow::Result<Image> {
        let sources = cache::repository();
        let own = sources.join("config/images");
        let mut files = vec![
            File::copy(AUTHORITIES, AUTHORITIES, 0o644),
            File::copy("/etc/passwd", own.join("passwd"), 0o644),
            File::copy("/etc/group", own.join("group"), 0o644),
            File::copy("/etc/nsswitch.conf", own.join("nsswitch.conf"), 0o644),
            File::copy("/LICENSE", sources.join("LICENSE"), 0o644),
            File::folder("/tmp", 0o1777),
        ];
        if self.programs().contains(&"mlops-model-server") {
            let library = python::onnxruntime_library()?;
            files.extend(oci::program("/usr/lib/libonnxruntime.so", &library)?);
        }
        anyhow::ensure!(
            Path::new(AUTHORITIES).is_file(),
            "{AUTHORITIES} is not on this machine: install the Debian package ca-certificates"
        );
        Ok(Image {
            reference: format!("{}:{}", self.repository(), env!("CARGO_PKG_VERSION")),
            files,
            entrypoint: vec![path_of(self.name())],
            user: USER.to_owned(),
            labels: labels.of(self),
            ..Image::default()
        })
    }
}

/// What the labels of all images share.
struct Labels {
    source: String,
    revision: Option<String>,
    created: Option<String>,
}

impl Labels {
    /// Sources that are no checkout have no revision.
    fn of_checkout() -> Self {
        let git = |arguments: &[&str]| {
            let printed =
                shell::output(Command::new("git").arg("-C").arg(cache::repository()).args(arguments)).ok()?;
            Some(printed.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let remote = git(&["config", "--get", "remote.origin.url"]);
        Self {
            source: remote.filter(|url| is_public(url)).unwrap_or_else(|| SOURCE.to_owned()),
            revision: git(&["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]),
            created: git(&["show", "--no-patch", "--format=%cI", "HEAD"]),
        }
    }

    /// The time is the commit's, so that the same sources give the same image.
    fn of(&self, component: Component) -> BTreeMap<String, String> {
        let labels = [
            ("title", Some(component.name().to_owned())),
            ("description", Some(component.description().to_owned())),
            ("licenses", Some(component.licenses().to_owned())),
            ("version", Some(env!("CARGO_PKG_VERSION").to_owned())),
            ("source", Some(self.source.clone())),
            ("revision", self.revision.clone()),
            ("created", self.created.clone()),
        ];
        let named = |(name, value): (&str, Option<String>)| {
            Some((format!("org.opencontainers.image.{name}"), value?))
        };
        labels.into_iter().filter_map(named).collect()
    }
}

/// Whether an address may stand in an image: no path of this machine, no user name or token.
fn is_public(url: &str) -> bool {
    url.starts_with("https://") && !url.contains('@')
}
