//! How long a server asks to wait, in any of the three headers that Azure uses.
use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;

/// The longest wait that is believed. A longer one is a fault of the server, and would look like a hang.
const LONGEST: Duration = Duration::from_hours(1);

/// The wait that the headers ask for: the more exact ones in milliseconds first, then `Retry-After` in seconds or as
/// an HTTP date, of which those in the past mean no wait. A date is of the server's clock, which the header `Date` tells.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let milliseconds = |name: &str| text(name).and_then(|text| text.parse().ok()).map(Duration::from_millis);
    milliseconds("retry-after-ms")
        .or_else(|| milliseconds("x-ms-retry-after-ms"))
        .or_else(|| {
            let server = text("date").and_then(date).unwrap_or(now);
            text("retry-after").and_then(|text| seconds_or_date(text, server))
        })
        .map(|wait| wait.min(LONGEST))
}

fn seconds_or_date(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    Some(Duration::try_from(date(text)?.duration_since(now)).unwrap_or_default())
}

fn date(text: &str) -> Option<Timestamp> {
    Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(pairs: &[(&'static str, &str)]) -> Option<Duration> {
        let headers = pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        retry_after(&headers, "2026-10-21T07:28:00Z".parse().unwrap())
    }

    type Headers = [(&'static str, &'static str)];

    #[test]
    fn each_header_is_understood_and_the_exact_ones_win() {
        let later = ("retry-after", "Wed, 21 Oct 2026 07:33:30 GMT");
        let cases: [(&Headers, Option<u64>); 12] = [
            (&[later], Some(330_000)),
            (&[later, ("date", "Wed, 21 Oct 2026 07:33:00 GMT")], Some(30_000)),
            (&[], None),
            (&[("retry-after", "7")], Some(7_000)),
            (&[("retry-after", "0")], Some(0)),
            (&[("retry-after", "Wed, 21 Oct 2026 07:28:30 GMT")], Some(30_000)),
            (&[("retry-after", "Wed, 21 Oct 2026 07:27:00 GMT")], Some(0)),
            (&[("retry-after", "soon")], None),
            (&[("retry-after", "-1")], None),
            (&[("retry-after", "99999999999")], Some(3_600_000)),
            (&[("retry-after-ms", "150"), ("retry-after", "1")], Some(150)),
            (&[("x-ms-retry-after-ms", "250"), ("retry-after", "1")], Some(250)),
        ];
        for (headers, expected) in cases {
            assert_eq!(wait(headers), expected.map(Duration::from_millis), "{headers:?}");
        }
    }
}
