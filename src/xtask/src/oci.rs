//! OCI image archives, written without a container engine.
//!
//! Invariant: the same input gives the same bytes, so a digest changes only when the content does.
use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::json;
use sha2::{Digest as _, Sha256};

#[cfg(test)]
mod tests;

/// One image with a single layer.
#[derive(Debug, Clone, Default)]
pub struct Image {
    /// The name to run it by, with a tag: `mlops-operator.dev/operator:dev`.
    pub reference: String,
    /// What it holds; folders above a file are added by themselves (root, 0755).
    pub files: Vec<File>,
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// Environment variables, `NAME` and value.
    pub environment: BTreeMap<String, String>,
    /// `UID` or `UID:GID`; empty is root.
    pub user: String,
    /// OCI labels, written as annotations of the manifest too.
    pub labels: BTreeMap<String, String>,
    /// The folder the program starts in; empty is `/`.
    pub working_directory: String,
}

/// One entry of an image.
#[derive(Debug, Clone)]
pub struct File {
    /// The absolute path in the image.
    pub path: String,
    /// What is there.
    pub content: Content,
    /// Permission bits, as in `0o755`.
    pub mode: u32,
    /// The owner's number.
    pub user: u64,
    /// The group's number.
    pub group: u64,
}

/// What an entry of an image is made of.
#[derive(Debug, Clone)]
pub enum Content {
    /// The bytes of a file on this machine; links are followed.
    Copy(PathBuf),
    /// These bytes.
    Bytes(Vec<u8>),
    /// A folder.
    Folder,
    /// A symbolic link to this target.
    Link(String),
}

impl File {
    /// A copy of a file on this machine, owned by root.
    pub fn copy(path: impl Into<String>, source: impl Into<PathBuf>, mode: u32) -> Self {
        Self { path: path.into(), content: Content::Copy(source.into()), mode, user: 0, group: 0 }
    }

    /// A file with these bytes, owned by root.
    pub fn bytes(path: impl Into<String>, bytes: impl Into<Vec<u8>>, mode: u32) -> Self {
        Self { path: path.into(), content: Content::Bytes(bytes.into()), mode, user: 0, group: 0 }
    }

    /// A folder, owned by root.
    pub fn folder(path: impl Into<String>, mode: u32) -> Self {
        Self { path: path.into(), content: Content::Folder, mode, user: 0, group: 0 }
    }

    /// A symbolic link.
    pub fn link(path: impl Into<String>, target: impl Into<String>) -> Self {
        Self { path: path.into(), content: Content::Link(target.into()), mode: 0o777, user: 0, group: 0 }
    }

    /// The same entry with another owner.
    #[must_use]
    pub fn owned_by(self, user: u64, group: u64) -> Self {
        Self { user, group, ..self }
    }
}

/// A program with every shared library that it needs, at the paths where the loader looks for them.
pub fn program(path: impl Into<String>, binary: &Path) -> anyhow::Result<Vec<File>> {
    let mut files = vec![File::copy(path, binary, 0o755)];
    for library in shared_libraries(binary)? {
        files.push(File::copy(library.to_string_lossy(), library.clone(), 0o755));
    }
    Ok(files)
}

/// The shared libraries that a binary (or a library) loads at its start, the loader included; none for a static one.
pub fn shared_libraries(binary: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let output =
        Command::new("ldd").arg(binary).output().context("failed to start ldd (Debian package libc-bin)")?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let refusal = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        if printed.contains("not a dynamic executable") || refusal.contains("not a dynamic executable") {
            return Ok(Vec::new());
        }
        bail!("failed to list the libraries of {}: {}", binary.display(), refusal.trim());
    }
    libraries_in(&printed).with_context(|| format!("failed to list the libraries of {}", binary.display()))
}

/// Reads the lines of `ldd`: `name => /path (0x…)`, `/path (0x…)`, `linux-vdso.so.1 (0x…)`, `statically linked`.
fn libraries_in(printed: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut libraries = Vec::new();
    for line in printed.lines().map(str::trim) {
        let (name, place) = line.split_once(" => ").unwrap_or((line, line));
        if place.starts_with("not found") {
            bail!("the library {name} is not on this machine");
        }
        let path = place.split(" (").next().unwrap_or_default();
        if path.starts_with('/') {
            libraries.push(PathBuf::from(path));
        }
    }
    libraries.sort();
    libraries.dedup();
    Ok(libraries)
}

impl Image {
    /// Writes the archive and returns the digest of the image's manifest (`sha256:…`).
    ///
    /// The archive appears under its name only when it is whole.
    pub fn write(&self, archive: &Path) -> anyhow::Result<String> {
        self.write_archive(archive).with_context(|| format!("failed to write the image {}", self.reference))
    }

