//! A container of a storage account, read through `object_store` over the guarded HTTP client.
//!
//! Invariant: a token for storage goes to hosts of Azure Storage, or to hosts that the operator allows, over https.
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _};
use http_body_util::BodyExt as _;
use object_store::azure::{MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};
use object_store::path::Path;
use object_store::{
    ClientOptions, Error, GetOptions, GetRange, ObjectMeta, ObjectStore as _, ObjectStoreExt as _,
    RetryConfig,
};
use reqwest::Url;
use reqwest::header::AUTHORIZATION;

use super::{AUTHORITIES, Blob, Credential, Settings, is_storage_host};
use crate::fetch::attempt::Attempt;
use crate::fetch::transfer::{Opened, Position};
use crate::guard::{Guard, Refused};

/// Where a machine of Azure gets its token. No other address of the metadata is ever asked.
const METADATA_TOKEN: &str = "http://169.254.169.254/metadata/identity/oauth2/token";

/// The most blobs of a folder.
pub const MOST_BLOBS: usize = 10_000;

/// What the blobs of a container are read with.
#[derive(Debug)]
pub struct Store {
    container: MicrosoftAzure,
    credential: Credential,
    shown: String,
    code: Arc<Mutex<Option<String>>>,
}

/// The clients that a store may use.
#[derive(Clone, Debug)]
pub struct Clients {
    /// The one for blobs and tokens, which follows no redirect.
    pub guarded: reqwest::Client,
    /// The one for the machine's own token, which uses no proxy.
    pub metadata: reqwest::Client,
    /// What judges every address.
    pub guard: Guard,
}

impl Store {
    /// A store for the container of a blob.
    pub fn open(blob: &Blob, settings: &Settings, clients: Clients) -> Result<Self, String> {
        let account = blob.account.as_ref().or(settings.account.as_ref()).ok_or(
            "the model URI names no storage account; set AZURE_STORAGE_ACCOUNT_NAME, or write https://ACCOUNT.blob.core.windows.net/CONTAINER/PATH",
        )?;
        let account_name = account.split('.').next().unwrap_or(account);
        let own = settings.endpoint.as_ref().filter(|_| is_of_settings(blob, settings));
        let endpoint = match own.or(blob.endpoint.as_ref()) {
            Some(endpoint) => endpoint.as_str().trim_end_matches('/').to_owned(),
            None => format!("https://{account}.blob.core.windows.net"),
        };
        let parsed = Url::parse(&endpoint).map_err(|error| format!("the endpoint is no address: {error}"))?;
        clients.guard.check(&parsed).map_err(|refused| refused.0)?;
        check_token_sources(settings, &clients.guard)?;
        let code = Arc::default();
        let connector =
            Connector { clients, credential: settings.credential.clone(), code: Arc::clone(&code) };
        let builder = MicrosoftAzureBuilder::new()
            .with_account(account_name)
            .with_container_name(&blob.container)
            .with_endpoint(endpoint)
            .with_authority_host(&settings.authority)
            // The one loop of attempts is that of the transfer.
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .with_http_connector(connector);
        let container = with_credential(builder, &settings.credential)?.build().map_err(|error| {
            let kind = settings.credential.kind();
            format!("{kind} can't be used: {}; {}", source(&error), settings.credential.hint())
        })?;
        let shown = blob.uri.clone();
        Ok(Self { container, credential: settings.credential.clone(), shown, code })
    }

    /// The blobs of a folder.
    pub async fn list(&self, folder: &Path) -> Result<Vec<ObjectMeta>, Attempt> {
        let prefix = (!folder.as_ref().is_empty()).then_some(folder);
        let mut blobs: Vec<ObjectMeta> = self
            .container
            .list(prefix)
            .take(MOST_BLOBS + 1)
            .try_collect()
            .await
            .map_err(|error| self.failed(&error))?;
        if blobs.len() > MOST_BLOBS {
            return Err(Attempt::last(format!("{} has more than {MOST_BLOBS} files", self.shown)));
        }
        blobs.sort_by(|left, right| left.location.cmp(&right.location));
        Ok(blobs)
    }

