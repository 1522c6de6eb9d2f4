//! Progress for people: what is being done, and how long it took.
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How often a long step says that it is still at work.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// Runs `work` under a title; prints the title when it starts, every half minute, and the elapsed time when it ends.
pub fn step<T>(title: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    eprintln!("==> {title}");
    let started = Instant::now();
    let result = std::thread::scope(|scope| {
        let (done, waiting) = mpsc::channel::<()>();
        scope.spawn(move || {
            while waiting.recv_timeout(HEARTBEAT) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("    ... {}: {title}", seconds(started.elapsed()));
            }
        });
        let result = work();
        drop(done);
        result
    });
    let ending = if result.is_ok() { "done" } else { "failed" };
    eprintln!("    {ending} in {}: {title}", seconds(started.elapsed()));
    result
}

/// A duration as people read it: `0.4 s`, `12 s`, `3 min 20 s`.
pub fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..120 => format!("{seconds} s"),
        _ => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}
