//! An attempt that failed, and what another one can do about it.
use crate::failure::{Failure, Reason};

/// What helps after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// Nothing: the same attempt fails again.
    Never,
    /// To go on where it ended.
    Resume,
    /// To begin anew, because what is there now is another version.
    Restart,
}

/// An attempt that failed.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The cause.
    pub failure: Failure,
    /// What helps.
    pub again: Again,
}

impl Attempt {
    /// An attempt that is the last.
    pub fn last(message: String) -> Self {
        Self { failure: Failure::new(Reason::ModelFetchFailed, message), again: Again::Never }
    }

    /// An attempt after which another may succeed.
    pub fn transient(message: String) -> Self {
        Self { again: Again::Resume, ..Self::last(message) }
    }

    /// An attempt to go on with a version that is gone.
    pub fn changed(shown: &str) -> Self {
        let message =
            format!("{shown} changed while it was fetched; publish each version under an address of its own");
        Self { again: Again::Restart, ..Self::last(message) }
    }
}

impl From<Failure> for Attempt {
    fn from(failure: Failure) -> Self {
        Self { failure, again: Again::Never }
    }
}
