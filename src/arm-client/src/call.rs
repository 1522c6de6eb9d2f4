//! One call: its token, its turn, its answer.
use std::time::Duration;

use arm::{ArmError, ErrorBody, ErrorClass};
use http::{HeaderMap, Method};
use jiff::Timestamp;
use reqwest::Url;
use serde_json::Value;
use tokio::time::Instant;

use crate::bucket::{Bucket, Closed, Kind};
use crate::config::Call;
use crate::error::{Error, causes};
use crate::session::Session;

/// A bucket that the server closes without saying for how long.
const UNSPOKEN_WAIT: Duration = Duration::from_secs(5);

/// What is to be sent.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) body: Option<&'a Value>,
    pub(crate) subscription: &'a str,
    pub(crate) resource_type: &'a str,
    /// Such as `failed to put /subscriptions/…`.
    pub(crate) what: &'a str,
    /// Whether the token of the bucket is taken already.
    pub(crate) has_turn: bool,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Body {
    Empty,
    Json(Value),
    /// It is no JSON; how it begins.
    Other(String),
}

impl Response {
    pub(crate) fn json(&self) -> Option<&Value> {
        match &self.body {
            Body::Json(value) => Some(value),
            Body::Empty | Body::Other(_) => None,
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The error that the body holds, if it holds one.
    pub(crate) fn arm_error(&self) -> Option<ArmError> {
        let body = self.json()?;
        if let Ok(ErrorBody { error }) = serde_json::from_value(body.clone()) {
            return Some(error);
        }
        // Some providers leave the envelope out.
        let error: ArmError = serde_json::from_value(body.clone()).ok()?;
        (!error.code.is_empty() && !error.message.is_empty()).then_some(error)
    }

    /// An error of this answer, which is not what was hoped for.
    pub(crate) fn error(&self, what: &str) -> Error {
        let error = self.arm_error();
        let mut class = arm::classify(self.status, error.as_ref().unwrap_or(&ArmError::default()));
        let mut what = what.to_owned();
        match &self.body {
            // Only proxies answer HTML; what they say of a resource is not believed.
            Body::Other(text) => {
                if (400..500).contains(&self.status) && !matches!(self.status, 401 | 403 | 408 | 429) {
                    class = ErrorClass::InvalidResponse;
                }
                what = format!("{what}: the answer is no JSON and begins with `{text}`");
            }
            Body::Json(_) if (200..300).contains(&self.status) => class = ErrorClass::InvalidResponse,
            Body::Empty | Body::Json(_) => {}
        }
        if (300..400).contains(&self.status) {
            what.push_str(": redirected, which is not followed");
        }
        if class == ErrorClass::WrongTenant {
            what.push_str(": the identity is of another tenant than the subscription");
        }
        let text = |name| self.header(name).map(Box::from);
        Error {
            class,
            status: Some(self.status),
            error: error.map(Box::new),
            request_id: text("x-ms-request-id"),
            correlation_id: text("x-ms-correlation-request-id"),
            retry_after: arm::retry_after(&self.headers, Timestamp::now()),
            what,
        }
    }

    /// The body of an answer of 2xx, which must be JSON or empty.
    pub(crate) fn into_body(self, what: &str) -> Result<Option<Value>, Error> {
        match self.body {
            Body::Empty | Body::Json(Value::Null) => Ok(None),
            Body::Json(value) => Ok(Some(value)),
            Body::Other(_) => Err(Error { class: ErrorClass::InvalidResponse, ..self.error(what) }),
        }
    }
}

/// The kind of bucket that a method takes from.
pub(crate) fn kind(method: &Method) -> Kind {
    match *method {
        Method::GET => Kind::Read,
        Method::DELETE => Kind::Delete,
        _ => Kind::Write,
    }
}

impl Session {
    pub(crate) fn bucket(&self, method: &Method, subscription: &str) -> std::sync::Arc<Bucket> {
        self.client.0.buckets.get(&self.principal, subscription, kind(method))
    }

    /// Sends one request. Only an answer of 401 sends it once more, with another token: such a request was not executed.
    pub(crate) async fn send(&self, request: Request<'_>) -> Result<Response, Error> {
        self.refuse_other_hosts(&request)?;
        let bucket = self.bucket(&request.method, request.subscription);
        let mut token = self.identity.token().await.map_err(|error| error.of(request.what))?;
        let mut has_turn = request.has_turn;
        for last in [false, true] {
            let waited = if has_turn { Duration::ZERO } else { self.turn(&bucket, request.what).await? };
            has_turn = false;
            let answer = self.attempt(&request, token.expose(), waited).await;
            let answer = answer.inspect_err(|_| bucket.unanswered())?;
            heed(&bucket, &request.method, &answer);
            let other_tenant =
                answer.arm_error().is_some_and(|error| arm::classify(401, &error) == ErrorClass::WrongTenant);
            if answer.status != 401 || last || other_tenant {
                return Ok(answer);
            }
            let replaced = self.identity.replace(&token).await;
            let other = replaced.map_err(|error| error.of(request.what))?;
            if other == token {
                return Ok(answer);
            }
            token = other;
        }
        Err(Error::new(ErrorClass::Unauthorized, request.what))
    }

    pub(crate) async fn turn(&self, bucket: &Bucket, what: &str) -> Result<Duration, Error> {
        bucket.acquire(self.client.0.config.patience).await.map_err(|Closed(wait)| Error {
            retry_after: Some(wait),
            ..Error::new(
                ErrorClass::Throttled,
                format!("{what}: Azure asked to wait for another {} s", wait.as_secs().max(1)),
            )
        })
    }

    /// The last line of defence: whatever made the address, a token goes to Azure Resource Manager only.
    fn refuse_other_hosts(&self, request: &Request<'_>) -> Result<(), Error> {
        if self.client.is_own(&request.url) {
            return Ok(());
        }
        let host = request.url.host_str().unwrap_or("no host");
        let what = format!("{}: refused to send a token to {host}", request.what);
        Err(Error::new(ErrorClass::InvalidResponse, what))
    }

    async fn attempt(&self, request: &Request<'_>, token: &str, waited: Duration) -> Result<Response, Error> {
        let begun = Instant::now();
        let answer = self.exchange(request, token).await;
        let duration = begun.elapsed();
        let status = answer.as_ref().map(|it| it.status.to_string());
        let outcome = match (&status, &answer) {
            (Ok(status), _) => status.as_str(),
            (Err(_), Err(failure)) => failure.outcome,
            (Err(_), Ok(_)) => "broken",
        };
        let method = match request.method {
            Method::GET => "GET",
            Method::PUT => "PUT",
            Method::PATCH => "PATCH",
            Method::DELETE => "DELETE",
            _ => "POST",
        };
        if let Some(observer) = &self.client.0.config.observer {
            let resource_type = request.resource_type;
            observer.on_call(&Call { method, resource_type, outcome, duration, waited });
        }
        let milliseconds = duration.as_millis();
        tracing::debug!(method, path = request.url.path(), outcome, milliseconds, "called Azure");
        answer.map_err(|failure| Error::new(failure.class, format!("{}: {}", request.what, failure.message)))
    }

    async fn exchange(&self, request: &Request<'_>, token: &str) -> Result<Response, Failure> {
        let inner = &self.client.0;
        let mut bearer = http::HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
            Failure::new(ErrorClass::Unauthorized, "broken", "the token is no text of a header")
        })?;
        bearer.set_sensitive(true);
        let mut builder = inner
            .transport
            .request(request.method.clone(), request.url.clone())
            .header(http::header::AUTHORIZATION, bearer)
            .header(http::header::ACCEPT, "application/json");
        if let Some(body) = request.body {
            builder = builder.header(http::header::CONTENT_TYPE, "application/json").body(body.to_string());
        } else if matches!(request.method, Method::PUT | Method::PATCH | Method::POST) {
            builder = builder.header(http::header::CONTENT_LENGTH, "0");
        }
        let limit = inner.config.body_limit;
        let exchange = async {
            let mut response = builder.send().await.map_err(|error| Failure::from_send(&error))?;
            let (status, headers) = (response.status().as_u16(), std::mem::take(response.headers_mut()));
            let mut bytes = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|error| Failure::from_body(&error))? {
                if bytes.len() + chunk.len() > limit {
                    let message = format!("the answer is larger than {limit} bytes");
                    return Err(Failure::new(ErrorClass::InvalidResponse, "broken", message));
                }
                bytes.extend_from_slice(&chunk);
            }
            Ok(Response { status, headers, body: body(&bytes) })
        };
        let timeout = inner.config.timeout;
        tokio::time::timeout(timeout, exchange).await.unwrap_or_else(|_| {
            let message = format!("no answer within {} s", timeout.as_secs_f64());
            Err(Failure::new(ErrorClass::Unreachable, "timeout", message))
        })
    }
}

