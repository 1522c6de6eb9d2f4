//! `cargo xtask tidy`: the rules about files and dependencies that neither the compiler nor clippy knows. Compiles
//! nothing, so that it runs before every commit.
use std::path::Path;

use anyhow::{Context as _, bail};

use crate::cache;

mod dependencies;
mod files;
#[cfg(test)]
mod tests;

/// Files that a rule does not apply to, each with the reason.
const EXEMPTIONS: &[Exemption] = &[];

/// Folders that are no part of the repository.
const FOREIGN_FOLDERS: [&str; 4] = [".git", "target", "node_modules", "__pycache__"];

/// A file that a rule does not apply to.
struct Exemption {
    rule: &'static str,
    path: &'static str,
    #[expect(dead_code, reason = "it is there for people: no exemption goes without one")]
    reason: &'static str,
}

/// A text file of the repository.
struct File {
    /// From the root, with `/`.
    path: String,
    text: String,
}

/// One violation of one rule.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    rule: &'static str,
    path: String,
    message: String,
}

impl Problem {
    fn new(rule: &'static str, path: &str, message: impl Into<String>) -> Self {
        Self { rule, path: path.to_owned(), message: message.into() }
    }
}

/// Checks the whole repository.
pub fn run() -> anyhow::Result<()> {
    let root = cache::repository();
    let mut files = Vec::new();
    collect(&root, "", &mut files)?;
    let mut problems = files::check(&files);
    problems.extend(files::top_level(&names(&root)?));
    problems.extend(dependencies::check(&root, &files)?);
    report(&problems)
}

fn report(problems: &[Problem]) -> anyhow::Result<()> {
    let counted: Vec<&Problem> = problems.iter().filter(|problem| !is_exempt(problem)).collect();
    for problem in &counted {
        eprintln!("    {}: {} ({})", problem.path, problem.message, problem.rule);
    }
    match counted.len() {
        0 => Ok(()),
        1 => bail!("one problem, listed above"),
        number => bail!("{number} problems, listed above"),
    }
}

fn is_exempt(problem: &Problem) -> bool {
    EXEMPTIONS.iter().any(|exemption| exemption.rule == problem.rule && exemption.path == problem.path)
}

fn names(folder: &Path) -> anyhow::Result<Vec<String>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("failed to list {}", folder.display()))?;
    let mut names = entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<anyhow::Result<Vec<String>>>()?;
    names.sort();
    Ok(names)
}

/// Reads every text file below `folder`; binary files have no rules.
fn collect(root: &Path, folder: &str, files: &mut Vec<File>) -> anyhow::Result<()> {
    for name in names(&root.join(folder))? {
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        let metadata = std::fs::symlink_metadata(root.join(&path))?;
        if metadata.is_dir() {
            if !FOREIGN_FOLDERS.contains(&name.as_str()) {
                collect(root, &path, files)?;
            }
        } else if metadata.is_file() {
            let bytes = std::fs::read(root.join(&path)).with_context(|| format!("failed to read {path}"))?;
            if let Ok(text) = String::from_utf8(bytes).map(|text| text.replace('\0', "")) {
                files.push(File { path, text });
            }
        }
    }
    Ok(())
}
