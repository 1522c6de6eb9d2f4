//! How much of its time the machine itself is away when both processors are busy: it hits every proxy's latest answers.
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::{Failure, proxies};

/// The word that makes this program a witness.
pub(crate) const WITNESS: &str = "stalls";
/// How long the machine is watched.
const TIME: Duration = Duration::from_secs(3);
/// A process that only reads the clock and sees it leap so far did not run meanwhile.
const LEAP: Duration = Duration::from_micros(500);

/// The share of the time that this process was kept from running, though it did nothing but read the clock.
pub(crate) fn witness() -> f64 {
    let begun = Instant::now();
    let (mut last, mut lost) = (begun, Duration::ZERO);
    while last < begun + TIME {
        let now = Instant::now();
        if now - last > LEAP {
            lost += now - last;
        }
        last = now;
    }
    lost.as_secs_f64() / TIME.as_secs_f64()
}

/// The same share of the proxies' processor, while this one is as busy.
pub(crate) fn measure() -> Result<f64, Failure> {
    let mut command = proxies::pinned(std::env::current_exe()?);
    let child = command.arg(WITNESS).stdout(Stdio::piped()).spawn()?;
    witness();
    let output = child.wait_with_output()?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}
