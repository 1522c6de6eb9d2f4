//! Rules about one file at a time, and about the top level.
use super::{File, Problem};

/// The hard limit for a file of code that is no test.
const MAXIMUM_LINES: usize = 600;

/// What the top level holds, besides files whose name begins with a dot and the build folder that Git ignores.
const TOP_LEVEL: [&str; 10] = [
    "Cargo.toml",
    "Cargo.lock",
    "rust-toolchain.toml",
    "LICENSE",
    "README.md",
    "src",
    "crds",
    "charts",
    "config",
    "e2e",
];

/// What `plan` may not mention: it gets time, environment and files as values.
const EFFECTS: [&str; 8] = [
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "SystemTime",
    "Timestamp::now",
    "Instant::now",
    "Zoned::now",
];

/// Split, so that this file keeps its own rule.
const UNFINISHED: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];

/// Endings of files that people and programs write by hand.
const WRITTEN: [&str; 10] = ["rs", "md", "yaml", "yml", "toml", "go", "py", "tpl", "txt", "json"];

type Rule = fn(&File) -> Option<Problem>;

const RULES: [Rule; 8] = [
    has_header,
    is_not_mod_rs,
    is_short_enough,
    has_no_trailing_space,
    is_finished,
    cites_no_line,
    is_no_pending_snapshot,
    has_no_effects,
];

/// Every violation in these files.
pub(super) fn check(files: &[File]) -> Vec<Problem> {
    files.iter().flat_map(|file| RULES.iter().filter_map(move |rule| rule(file))).collect()
}

/// Every name that does not belong to the top level, and every name that is missing.
pub(super) fn top_level(names: &[String]) -> Vec<Problem> {
    let foreign = names
        .iter()
        .map(String::as_str)
        .filter(|name| !TOP_LEVEL.contains(name) && !name.starts_with('.') && *name != "target");
    let foreign = foreign.map(|name| Problem::new("top level", name, "the top level has no place for it"));
    let missing = TOP_LEVEL.into_iter().filter(|name| !names.iter().any(|present| present == name));
    foreign.chain(missing.map(|name| Problem::new("top level", name, "is missing"))).collect()
}

fn ending(file: &File) -> Option<&str> {
    file.path.rsplit_once('.').map(|(_, ending)| ending)
}

fn is_rust(file: &File) -> bool {
    ending(file) == Some("rs")
}

fn is_test(file: &File) -> bool {
    file.path.ends_with("/tests.rs") || file.path.contains("/tests/") || file.path.starts_with("e2e/")
}

fn is_written(file: &File) -> bool {
    ending(file).is_some_and(|ending| WRITTEN.contains(&ending)) && file.path != "Cargo.lock"
}

fn has_header(file: &File) -> Option<Problem> {
    let missing = is_rust(file) && !file.text.starts_with("//! ");
    missing.then(|| Problem::new("header", &file.path, "begin with `//!` and one sentence of purpose"))
}

fn is_not_mod_rs(file: &File) -> Option<Problem> {
    let named = file.path.ends_with("/mod.rs");
    named.then(|| Problem::new("no mod.rs", &file.path, "name the file after its module, beside its folder"))
}

fn is_short_enough(file: &File) -> Option<Problem> {
    let lines = file.text.lines().count();
    (is_rust(file) && !is_test(file) && lines > MAXIMUM_LINES)
        .then(|| Problem::new("size", &file.path, format!("{lines} lines; split it below {MAXIMUM_LINES}")))
}

fn has_no_trailing_space(file: &File) -> Option<Problem> {
    let line = file.text.split('\n').position(|line| line.ends_with([' ', '\t', '\r']))?;
    is_written(file)
        .then(|| Problem::new("trailing space", &file.path, format!("line {} ends with a space", line + 1)))
}

fn is_finished(file: &File) -> Option<Problem> {
    let word = UNFINISHED.into_iter().find(|word| contains_word(&file.text, word))?;
    is_written(file)
        .then(|| Problem::new("unfinished", &file.path, format!("{word}: do it, or open an issue")))
}

fn contains_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(start, _)| {
        let is_part = |character: char| character.is_alphanumeric() || character == '_';
        !text[..start].ends_with(is_part) && !text[start + word.len()..].starts_with(is_part)
    })
}

/// Finds a file's name with a colon and a number: it is wrong after the next edit.
fn cites_no_line(file: &File) -> Option<Problem> {
    let cited = [".rs:", ".md:", ".go:", ".toml:", ".yaml:"].into_iter().any(|ending| {
        file.text.match_indices(ending).any(|(start, _)| {
            file.text[start + ending.len()..].starts_with(|character: char| character.is_ascii_digit())
        })
    });
    (cited && is_written(file)).then(|| {
        Problem::new("line number", &file.path, "cites a line by its number; cite the item by its name")
    })
}

fn is_no_pending_snapshot(file: &File) -> Option<Problem> {
    let pending = file.path.ends_with(".snap.new") || file.path.ends_with(".pending-snap");
    pending
        .then(|| Problem::new("pending snapshot", &file.path, "review it, then accept it or mend the code"))
}

fn has_no_effects(file: &File) -> Option<Problem> {
    let effect = EFFECTS.into_iter().find(|effect| file.text.contains(effect))?;
    (file.path.starts_with("src/plan/src/") && is_rust(file) && !is_test(file))
        .then(|| Problem::new("pure plan", &file.path, format!("{effect}: take the value from the world")))
}
