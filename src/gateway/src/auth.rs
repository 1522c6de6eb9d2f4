//! Who calls: by key, by token, or by nothing but an address.
use std::net::IpAddr;

use http::{HeaderMap, StatusCode, header};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::answer::Refusal;
use crate::config::{Auth, Digest};
use crate::token::{Issuers, Untrusted};

/// Lets a caller in and names it for its limit.
pub async fn admit(
    auth: &Auth,
    headers: &HeaderMap,
    peer: IpAddr,
    issuers: &Issuers,
) -> Result<String, Refusal> {
    match auth {
        Auth::None => Ok(format!("address {peer}")),
        Auth::Key { digests } => {
            let key = bearer(headers)
                .ok_or_else(|| refused("send the endpoint's key as `Authorization: Bearer KEY`"))?;
            let place = place(digests, key).ok_or_else(|| {
                refused("the key is none of the endpoint's two; read the present ones, they may have been regenerated")
            })?;
            Ok(format!("key {place}"))
        }
        Auth::AadToken { issuer, audience, jwks_uri, role } => {
            let token = bearer(headers)
                .ok_or_else(|| refused("send a token of Microsoft Entra as `Authorization: Bearer TOKEN`"))?;
            let expected = crate::token::Expected { issuer, audience, jwks_uri, role: role.as_deref() };
            match issuers.verify(&expected, token).await {
                Ok(caller) => Ok(format!("application {caller}")),
                Err(Untrusted::Token(cause)) => Err(refused(&cause)),
                Err(Untrusted::Role(role)) => Err(Refusal::new(
                    StatusCode::FORBIDDEN,
                    "RoleMissing",
                    format!(
                        "the token lacks the app role `{role}`; assign it to the caller and get a new token"
                    ),
                )),
                Err(Untrusted::NoKeys) => Err(Refusal::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "IssuerUnavailable",
                    "the issuer's public keys can't be read now; try again",
                )
                .again(std::time::Duration::from_secs(5))),
            }
        }
    }
}

fn refused(message: &str) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "Unauthorized", message)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

/// The place of the key's digest. Every digest is compared whole, so that time tells nothing.
fn place(digests: &[Digest], key: &str) -> Option<usize> {
    let given = Sha256::digest(key);
    digests.iter().enumerate().fold(None, |found, (place, digest)| {
        if bool::from(digest.0.ct_eq(given.as_slice())) { Some(place) } else { found }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(key: &str) -> Digest {
        Digest(Sha256::digest(key).into())
    }

    fn with(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())])
    }

    #[tokio::test]
    async fn both_keys_are_accepted_and_everything_else_is_refused_with_what_to_send() {
        let auth = Auth::Key { digests: vec![digest("first"), digest("second")] };
        let issuers = Issuers::new(crate::start::client().unwrap());
        let admit = async |headers| admit(&auth, &headers, IpAddr::from([127, 0, 0, 1]), &issuers).await;
        assert_eq!(admit(with("Bearer first")).await.unwrap(), "key 0");
        assert_eq!(admit(with("bearer second")).await.unwrap(), "key 1");
        for wrong in ["Bearer third", "Bearer ", "Bearer firs", "first", "Basic first"] {
            let refusal = admit(with(wrong)).await.unwrap_err();
            assert_eq!(refusal.status, StatusCode::UNAUTHORIZED, "{wrong}");
            assert!(refusal.message.contains("key") && !refusal.message.contains("third"));
        }
        assert!(admit(HeaderMap::new()).await.unwrap_err().message.contains("Authorization"));
    }

    #[tokio::test]
    async fn a_caller_of_an_open_endpoint_is_its_address() {
        let issuers = Issuers::new(crate::start::client().unwrap());
        let caller = admit(&Auth::None, &HeaderMap::new(), IpAddr::from([10, 0, 0, 1]), &issuers).await;
        assert_eq!(caller.unwrap(), "address 10.0.0.1");
    }
}
