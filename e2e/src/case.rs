//! Runs named cases, several at a time, each in a namespace of its own, and ends with a line that counts.
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures::future::LocalBoxFuture;

use crate::azure::sized;
use crate::context::Context;
use crate::plane::Plane;

/// One case.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its name, a sentence.
    pub name: &'static str,
    /// What it does.
    pub run: for<'a> fn(&'a mut Context) -> LocalBoxFuture<'a, anyhow::Result<()>>,
    /// Whether nothing else may run beside it, because it stops the API server or measures.
    pub alone: bool,
}

/// Names cases by their functions; those behind `alone` run one at a time.
#[macro_export]
macro_rules! cases {
    ($($path:path),* $(,)?; alone $($alone:path),* $(,)?) => {
        &[
            $($crate::Case { name: stringify!($path), run: |context| Box::pin($path(context)), alone: false },)*
            $($crate::Case { name: stringify!($alone), run: |context| Box::pin($alone(context)), alone: true },)*
        ]
    };
}

/// How many cases run at a time, small ones and large ones.
const PARALLEL: (usize, usize) = (5, 2);

/// What became of a case.
struct Ended {
    name: &'static str,
    passed: bool,
    seconds: f64,
    figures: Vec<String>,
}

/// Runs the cases whose names hold an argument of the command line, or all of them.
pub fn run(program: &str, cases: &[Case]) -> ExitCode {
    match run_all(program, cases) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("{program}: failed to start: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run_all(program: &str, cases: &[Case]) -> anyhow::Result<bool> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let chosen = |case: &&Case| filters.is_empty() || filters.iter().any(|word| case.name.contains(*word));
    let cases: Vec<&Case> = cases.iter().filter(chosen).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        for case in cases {
            say(&format!("{}: test", case.name));
        }
        return Ok(true);
    }
    // It fails only when a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let started = Instant::now();
    let plane = Arc::new(Plane::start(program)?);
    tokio::runtime::Runtime::new()?.block_on(plane.install())?;
    say(&format!("the control plane is up ({:.1} s)", started.elapsed().as_secs_f64()));
    let (alone, together): (Vec<&Case>, Vec<&Case>) = cases.iter().partition(|case| case.alone);
    let ended = Mutex::new(Vec::new());
    run_together(&plane, &together, sized(PARALLEL.0, PARALLEL.1), &ended);
    run_together(&plane, &alone, 1, &ended);
    let ended = ended.into_inner().unwrap_or_default();
    for case in ended.iter().filter(|_| sized(false, true)) {
        let (module, name) = case.name.split_once("::").unwrap_or(("", case.name));
        let outcome = if case.passed { "ok" } else { "FAILED" };
        say(&format!("{:4}{outcome} {:.0} s  {name}", module.to_uppercase(), case.seconds));
        case.figures.iter().for_each(|figures| say(&format!("          {figures}")));
    }
    let failed: Vec<&Ended> = ended.iter().filter(|case| !case.passed).collect();
    for case in &failed {
        say(&format!("failed: {}", case.name));
    }
    say(&format!(
        "test result: {}. {} passed, {} failed; {} ignored; finished in {:.1} s",
        if failed.is_empty() { "ok" } else { "FAILED" },
        cases.len() - failed.len(),
        failed.len(),
        0,
        started.elapsed().as_secs_f64()
    ));
    Ok(failed.is_empty())
}

fn run_together(plane: &Arc<Plane>, cases: &[&Case], at_once: usize, all: &Mutex<Vec<Ended>>) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..at_once.min(cases.len()) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let ended = run_one(plane, case);
                    if let Ok(mut all) = all.lock() {
                        all.push(ended);
                    }
                }
            });
        }
    });
}

/// Runs one case and tells its outcome.
fn run_one(plane: &Arc<Plane>, case: &Case) -> Ended {
    let started = Instant::now();
    let mut figures = Vec::new();
    let outcome = attempt(plane, case, &mut figures);
    let seconds = started.elapsed().as_secs_f64();
    let (word, text) = match &outcome {
        Ok(()) => ("ok", String::new()),
        Err(text) => ("FAILED", format!("\n{text}")),
    };
    let told = figures.iter().fold(String::new(), |told, line| told + "\n    " + line);
    say(&format!("test {} ... {word} ({seconds:.1} s){told}{text}", case.name));
    Ended { name: case.name, passed: outcome.is_ok(), seconds, figures }
}

/// Runs one case on an async runtime of its own; what it started ends with it, also when it panics.
fn attempt(plane: &Arc<Plane>, case: &Case, figures: &mut Vec<String>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let mut context = Context::new(plane, case.name).await.map_err(|error| format!("{error:#}"))?;
            let outcome = (case.run)(&mut context).await;
            *figures = context.told();
            let outcome = match outcome {
                Ok(()) => context.truth.verify(),
                Err(error) => Err(error),
            };
            match outcome {
                Ok(()) => Ok(()),
                Err(error) => Err(format!("{error:#}\n{}", context.describe().await)),
            }
        })
    }));
    runtime.shutdown_background();
    outcome.unwrap_or_else(|_| Err("it panicked; see above".to_owned()))
}

fn say(line: &str) {
    // A reader that went away wants no more.
    let _ = writeln!(std::io::stdout(), "{line}");
}
