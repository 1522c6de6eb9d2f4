//! The two images that every cluster needs, built from what is on this machine.
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::cache;
use crate::oci::{File, Image};
use crate::tools::Tools;

/// The image that holds a pod's network namespace open.
pub(super) const PAUSE: &str = "mlops-operator.dev/pause:1";
/// The cluster's DNS server.
pub(super) const COREDNS: &str = "mlops-operator.dev/coredns:1";

/// A static busybox that sleeps until it is told to end, at once.
pub(super) fn pause() -> anyhow::Result<PathBuf> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"]
        .map(Path::new)
        .into_iter()
        .find(|path| path.is_file())
        .context("busybox is not installed (Debian package busybox-static)")?;
    let script = "trap 'exit 0' TERM INT; sleep infinity & wait";
    write(&Image {
        reference: PAUSE.to_owned(),
        files: vec![
            File::copy("/bin/busybox", busybox, 0o755),
            File::link("/bin/sh", "busybox"),
            File::link("/bin/sleep", "busybox"),
        ],
        entrypoint: ["/bin/busybox", "sh", "-c", script].map(str::to_owned).to_vec(),
        user: "65535:65535".to_owned(),
        ..Image::default()
    })
}

/// CoreDNS as it was built here.
pub(super) fn coredns(tools: &Tools) -> anyhow::Result<PathBuf> {
    write(&Image {
        reference: COREDNS.to_owned(),
        files: vec![File::copy("/coredns", tools.coredns(), 0o755)],
        entrypoint: vec!["/coredns".to_owned()],
        user: "65532:65532".to_owned(),
        ..Image::default()
    })
}

/// Writes the archive into the cache, unless it is newer than everything in it.
fn write(image: &Image) -> anyhow::Result<PathBuf> {
    let name = image.reference.replace(['/', ':'], "-");
    let archive = cache::root()?.join("images").join(format!("{name}.tar"));
    let written = std::fs::metadata(&archive).and_then(|metadata| metadata.modified()).ok();
    let program = std::env::current_exe().ok();
    let sources = image.files.iter().filter_map(|file| match &file.content {
        crate::oci::Content::Copy(source) => Some(source.clone()),
        _ => None,
    });
    let newest = sources
        .chain(program)
        .filter_map(|path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok())
        .max();
    if written.is_none() || written <= newest {
        image.write(&archive)?;
    }
    Ok(archive)
}
