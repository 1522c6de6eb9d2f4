//! gRPC as far as a proxy speaks it: who calls by it, what its codes mean, and its answers that are errors.
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode, Version};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::answer::Refusal;
use crate::body::{Answered, whole};

/// Names the endpoint, as `NAMESPACE/NAME`, for callers whose host is none's own: a gRPC path has no room for it.
pub const ENDPOINT: HeaderName = HeaderName::from_static("mlops-endpoint");
/// How a call ended.
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// How long the caller waits.
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// When to try again, for clients that do so by themselves.
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
/// The word for programs, which answers in JSON have as `code`.
const CODE: HeaderName = HeaderName::from_static("mlops-code");
const KIND: HeaderValue = HeaderValue::from_static("application/grpc");
/// What a message may not hold as it is.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// What a caller speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Requests and answers of HTTP, whose status says how they ended.
    Http,
    /// Calls of gRPC, whose trailers say how they ended.
    Grpc,
}

impl Dialect {
    /// What the caller of a request speaks.
    pub fn of(parts: &Parts) -> Self {
        let is_grpc = |kind: &HeaderValue| {
            // Not `application/grpc-web`, which is another protocol.
            let rest = kind.as_bytes().strip_prefix(b"application/grpc");
            rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
        };
        let called = parts.version == Version::HTTP_2 && parts.method == Method::POST;
        if called && parts.headers.get(CONTENT_TYPE).is_some_and(is_grpc) { Self::Grpc } else { Self::Http }
    }
}

/// The answer of a refusal, which is all trailers.
pub fn response(refusal: &Refusal) -> Response<Answered> {
    let mut response = Response::new(whole(""));
    let headers = response.headers_mut();
    *headers = trailers(refusal.status, &refusal.message);
    headers.insert(CONTENT_TYPE, KIND);
    headers.insert(CODE, HeaderValue::from_static(refusal.code));
    if let Some(after) = refusal.retry_after {
        headers.insert(PUSHBACK, u64::try_from(after.as_millis()).unwrap_or(u64::MAX).into());
    }
    response
}

/// The trailers of a call that did not end well.
pub fn trailers(status: StatusCode, message: &str) -> HeaderMap {
    let message = utf8_percent_encode(message, ENCODED).to_string();
    let message = HeaderValue::try_from(message).unwrap_or(HeaderValue::from_static(""));
    HeaderMap::from_iter([(STATUS, code(status).into()), (MESSAGE, message)])
}

/// The code of a refusal with a status.
fn code(status: StatusCode) -> u16 {
    match status.as_u16() {
        401 => 16,
        403 => 7,
        404 => 5,
        413 | 429 => 8,
        415 => 12,
        499 => 1,
        408 | 504 => 4,
        502 | 503 => 14,
        400..=499 => 3,
        _ => 13,
    }
}

/// The status that stands for a code in statistics: 5xx where the revision failed, 4xx where its caller did.
pub fn status(code: u16) -> u16 {
    match code {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 | 12 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        14 => 503,
        16 => 401,
        // Unknown, internal, and loss of data; what is no code counts as unknown.
        _ => 500,
    }
}

/// The code in headers or trailers.
pub fn told(headers: &HeaderMap) -> Option<u16> {
    let code = headers.get(STATUS)?;
    Some(code.to_str().ok().and_then(|code| code.parse().ok()).unwrap_or(2))
}

