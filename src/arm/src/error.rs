//! The error body of Azure Resource Manager.
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `{"error": …}`, the body of a failed call.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ErrorBody {
    /// The error.
    pub error: ArmError,
}

/// An error of Azure Resource Manager or of a resource provider.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ArmError {
    /// A stable word, such as `Conflict`.
    #[serde(default)]
    pub code: String,
    /// The words for people.
    #[serde(default)]
    pub message: String,
    /// What the error is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Errors that caused this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_empty")]
    pub details: Vec<ArmError>,
    /// What the provider adds.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_empty")]
    pub additional_info: Vec<Value>,
}

fn null_as_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl ArmError {
    /// Whether this error, or one that caused it, has a code, without regard to case.
    pub fn has_code(&self, code: &str) -> bool {
        self.code.eq_ignore_ascii_case(code) || self.details.iter().any(|detail| detail.has_code(code))
    }

    /// Whether this error, or one that caused it, says something, without regard to case.
    pub fn says(&self, words: &str) -> bool {
        let words = words.to_ascii_lowercase();
        self.message.to_ascii_lowercase().contains(&words)
            || self.details.iter().any(|detail| detail.says(&words))
    }
}

impl fmt::Display for ArmError {
    /// The code and message, then those of the errors that caused it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code, self.message.trim())?;
        for detail in &self.details {
            write!(formatter, "; {detail}")?;
        }
        Ok(())
    }
}
