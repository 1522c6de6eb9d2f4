//! Rollouts that move requests from one revision to another: what is known of them, and how they are judged.
use std::time::Duration;

pub mod action;
pub mod evidence;
pub mod judge;
pub mod monitor;
pub(super) mod state;

/// A duration such as `30s`, `5m` or `1h30m`; admission lets nothing else through.
pub fn hold(text: &str) -> Duration {
    let parsed = text.parse::<jiff::SignedDuration>().ok();
    parsed.and_then(|it| Duration::try_from(it).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_are_hours_minutes_and_seconds() {
        for (text, seconds) in [("30s", 30), ("5m", 300), ("1h30m", 5400), ("1h0m5s", 3605)] {
            assert_eq!(hold(text), Duration::from_secs(seconds), "{text}");
        }
    }
}
