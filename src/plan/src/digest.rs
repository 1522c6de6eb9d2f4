//! Digests of JSON values, for names of revisions and to see what was applied last.
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The first `length` hexadecimal digits of the SHA-256 of a value. Keys are in order, since `serde_json`'s map is.
pub fn of(value: &Value, length: usize) -> String {
    let mut text = sha256(value.to_string().as_bytes());
    text.truncate(length);
    text
}

/// The SHA-256 of bytes, in 64 hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
