//! The table of dependencies: which crate may see what, enforced on everything that its manifest pulls in.
use std::collections::BTreeSet;
use std::path::Path;

use super::{File, Problem};
use crate::shell;

/// What a crate may never see, directly or through others. Tests are free: only normal dependencies count.
struct Layer {
    name: &'static str,
    never: &'static [&'static str],
}

/// Every crate of the workspace. A crate that is not here fails the check, so that each gets a place.
const LAYERS: [Layer; 15] = [
    Layer {
        name: "api",
        never: &["kube-client", "kube-runtime", "tokio", "reqwest", "hyper", "plan", "operator", "testkit"],
    },
    Layer { name: "arm", never: &["kube", "kube-client", "reqwest", "tokio", "hyper", "plan", "operator"] },
    Layer { name: "arm-client", never: &["kube", "kube-client", "plan", "operator", "arm-emulator"] },
    Layer { name: "arm-emulator", never: &["kube", "kube-client", "plan", "operator", "arm-client"] },
    Layer {
        name: "drift",
        never: &[
            "kube",
            "kube-core",
            "kube-client",
            "k8s-openapi",
            "api",
            "arm",
            "plan",
            "tokio",
            "reqwest",
            "hyper",
        ],
    },
    Layer {
        name: "plan",
        never: &[
            "kube-client",
            "kube-runtime",
            "tokio",
            "reqwest",
            "hyper",
            "rand",
            "uuid",
            "operator",
            "testkit",
        ],
    },
    Layer {
        name: "operator",
        never: &["arm-emulator", "testkit", "xtask", "checker", "cli", "model-server", "gateway"],
    },
    Layer {
        name: "gateway",
        never: &["plan", "arm-client", "operator", "arm-emulator", "model-server", "cli", "testkit", "xtask"],
    },
    Layer {
        name: "model-server",
        never: &["plan", "operator", "gateway", "kube", "kube-client", "testkit", "xtask"],
    },
    Layer {
        name: "checker",
        never: &["plan", "operator", "gateway", "arm", "kube-client", "testkit", "xtask"],
    },
    Layer { name: "cli", never: &["operator", "model-server", "testkit", "xtask"] },
    Layer { name: "testkit", never: &["operator", "model-server", "xtask", "kube-client"] },
    Layer {
        name: "generate",
        never: &["tokio", "kube-client", "reqwest", "hyper", "operator", "cli", "xtask"],
    },
    Layer {
        name: "xtask",
        never: &[
            "tokio",
            "kube-client",
            "reqwest",
            "hyper",
            "api",
            "plan",
            "operator",
            "cli",
            "model-server",
        ],
    },
    Layer { name: "e2e", never: &[] },
];

/// Every violation of the table, and every crate that is not in order.
pub(super) fn check(root: &Path, files: &[File]) -> anyhow::Result<Vec<Problem>> {
    let mut problems = manifests(files);
    for layer in LAYERS.iter().filter(|layer| !layer.never.is_empty()) {
        problems.extend(forbidden(layer.name, &tree(root, layer.name)?));
    }
    problems.extend(compiled_twice(&features(root, "normal,build")?, &features(root, "normal,build,dev")?));
    Ok(problems)
}

/// Every package of the workspace with its version and features, one a line.
fn features(root: &Path, edges: &str) -> anyhow::Result<String> {
    let mut command = shell::cargo();
    command.current_dir(root).args(["tree", "--workspace", "--edges", edges]);
    command.args(["--prefix", "none", "--format", "{p}|{f}"]);
    shell::output(&mut command)
}

/// Packages that have other features in a build of the tests than in one of the programs: they, and all above them,
/// would compile twice.
pub(super) fn compiled_twice(programs: &str, tests: &str) -> Vec<Problem> {
    let lines = |tree: &str| -> BTreeSet<String> {
        tree.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
    };
    let package = |line: &str| line.split('|').next().unwrap_or_default().to_owned();
    let programs = lines(programs);
    let known: BTreeSet<String> = programs.iter().map(|line| package(line)).collect();
    let message = |line: String| {
        format!("tests add features to a dependency, which then compiles twice; add them here too: {line}")
    };
    lines(tests)
        .into_iter()
        .filter(|line| known.contains(&package(line)) && !programs.contains(line))
        .map(|line| Problem::new("dependencies", "e2e/Cargo.toml", message(line)))
        .collect()
}

/// Every crate is a folder of its own name, has a place in the table, and obeys the lints of the workspace.
pub(super) fn manifests(files: &[File]) -> Vec<Problem> {
    let folders: BTreeSet<&str> = files
        .iter()
        .filter_map(|file| file.path.strip_prefix("src/")?.split_once('/').map(|(folder, _)| folder))
        .chain(["e2e"])
        .collect();
    folders.into_iter().flat_map(|folder| manifest(folder, files)).collect()
}

fn manifest(folder: &str, files: &[File]) -> Vec<Problem> {
    let path = if folder == "e2e" { "e2e/Cargo.toml".to_owned() } else { format!("src/{folder}/Cargo.toml") };
    let Some(file) = files.iter().find(|file| file.path == path) else {
        return vec![Problem::new("crate", &path, "is missing; every folder of src is a crate")];
    };
    let mut problems = Vec::new();
    if !file.text.contains(&format!("\nname = \"{folder}\"\n")) {
        problems.push(Problem::new("crate", &path, "name the crate like its folder"));
    }
    if !file.text.contains("\n[lints]\nworkspace = true\n") {
        problems.push(Problem::new("crate", &path, "add [lints] with workspace = true"));
    }
    if !LAYERS.iter().any(|layer| layer.name == folder) {
        problems.push(Problem::new("dependencies", &path, "give the crate a row in the table of tidy"));
    }
    problems
}

/// All packages that a crate sees with its own choice of features, one a line.
fn tree(root: &Path, name: &str) -> anyhow::Result<String> {
    let mut command = shell::cargo();
    command.current_dir(root).args(["tree", "--package", name, "--edges", "normal"]);
    command.args(["--prefix", "none", "--format", "{p}"]);
    shell::output(&mut command)
}

/// What a crate sees, from the lines of its tree, and must not.
pub(super) fn forbidden(name: &str, tree: &str) -> Vec<Problem> {
    let seen: BTreeSet<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let never = LAYERS.iter().filter(|layer| layer.name == name).flat_map(|layer| layer.never);
    let problems = never.filter(|package| seen.contains(**package)).map(|package| {
        let way = format!("`cargo tree -p {name} -e normal -i {package}` shows the way");
        Problem::new(
            "dependencies",
            &format!("src/{name}/Cargo.toml"),
            format!("must never see {package}; {way}"),
        )
    });
    problems.collect()
}
