//! Long-running operations: how they start, where they are polled, and how far they are.
use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{ArmError, ResourceId, retry_after};

#[cfg(test)]
mod tests;

/// An operation that was started and has not been seen to end. It is kept in an object's status, so that a restart
/// resumes it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// What started it.
    pub verb: Verb,
    /// How it is polled.
    pub shape: OperationShape,
    /// Where it is polled: an absolute URL, or for [`OperationShape::Body`] the resource's id.
    pub url: String,
    /// When it was started.
    pub started: Timestamp,
    /// When it must have ended, as far as the server said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// When to poll it next.
    pub poll_at: Timestamp,
}

/// What starts an operation.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Verb {
    /// A create or replace.
    Put,
    /// A change.
    Patch,
    /// A delete.
    Delete,
    /// An action.
    Post,
}

/// How an operation is polled.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum OperationShape {
    /// The URL of the header `Azure-AsyncOperation` answers a status.
    AzureAsyncOperation,
    /// The URL of the header `Location` answers 202 while it runs.
    Location,
    /// The resource itself tells, in `properties.provisioningState`.
    Body,
}

/// What a server answered, as far as it tells of an operation.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body, if it had one.
    pub body: Option<&'a Value>,
}

/// What a successful write came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Started {
    /// It is done; what was answered, if anything was.
    Done(Option<Value>),
    /// It runs.
    Running(Operation),
}

/// How far an operation is.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// It runs; to be polled next as this says, perhaps elsewhere.
    Running(Operation),
    /// It ended well; what was answered, if anything was: the resource, or the result of an action.
    Succeeded(Option<Value>),
    /// It failed.
    Failed(ArmError),
    /// It was canceled, by a person or by another operation.
    Canceled(ArmError),
    /// The server does not know it any more: the resource itself has to be read.
    Lost,
}

/// What a write that was accepted (2xx) came to.
pub fn started(verb: Verb, id: &ResourceId, answer: &Answer, now: Timestamp) -> Started {
    let header = |name| text(answer.headers, name);
    let writes = matches!(verb, Verb::Put | Verb::Patch);
    let state = answer.body.and_then(provisioning_state).map(Word::from);
    let done = Started::Done(answer.body.cloned());
    let (shape, url) = if let Some(url) = header("azure-asyncoperation") {
        // An operation that ended at once keeps its header, and its URL need never be polled.
        if writes && answer.status != 202 && matches!(state, Some(Word::Succeeded)) {
            return done;
        }
        (OperationShape::AzureAsyncOperation, url)
    } else if let Some(url) = header("location").filter(|_| answer.status == 202) {
        // With any other status, `Location` is what it is in HTTP: the address of the resource.
        (OperationShape::Location, url)
    } else {
        let runs = match verb {
            Verb::Post => false,
            Verb::Delete => answer.status == 202,
            Verb::Put | Verb::Patch => answer.status == 202 || matches!(state, Some(Word::Other)),
        };
        if !runs {
            return done;
        }
        (OperationShape::Body, id.as_str())
    };
    let timeout = header("x-ms-async-operation-timeout").and_then(duration);
    Started::Running(Operation {
        verb,
        shape,
        url: url.to_owned(),
        started: now,
        deadline: timeout.and_then(|timeout| now.checked_add(timeout).ok()),
        poll_at: now + wait(answer.headers, now, now),
    })
}

/// How far an operation is, from an answer of 2xx or 4xx at its URL. Answers that say nothing about the operation (401,
/// 403, 408, 429 and 5xx) leave it running.
pub fn polled(operation: &Operation, answer: &Answer, now: Timestamp) -> Progress {
    match answer.status {
        200..300 => match word(operation, answer) {
            Some(Word::Succeeded) => Progress::Succeeded(result(operation.shape, answer.body)),
            Some(Word::Failed) => Progress::Failed(cause(answer.body, "Failed")),
            Some(Word::Canceled) => Progress::Canceled(cause(answer.body, "Canceled")),
            Some(Word::Other) => Progress::Running(next(operation, answer, now)),
            None => Progress::Lost,
        },
        404 | 410 => match (operation.shape, operation.verb) {
            (OperationShape::Body, Verb::Delete) => Progress::Succeeded(None),
            _ => Progress::Lost,
        },
        // The answer of an ended operation is what the call itself would have answered.
        400 | 402 | 405..=407 | 409 | 411..=428 if operation.shape == OperationShape::Location => {
            let error = cause(answer.body, "Failed");
            let canceled =
                ["OperationCanceled", "OperationPreempted"].iter().any(|code| error.has_code(code));
            if canceled { Progress::Canceled(error) } else { Progress::Failed(error) }
        }
        _ => Progress::Running(next(operation, answer, now)),
    }
}

