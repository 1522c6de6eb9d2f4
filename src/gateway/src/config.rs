//! The routing document of an endpoint: plain data, and the sentence that says why one is not valid.
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Endings of the hosts of storage accounts, in every cloud.
const STORAGE: [&str; 4] = [
    ".blob.core.windows.net",
    ".blob.core.chinacloudapi.cn",
    ".blob.core.usgovcloudapi.net",
    ".blob.storage.azure.net",
];

/// Everything that the gateway knows of one endpoint.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Route {
    /// The endpoint's namespace.
    pub namespace: String,
    /// The endpoint's name.
    pub name: String,
    /// Host names that are the endpoint's own, besides the path `/endpoints/NAMESPACE/NAME`.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Who may call.
    #[serde(default)]
    pub auth: Auth,
    /// What may answer.
    pub revisions: Vec<Revision>,
    /// The revision that gets copies.
    #[serde(default)]
    pub mirror: Option<Mirror>,
    /// The header whose value keeps its caller on one revision.
    #[serde(default)]
    pub sticky_header: Option<String>,
    /// How long things may take.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Further attempts to connect; a request of which a byte was sent is never repeated.
    #[serde(default = "two")]
    pub retries: u32,
    /// When a revision that can't be reached is left alone.
    #[serde(default)]
    pub circuit: Circuit,
    /// How much may be under way or wait.
    #[serde(default)]
    pub limits: Limits,
    /// How often one caller may call.
    #[serde(default)]
    pub rate_limit: Option<RateLimit>,
    /// Which requests and answers are kept.
    #[serde(default)]
    pub capture: Option<Capture>,
}

fn two() -> u32 {
    2
}

/// Who may call an endpoint.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(tag = "mode", deny_unknown_fields)]
pub enum Auth {
    /// Anyone.
    #[default]
    None,
    /// Who has a key.
    Key {
        /// SHA-256 digests of the keys, in hexadecimal: one or two, so that one can be replaced without a gap.
        digests: Vec<Digest>,
    },
    /// Who has a token of Microsoft Entra.
    #[serde(rename_all = "camelCase")]
    AadToken {
        /// The `iss` that tokens must have.
        issuer: String,
        /// The `aud` that tokens must have.
        audience: String,
        /// Where the issuer's public keys are.
        jwks_uri: String,
        /// The app role that tokens must hold.
        #[serde(default)]
        role: Option<String>,
    },
}

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a digest")
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or('0');
        let text: String = self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed = (text.len() == 64 && text.is_ascii()).then(|| {
            let byte = |place: usize| u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok();
            let mut bytes = [0; 32];
            for (place, slot) in bytes.iter_mut().enumerate() {
                *slot = byte(place)?;
            }
            Some(Self(bytes))
        });
        // The value is not shown: someone may have put the key itself here.
        parsed.flatten().ok_or_else(|| {
            serde::de::Error::custom("a digest must be 64 hexadecimal digits; give the SHA-256 of the key")
        })
    }
}

/// One version of what an endpoint serves.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Revision {
    /// Its name.
    pub name: String,
    /// Where it listens, as `HOST:PORT`, without encryption.
    pub address: String,
    /// What it speaks there.
    #[serde(default)]
    pub protocol: Protocol,
    /// Where it listens for gRPC, as `HOST:PORT`, when that is elsewhere.
    #[serde(default)]
    pub grpc_address: Option<String>,
    /// Its share of the traffic beside those of the others; they need not sum up to 100.
    #[serde(default)]
    pub weight: u32,
    /// Whether it can answer; without that, requests wait for it when no other can.
    #[serde(default = "yes")]
    pub ready: bool,
    /// The path that `/score` stands for, when it is not `/score`.
    #[serde(default)]
    pub score_path: Option<String>,
}

fn yes() -> bool {
    true
}

/// What a revision speaks.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    #[serde(rename = "HTTP1")]
    Http1,
    /// HTTP/2 from the first byte, and so gRPC as well.
    #[serde(rename = "H2C")]
    H2c,
}

/// Copies of requests for a revision that answers nobody.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mirror {
    /// The revision's name.
    pub revision: String,
    /// How many of a hundred requests are copied.
    pub percent: f64,
}

