//! Tokens of Microsoft Entra: the signature by the issuer's published keys, then issuer, audience, times and role.
//!
//! Only RS256 is accepted, which is what Entra signs with, and ring verifies it. A library for tokens would bring a
//! second implementation of RSA.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde_json::Value;

/// How long published keys are used before they are read anew, beside the requests.
const FRESH: Duration = Duration::from_hours(1);
/// The shortest time between two attempts to read them, so that tokens with invented keys can't make us ask for each.
const BETWEEN: Duration = Duration::from_secs(30);
/// How far clocks may differ.
const SKEW: f64 = 60.0;
/// The longest token and the longest list of keys.
const MOST_TOKEN: usize = 16 * 1024;
const MOST_KEYS: usize = 1024 * 1024;

/// What a token must say.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Its `iss`.
    pub issuer: &'a str,
    /// Its `aud`, or one of them.
    pub audience: &'a str,
    /// Where the issuer's keys are.
    pub jwks_uri: &'a str,
    /// One of its `roles`.
    pub role: Option<&'a str>,
}

/// Why a token is not trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Untrusted {
    /// It is not good, and why.
    Token(String),
    /// It is good and lacks this role.
    Role(String),
    /// The issuer's keys are not known.
    NoKeys,
}

/// The issuers' public keys, by where they are published.
pub struct Issuers {
    client: reqwest::Client,
    sets: Mutex<HashMap<String, Arc<KeySet>>>,
}

/// The modulus and the exponent.
type PublicKey = (Vec<u8>, Vec<u8>);

#[derive(Default)]
struct KeySet {
    known: Mutex<Known>,
    reading: tokio::sync::Mutex<()>,
}

#[derive(Clone, Default)]
struct Known {
    keys: Arc<HashMap<String, PublicKey>>,
    read: Option<Instant>,
    tried: Option<Instant>,
}

impl KeySet {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Issuers {
    /// Reads keys with this client.
    pub fn new(client: reqwest::Client) -> Self {
        Self { client, sets: Mutex::default() }
    }

    /// Verifies a token and says who the caller is.
    pub async fn verify(&self, expected: &Expected<'_>, token: &str) -> Result<String, Untrusted> {
        let token = Token::parse(token)?;
        let key = self.key(expected.jwks_uri, &token.key).await?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        token.verify(&key, expected, now)
    }

    async fn key(&self, uri: &str, name: &str) -> Result<PublicKey, Untrusted> {
        let set = {
            let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(sets.entry(uri.to_owned()).or_default())
        };
        let known = set.known().clone();
        if let Some(key) = known.keys.get(name) {
            if known.read.is_none_or(|read| read.elapsed() > FRESH) {
                let (client, uri, set) = (self.client.clone(), uri.to_owned(), Arc::clone(&set));
                tokio::spawn(async move { refresh(&client, &uri, &set).await });
            }
            return Ok(key.clone());
        }
        refresh(&self.client, uri, &set).await;
        let known = set.known().clone();
        let unknown =
            || Untrusted::Token("the token's key is none of the issuer's; get a new token".to_owned());
        if known.keys.is_empty() {
            Err(Untrusted::NoKeys)
        } else {
            known.keys.get(name).cloned().ok_or_else(unknown)
        }
    }
}

/// Reads the keys of an issuer, once for all who wait, unless that was tried a moment ago. What is known stays when it
/// fails.
async fn refresh(client: &reqwest::Client, uri: &str, set: &KeySet) {
    let _reading = set.reading.lock().await;
    {
        let mut known = set.known();
        if known.tried.is_some_and(|tried| tried.elapsed() < BETWEEN) {
            return;
        }
        known.tried = Some(Instant::now());
    }
    match read(client, uri).await {
        Ok(keys) => {
            let mut known = set.known();
            known.keys = Arc::new(keys);
            known.read = Some(Instant::now());
        }
        Err(error) => tracing::warn!(uri, error, "the keys of an issuer can't be read"),
    }
}

async fn read(client: &reqwest::Client, uri: &str) -> Result<HashMap<String, PublicKey>, String> {
    let request = client.get(uri).timeout(Duration::from_secs(5));
    let failed = |error: reqwest::Error| error.without_url().to_string();
    let mut answer = request.send().await.and_then(reqwest::Response::error_for_status).map_err(failed)?;
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(failed)? {
        body.extend_from_slice(&part);
        if body.len() > MOST_KEYS {
            return Err("the list of keys is too long".to_owned());
        }
    }
    let document: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
    let keys: HashMap<_, _> = document["keys"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|key| key["kty"] == "RSA" && key["use"].as_str().is_none_or(|purpose| purpose == "sig"))
        .filter_map(|key| {
            let number = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str()?).ok();
            Some((key["kid"].as_str()?.to_owned(), (number("n")?, number("e")?)))
        })
        .collect();
    if keys.is_empty() { Err("the list holds no RSA key".to_owned()) } else { Ok(keys) }
}