    /// What is known about a blob; nothing when there is none.
    pub async fn find(&self, path: &Path) -> Result<Option<ObjectMeta>, Attempt> {
        match self.container.head(path).await {
            Ok(blob) => Ok(Some(blob)),
            Err(Error::NotFound { .. }) if self.code() != Some("ContainerNotFound".to_owned()) => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Opens a blob, from a position of the same version.
    pub async fn get(&self, path: &Path, position: &Position) -> Result<Opened, Attempt> {
        let options = GetOptions {
            range: (position.offset > 0).then_some(GetRange::Offset(position.offset)),
            if_match: position.version.clone(),
            ..GetOptions::default()
        };
        let result = match self.container.get_opts(path, options).await {
            Err(Error::Precondition { .. }) => return Err(Attempt::changed(&self.shown)),
            other => other.map_err(|error| self.failed(&error))?,
        };
        let (offset, total, version) = (result.range.start, result.meta.size, result.meta.e_tag.clone());
        let shown = self.shown.clone();
        let bytes = result
            .into_stream()
            .map_err(move |error| Attempt::transient(format!("{shown} can't be read: {}", source(&error))));
        Ok(Opened { offset, total: Some(total), version, bytes: bytes.boxed() })
    }

    /// The code of Azure's last refusal, which an answer without a body has too.
    fn code(&self) -> Option<String> {
        self.code.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn failed(&self, error: &Error) -> Attempt {
        let (shown, kind, hint) = (&self.shown, self.credential.kind(), self.credential.hint());
        let code = self.code().map(|code| format!(" ({code})")).unwrap_or_default();
        let cause = source(error);
        if let Some(refused) = refusal(error) {
            return Attempt::last(format!("{shown} can't be fetched: {refused}"));
        }
        match error {
            Error::NotFound { .. } => {
                Attempt::last(format!("{shown} does not exist{code}; check the container and the path"))
            }
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                Attempt::last(format!("{shown} may not be read with {kind}{code}: {cause}; {hint}"))
            }
            _ if is_final(&cause) => {
                Attempt::last(format!("{shown} can't be read with {kind}{code}: {cause}; {hint}"))
            }
            _ => Attempt::transient(format!("{shown} can't be read with {kind}{code}: {cause}")),
        }
    }
}

/// Whether the endpoint of the settings is meant: an address that names a host of its own stays with that.
fn is_of_settings(blob: &Blob, settings: &Settings) -> bool {
    !blob.uri.starts_with("https://")
        || settings.endpoint.as_ref().is_some_and(|endpoint| blob.uri.starts_with(endpoint.as_str()))
}

/// The places that get a secret to exchange for a token must be Azure's, or allowed.
fn check_token_sources(settings: &Settings, guard: &Guard) -> Result<(), String> {
    let url = match &settings.credential {
        Credential::WorkloadIdentity { .. } | Credential::ClientSecret { .. } => &settings.authority,
        Credential::ManagedIdentity { endpoint: Some(endpoint), .. } => endpoint,
        _ => return Ok(()),
    };
    let url = Url::parse(url).map_err(|error| format!("the address for tokens is none: {error}"))?;
    guard.check(&url).map_err(|refused| refused.0)?;
    let is_authority = matches!(settings.credential, Credential::ManagedIdentity { .. })
        || (url.scheme() == "https" && url.host_str().is_some_and(|host| AUTHORITIES.contains(&host)));
    if is_authority || (url.scheme() == "https" && guard.is_listed(&url)) {
        return Ok(());
    }
    Err(format!(
        "AZURE_AUTHORITY_HOST is none of Azure's, and gets no token of this pod: use one of {}, or add it to --allow-hosts",
        AUTHORITIES.join(", ")
    ))
}

fn with_credential(
    builder: MicrosoftAzureBuilder,
    credential: &Credential,
) -> Result<MicrosoftAzureBuilder, String> {
    Ok(match credential {
        Credential::AccountKey(key) => builder.with_access_key(key).with_credential_type("access_key"),
        Credential::Signature(signature) => {
            let pairs = object_store::azure::split_sas(signature)
                .map_err(|_| "AZURE_STORAGE_SAS_TOKEN is none; use its text from sv= on".to_owned())?;
            builder.with_sas_authorization(pairs).with_credential_type("sas_token")
        }
        Credential::WorkloadIdentity { client, tenant, token_file } => builder
            .with_client_id(client)
            .with_tenant_id(tenant)
            .with_federated_token_file(token_file)
            .with_credential_type("workload_identity"),
        Credential::ClientSecret { client, tenant, secret } => builder
            .with_client_secret_authorization(client, secret, tenant)
            .with_credential_type("client_secret"),
        Credential::ManagedIdentity { client, endpoint } => {
            let mut builder = builder.with_credential_type("managed_identity");
            if let Some(client) = client {
                builder = builder.with_client_id(client);
            }
            builder.with_msi_endpoint(endpoint.as_deref().unwrap_or(METADATA_TOKEN))
        }
        // A container may be public. The type of credential is never used.
        Credential::Anonymous => builder.with_skip_signature(true).with_credential_type("managed_identity"),
    })
}

/// The deepest cause without a repetition of what is around it, with an answer in XML reduced to its message.
fn source(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    let text = deepest.to_string();
    let text = match text.split_once("<Message>") {
        Some((head, rest)) => {
            let head = head.split('<').next().unwrap_or_default().trim_end_matches([' ', ':']);
            format!("{head}: {}", rest.split(['<', '\n']).next().unwrap_or_default())
        }
        None => text,
    };
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(500).collect()
}

fn refusal<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Refused> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(refused) = error.downcast_ref::<Refused>() {
            return Some(refused);
        }
        next = error.source();
    }
    None
}

