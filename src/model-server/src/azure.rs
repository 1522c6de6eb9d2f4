//! Azure Blob Storage and Data Lake Storage: the addresses of blobs, and the credentials that a container's environment
//! holds.
//!
//! Invariant: a key, a signature or a secret is neither shown nor part of any message.
#[cfg(test)]
mod tests;

use std::fmt;

use object_store::path::Path;
use reqwest::Url;

use crate::source;

pub mod store;

/// Endings of the hosts of storage accounts, in every cloud; the first label is the account.
const STORAGE_ENDINGS: [&str; 7] = [
    "core.windows.net",
    "core.chinacloudapi.cn",
    "core.usgovcloudapi.net",
    "core.cloudapi.de",
    "core.microsoft.scloud",
    "core.eaglex.ic.gov",
    "storage.azure.net",
];

/// Where tokens come from, in every cloud.
const AUTHORITIES: [&str; 6] = [
    "login.microsoftonline.com",
    "login.microsoft.com",
    "login.partner.microsoftonline.cn",
    "login.chinacloudapi.cn",
    "login.microsoftonline.us",
    "login.microsoftonline.de",
];

/// A blob, or a folder of blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// The URI as given.
    pub uri: String,
    /// The account, unless the settings have to name it.
    pub account: Option<String>,
    /// Where the account's blobs are, unless the settings or the account's name say so.
    pub endpoint: Option<Url>,
    /// The container, which Data Lake Storage calls a file system.
    pub container: String,
    /// The blob's name, or the folder's; a folder of everything when empty.
    pub path: Path,
    /// Whether the URI says that it is a folder: it ends with a slash, or names a container alone.
    pub is_folder: bool,
}

impl Blob {
    /// `az://CONTAINER/PATH` and `abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH`.
    pub fn parse(url: &Url) -> Result<Self, String> {
        let host = url.host_str().unwrap_or_default();
        if url.password().is_some()
            || url.query().is_some()
            || url.fragment().is_some()
            || url.port().is_some()
        {
            return Err(
                "the model URI holds more than a container and a path; remove any password, port, ? and #"
                    .to_owned(),
            );
        }
        if url.scheme() == "az" {
            if !url.username().is_empty() {
                return Err(
                    "write az://CONTAINER/PATH, and the account as AZURE_STORAGE_ACCOUNT_NAME".to_owned()
                );
            }
            return Self::new(url, host, url.path(), (None, None));
        }
        let form = || "write abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH".to_owned();
        let (account, _, ending) = storage_host(host).ok_or_else(form)?;
        let endpoint = Url::parse(&format!("https://{account}.blob.{ending}")).map_err(|_| form())?;
        Self::new(url, url.username(), url.path(), (Some(account.to_owned()), Some(endpoint)))
    }

    /// `https://ACCOUNT.blob.core.windows.net/CONTAINER/PATH`, unless it has a signature or any query, which makes it
    /// an address like any other.
    pub fn of_address(url: &Url) -> Option<Result<Self, String>> {
        let (account, _, ending) = storage_host(url.host_str()?)?;
        if url.scheme() != "https" || url.query().is_some() || url.port().is_some() {
            return None;
        }
        let endpoint = Url::parse(&format!("https://{account}.blob.{ending}")).ok()?;
        Some(Self::below(url, url.path(), (Some(account.to_owned()), Some(endpoint))))
    }

    /// An address below the endpoint of the settings.
    pub fn at_endpoint(url: &Url, endpoint: &Url) -> Option<Result<Self, String>> {
        if url.origin() != endpoint.origin() || url.query().is_some() {
            return None;
        }
        let path = url.path().strip_prefix(endpoint.path().trim_end_matches('/'))?;
        path.starts_with('/').then(|| Self::below(url, path, (None, None)))
    }

    fn below(url: &Url, path: &str, place: (Option<String>, Option<Url>)) -> Result<Self, String> {
        let (container, path) =
            path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_matches('/'), ""));
        Self::new(url, container, path, place)
    }

    fn new(
        url: &Url,
        container: &str,
        path: &str,
        (account, endpoint): (Option<String>, Option<Url>),
    ) -> Result<Self, String> {
        if !is_container(container) {
            return Err(format!(
                "`{container}` is no container; use its name of 3 to 63 lower-case letters, digits and hyphens"
            ));
        }
        let is_folder = path.is_empty() || path.ends_with('/');
        let path = Path::from_url_path(path.trim_start_matches('/'))
            .map_err(|error| format!("the path of the model URI is no blob's name: {error}"))?;
        Ok(Self {
            uri: source::shown(url),
            account,
            endpoint,
            container: container.to_owned(),
            path,
            is_folder,
        })
    }
}

/// The account, the service and the ending of a storage account's host, such as `a`, `blob`, `core.windows.net`.
fn storage_host(host: &str) -> Option<(&str, &str, &str)> {
    let ending = STORAGE_ENDINGS.into_iter().find(|ending| host.ends_with(ending))?;
    let labels = host.strip_suffix(ending)?.strip_suffix('.')?;
    let (account, service) = labels.rsplit_once('.')?;
    // An account may have a zone, such as `account.z01`.
    let is_known = matches!(service, "blob" | "dfs") && account.split('.').next().is_some_and(is_account);
    is_known.then_some((account, service, ending))
}

