//! Which hosts models may come from: public addresses, and whatever an explicit list allows.
//!
//! Invariant: an address is judged after its name is resolved, and the connection goes to that very address, so that a
//! name that changes its mind in between gains nothing.
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::str::FromStr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// What people can do about a refusal.
const HINT: &str =
    "if it is meant, add it to --allow-hosts, which the operator's chart sets with modelSources.allowedHosts";

/// How far a forbidden range can be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    /// By the name of the host that leads there, or by the addresses.
    NameOrAddress,
    /// By the addresses alone, so that no name can be made to lead there.
    Address,
}

type Range<T> = (T, &'static str, Opening);

const fn v4(octets: [u8; 4], length: u8, kind: &'static str, opening: Opening) -> Range<Ipv4Net> {
    (Ipv4Net::new_assert(Ipv4Addr::from_octets(octets), length), kind, opening)
}

const fn v6(segments: [u16; 8], length: u8, kind: &'static str, opening: Opening) -> Range<Ipv6Net> {
    (Ipv6Net::new_assert(Ipv6Addr::from_segments(segments), length), kind, opening)
}

const METADATA: &str = "an address of the cloud's metadata";
const PRIVATE: &str = "a private address";
const LOOPBACK: &str = "a loopback address";
const LINK_LOCAL: &str = "a link-local address";
const RESERVED: &str = "a reserved address";

/// What is no public address, the narrow ranges first.
const FORBIDDEN_V4: [Range<Ipv4Net>; 20] = [
    v4([168, 63, 129, 16], 32, METADATA, Opening::Address),
    v4([169, 254, 169, 254], 32, METADATA, Opening::Address),
    v4([100, 100, 100, 200], 32, METADATA, Opening::Address),
    v4([192, 0, 0, 192], 32, METADATA, Opening::Address),
    v4([169, 254, 0, 0], 16, LINK_LOCAL, Opening::Address),
    v4([0, 0, 0, 0], 8, RESERVED, Opening::Address),
    v4([127, 0, 0, 0], 8, LOOPBACK, Opening::NameOrAddress),
    v4([10, 0, 0, 0], 8, PRIVATE, Opening::NameOrAddress),
    v4([172, 16, 0, 0], 12, PRIVATE, Opening::NameOrAddress),
    v4([192, 168, 0, 0], 16, PRIVATE, Opening::NameOrAddress),
    v4([100, 64, 0, 0], 10, PRIVATE, Opening::NameOrAddress),
    v4([192, 0, 0, 0], 24, RESERVED, Opening::Address),
    v4([192, 0, 2, 0], 24, RESERVED, Opening::Address),
    v4([192, 88, 99, 0], 24, RESERVED, Opening::Address),
    v4([192, 31, 196, 0], 24, RESERVED, Opening::Address),
    v4([198, 18, 0, 0], 15, RESERVED, Opening::NameOrAddress),
    v4([198, 51, 100, 0], 24, RESERVED, Opening::Address),
    v4([203, 0, 113, 0], 24, RESERVED, Opening::Address),
    v4([224, 0, 0, 0], 4, RESERVED, Opening::Address),
    v4([240, 0, 0, 0], 4, RESERVED, Opening::Address),
];

/// The same for version 6. Addresses that embed one of version 4 are judged by that.
const FORBIDDEN_V6: [Range<Ipv6Net>; 12] = [
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128, METADATA, Opening::Address),
    v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128, METADATA, Opening::Address),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128, RESERVED, Opening::Address),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, LOOPBACK, Opening::NameOrAddress),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, LINK_LOCAL, Opening::Address),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, PRIVATE, Opening::NameOrAddress),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, PRIVATE, Opening::NameOrAddress),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, RESERVED, Opening::Address),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, PRIVATE, Opening::NameOrAddress),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64, RESERVED, Opening::Address),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, RESERVED, Opening::Address),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, RESERVED, Opening::Address),
];

/// Endings of names that only a cluster or a host of its own knows.
const INTERNAL_ENDINGS: [&str; 8] =
    [".svc", ".local", ".localhost", ".internal", ".localdomain", ".lan", ".home", ".arpa"];

/// A refused address, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub String);

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// Hosts that are allowed although they are not public: names, `*.ENDING`, addresses and ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedHosts {
    names: Vec<String>,
    endings: Vec<String>,
    networks: Vec<IpNet>,
}

impl FromStr for AllowedHosts {
    type Err = String;

    /// Parses entries that are separated by commas or spaces.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut allowed = Self::default();
        for entry in text.split([',', ' ', '\n', '\t']).filter(|entry| !entry.is_empty()) {
            let plain = entry.trim_start_matches('[').trim_end_matches(']');
            if let Ok(network) = plain.parse::<IpNet>() {
                allowed.networks.push(network);
            } else if let Ok(address) = plain.parse::<IpAddr>() {
                allowed.networks.push(address.into());
            } else if let Some(ending) = entry.strip_prefix("*.").filter(|ending| is_name(ending)) {
                allowed.endings.push(format!(".{}", normal(ending)));
            } else if is_name(entry) {
                allowed.names.push(normal(entry));
            } else {
                return Err(format!(
                    "`{entry}` is no host; write a name, *.ENDING, an address or a range such as 10.0.0.0/8"
                ));
            }
        }
        Ok(allowed)
    }
}

/// Whether a text is a host's name: labels of letters, digits, hyphens and underscores.
fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_')
    };
    let text = text.strip_suffix('.').unwrap_or(text);
    text.len() <= 253 && text.split('.').all(label)
}

