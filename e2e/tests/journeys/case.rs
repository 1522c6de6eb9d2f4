//! Runs journeys, several at a time, and says of each one that failed what the cluster looked like.
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use futures::future::LocalBoxFuture;

use crate::journey::Journey;
use crate::stage::Stage;

/// One journey.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// Its name, a sentence.
    pub(crate) name: &'static str,
    pub(crate) run: for<'a> fn(&'a Journey<'a>) -> LocalBoxFuture<'a, anyhow::Result<()>>,
}

/// Names journeys by their functions.
#[macro_export]
macro_rules! cases {
    ($($path:path),* $(,)?) => {
        &[$($crate::case::Case { name: stringify!($path), run: |journey| Box::pin($path(journey)) },)*]
    };
}

/// How many run at a time: most of their time is spent waiting.
const AT_ONCE: usize = 5;

/// Runs those whose names hold an argument of the command line, or all.
pub(crate) fn run(together: &[Case], alone: &[Case]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let chosen = |case: &&Case| words.is_empty() || words.iter().any(|word| case.name.contains(*word));
    let together: Vec<Case> = together.iter().filter(chosen).copied().collect();
    let alone: Vec<Case> = alone.iter().filter(chosen).copied().collect();
    if arguments.iter().any(|argument| argument == "--list") {
        together.iter().chain(&alone).for_each(|case| println!("{}: test", case.name));
        return ExitCode::SUCCESS;
    }
    let started = Instant::now();
    let stage = match Stage::enter() {
        Ok(stage) => stage,
        Err(error) => {
            println!("journeys: failed to start: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let failed = Mutex::new(Vec::new());
    run_list(&stage, &together, AT_ONCE, &failed);
    run_list(&stage, &alone, 1, &failed);
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    for name in &failed {
        println!("failed: {name}");
    }
    println!(
        "test result: {}. {} passed; {} failed; finished in {:.1} s",
        if failed.is_empty() { "ok" } else { "FAILED" },
        together.len() + alone.len() - failed.len(),
        failed.len(),
        started.elapsed().as_secs_f64()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_list(stage: &Stage, cases: &[Case], at_once: usize, failed: &Mutex<Vec<&'static str>>) {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
            let started = Instant::now();
            let outcome = run_one(stage, case);
            let seconds = started.elapsed().as_secs_f64();
            match outcome {
                Ok(()) => println!("test {} ... ok ({seconds:.1} s)", case.name),
                Err(text) => {
                    println!("test {} ... FAILED ({seconds:.1} s)\n{text}", case.name);
                    failed.lock().unwrap_or_else(PoisonError::into_inner).push(case.name);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..at_once.min(cases.len()) {
            scope.spawn(work);
        }
    });
}

/// Runs one in a namespace of its own, which goes with it.
fn run_one(stage: &Stage, case: &Case) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let journey = Journey::begin(stage, case.name).await.map_err(|error| format!("{error:#}"))?;
            let outcome = (case.run)(&journey).await;
            let outcome = outcome.map_err(|error| format!("{error:#}\n{}", journey.describe()));
            journey.end();
            outcome
        })
    }));
    runtime.shutdown_background();
    outcome.unwrap_or_else(|_| Err("it panicked; see above".to_owned()))
}
