//! Clients that ask an endpoint without a pause and count every answer.
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};

use super::rows::{Rows, client, score};

/// Clients that keep their connection, and clients that open one for each request.
const KEEPING: usize = 4;
const OPENING: usize = 2;
/// What a client waits between an answer and its next request, so that the clients leave room for what they watch.
const THINKING: Duration = Duration::from_millis(2);

/// Running clients.
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
    versions: Vec<String>,
}

struct Shared {
    stop: AtomicBool,
    answered: Vec<AtomicU64>,
    failed: AtomicU64,
    first_failure: Mutex<Option<String>>,
}

/// What the clients saw. An answer that no version gives counts as failed.
#[derive(Debug)]
pub struct Outcome {
    answered: Vec<(String, u64)>,
    /// How many requests had no answer, or a wrong one.
    pub failed: u64,
    /// The first of them, in words.
    pub first_failure: Option<String>,
}

impl Load {
    /// Starts the clients; answers are told apart by version.
    pub fn start(rows: &Rows, url: &str, versions: &[&str]) -> anyhow::Result<Self> {
        ensure!(!versions.is_empty(), "no version to expect");
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            answered: versions.iter().map(|_| AtomicU64::new(0)).collect(),
            failed: AtomicU64::new(0),
            first_failure: Mutex::new(None),
        });
        let versions: Vec<String> = versions.iter().map(|&version| version.to_owned()).collect();
        let clients = (0..KEEPING + OPENING)
            .map(|number| {
                let (shared, rows, url) = (shared.clone(), rows.clone(), url.to_owned());
                let versions = versions.clone();
                std::thread::spawn(move || shared.ask(number, &rows, &url, &versions))
            })
            .collect();
        Ok(Self { shared, clients, versions })
    }

    /// How many requests have been answered by each version so far.
    pub fn answers(&self) -> Vec<u64> {
        self.shared.answered.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }

    /// The first request so far that had no answer, or a wrong one, in words.
    pub fn first_failure(&self) -> Option<String> {
        self.shared.first_failure()
    }

    /// Waits until so many more requests have been answered.
    pub fn wait_for(&self, more: u64, limit: Duration) -> anyhow::Result<()> {
        let started = Instant::now();
        let before: u64 = self.answers().iter().sum();
        while self.answers().iter().sum::<u64>() < before + more {
            if started.elapsed() > limit {
                let failure = self.shared.first_failure();
                bail!("the clients get no answers: {}", failure.unwrap_or_else(|| "too slow".to_owned()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Ends the clients, each after its present request, and counts.
    pub fn stop(mut self) -> Outcome {
        self.end();
        let answered = self.versions.iter().cloned().zip(self.answers()).collect();
        let failed = self.shared.failed.load(Ordering::Relaxed);
        Outcome { answered, failed, first_failure: self.shared.first_failure() }
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            if client.join().is_err() {
                self.shared.fail("a client panicked".to_owned());
            }
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn ask(&self, number: usize, rows: &Rows, url: &str, versions: &[String]) {
        let keeps = number < KEEPING;
        let client = client(keeps);
        let versions: Vec<&str> = versions.iter().map(String::as_str).collect();
        let requests: Vec<String> = rows.rows.iter().map(|row| row.request.to_string()).collect();
        let started = Instant::now();
        for (row, request) in rows.rows.iter().zip(&requests).cycle().skip(number) {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let after = started.elapsed().as_secs_f64();
            match score(&client, url, request) {
                Ok(answer) => match row.answered_by(&answer, &versions, rows.tolerance) {
                    Some(version) => {
                        self.answered[version].fetch_add(1, Ordering::Relaxed);
                    }
                    None => self.fail(format!("after {after:.1} s, no version answers {answer:?}")),
                },
                Err(error) => {
                    let how = if keeps { "kept" } else { "new" };
                    self.fail(format!("after {after:.1} s, over a {how} connection: {error:#}"));
                }
            }
            std::thread::sleep(THINKING);
        }
    }

    fn fail(&self, what: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.first_failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(what);
    }

    fn first_failure(&self) -> Option<String> {
        self.first_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Outcome {
    /// How many requests were sent.
    pub fn requests(&self) -> u64 {
        self.answered.iter().map(|(_, count)| count).sum::<u64>() + self.failed
    }

    /// How many were answered by this version.
    pub fn answers(&self, version: &str) -> u64 {
        self.answered.iter().filter(|(name, _)| name == version).map(|(_, count)| count).sum()
    }
}
