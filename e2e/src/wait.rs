//! Waiting on conditions, by looking often; never for a fixed time.
use std::time::{Duration, Instant};

use anyhow::bail;

/// The time between two looks.
pub const PERIOD: Duration = Duration::from_millis(40);

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
