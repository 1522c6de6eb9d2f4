//! How large the tests of rows Z are: quick beside the other tests, or as the rows ask in `cargo xtask faults azure`.
use std::time::Duration;

/// How large the tests are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Size {
    /// A sample that takes seconds.
    Smoke,
    /// What the rows ask for, which takes minutes.
    Full,
}

impl Size {
    /// What the environment asks for: the one place where it is read.
    pub fn chosen() -> Self {
        let full = std::env::var(xtask::faults::SIZE).is_ok_and(|size| size == xtask::faults::FULL);
        if full { Self::Full } else { Self::Smoke }
    }
}

/// The first at smoke size, the second at full size.
pub fn sized<T>(smoke: T, full: T) -> T {
    match Size::chosen() {
        Size::Smoke => smoke,
        Size::Full => full,
    }
}

/// The same in seconds.
pub fn seconds(smoke: u64, full: u64) -> Duration {
    Duration::from_secs(sized(smoke, full))
}