/// How long things may take.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Timeouts {
    /// Milliseconds for a connection.
    pub connect_milliseconds: u64,
    /// Milliseconds from the request's head to the answer's, waiting in queues aside.
    pub request_milliseconds: u64,
    /// Milliseconds between two parts of an answer.
    pub idle_milliseconds: u64,
    /// Milliseconds that a request waits for a revision that starts, or for room.
    pub queue_milliseconds: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect_milliseconds: 1_000,
            request_milliseconds: 60_000,
            idle_milliseconds: 60_000,
            queue_milliseconds: 30_000,
        }
    }
}

/// When a revision is left alone.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Circuit {
    /// Failures to connect, one after another.
    pub failures: u32,
    /// Milliseconds until a single request tries again.
    pub open_milliseconds: u64,
}

impl Default for Circuit {
    fn default() -> Self {
        Self { failures: 5, open_milliseconds: 5_000 }
    }
}

/// How much may be under way.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Requests in progress for each revision, and so its connections.
    pub in_flight: u32,
    /// Requests that wait for room or for a revision that starts.
    pub queued: u32,
    /// The largest body of a request.
    pub body_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { in_flight: 1_024, queued: 512, body_bytes: 16 * 1024 * 1024 }
    }
}

/// How often one caller may call: a caller is a token's application, a key, or else an address.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RateLimit {
    /// Requests a second in the long run.
    pub requests_per_second: f64,
    /// Requests at once.
    pub burst: u32,
}

/// Which requests and answers are kept.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Capture {
    /// How many of a hundred requests are kept.
    pub percent: f64,
    /// Where to.
    pub store: Store,
    /// Columns whose values are left out.
    #[serde(default)]
    pub masks: BTreeSet<String>,
    /// The format.
    #[serde(default)]
    pub format: Format,
}

/// Where captures are kept.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Store {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A folder of a container of Azure Storage, as `https://ACCOUNT.blob.core.windows.net/CONTAINER/PATH`.
    Azure(String),
}

/// The format of captures.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub enum Format {
    /// A JSON object a line, as Azure Machine Learning's data collector writes it.
    #[default]
    JsonLines,
    /// Files with a row for each row of a request, and a column for each of its columns.
    Parquet,
}

impl Route {
    /// A document, if it is valid.
    pub fn parse(text: &str) -> Result<Self, String> {
        let route: Self = serde_json::from_str(text)
            .map_err(|error| format!("the document is no route: {error}; correct that field"))?;
        route.validate()?;
        Ok(route)
    }

    /// `NAMESPACE/NAME`.
    pub fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    fn validate(&self) -> Result<(), String> {
        check_label("namespace", &self.namespace)?;
        check_label("name", &self.name)?;
        for host in &self.hosts {
            let fits = |label: &str| check_label("hosts", label).is_ok();
            if host.len() > 253 || !host.split('.').all(fits) {
                return Err(format!(
                    "`{host}` of hosts is no host name; use lower-case labels, without a port"
                ));
            }
        }
        self.validate_revisions()?;
        self.validate_auth()?;
        if let Some(header) = &self.sticky_header
            && http::HeaderName::try_from(header.as_str()).is_err()
        {
            return Err(format!(
                "stickyHeader `{header}` is no header's name; use letters, digits and hyphens"
            ));
        }
        self.validate_numbers()
    }

    fn validate_revisions(&self) -> Result<(), String> {
        let mut names = BTreeSet::new();
        for revision in &self.revisions {
            check_label("revisions.name", &revision.name)?;
            if !names.insert(&revision.name) {
                return Err(format!(
                    "the revision `{}` is there twice; give each a name of its own",
                    revision.name
                ));
            }
            check_address("address", &revision.address)?;
            if let Some(address) = &revision.grpc_address {
                check_address("grpcAddress", address)?;
            }
            if revision.score_path.as_ref().is_some_and(|path| {
                !path.starts_with('/')
                    || path.parse::<http::uri::PathAndQuery>().is_err()
                    || path.contains('?')
            }) {
                return Err(format!("scorePath of `{}` must be a path that begins with /", revision.name));
            }
        }
        if let Some(mirror) = &self.mirror {
            check_percent("mirror.percent", mirror.percent)?;
            if !names.contains(&mirror.revision) {
                return Err(format!("mirror names `{}`, which is none of the revisions", mirror.revision));
            }
        }
        Ok(())
    }

