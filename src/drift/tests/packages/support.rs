//! The Python process, random rows, and what counts as equal.
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Mutex, OnceLock};

use fastrand::Rng;
use serde_json::{Value, json};

/// What floating point leaves of equality.
pub(crate) const EXACT: f64 = 1e-9;

struct Packages {
    _process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

static PACKAGES: OnceLock<Mutex<Packages>> = OnceLock::new();

fn start() -> Mutex<Packages> {
    let python = xtask::python::environment("statistics").unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packages/packages.py");
    let mut command = python.command();
    command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let questions = process.stdin.take().unwrap();
    let answers = BufReader::new(process.stdout.take().unwrap());
    Mutex::new(Packages { _process: process, questions, answers })
}

/// What a function of the script answers to each case.
pub(crate) fn ask(function: &str, cases: &[Value]) -> Vec<Value> {
    let mut packages = PACKAGES.get_or_init(start).lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    writeln!(packages.questions, "{}", json!({"function": function, "cases": cases})).unwrap();
    packages.questions.flush().unwrap();
    let mut line = String::new();
    packages.answers.read_line(&mut line).unwrap();
    let answers: Vec<Value> = serde_json::from_str(&line).unwrap();
    assert_eq!(answers.len(), cases.len(), "{function}");
    answers
}

/// Fails unless both are the same number, or both are none: the script gives null for a NaN.
pub(crate) fn assert_close(ours: Option<f64>, theirs: &Value, tolerance: f64, context: &str) {
    let equal = match (ours, theirs.as_f64()) {
        (None, None) => theirs.is_null(),
        (Some(ours), Some(theirs)) => (ours - theirs).abs() <= tolerance,
        (Some(ours), None) => theirs.as_str() == Some(&ours.to_string()),
        (None, Some(_)) => false,
    };
    assert!(equal, "{ours:?} here, {theirs} there: {context}");
}

/// Random values of a kind that a case is made of.
pub(crate) trait Draw {
    /// A number of few digits, often the same as another, so that there are ties.
    fn number(&mut self) -> f64;
    /// One of the first letters.
    fn letter(&mut self, letters: usize) -> String;
    /// A share that is often nothing or all.
    fn chance(&mut self) -> f64;
    /// Flags that are set with a chance.
    fn flags(&mut self, count: usize, chance: f64) -> Vec<bool>;
    /// Numbers; sometimes all are the same.
    fn numbers(&mut self, count: usize) -> Vec<f64>;
    /// Letters.
    fn letters(&mut self, count: usize, letters: usize) -> Vec<String>;
}

impl Draw for Rng {
    fn number(&mut self) -> f64 {
        let unit = if self.bool() { 1.0 } else { 64.0 };
        (self.f64() * 10.0 * unit).floor() / unit - 3.0
    }

    fn letter(&mut self, letters: usize) -> String {
        ["a", "b", "c", "d", "e"][self.usize(..letters)].to_owned()
    }

    fn chance(&mut self) -> f64 {
        [0.0, 0.1, 0.5, 0.5, 0.7, 1.0][self.usize(..6)]
    }

    fn flags(&mut self, count: usize, chance: f64) -> Vec<bool> {
        (0..count).map(|_| self.f64() < chance).collect()
    }

    fn numbers(&mut self, count: usize) -> Vec<f64> {
        if self.usize(..8) == 0 {
            return vec![self.number(); count];
        }
        (0..count).map(|_| self.number()).collect()
    }

    fn letters(&mut self, count: usize, letters: usize) -> Vec<String> {
        (0..count).map(|_| self.letter(letters)).collect()
    }
}

/// 0 and 1.
pub(crate) fn bits(flags: &[bool]) -> Vec<u8> {
    flags.iter().map(|flag| u8::from(*flag)).collect()
}
