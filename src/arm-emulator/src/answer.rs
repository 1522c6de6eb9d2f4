//! What a call is answered: a status, headers and a body, and the failures in ARM's words.
use serde_json::{Value, json};

/// An answer before it is written to a connection.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Headers, beside those that every answer has.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Body,
}

/// The body of an answer.
#[derive(Clone, Debug, Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// JSON, the usual case.
    Json(Value),
    /// Anything else, with its content type.
    Bytes(String, Vec<u8>),
}

impl Answer {
    /// An answer without a body.
    pub fn empty(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// An answer with a JSON body.
    pub fn json(status: u16, body: Value) -> Self {
        Self { status, body: Body::Json(body), ..Self::default() }
    }

    /// The same answer with one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// Why a call was refused. It becomes the body that the Azure clients read.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) target: Option<String>,
    pub(crate) details: Vec<Value>,
    pub(crate) additional: Vec<Value>,
    pub(crate) headers: Vec<(String, String)>,
}

/// A failure is large beside the values that it replaces, so it travels in a box.
pub(crate) type Outcome<T> = Result<T, Box<Failure>>;

impl Failure {
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Box<Self> {
        Box::new(Self {
            status,
            code: code.to_owned(),
            message: message.into(),
            target: None,
            details: Vec::new(),
            additional: Vec::new(),
            headers: Vec::new(),
        })
    }

    pub(crate) fn about(mut self: Box<Self>, target: &str) -> Box<Self> {
        self.target = Some(target.to_owned());
        self
    }

    pub(crate) fn with(mut self: Box<Self>, name: &str, value: impl Into<String>) -> Box<Self> {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn detail(mut self: Box<Self>, code: &str, message: &str) -> Box<Self> {
        self.details.push(json!({"code": code, "message": message}));
        self
    }

    pub(crate) fn additional(mut self: Box<Self>, kind: &str, info: &Value) -> Box<Self> {
        self.additional.push(json!({"type": kind, "info": info}));
        self
    }

    /// The entries that the machine learning provider adds to every error of its own.
    pub(crate) fn machine_learning(mut self: Box<Self>, location: &str, time: &str, id: &str) -> Box<Self> {
        let info = |value: &str| json!({"value": value});
        self.additional.extend([
            json!({"type": "ComponentName", "info": info("managementfrontend")}),
            json!({"type": "Correlation", "info": {"value": {"operation": id, "request": id}}}),
            json!({"type": "Environment", "info": info(location)}),
            json!({"type": "Location", "info": info(location)}),
            json!({"type": "Time", "info": info(time)}),
        ]);
        self
    }

    pub(crate) fn error(&self) -> Value {
        let mut error = json!({"code": self.code, "message": self.message, "details": self.details});
        if let Some(target) = &self.target {
            error["target"] = json!(target);
        }
        if !self.additional.is_empty() {
            error["additionalInfo"] = json!(self.additional);
        }
        error
    }

    pub(crate) fn answer(self) -> Answer {
        let body = json!({"error": self.error()});
        Answer { status: self.status, headers: self.headers, body: Body::Json(body) }
    }
}

impl From<Box<Failure>> for Answer {
    fn from(failure: Box<Failure>) -> Self {
        failure.answer()
    }
}