    fn write_archive(&self, archive: &Path) -> anyhow::Result<String> {
        if let Some(folder) = archive.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let layer_path = with_suffix(archive, "layer");
        let layer = self.write_layer(&layer_path)?;
        let config = Blob::of(&self.config(&layer))?;
        let manifest = Blob::of(&self.manifest(&config, &layer))?;
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [{
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": manifest.digest(),
                "size": manifest.bytes.len(),
                "platform": {"architecture": architecture(), "os": "linux"},
                "annotations": {
                    "io.containerd.image.name": self.reference,
                    "org.opencontainers.image.ref.name": self.reference,
                },
            }],
        });
        let whole = with_suffix(archive, "part");
        let mut output = tar::Builder::new(std::io::BufWriter::new(std::fs::File::create(&whole)?));
        append_bytes(&mut output, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        append_bytes(&mut output, "index.json", &serde_json::to_vec(&index)?)?;
        append_bytes(&mut output, &format!("blobs/sha256/{}", manifest.hex), &manifest.bytes)?;
        append_bytes(&mut output, &format!("blobs/sha256/{}", config.hex), &config.bytes)?;
        let mut content = std::fs::File::open(&layer_path)?;
        output.append_data(
            &mut header(0o644, layer.size),
            format!("blobs/sha256/{}", layer.hex),
            &mut content,
        )?;
        output.into_inner()?.flush()?;
        std::fs::remove_file(&layer_path)?;
        std::fs::rename(&whole, archive)?;
        Ok(manifest.digest())
    }

    fn config(&self, layer: &Layer) -> serde_json::Value {
        let environment: Vec<String> =
            self.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {
                "User": self.user,
                "Env": environment,
                "Entrypoint": self.entrypoint,
                "WorkingDir": self.working_directory,
                "Labels": self.labels,
            },
            "rootfs": {"type": "layers", "diff_ids": [layer.digest()]},
            "history": [{"created_by": "cargo xtask image"}],
        })
    }

    fn manifest(&self, config: &Blob, layer: &Layer) -> serde_json::Value {
        json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": config.digest(),
                "size": config.bytes.len(),
            },
            "layers": [{
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": layer.digest(),
                "size": layer.size,
            }],
            "annotations": self.labels,
        })
    }

    /// Writes the layer, sorted by path, with the folders above each entry before it.
    fn write_layer(&self, path: &Path) -> anyhow::Result<Layer> {
        let mut entries: BTreeMap<String, File> = BTreeMap::new();
        for file in &self.files {
            let path = file.path.trim_matches('/').to_owned();
            for (end, _) in path.match_indices('/') {
                let folder = &path[..end];
                entries.entry(folder.to_owned()).or_insert_with(|| File::folder(folder, 0o755));
            }
            entries.insert(path, file.clone());
        }
        let output = std::fs::File::create(path)?;
        let mut layer = tar::Builder::new(std::io::BufWriter::new(output));
        for (path, file) in &entries {
            append(&mut layer, path, file).with_context(|| format!("failed to add /{path}"))?;
        }
        layer.into_inner()?.flush()?;
        Layer::of(path)
    }
}

fn append<W: Write>(layer: &mut tar::Builder<W>, path: &str, file: &File) -> anyhow::Result<()> {
    let mut header = header(file.mode, 0);
    header.set_uid(file.user);
    header.set_gid(file.group);
    match &file.content {
        Content::Copy(source) => {
            let content = std::fs::File::open(source)
                .with_context(|| format!("failed to open {}", source.display()))?;
            let size = content.metadata()?.len();
            header.set_size(size);
            // A file that grows while it is read must not make an archive that can't be read.
            layer.append_data(&mut header, path, content.take(size))?;
        }
        Content::Bytes(bytes) => {
            header.set_size(bytes.len() as u64);
            layer.append_data(&mut header, path, bytes.as_slice())?;
        }
        Content::Folder => {
            header.set_entry_type(tar::EntryType::Directory);
            layer.append_data(&mut header, format!("{path}/"), std::io::empty())?;
        }
        Content::Link(target) => {
            header.set_entry_type(tar::EntryType::Symlink);
            layer.append_link(&mut header, path, target)?;
        }
    }
    Ok(())
}

fn append_bytes<W: Write>(archive: &mut tar::Builder<W>, path: &str, bytes: &[u8]) -> anyhow::Result<()> {
    Ok(archive.append_data(&mut header(0o644, bytes.len() as u64), path, bytes)?)
}

fn header(mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header
}

struct Blob {
    bytes: Vec<u8>,
    hex: String,
}

impl Blob {
    fn of(value: &serde_json::Value) -> anyhow::Result<Self> {
        let bytes = serde_json::to_vec(value)?;
        let hex = hex(Sha256::digest(&bytes));
        Ok(Self { bytes, hex })
    }

    fn digest(&self) -> String {
        format!("sha256:{}", self.hex)
    }
}

struct Layer {
    hex: String,
    size: u64,
}

impl Layer {
    fn of(path: &Path) -> anyhow::Result<Self> {
        let mut content = std::fs::File::open(path)?;
        let mut hash = Sha256::new();
        std::io::copy(&mut content, &mut hash)?;
        Ok(Self { hex: hex(hash.finalize()), size: content.stream_position()? })
    }

    fn digest(&self) -> String {
        format!("sha256:{}", self.hex)
    }
}

fn hex(digest: impl AsRef<[u8]>) -> String {
    use std::fmt::Write as _;
    digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.{suffix}", std::process::id()));
    PathBuf::from(name)
}

/// This machine's architecture by the name that images use.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