/// An exchange that came to nothing.
struct Failure {
    class: ErrorClass,
    outcome: &'static str,
    message: String,
}

impl Failure {
    fn new(class: ErrorClass, outcome: &'static str, message: impl Into<String>) -> Self {
        Self { class, outcome, message: message.into() }
    }

    fn from_send(error: &reqwest::Error) -> Self {
        let outcome = if error.is_connect() { "connect" } else { "broken" };
        Self::new(ErrorClass::Unreachable, outcome, causes(error))
    }

    fn from_body(error: &reqwest::Error) -> Self {
        let message = format!("the answer broke off: {}", causes(error));
        Self::new(ErrorClass::Unreachable, "broken", message)
    }
}

fn body(bytes: &[u8]) -> Body {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Body::Empty;
    }
    serde_json::from_slice(bytes).map_or_else(|_| Body::Other(beginning(bytes)), Body::Json)
}

/// The beginning of a text, on one line.
fn beginning(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(400)]);
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(120).collect()
}

/// Closes or lowers a bucket as an answer says.
fn heed(bucket: &Bucket, method: &Method, answer: &Response) {
    if answer.status >= 500 {
        bucket.unanswered();
        return;
    }
    bucket.answered();
    if answer.status == 429 {
        let error = answer.arm_error().unwrap_or_default();
        // A resource that is busy says nothing about the other resources.
        if arm::classify(429, &error) == ErrorClass::Throttled {
            let wait = arm::retry_after(&answer.headers, Timestamp::now()).unwrap_or(UNSPOKEN_WAIT);
            bucket.close(wait);
        }
        return;
    }
    let name = match kind(method) {
        Kind::Read => "reads",
        Kind::Write => "writes",
        Kind::Delete => "deletes",
    };
    let left = answer.header(&format!("x-ms-ratelimit-remaining-subscription-{name}"));
    if let Some(left) = left.and_then(|text| text.trim().parse::<u32>().ok()) {
        bucket.lower_to(f64::from(left));
    }
}
