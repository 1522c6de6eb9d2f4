//! Errors of calls, in Azure's words.
use std::fmt;
use std::time::Duration;

use arm::{ArmError, ErrorClass};

/// A call that failed.
#[derive(Clone, Debug)]
pub struct Error {
    /// What sort of failure it is.
    pub class: ErrorClass,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// What Azure says, if it says anything that can be understood.
    pub error: Option<Box<ArmError>>,
    /// The id of the request, for Azure's support.
    pub request_id: Option<Box<str>>,
    /// The id under which Azure's activity log has it.
    pub correlation_id: Option<Box<str>>,
    /// How long the server asks to wait.
    pub retry_after: Option<Duration>,
    /// What failed, and how far it is not in `error`, why.
    pub what: String,
}

impl Error {
    pub(crate) fn new(class: ErrorClass, what: impl Into<String>) -> Self {
        Self {
            class,
            status: None,
            error: None,
            request_id: None,
            correlation_id: None,
            retry_after: None,
            what: what.into(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.what)?;
        if let Some(status) = self.status {
            write!(formatter, ": {status}")?;
        }
        if let Some(error) = &self.error {
            write!(formatter, " {error}")?;
        }
        match (&self.request_id, &self.correlation_id) {
            (Some(request), Some(correlation)) if request != correlation => {
                write!(formatter, " (request {request}, correlation {correlation})")
            }
            (Some(id), _) | (None, Some(id)) => write!(formatter, " (request {id})"),
            (None, None) => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// A client that can't be made, since its configuration is wrong.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The address of Azure Resource Manager can't be used.
    #[error("failed to use `{url}` as the address of Azure Resource Manager: {problem}")]
    ResourceManager {
        /// The address.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// TLS can't be set up.
    #[error("failed to set up TLS: {0}; give the certificates of the authority as PEM, or set SSL_CERT_FILE")]
    Tls(String),
}

/// The causes of an error without the address that reqwest puts into its own message.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut causes: Vec<String> = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    causes.dedup();
    if causes.is_empty() { "the request failed".to_owned() } else { causes.join(": ") }
}
