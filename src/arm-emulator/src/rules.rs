//! The rules that a row of the table can't say as data, one module per family of types.
#![expect(
    clippy::unnecessary_wraps,
    reason = "the table wants one signature of all rules, also of those that refuse nothing"
)]

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub(crate) mod asset;
pub(crate) mod authorization;
pub(crate) mod compute;
pub(crate) mod endpoint;
pub(crate) mod identity;
pub(crate) mod job;
pub(crate) mod metric;
pub(crate) mod neighbor;
pub(crate) mod quota;
pub(crate) mod registry;
pub(crate) mod template;
pub(crate) mod workspace;

/// A GUID that the same words always give, so that ids survive a restart.
pub(crate) fn guid(words: &[&str]) -> String {
    let digest = Sha256::digest(words.join("\n").to_ascii_lowercase());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

/// A new secret of the length that Azure's have.
pub(crate) fn secret() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

/// Sets a field that is absent or null.
pub(crate) fn default(body: &mut Value, pointer: &str, value: Value) {
    if body.pointer(pointer).is_none_or(Value::is_null) {
        crate::engine::set(body, pointer, value);
    }
}

/// The last segment of an id.
pub(crate) fn last(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or("")
}

/// An empty list, for what the emulator never has any of.
pub(crate) fn no_values(_: &mut crate::engine::Change<'_>) -> crate::answer::Outcome<Value> {
    Ok(json!({"value": []}))
}
