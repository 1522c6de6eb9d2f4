//! Shared access signatures of a whole account, with which containers are made.
use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;

use crate::clock::{rfc3339, wall};

const VERSION: &str = "2021-12-02";
/// A signature is used at once.
const LIFETIME: i64 = 15 * 60 * 1000;

/// The query of an address that may do what `permissions` say to the account's containers and blobs.
pub(super) fn of_account(account: &str, key: &str, permissions: &str) -> anyhow::Result<String> {
    let expires = rfc3339((wall() + LIFETIME) / 1000 * 1000);
    // The order and the empty lines are those of an account's signature; the last is the encryption scope.
    let text = format!("{account}\n{permissions}\nb\nsco\n\n{expires}\n\nhttps,http\n{VERSION}\n\n");
    let key = BASE64.decode(key).context("the key of the storage account is not base64")?;
    let signed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), text.as_bytes());
    let encode = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    let (expires, signed) = (encode(&expires), encode(&BASE64.encode(signed.as_ref())));
    Ok(format!("sv={VERSION}&ss=b&srt=sco&sp={permissions}&se={expires}&spr=https%2Chttp&sig={signed}"))
}