impl AllowedHosts {
    fn has_name(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
            || self.endings.iter().any(|ending| name.ends_with(ending))
    }

    fn has_address(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }
}

type Lookup = dyn Fn(&str) -> std::io::Result<Vec<IpAddr>> + Send + Sync;

/// Judges hosts, and resolves their names.
#[derive(Clone)]
pub struct Guard {
    allowed: Arc<AllowedHosts>,
    /// The way out that the environment names; it may be private.
    proxies: Arc<[String]>,
    lookup: Arc<Lookup>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Guard").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

impl Guard {
    /// A guard that asks the system's resolver.
    pub fn new(allowed: AllowedHosts) -> Self {
        let variables = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
        let proxies = variables.iter().filter_map(|name| proxy_host(&std::env::var(name).ok()?)).collect();
        Self { allowed: Arc::new(allowed), proxies, lookup: Arc::new(system_lookup) }
    }

    /// Checks an address before it is asked: its scheme, and its host as far as that needs no resolver.
    pub fn check(&self, url: &Url) -> Result<(), Refused> {
        if !matches!(url.scheme(), "http" | "https") {
            let scheme = url.scheme();
            return Err(Refused(format!("the scheme `{scheme}` is refused; use https:// or http://")));
        }
        match url.host() {
            Some(url::Host::Ipv4(address)) => self.check_address(None, address.into()),
            Some(url::Host::Ipv6(address)) => self.check_address(None, address.into()),
            Some(url::Host::Domain(name)) => self.check_name(&normal(name)),
            None => Err(Refused("an address without a host is refused".to_owned())),
        }
    }

    /// Whether a host is on the list by its name or its address.
    pub fn is_listed(&self, url: &Url) -> bool {
        match url.host() {
            Some(url::Host::Ipv4(address)) => self.allowed.has_address(address.into()),
            Some(url::Host::Ipv6(address)) => self.allowed.has_address(address.into()),
            Some(url::Host::Domain(name)) => self.allowed.has_name(&normal(name)),
            None => false,
        }
    }

    fn check_name(&self, name: &str) -> Result<(), Refused> {
        // With a list of ranges it depends on the addresses behind the name.
        if self.allowed.has_name(name) || !self.allowed.networks.is_empty() {
            return Ok(());
        }
        let is_proxy = self.proxies.iter().any(|proxy| proxy == name);
        if is_internal(name) || is_proxy {
            return Err(Refused(format!(
                "the host {name} is refused, because it is a name inside a cluster or a network of its own; {HINT}"
            )));
        }
        Ok(())
    }

    fn check_address(&self, name: Option<&str>, address: IpAddr) -> Result<(), Refused> {
        let address = address.to_canonical();
        let Some((kind, opening)) = forbidden(address) else { return Ok(()) };
        let is_named = name.is_some_and(|name| {
            self.allowed.has_name(name) || self.proxies.iter().any(|proxy| proxy == name)
        });
        if self.allowed.has_address(address) || (is_named && opening == Opening::NameOrAddress) {
            return Ok(());
        }
        let host = name.map_or_else(String::new, |name| format!("the host {name} leads to "));
        Err(Refused(format!("{host}{address} is refused, because it is {kind}; {HINT}")))
    }

    /// Resolves a name once; a single forbidden address refuses it as a whole.
    fn addresses(&self, name: &str) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let name = normal(name);
        // A name with a dot at its end is not completed with the search domains of a pod, with which
        // `kubernetes.default` is the API server.
        let is_local =
            self.allowed.has_name(&name) || !self.allowed.networks.is_empty() || self.proxies.contains(&name);
        let asked = if is_local { name.clone() } else { format!("{name}.") };
        let addresses = (self.lookup)(&asked)?;
        for address in &addresses {
            self.check_address(Some(&name), *address)?;
        }
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, 0)).collect())
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let resolved = tokio::task::spawn_blocking(move || guard.addresses(name.as_str())).await?;
            Ok(Box::new(resolved?.into_iter()) as Addrs)
        })
    }
}

fn system_lookup(name: &str) -> std::io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

fn normal(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// The host of a proxy as the environment names it, with or without a scheme.
fn proxy_host(text: &str) -> Option<String> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    Url::parse(&with_scheme).ok()?.host_str().map(normal)
}

/// Names with a single label, and names that the public system of names does not have.
fn is_internal(name: &str) -> bool {
    !name.contains('.')
        || INTERNAL_ENDINGS.iter().any(|ending| name.ends_with(ending))
        || name.contains(".svc.")
}

/// Why an address is none of the public ones.
fn forbidden(address: IpAddr) -> Option<(&'static str, Opening)> {
    match address {
        IpAddr::V4(address) => find(&FORBIDDEN_V4, |network| network.contains(&address)),
        IpAddr::V6(address) => find(&FORBIDDEN_V6, |network| network.contains(&address))
            .or_else(|| forbidden(IpAddr::V4(embedded(address)?))),
    }
}

fn find<T>(ranges: &[Range<T>], contains: impl Fn(&T) -> bool) -> Option<(&'static str, Opening)> {
    ranges.iter().find(|(range, ..)| contains(range)).map(|(_, kind, opening)| (*kind, *opening))
}

/// The address of version 4 within one of version 6: compatible, translated (NAT64) or tunnelled (6to4).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let ([0, 0, 0, 0, 0, 0 | 0xffff, high, low]
    | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
    | [0x2002, high, low, ..]) = address.segments()
    else {
        return None;
    };
    Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
}
