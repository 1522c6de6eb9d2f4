//! Answers of the gateway itself: JSON with a code and a sentence that says what to change, or the same in gRPC.
use std::time::Duration;

use http::{HeaderValue, Response, StatusCode, header};

use crate::body::{Answered, whole};
use crate::grpc::{self, Dialect};

/// An answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// A word for programs.
    pub code: &'static str,
    /// A sentence for people.
    pub message: String,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// An error that another attempt does not help.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after: None }
    }

    /// With the time after which to try again.
    #[must_use]
    pub fn again(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The answer, in what the caller speaks.
    pub fn response(&self, dialect: Dialect) -> Response<Answered> {
        if dialect == Dialect::Grpc {
            return grpc::response(self);
        }
        let body = serde_json::json!({"error": self.message, "code": self.code}).to_string();
        let mut response = Response::new(whole(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(after) = self.retry_after {
            let seconds = after.as_secs_f64().ceil().max(1.0) as u64;
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
