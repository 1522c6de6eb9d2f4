//! Each rule of tidy fails on what it forbids, and on nothing beside it.
use super::dependencies::{compiled_twice, forbidden, manifests};
use super::*;

fn rules(path: &str, text: &str) -> Vec<&'static str> {
    let file = File { path: path.to_owned(), text: text.to_owned() };
    files::check(&[file]).into_iter().map(|problem| problem.rule).collect()
}

#[test]
fn a_tidy_file_has_no_problem() {
    assert!(rules("src/plan/src/child.rs", "//! Children.\nuse std::fmt;\n").is_empty());
}

#[test]
fn a_file_without_a_header_is_found() {
    assert_eq!(rules("src/api/src/lib.rs", "use std::fmt;\n"), ["header"]);
    assert_eq!(rules("src/api/src/lib.rs", ""), ["header"]);
}

#[test]
fn a_mod_rs_is_found() {
    assert_eq!(rules("src/api/src/meta/mod.rs", "//! Meta.\n"), ["no mod.rs"]);
}

#[test]
fn a_long_file_is_found_unless_it_is_a_test() {
    let text = format!("//! Long.\n{}", "\n".repeat(600));
    assert_eq!(rules("src/api/src/long.rs", &text), ["size"]);
    assert!(rules("src/api/src/long/tests.rs", &text).is_empty());
    assert!(rules("src/xtask/tests/chart.rs", &text).is_empty());
}

#[test]
fn a_trailing_space_is_found_in_what_people_write() {
    assert_eq!(rules("README.md", "text \n"), ["trailing space"]);
    assert_eq!(rules("README.md", "text\r\n"), ["trailing space"]);
    assert!(rules("Cargo.lock", "text \n").is_empty());
}

#[test]
fn unfinished_work_is_found() {
    assert_eq!(rules("README.md", &format!("{}: more\n", concat!("TO", "DO"))), ["unfinished"]);
    assert!(rules("README.md", &format!("{}S\n", concat!("TO", "DO"))).is_empty());
}

#[test]
fn a_cited_line_number_is_found() {
    assert_eq!(rules("README.md", concat!("see run.rs", ":12\n")), ["line number"]);
    assert!(rules("README.md", "see run.rs: twelve\n").is_empty());
}

#[test]
fn a_pending_snapshot_is_found() {
    assert_eq!(rules("src/plan/src/snapshots/plan.snap.new", "x"), ["pending snapshot"]);
}

#[test]
fn an_effect_in_plan_is_found_and_allowed_in_its_tests() {
    let text = "//! Time.\nuse std::time::SystemTime;\n";
    assert_eq!(rules("src/plan/src/time.rs", text), ["pure plan"]);
    assert!(rules("src/plan/src/time/tests.rs", text).is_empty());
    assert!(rules("src/operator/src/time.rs", text).is_empty());
}

#[test]
fn a_stray_and_a_missing_name_at_the_top_are_found() {
    let names = [".git", "target", "notes.txt", "Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "LICENSE"];
    let names: Vec<String> = names
        .into_iter()
        .chain(["README.md", "src", "crds", "charts", "config"])
        .map(str::to_owned)
        .collect();
    let paths: Vec<String> = files::top_level(&names).into_iter().map(|problem| problem.path).collect();
    assert_eq!(paths, ["notes.txt", "e2e"]);
}

#[test]
fn a_client_in_plan_is_found_wherever_it_comes_from() {
    let tree = "plan v0.1.0\nkube v5.0.0\nkube-client v5.0.0 (*)\n";
    let problems = forbidden("plan", tree);
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message.starts_with("must never see kube-client"));
    assert!(forbidden("plan", "plan v0.1.0\nkube v5.0.0\nkube-core v5.0.0\n").is_empty());
}

#[test]
fn a_dependency_that_compiles_twice_is_found() {
    let programs = "plan v0.1.0|\ntokio v1.54.1|net,time\ntokio v1.54.1|net,time (*)\n";
    let tests = "insta v1.49.0|\nplan v0.1.0|\ntokio v1.54.1|net,test-util,time\n";
    let problems = compiled_twice(programs, tests);
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message.ends_with("tokio v1.54.1|net,test-util,time"));
    assert!(compiled_twice(programs, programs).is_empty());
}

#[test]
fn a_crate_without_a_place_a_name_or_lints_is_found() {
    let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
    let good = "[package]\nname = \"e2e\"\n\n[lints]\nworkspace = true\n";
    let files = [
        file("e2e/Cargo.toml", good),
        file("src/api/Cargo.toml", &good.replace("e2e", "api")),
        file("src/stray/Cargo.toml", "[package]\nname = \"other\"\n"),
        file("src/empty/src/lib.rs", ""),
    ];
    let problems = manifests(&files);
    let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "is missing; every folder of src is a crate",
            "name the crate like its folder",
            "add [lints] with workspace = true",
            "give the crate a row in the table of tidy",
        ]
    );
}

#[test]
fn a_problem_makes_the_verb_fail() {
    assert!(report(&[]).is_ok());
    let error = report(&[Problem::new("header", "a.rs", "begin")]).unwrap_err();
    assert_eq!(error.to_string(), "one problem, listed above");
}
