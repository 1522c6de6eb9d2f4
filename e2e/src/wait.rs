//! Waiting on conditions, by looking often; never for a fixed time.
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};

use crate::azure::sized;

/// The time between two looks.
pub const PERIOD: Duration = Duration::from_millis(40);

/// The longest wait for what happens by itself: others may keep the machine busy.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// Fails when something took longer than is promised. Beside other tests, on a machine that may be busy, only another
/// order of magnitude tells something.
pub fn in_time(what: &str, took: Duration, promised: Duration) -> anyhow::Result<()> {
    let most = promised * sized(6, 1);
    ensure!(took <= most, "{what} took {took:?}, and {most:?} is the most");
    Ok(())
}

/// Looks until there is something, and returns it; fails after `limit` with what was seen last.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> anyhow::Result<Result<T, String>>,
) -> anyhow::Result<T> {
    let started = Instant::now();
    loop {
        match look().await? {
            Ok(found) => return Ok(found),
            Err(seen) if started.elapsed() > limit => {
                bail!("{what} did not happen within {:.1} s; last seen: {seen}", limit.as_secs_f64());
            }
            Err(_) => tokio::time::sleep(PERIOD).await,
        }
    }
}

/// Looks for `span` that nothing happens; fails as soon as `look` names something.
pub async fn holds_for(
    span: Duration,
    mut look: impl AsyncFnMut() -> anyhow::Result<Result<(), String>>,
) -> anyhow::Result<()> {
    let started = Instant::now();
    while started.elapsed() < span {
        if let Err(seen) = look().await? {
            bail!("{seen} (after {:.1} s)", started.elapsed().as_secs_f64());
        }
        tokio::time::sleep(PERIOD).await;
    }
    Ok(())
}