/// A token in its parts.
struct Token<'t> {
    signed: &'t str,
    signature: Vec<u8>,
    key: String,
    claims: Value,
}

impl<'t> Token<'t> {
    fn parse(text: &'t str) -> Result<Self, Untrusted> {
        let malformed = || {
            Untrusted::Token("the token is no JSON Web Token; get one for the endpoint's audience".to_owned())
        };
        if text.len() > MOST_TOKEN {
            return Err(malformed());
        }
        let (signed, signature) = text.rsplit_once('.').ok_or_else(malformed)?;
        let (header, claims) = signed.split_once('.').ok_or_else(malformed)?;
        let json = |part: &str| -> Option<Value> {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok().filter(Value::is_object)
        };
        let header = json(header).ok_or_else(malformed)?;
        if header["alg"] != "RS256" {
            return Err(Untrusted::Token(
                "the token is not signed with RS256; get one of Microsoft Entra".to_owned(),
            ));
        }
        Ok(Self {
            signed,
            signature: URL_SAFE_NO_PAD.decode(signature).map_err(|_| malformed())?,
            key: header["kid"].as_str().ok_or_else(malformed)?.to_owned(),
            claims: json(claims).ok_or_else(malformed)?,
        })
    }

    fn verify(&self, (n, e): &PublicKey, expected: &Expected<'_>, now: f64) -> Result<String, Untrusted> {
        let refused = |message: &str| Err(Untrusted::Token(message.to_owned()));
        let key = RsaPublicKeyComponents { n, e };
        if key.verify(&RSA_PKCS1_2048_8192_SHA256, self.signed.as_bytes(), &self.signature).is_err() {
            return refused("the token's signature is wrong; get a new token");
        }
        let claims = &self.claims;
        if claims["iss"] != expected.issuer {
            return refused("the token is of another issuer; get one of the endpoint's tenant");
        }
        let has = |claim: &Value, value: &str| match claim {
            Value::Array(values) => values.iter().any(|one| one == value),
            one => one == value,
        };
        if !has(&claims["aud"], expected.audience) {
            return refused("the token is for another audience; ask for the endpoint's");
        }
        // A claim of another type is not the same as none.
        if claims["exp"].as_f64().is_none_or(|end| end + SKEW < now) {
            return refused("the token is over; get a new one");
        }
        if claims.get("nbf").is_some_and(|start| start.as_f64().is_none_or(|start| start - SKEW > now)) {
            return refused("the token is not valid yet; correct the clock of its caller");
        }
        if let Some(role) = expected.role.filter(|role| !has(&claims["roles"], role)) {
            return Err(Untrusted::Role(role.to_owned()));
        }
        let caller = ["appid", "azp", "sub"].into_iter().find_map(|name| claims[name].as_str());
        Ok(caller.unwrap_or("unnamed").to_owned())
    }
}
