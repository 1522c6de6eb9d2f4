//! The README's commands, run as a reader would.
use std::process::Command;

use anyhow::Context as _;

use crate::cluster::Cluster;
use crate::{cache, shell};

/// Runs the commands under a heading of the README on a cluster, with helm, kubectl and its plugin on the path.
pub fn run(heading: &str, cluster: &Cluster) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(cache::repository().join("README.md"))?;
    let commands =
        commands(&text, heading).with_context(|| format!("the README has no commands under {heading}"))?;
    let programs = [cluster.helm()?, cluster.kubectl()].map(|command| command.get_program().to_owned());
    let mut folders: Vec<_> = programs
        .iter()
        .filter_map(|program| std::path::Path::new(program).parent().map(Into::into))
        .collect();
    folders.push(std::env::current_exe()?.parent().context("a program without a folder")?.to_owned());
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let mut bash = Command::new("bash");
    bash.current_dir(cache::repository())
        .env("PATH", std::env::join_paths(folders)?)
        .env("KUBECONFIG", cluster.kubeconfig())
        .args(["-euxo", "pipefail", "-c", commands]);
    shell::run(&mut bash)
}

/// The first block of shell commands under a heading.
fn commands<'a>(text: &'a str, heading: &str) -> Option<&'a str> {
    let section = text.split("\n## ").find(|section| section.lines().next() == Some(heading))?;
    let block = section.split_once("```sh\n")?.1;
    block.split_once("```").map(|(commands, _)| commands)
}

#[cfg(test)]
mod tests {
    use super::commands;

    #[test]
    fn the_block_under_the_heading_is_found() {
        let text =
            "# A\n\n## B\n\n```sh\nb\n```\n\n## C\n\nText.\n\n```yaml\nx: 1\n```\n\n```sh\nc\nd\n```\n";
        assert_eq!(commands(text, "C"), Some("c\nd\n"));
        assert_eq!(commands(text, "D"), None);
    }

    #[test]
    fn the_demo_and_the_tests_are_what_the_readme_says() {
        let text = include_str!("../../../README.md");
        assert_eq!(commands(text, "Try it"), Some("cargo xtask demo\n"));
        assert_eq!(commands(text, "Test"), Some("cargo xtask test\n"));
    }
}
