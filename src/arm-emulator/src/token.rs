//! Access tokens: signed JSON Web Tokens, issued here and checked on every call.
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, KeyPair, UnparsedPublicKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::call::Principal;
use crate::clock::{Milliseconds, wall};
use crate::settings::{Client, Settings};

pub(crate) mod endpoint;

/// How far the clocks of issuer and caller may differ, in seconds.
const SKEW: i64 = 300;

/// Signs and checks tokens, and knows who may ask for one.
pub(crate) struct Issuer {
    key: EcdsaKeyPair,
    random: SystemRandom,
    key_id: String,
    pub(crate) tenant: String,
    pub(crate) clients: RwLock<Vec<Client>>,
    lifetime: RwLock<u64>,
    any: bool,
    /// How far the clock of tokens and of the header `Date` is ahead of the wall's, in seconds.
    skew: AtomicI64,
}

/// Why a token is not accepted, as the `WWW-Authenticate` header words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Issuer {
    /// A new private key, in PKCS#8.
    pub(crate) fn generate() -> anyhow::Result<Vec<u8>> {
        let key =
            EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .map_err(|_| anyhow::anyhow!("failed to make a key for tokens"))?;
        Ok(key.as_ref().to_vec())
    }

    pub(crate) fn new(pkcs8: &[u8], settings: &Settings) -> anyhow::Result<Self> {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &random)
            .map_err(|error| anyhow::anyhow!("failed to read the key for tokens: {error}"))?;
        let key_id = BASE64URL.encode(&Sha256::digest(key.public_key().as_ref())[..15]);
        Ok(Self {
            key,
            random,
            key_id,
            tenant: settings.tenant.clone(),
            clients: RwLock::new(settings.clients.clone()),
            lifetime: RwLock::new(settings.token_lifetime),
            any: settings.accept_any_token,
            skew: AtomicI64::new(0),
        })
    }

    /// The time by the clock that tokens go by.
    pub(crate) fn now(&self) -> Milliseconds {
        wall() + self.skew.load(Ordering::Relaxed) * 1000
    }

    pub(crate) fn set_skew(&self, seconds: i64) {
        self.skew.store(seconds, Ordering::Relaxed);
    }

    /// The public key, as `/discovery/v2.0/keys` shows it.
    pub(crate) fn key_set(&self) -> Value {
        let point = self.key.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        json!({"keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.key_id,
            "x": BASE64URL.encode(x), "y": BASE64URL.encode(y),
        }]})
    }

    pub(crate) fn lifetime(&self) -> u64 {
        *self.lifetime.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_lifetime(&self, seconds: u64) {
        *self.lifetime.write().unwrap_or_else(PoisonError::into_inner) = seconds;
    }

    pub(crate) fn client(&self, id: &str) -> Option<Client> {
        let clients = self.clients.read().unwrap_or_else(PoisonError::into_inner);
        clients.iter().find(|client| client.id.eq_ignore_ascii_case(id)).cloned()
    }

    /// Adds a client or replaces the one of the same id.
    pub(crate) fn set_client(&self, client: Client) {
        let mut clients = self.clients.write().unwrap_or_else(PoisonError::into_inner);
        clients.retain(|one| !one.id.eq_ignore_ascii_case(&client.id));
        clients.push(client);
    }

    /// A token for an audience, and when it expires in seconds since 1970.
    pub(crate) fn issue(&self, client: &Client, audience: &str, base: &str) -> anyhow::Result<(String, i64)> {
        let now = self.now() / 1000;
        let expires = now + self.lifetime().cast_signed();
        let claims = json!({
            "iss": format!("{base}/{}/", self.tenant),
            "aud": audience,
            "tid": self.tenant,
            "oid": client.object,
            "sub": client.object,
            "appid": client.id,
            "idtyp": "app",
            "ver": "1.0",
            "iat": now,
            "nbf": now,
            "exp": expires,
            "uti": uuid::Uuid::new_v4().simple().to_string(),
        });
        let header = json!({"typ": "JWT", "alg": "ES256", "kid": self.key_id});
        let text =
            format!("{}.{}", BASE64URL.encode(header.to_string()), BASE64URL.encode(claims.to_string()));
        let signature = self
            .key
            .sign(&self.random, text.as_bytes())
            .map_err(|_| anyhow::anyhow!("failed to sign a token"))?;
        Ok((format!("{text}.{}", BASE64URL.encode(signature.as_ref())), expires))
    }

    /// Who a token is for, if it was issued here and is good now.
    pub(crate) fn check(&self, token: &str) -> Result<Principal, Refused> {
        if self.any {
            return Ok(Self::believed(token));
        }
        let refused =
            |message: &str| Refused { code: "InvalidAuthenticationToken", message: message.to_owned() };
        let (text, signature) =
            token.rsplit_once('.').ok_or_else(|| refused("The access token is invalid."))?;
        let signature = BASE64URL.decode(signature).map_err(|_| refused("The access token is invalid."))?;
        let public =
            UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, self.key.public_key().as_ref());
        public
            .verify(text.as_bytes(), &signature)
            .map_err(|_| refused("The access token validation failure: the signature is not valid."))?;
        let claims = claims(token).ok_or_else(|| refused("The access token is invalid."))?;
        let number = |name: &str| claims[name].as_i64().unwrap_or(0);
        let now = self.now() / 1000;
        if number("exp") <= now {
            let message = "The access token expiry UTC time is earlier than current UTC time.".to_owned();
            return Err(Refused { code: "ExpiredAuthenticationToken", message });
        }
        if number("nbf") > now + SKEW {
            return Err(refused("The access token is not valid yet."));
        }
        Ok(principal(&claims))
    }

    /// The claims of a token without a proof, for tests that bring their own.
    fn believed(token: &str) -> Principal {
        let mut found = claims(token).map(|claims| principal(&claims)).unwrap_or_default();
        if found.object.is_empty() {
            found.object = crate::rules::guid(&["token", token]);
        }
        if found.application.is_empty() {
            found.application.clone_from(&found.object);
        }
        found
    }
}

fn principal(claims: &Value) -> Principal {
    let text = |name: &str| claims[name].as_str().unwrap_or("").to_owned();
    Principal { object: text("oid"), application: text("appid") }
}

/// The claims that a token states, unproved.
pub(crate) fn claims(token: &str) -> Option<Value> {
    let part = token.split('.').nth(1)?;
    serde_json::from_slice(&BASE64URL.decode(part.trim_end_matches('=')).ok()?).ok()
}