/// How long the caller waits for its answer, if it says so.
pub fn patience(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(TIMEOUT)?.to_str().ok()?;
    let (amount, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let fits = (1..=8).contains(&amount.len()) && amount.bytes().all(|digit| digit.is_ascii_digit());
    let amount: u64 = fits.then(|| amount.parse().ok())??;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

/// The lengths of the messages of a stream. A stream may go on for ever; what is bounded is each of its messages.
#[derive(Debug, Default)]
pub struct Messages {
    seen: u8,
    length: u32,
    left: u32,
}

impl Messages {
    /// Takes the next bytes in, and returns the length of the longest message that begins there.
    pub fn longest(&mut self, mut bytes: &[u8]) -> u64 {
        let mut longest = 0;
        loop {
            // A message is larger than any part of it, so the remainder of the part is not.
            let (_, rest) = bytes.split_at(bytes.len().min(self.left as usize));
            self.left -= (bytes.len() - rest.len()) as u32;
            let Some((byte, rest)) = rest.split_first() else { return longest };
            bytes = rest;
            // A byte of flags, then four of the length.
            if self.seen > 0 {
                self.length = self.length << 8 | u32::from(*byte);
            }
            self.seen += 1;
            if self.seen == 5 {
                (self.left, self.seen) = (std::mem::take(&mut self.length), 0);
                longest = longest.max(u64::from(self.left));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_measured_wherever_they_are_cut() {
        let message = |length: u32| {
            let mut bytes = vec![0];
            bytes.extend(length.to_be_bytes());
            bytes.extend(vec![7; length as usize]);
            bytes
        };
        let stream: Vec<u8> = [message(3), message(0), message(600), message(1)].concat();
        for size in 1..stream.len() {
            let mut messages = Messages::default();
            let longest = stream.chunks(size).map(|part| messages.longest(part)).max();
            assert_eq!((longest, messages.left, messages.seen), (Some(600), 0, 0), "in parts of {size}");
        }
        let mut messages = Messages::default();
        assert_eq!(messages.longest(&[0, 255, 255, 255, 255]), u64::from(u32::MAX), "as soon as it is told");
    }

    #[test]
    fn calls_are_told_apart_from_requests() {
        let of = |version, method: Method, kind: &str| {
            let request = http::Request::builder().version(version).method(method).header(CONTENT_TYPE, kind);
            Dialect::of(&request.body(()).unwrap().into_parts().0)
        };
        for kind in ["application/grpc", "application/grpc+proto", "application/grpc;x=1"] {
            assert_eq!(of(Version::HTTP_2, Method::POST, kind), Dialect::Grpc, "{kind}");
            assert_eq!(of(Version::HTTP_11, Method::POST, kind), Dialect::Http, "{kind}");
        }
        for kind in ["application/grpc-web", "application/json", ""] {
            assert_eq!(of(Version::HTTP_2, Method::POST, kind), Dialect::Http, "{kind}");
        }
        assert_eq!(of(Version::HTTP_2, Method::GET, "application/grpc"), Dialect::Http);
    }

    #[test]
    fn every_code_has_a_class_and_every_refusal_a_code() {
        let classes: Vec<u16> = (0..=17).map(|code| status(code) / 100).collect();
        assert_eq!(classes, [2, 4, 5, 4, 5, 4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 4, 5]);
        for (status, expected) in [(401, 16), (403, 7), (404, 5), (413, 8), (429, 8), (503, 14), (504, 4)] {
            assert_eq!(code(StatusCode::from_u16(status).unwrap()), expected, "{status}");
        }
    }

    #[test]
    fn a_message_survives_in_a_header() {
        let trailers = trailers(StatusCode::NOT_FOUND, "no endpoint `é`\n100%");
        assert_eq!(trailers[MESSAGE], "no endpoint `%C3%A9`%0A100%25");
        assert_eq!(told(&trailers), Some(5));
    }

    #[test]
    fn patience_is_read_in_every_unit() {
        let read = |text: &str| patience(&HeaderMap::from_iter([(TIMEOUT, text.parse().unwrap())]));
        assert_eq!(read("99999999H"), Some(Duration::from_hours(99_999_999)));
        assert_eq!(
            (read("1S"), read("20m")),
            (Some(Duration::from_secs(1)), Some(Duration::from_millis(20)))
        );
        assert_eq!((read("7u"), read("8n")), (Some(Duration::from_micros(7)), Some(Duration::from_nanos(8))));
        for wrong in ["", "S", "1", "+1S", "123456789S", "1é", "1X"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