/// What an answer of 2xx says of an operation, if anything.
fn word(operation: &Operation, answer: &Answer) -> Option<Word> {
    let state = answer.body.and_then(provisioning_state).map(Word::from);
    let said = answer.body.and_then(status).map(Word::from).or(state);
    let without_words = match answer.status {
        202 => Some(Word::Other),
        204 => Some(Word::Succeeded),
        _ => None,
    };
    match (operation.shape, operation.verb) {
        (OperationShape::AzureAsyncOperation, _) => said.or(without_words),
        (OperationShape::Location, _) => without_words.or(said).or(Some(Word::Succeeded)),
        // What is being deleted is there until it is gone, whatever it says of itself before.
        (OperationShape::Body, Verb::Delete) => {
            state.filter(|it| *it != Word::Succeeded).or(Some(Word::Other))
        }
        (OperationShape::Body, _) => state.or(Some(Word::Succeeded)),
    }
}

fn next(operation: &Operation, answer: &Answer, now: Timestamp) -> Operation {
    let moved = match operation.shape {
        OperationShape::AzureAsyncOperation => text(answer.headers, "azure-asyncoperation"),
        OperationShape::Location => text(answer.headers, "location"),
        OperationShape::Body => None,
    };
    Operation {
        url: moved.unwrap_or(&operation.url).to_owned(),
        poll_at: now + wait(answer.headers, operation.started, now),
        ..operation.clone()
    }
}

/// The wait before the next poll: the server's word, else a quarter of the time that the operation has taken, so that
/// short ones are seen to end soon and long ones cost few calls.
fn wait(headers: &HeaderMap, started: Timestamp, now: Timestamp) -> Duration {
    const SHORTEST: Duration = Duration::from_secs(2);
    const LONGEST: Duration = Duration::from_secs(30);
    match retry_after(headers, now) {
        Some(Duration::ZERO) => Duration::from_secs(1),
        Some(wait) => wait.max(Duration::from_millis(100)),
        None => {
            let taken = Duration::try_from(now.duration_since(started)).unwrap_or_default();
            (taken / 4).clamp(SHORTEST, LONGEST)
        }
    }
}

/// What a status word means; every word but the three terminal ones means that the operation runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Word {
    Succeeded,
    Failed,
    Canceled,
    Other,
}

impl From<&str> for Word {
    fn from(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "succeeded" => Self::Succeeded,
            "failed" => Self::Failed,
            "canceled" | "cancelled" => Self::Canceled,
            _ => Self::Other,
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|text| !text.is_empty())
}

fn status(body: &Value) -> Option<&str> {
    body.get("status")?.as_str()
}

fn provisioning_state(body: &Value) -> Option<&str> {
    body.pointer("/properties/provisioningState")?.as_str()
}

fn duration(text: &str) -> Option<Duration> {
    let span: jiff::Span = text.parse().ok()?;
    let seconds = span.total((jiff::Unit::Second, jiff::SpanRelativeTo::days_are_24_hours())).ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// What a status tells of the result is in its `properties`; elsewhere the body is the result.
fn result(shape: OperationShape, body: Option<&Value>) -> Option<Value> {
    match shape {
        OperationShape::AzureAsyncOperation => body?.get("properties").cloned(),
        OperationShape::Location | OperationShape::Body => body.cloned(),
    }
    .filter(|value| !value.is_null())
}

/// Why an operation ended badly: `error` of a status, or what the resource says of itself.
fn cause(body: Option<&Value>, word: &str) -> ArmError {
    let places =
        ["/error", "/properties/error", "/properties/provisioningErrors/0/error", "/properties/errorInfo"];
    let found = places.iter().find_map(|place| {
        let error: ArmError = serde_json::from_value(body?.pointer(place)?.clone()).ok()?;
        (!error.code.is_empty() || !error.message.is_empty()).then_some(error)
    });
    found.unwrap_or_else(|| ArmError {
        code: word.to_owned(),
        message: "the operation ended without saying why".to_owned(),
        ..ArmError::default()
    })
}
