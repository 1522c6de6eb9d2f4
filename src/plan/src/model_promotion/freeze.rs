//! When a stage does not get a version.
use api::model_promotion::{FreezeWindow, PromotionStage};
use croner::Cron;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

/// Until when a stage is frozen, if it is; or the sentence that says which window can't be read.
pub(super) fn frozen_until(stage: &PromotionStage, now: Timestamp) -> Result<Option<Timestamp>, String> {
    let mut until = None;
    for window in &stage.freeze {
        until = until.max(end(window, now)?);
    }
    Ok(until)
}

/// The end of the window in which a time lies.
fn end(window: &FreezeWindow, now: Timestamp) -> Result<Option<Timestamp>, String> {
    let zone = match window.time_zone.as_deref() {
        None => TimeZone::UTC,
        // The same zones everywhere, whatever the machine knows.
        Some(name) => TimeZoneDatabase::bundled().get(name).map_err(|_| {
            format!("freeze names the time zone {name}, which does not exist: use one such as Europe/Berlin")
        })?,
    };
    let cron: Cron = window
        .cron
        .parse()
        .map_err(|error| format!("freeze has the cron {}, which can't be read: {error}", window.cron))?;
    let length: SignedDuration = window
        .duration
        .parse()
        .map_err(|_| format!("freeze has the duration {}: write one such as 64h", window.duration))?;
    let Ok(begun) = cron.find_previous_occurrence(&now.to_zoned(zone), true) else { return Ok(None) };
    let end = begun.timestamp().checked_add(length).unwrap_or(Timestamp::MAX);
    Ok((end > now).then_some(end))
}
