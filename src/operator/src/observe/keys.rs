//! What is seen of the keys of an Endpoint, and keys that nobody has seen yet.
use api::{Endpoint, Reason};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use plan::endpoint::Refusal;
use plan::endpoint::keys::{Both, Key, Keys, SecretSeen, secret};
use plan::failure::{Class, Failure};

use crate::azure::{KEYS_HINT, secret_or_hint};
use crate::context::Context;

/// Reads the Secret with the keys of an Endpoint, when it has one. No Secret is watched.
pub(crate) async fn observe(
    context: &Context,
    endpoint: &Endpoint,
) -> Result<Option<Result<Keys, Refusal>>, Failure> {
    let Some(secret) = secret(endpoint) else { return Ok(None) };
    let namespace = endpoint.metadata.namespace.as_deref().unwrap_or_default();
    match secret_or_hint(&context.executor, namespace, &secret.name, KEYS_HINT).await {
        Ok(found) => {
            let fresh = Both { primary: fresh()?, secondary: fresh()? };
            Ok(Some(Ok(Keys { secret: found.as_ref().map(SecretSeen::of), fresh })))
        }
        Err(failure) if failure.class == Class::Denied => {
            Ok(Some(Err(Refusal { reason: Reason::Denied, message: failure.message })))
        }
        Err(failure) => Err(failure),
    }
}

/// A key of 256 random bits, which fits into a header as it is.
fn fresh() -> Result<Key, Failure> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| Failure {
        class: Class::Transient,
        message: format!("failed to make a random key: {error}"),
    })?;
    Ok(Key::new(URL_SAFE_NO_PAD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_long_differ_and_fit_into_a_header() {
        let keys: Vec<String> = (0..64).map(|_| fresh().unwrap().reveal().to_owned()).collect();
        let distinct: std::collections::BTreeSet<&String> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
        let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
        assert!(keys.iter().all(|key| key.len() == 43 && key.chars().all(plain)));
    }
}
