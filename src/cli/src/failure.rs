//! How a verb ends: its exit code, and what it says when it can't do its work.
use std::fmt;

/// The end of a verb that did its work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// All is well: 0.
    Ok,
    /// Something is unhealthy, or not ready in time: 1.
    Unhealthy,
    /// There is something to do, and the user asked to be told by the exit code: 2.
    Changes,
}

impl Outcome {
    pub(crate) fn from_health(healthy: bool) -> Self {
        if healthy { Self::Ok } else { Self::Unhealthy }
    }
}

/// Why a verb could not do its work.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Failure {
    /// The command line makes no sense: 2.
    Usage(String),
    /// The cluster can't be reached, refuses, or an object does not exist: 3.
    Error(String),
    /// No plan can be made, as tools that compare say it: 1.
    NoPlan(String),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Error(_) => 3,
            Self::NoPlan(_) => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) | Self::Error(message) | Self::NoPlan(message) => {
                formatter.write_str(message)
            }
        }
    }
}
