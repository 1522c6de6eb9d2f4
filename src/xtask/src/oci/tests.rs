//! Image archives are whole, reproducible and hold what was asked for.
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{File, Image, hex, libraries_in, shared_libraries};

fn image() -> Image {
    Image {
        reference: "example.test/tool:1".to_owned(),
        files: vec![
            File::bytes("/usr/bin/tool", "#!", 0o755),
            File::bytes("/etc/tool/settings", "a=b", 0o640).owned_by(65532, 65532),
            File::link("/bin", "usr/bin"),
            File::folder("/data", 0o770),
        ],
        entrypoint: vec!["/usr/bin/tool".to_owned(), "serve".to_owned()],
        environment: BTreeMap::from([("MODE".to_owned(), "test".to_owned())]),
        user: "65532:65532".to_owned(),
        labels: BTreeMap::from([("org.opencontainers.image.title".to_owned(), "tool".to_owned())]),
        working_directory: "/data".to_owned(),
    }
}

/// A folder of this test alone, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("xtask-oci-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn entries(archive: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(std::fs::File::open(archive).unwrap());
    archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (path, bytes)
        })
        .collect()
}

fn blob<'a>(entries: &'a BTreeMap<String, Vec<u8>>, digest: &Value) -> &'a [u8] {
    let hexadecimal = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
    let bytes = &entries[&format!("blobs/sha256/{hexadecimal}")];
    assert_eq!(hex(Sha256::digest(bytes)), hexadecimal, "a blob is named by its own digest");
    bytes
}

#[test]
fn archive_holds_index_manifest_config_and_layer_by_digest() {
    let folder = Folder::new("parts");
    let archive = folder.0.join("image.tar");
    let digest = image().write(&archive).unwrap();
    let entries = entries(&archive);
    let index: Value = serde_json::from_slice(&entries["index.json"]).unwrap();
    let listed = &index["manifests"][0];
    assert_eq!(listed["digest"], digest.as_str());
    assert_eq!(listed["annotations"]["io.containerd.image.name"], "example.test/tool:1");
    let manifest: Value = serde_json::from_slice(blob(&entries, &listed["digest"])).unwrap();
    let config: Value = serde_json::from_slice(blob(&entries, &manifest["config"]["digest"])).unwrap();
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["config"]["Env"], serde_json::json!(["MODE=test"]));
    assert_eq!(config["config"]["Entrypoint"], serde_json::json!(["/usr/bin/tool", "serve"]));
    assert_eq!(config["config"]["WorkingDir"], "/data");
    assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
    let layer = blob(&entries, &manifest["layers"][0]["digest"]);
    assert_eq!(manifest["layers"][0]["size"], layer.len());
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1, "nothing but the archive is left");
}

#[test]
fn layer_is_sorted_and_keeps_modes_owners_links_and_parents() {
    let folder = Folder::new("layer");
    let path = folder.0.join("layer.tar");
    image().write_layer(&path).unwrap();
    let mut archive = tar::Archive::new(std::fs::File::open(&path).unwrap());
    let listed: Vec<String> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            format!(
                "{} {:o} {}:{} {} {}",
                entry.path().unwrap().display(),
                header.mode().unwrap(),
                header.uid().unwrap(),
                header.gid().unwrap(),
                header.mtime().unwrap(),
                entry.link_name().unwrap().map_or_else(String::new, |target| target.display().to_string()),
            )
        })
        .collect();
    assert_eq!(
        listed,
        [
            "bin 777 0:0 0 usr/bin",
            "data/ 770 0:0 0 ",
            "etc/ 755 0:0 0 ",
            "etc/tool/ 755 0:0 0 ",
            "etc/tool/settings 640 65532:65532 0 ",
            "usr/ 755 0:0 0 ",
            "usr/bin/ 755 0:0 0 ",
            "usr/bin/tool 755 0:0 0 ",
        ]
    );
}

#[test]
fn the_order_of_files_does_not_change_the_archive() {
    let folder = Folder::new("order");
    let (first, second) = (folder.0.join("first.tar"), folder.0.join("second.tar"));
    let mut reversed = image();
    reversed.files.reverse();
    assert_eq!(image().write(&first).unwrap(), reversed.write(&second).unwrap());
    assert_eq!(std::fs::read(first).unwrap(), std::fs::read(second).unwrap());
}

#[test]
fn other_content_gives_another_digest() {
    let folder = Folder::new("content");
    let archive = folder.0.join("image.tar");
    let mut changed = image();
    changed.files[0] = File::bytes("/usr/bin/tool", "#?", 0o755);
    assert_ne!(image().write(&archive).unwrap(), changed.write(&archive).unwrap());
}

#[test]
fn a_file_that_is_not_there_is_named_in_the_error() {
    let folder = Folder::new("missing");
    let mut image = image();
    image.files.push(File::copy("/usr/bin/other", "/nowhere/other", 0o755));
    let error = format!("{:#}", image.write(&folder.0.join("image.tar")).unwrap_err());
    assert!(error.contains("/nowhere/other") && error.contains("example.test/tool:1"), "{error}");
}

#[test]
fn libraries_are_read_from_the_lines_of_ldd() {
    let printed =
        "\tlinux-vdso.so.1 (0x00007ffc)\n\tlibm.so.6 => /lib/libm.so.6 (0x1)\n\t/lib64/ld.so.2 (0x2)\n";
    assert_eq!(
        libraries_in(printed).unwrap(),
        [PathBuf::from("/lib/libm.so.6"), PathBuf::from("/lib64/ld.so.2")]
    );
    assert_eq!(libraries_in("\tstatically linked\n").unwrap(), Vec::<PathBuf>::new());
    let error = libraries_in("\tlibgone.so.1 => not found\n").unwrap_err();
    assert_eq!(error.to_string(), "the library libgone.so.1 is not on this machine");
}

#[test]
fn a_dynamic_program_needs_libc_and_the_loader() {
    let libraries = shared_libraries(Path::new("/bin/sh")).unwrap();
    let names: Vec<String> = libraries.iter().map(|path| path.display().to_string()).collect();
    assert!(names.iter().any(|name| name.contains("libc.so")), "{names:?}");
    assert!(names.iter().any(|name| name.contains("ld-linux")), "{names:?}");
}
