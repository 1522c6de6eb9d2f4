//! Confidence intervals and levels.
use serde::{Deserialize, Serialize};

mod normal;

/// A level that is not between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("a confidence level is between 0 and 1, such as 0.95, not {0}")]
pub struct InvalidLevel(pub f64);

/// A confidence level: more than 0 and less than 1.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Level(f64);

impl Default for Level {
    /// 95 %.
    fn default() -> Self {
        Self(0.95)
    }
}

impl TryFrom<f64> for Level {
    type Error = InvalidLevel;

    fn try_from(level: f64) -> Result<Self, InvalidLevel> {
        if level > 0.0 && level < 1.0 { Ok(Self(level)) } else { Err(InvalidLevel(level)) }
    }
}

impl From<Level> for f64 {
    fn from(level: Level) -> Self {
        level.0
    }
}

impl Level {
    /// The chance of missing on one side.
    pub(crate) fn tail(self) -> f64 {
        (1.0 - self.0) / 2.0
    }
}

/// An interval that holds the true value with the chance of a level.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The level, such as 0.95.
    pub level: Level,
}

/// Wilson's score interval of a share of rows, without correction for continuity; none without rows.
///
/// As `scipy.stats.binomtest(part, whole).proportion_ci(level, method="wilson")`.
pub fn wilson(part: usize, whole: usize, level: Level) -> Option<Interval> {
    if whole == 0 || part > whole {
        return None;
    }
    let (count, share) = (whole as f64, part as f64 / whole as f64);
    let z = -normal::quantile(level.tail());
    let scale = 1.0 + z * z / count;
    let center = (share + z * z / (2.0 * count)) / scale;
    let half = z / scale * (share * (1.0 - share) / count + z * z / (4.0 * count * count)).sqrt();
    // At the ends only rounding keeps the interval from the end.
    let low = if part == 0 { 0.0 } else { center - half };
    let high = if part == whole { 1.0 } else { center + half };
    Some(Interval { low, high, level })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_lies_between_nothing_and_certainty() {
        for level in [0.0, 1.0, -0.5, 95.0, f64::NAN] {
            assert!(Level::try_from(level).is_err(), "{level}");
        }
        assert_eq!(serde_json::to_string(&Level::default()).unwrap(), "0.95");
        let error = serde_json::from_str::<Level>("95").unwrap_err().to_string();
        assert!(error.starts_with("a confidence level is between 0 and 1"), "{error}");
    }

    #[test]
    fn no_rows_have_no_interval() {
        assert_eq!(wilson(0, 0, Level::default()), None);
        assert_eq!(wilson(2, 1, Level::default()), None);
    }
}
