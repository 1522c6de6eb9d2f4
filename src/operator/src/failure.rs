//! Errors of the API server, sorted by what to do about them.
use std::time::Duration;

use kube::core::Status;
use plan::failure::{Class, Failure};

/// Sorts an error; `what` says what was tried.
pub(crate) fn classify(what: &str, error: &kube::Error) -> Failure {
    match error {
        kube::Error::Api(status) => {
            Failure { class: class(status), message: format!("failed to {what}: {}", status.message) }
        }
        // The rest is the network, or an answer that makes no sense; both may pass.
        error => Failure { class: Class::Transient, message: format!("failed to {what}: {error}") },
    }
}

/// A call that took too long.
pub(crate) fn timed_out(what: &str, limit: Duration) -> Failure {
    let message = format!("failed to {what}: no answer within {} s", limit.as_secs());
    Failure { class: Class::Transient, message }
}

fn class(status: &Status) -> Class {
    let details = status.details.as_ref();
    let caused = |reason: &str| {
        details.is_some_and(|details| details.causes.iter().any(|cause| cause.reason == reason))
    };
    match status.code {
        // A namespace on its way out takes everything with it; nothing is left to report to a person.
        403 if caused("NamespaceTerminating") => Class::Transient,
        // A quota is refused in the same way as a missing right, and both need a person.
        401 | 403 => Class::Denied,
        409 if caused("FieldManagerConflict") => Class::Conflict,
        400 | 413 | 422 => Class::Invalid,
        429 | 503 => match details.map_or(0, |details| details.retry_after_seconds) {
            0 => Class::Transient,
            seconds => Class::Throttled(Duration::from_secs(u64::from(seconds.min(300)))),
        },
        _ => Class::Transient,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: u16, cause: &str, retry_after: u32) -> kube::Error {
        let status = serde_json::json!({
            "code": code, "message": "no", "reason": "", "details": {
                "causes": [{"reason": cause, "message": "", "field": ""}], "retryAfterSeconds": retry_after,
            },
        });
        kube::Error::Api(Box::new(serde_json::from_value(status).unwrap()))
    }

    #[test]
    fn errors_are_sorted_by_what_to_do() {
        let cases = [
            (403, "", 0, Class::Denied),
            (403, "NamespaceTerminating", 0, Class::Transient),
            (404, "", 0, Class::Transient),
            (409, "", 0, Class::Transient),
            (409, "FieldManagerConflict", 0, Class::Conflict),
            (422, "", 0, Class::Invalid),
            (429, "", 7, Class::Throttled(Duration::from_secs(7))),
            (500, "", 0, Class::Transient),
            (503, "", 0, Class::Transient),
        ];
        for (code, cause, retry_after, wanted) in cases {
            let failure = classify("apply Service a/b", &error(code, cause, retry_after));
            assert_eq!(failure.class, wanted, "{code} {cause}");
            assert_eq!(failure.message, "failed to apply Service a/b: no");
        }
    }
}