/// Whether another attempt gets the same answer.
fn is_final(cause: &str) -> bool {
    let status = cause.split_once("status code: ").and_then(|(_, rest)| rest.get(..3));
    let again = matches!(status, Some("408" | "429"));
    cause.contains("invalid peer certificate")
        || cause.contains("federated token file")
        || (status.is_some_and(|status| status.starts_with('4')) && !again)
}

/// Gives `object_store` the guarded clients.
#[derive(Clone, Debug)]
struct Connector {
    clients: Clients,
    credential: Credential,
    code: Arc<Mutex<Option<String>>>,
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

impl Connector {
    /// The client for an address, if it may be asked.
    fn client(&self, url: &Url, request: &http::request::Parts) -> Result<&reqwest::Client, Refused> {
        let is_machine = matches!(self.credential, Credential::ManagedIdentity { endpoint: None, .. });
        if is_machine && url.as_str().split('?').next() == Some(METADATA_TOKEN) {
            return Ok(&self.clients.metadata);
        }
        self.clients.guard.check(url)?;
        let has_token = request
            .headers
            .get(AUTHORIZATION)
            .is_some_and(|value| value.as_bytes().to_ascii_lowercase().starts_with(b"bearer"));
        let is_trusted =
            url.scheme() == "https" && (is_storage_host(url) || self.clients.guard.is_listed(url));
        if has_token && !is_trusted {
            return Err(Refused(
                "a token is sent to hosts of Azure Storage alone, over https; use a key or a signature, or add the host to --allow-hosts"
                    .to_owned(),
            ));
        }
        Ok(&self.clients.guarded)
    }
}

#[async_trait]
impl HttpService for Connector {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let url = Url::parse(&parts.uri.to_string())
            .map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let client =
            self.client(&url, &parts).map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        *request.body_mut() = body.as_bytes().cloned().map(Into::into);
        let response = client.execute(request).await.map_err(http_error)?;
        let code = response.headers().get("x-ms-error-code").and_then(|code| code.to_str().ok());
        *self.code.lock().unwrap_or_else(PoisonError::into_inner) = code.map(str::to_owned);
        let (parts, body) = http::Response::<reqwest::Body>::from(response).into_parts();
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body.map_err(http_error))))
    }
}

/// Without the address, which may hold a signature.
fn http_error(error: reqwest::Error) -> HttpError {
    let kind = if error.is_timeout() { HttpErrorKind::Timeout } else { HttpErrorKind::Request };
    HttpError::new(kind, error.without_url())
}