    fn validate_auth(&self) -> Result<(), String> {
        match &self.auth {
            Auth::None => Ok(()),
            Auth::Key { digests } if (1..=2).contains(&digests.len()) => Ok(()),
            Auth::Key { .. } => Err("auth needs one or two digests of keys".to_owned()),
            Auth::AadToken { issuer, audience, jwks_uri, .. } => {
                if issuer.is_empty() || audience.is_empty() {
                    return Err("auth needs an issuer and an audience".to_owned());
                }
                let uri = jwks_uri.parse::<http::Uri>().ok();
                // Keys that anyone on the way can replace would let anyone in.
                let fits = uri.is_some_and(|uri| {
                    uri.scheme_str() == Some("https")
                        || (uri.scheme_str() == Some("http")
                            && matches!(uri.host(), Some("127.0.0.1" | "localhost")))
                });
                if fits { Ok(()) } else { Err("jwksUri must begin with https://".to_owned()) }
            }
        }
    }

    fn validate_numbers(&self) -> Result<(), String> {
        let timeouts = &self.timeouts;
        let positive = [
            ("timeouts.connectMilliseconds", timeouts.connect_milliseconds),
            ("timeouts.requestMilliseconds", timeouts.request_milliseconds),
            ("timeouts.idleMilliseconds", timeouts.idle_milliseconds),
            ("circuit.failures", self.circuit.failures.into()),
            ("limits.inFlight", self.limits.in_flight.into()),
        ];
        for (field, value) in positive {
            if value == 0 || value > 86_400_000 {
                return Err(format!("{field} must be between 1 and 86400000"));
            }
        }
        if self.retries > 10 {
            return Err("retries must be between 0 and 10".to_owned());
        }
        if let Some(limit) = &self.rate_limit
            && !(limit.requests_per_second > 0.0 && limit.requests_per_second.is_finite() && limit.burst > 0)
        {
            return Err("rateLimit needs a positive requestsPerSecond and a burst of at least 1".to_owned());
        }
        let Some(capture) = &self.capture else { return Ok(()) };
        check_percent("capture.percent", capture.percent)?;
        if let Store::Azure(address) = &capture.store
            && !is_storage(address)
        {
            return Err(
                "capture.store.azure must be like https://ACCOUNT.blob.core.windows.net/CONTAINER/PATH"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

/// Whether an address is Azure Storage's, or an emulator's on this machine. Nobody else gets a token of ours.
fn is_storage(address: &str) -> bool {
    let Ok(uri) = address.parse::<http::Uri>() else { return false };
    let host = uri.host().unwrap_or_default();
    let has_credentials = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    match uri.scheme_str() {
        Some("https") => !has_credentials && STORAGE.iter().any(|ending| host.ends_with(ending)),
        Some("http") => !has_credentials && host == "127.0.0.1",
        _ => false,
    }
}

fn check_percent(field: &str, percent: f64) -> Result<(), String> {
    if (0.0..=100.0).contains(&percent) { Ok(()) } else { Err(format!("{field} must be between 0 and 100")) }
}

fn check_address(field: &str, address: &str) -> Result<(), String> {
    let port = address.parse::<http::uri::Authority>().ok().and_then(|authority| authority.port_u16());
    if port.is_some_and(|port| port > 0) && !address.contains('@') {
        return Ok(());
    }
    Err(format!("{field} `{address}` must be HOST:PORT, such as churn-7:8080"))
}

/// Names become parts of paths, of files and of metrics.
fn check_label(field: &str, name: &str) -> Result<(), String> {
    let plain =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-.".contains(letter);
    let ends = |letter: char| letter.is_ascii_alphanumeric();
    if (1..=253).contains(&name.len())
        && name.chars().all(plain)
        && name.starts_with(ends)
        && name.ends_with(ends)
    {
        return Ok(());
    }
    Err(format!(
        "{field} `{name}` must be lower-case letters, digits, dots and hyphens, as Kubernetes names are"
    ))
}