/// Whether a token for storage may be sent to a host.
fn is_storage_host(url: &Url) -> bool {
    url.host_str().is_some_and(|host| storage_host(host).is_some())
}

fn is_account(name: &str) -> bool {
    (3..=24).contains(&name.len())
        && name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
}

fn is_container(name: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    let special = matches!(name, "$root" | "$web" | "$logs");
    special
        || ((3..=63).contains(&name.len())
            && name.chars().all(plain)
            && !name.starts_with('-')
            && !name.ends_with('-'))
}

/// Who the model server is to Azure.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A key of the storage account.
    AccountKey(String),
    /// A shared access signature.
    Signature(String),
    /// A token of a Kubernetes ServiceAccount, exchanged for one of Azure.
    WorkloadIdentity {
        /// The id of the application.
        client: String,
        /// The id of the tenant.
        tenant: String,
        /// The file with the ServiceAccount's token, read anew for each exchange.
        token_file: String,
    },
    /// A secret of an application.
    ClientSecret {
        /// The id of the application.
        client: String,
        /// The id of the tenant.
        tenant: String,
        /// The secret.
        secret: String,
    },
    /// The identity of the machine, or of the endpoint that the environment names.
    ManagedIdentity {
        /// The id of the identity; without it, the machine's only one.
        client: Option<String>,
        /// Where its tokens come from; without it, the machine's metadata.
        endpoint: Option<String>,
    },
    /// None: public containers only.
    Anonymous,
}

impl Credential {
    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::AccountKey(_) => "the account key",
            Self::Signature(_) => "the shared access signature",
            Self::WorkloadIdentity { .. } => "the workload identity",
            Self::ClientSecret { .. } => "the client secret",
            Self::ManagedIdentity { .. } => "the managed identity",
            Self::Anonymous => "no credentials",
        }
    }

    /// What to change when Azure refuses it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::AccountKey(_) => "correct AZURE_STORAGE_ACCOUNT_KEY, or allow shared keys on the account",
            Self::Signature(_) => {
                "correct AZURE_STORAGE_SAS_TOKEN: it must allow to read, and to list for a folder, and not be over"
            }
            Self::Anonymous => {
                "give AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN or an identity, with spec.model.credentialsRef or spec.model.workloadIdentityClientId"
            }
            _ => "give the identity the role Storage Blob Data Reader on the container",
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.kind())
    }
}

/// What the environment says about Azure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The storage account of `az://` URIs.
    pub account: Option<String>,
    /// Where its blobs are, for clouds and stores of one's own.
    pub endpoint: Option<Url>,
    /// Where tokens come from.
    pub authority: String,
    /// Who we are.
    pub credential: Credential,
}

impl Settings {
    /// Reads the variables; the strongest statement wins: key, signature, workload identity, secret, managed identity.
    pub fn of(read: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let read =
            |name: &str| read(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let account = read("AZURE_STORAGE_ACCOUNT_NAME");
        if account.as_deref().is_some_and(|account| !is_account(account)) {
            return Err("AZURE_STORAGE_ACCOUNT_NAME is no account; use its name of 3 to 24 lower-case letters and digits"
                .to_owned());
        }
        let endpoint = read("AZURE_STORAGE_ENDPOINT").map(|text| {
            let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            let url = url
                .filter(|url| url.username().is_empty() && url.password().is_none() && url.query().is_none());
            url.ok_or(
                "AZURE_STORAGE_ENDPOINT must be like https://ACCOUNT.blob.core.windows.net, without a query",
            )
        });
        let authority = read("AZURE_AUTHORITY_HOST").unwrap_or_else(|| format!("https://{}", AUTHORITIES[0]));
        Ok(Self {
            account,
            endpoint: endpoint.transpose()?,
            authority: authority.trim_end_matches('/').to_owned(),
            credential: credential(&read),
        })
    }

    /// The settings of this process.
    pub fn of_environment() -> Result<Self, String> {
        Self::of(|name| std::env::var(name).ok())
    }
}

fn credential(read: &impl Fn(&str) -> Option<String>) -> Credential {
    if let Some(key) = read("AZURE_STORAGE_ACCOUNT_KEY") {
        return Credential::AccountKey(key);
    }
    if let Some(signature) = read("AZURE_STORAGE_SAS_TOKEN") {
        return Credential::Signature(signature);
    }
    let client = read("AZURE_CLIENT_ID");
    if let (Some(client), Some(tenant)) = (client.clone(), read("AZURE_TENANT_ID")) {
        if let Some(token_file) = read("AZURE_FEDERATED_TOKEN_FILE") {
            return Credential::WorkloadIdentity { client, tenant, token_file };
        }
        if let Some(secret) = read("AZURE_CLIENT_SECRET") {
            return Credential::ClientSecret { client, tenant, secret };
        }
    }
    let endpoint = read("IDENTITY_ENDPOINT");
    let is_asked = read("AZURE_USE_MANAGED_IDENTITY").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if endpoint.is_some() || client.is_some() || is_asked {
        return Credential::ManagedIdentity { client, endpoint };
    }
    Credential::Anonymous
}
