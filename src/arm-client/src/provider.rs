//! Tokens from Microsoft Entra and from the host, by `azure_identity`.
use std::sync::Arc;
use std::time::Duration;

use arm::ErrorClass;
use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::TokenCredential;
use azure_core::error::ErrorKind;
use azure_core::http::{ClientOptions, RetryOptions, Transport};
use azure_core::time::OffsetDateTime;
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions, ManagedIdentityCredential, ManagedIdentityCredentialOptions,
    UserAssignedId, WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};

use crate::credential::{CredentialSource, Secret};
use crate::error::Error;

#[cfg(test)]
mod tests;

/// Gets tokens, one request for each.
pub(crate) struct Provider {
    /// The transport of the calls themselves: the same certificates are trusted, and no redirect is followed.
    pub(crate) transport: reqwest::Client,
    /// The same without a proxy: the identity of a host is asked for on that host.
    pub(crate) direct: reqwest::Client,
    /// Where tokens come from.
    pub(crate) authority: String,
    /// What they are for.
    pub(crate) scope: String,
    /// How long one may take.
    pub(crate) timeout: Duration,
}

/// A token that was got.
pub(crate) struct Token {
    pub(crate) value: Secret,
    /// How long it is valid from now.
    pub(crate) lifetime: Duration,
}

/// Why there is no token.
#[derive(Clone, Debug)]
pub(crate) struct TokenError {
    pub(crate) class: ErrorClass,
    pub(crate) message: String,
}

impl TokenError {
    /// The error of a call that could not be made without a token.
    pub(crate) fn of(&self, what: &str) -> Error {
        Error::new(self.class, format!("{what}: failed to get a token: {}", self.message))
    }
}

impl Provider {
    /// A new token from the first source that gives one.
    pub(crate) async fn fetch(&self, source: &CredentialSource) -> Result<Token, TokenError> {
        let mut failures: Vec<TokenError> = Vec::new();
        for link in source.links() {
            let fetched = tokio::time::timeout(self.timeout, self.fetch_one(link)).await;
            match fetched.unwrap_or_else(|_| Err(self.timed_out())) {
                Ok(token) => return Ok(token),
                Err(failure) => failures.push(failure),
            }
        }
        // The words of all, and the class of the first that was refused: the others may just not be set up.
        let refused = failures.iter().find(|it| it.class != ErrorClass::Unreachable).or(failures.first());
        let class = refused.map_or(ErrorClass::Unauthorized, |it| it.class);
        let messages: Vec<String> = failures.into_iter().map(|it| it.message).collect();
        Err(TokenError { class, message: messages.join("; ") })
    }

    fn timed_out(&self) -> TokenError {
        let message = format!("no token came within {} s", self.timeout.as_secs());
        TokenError { class: ErrorClass::Unreachable, message }
    }

    /// A credential of `azure_identity` is made for each request: the cache above it is ours, so that a rotated file is
    /// read, a refused token is replaced, and a failure is not repeated at once.
    async fn fetch_one(&self, source: &CredentialSource) -> Result<Token, TokenError> {
        if let CredentialSource::Token(value) = source {
            return Ok(Token { value: value.clone(), lifetime: Duration::from_hours(24) });
        }
        let credential = self.credential(source).map_err(|error| token_error(&error))?;
        let token = credential.get_token(&[&self.scope], None).await.map_err(|error| token_error(&error))?;
        let lifetime = token.expires_on - OffsetDateTime::now_utc();
        Ok(Token {
            value: token.token.secret().into(),
            lifetime: Duration::try_from(lifetime).unwrap_or_default(),
        })
    }

    fn credential(&self, source: &CredentialSource) -> azure_core::Result<Arc<dyn TokenCredential>> {
        Ok(match source {
            CredentialSource::ClientSecret { tenant_id, client_id, client_secret } => {
                let options = ClientSecretCredentialOptions { client_options: self.options(&self.transport) };
                let secret = client_secret.expose().to_owned().into();
                ClientSecretCredential::new(tenant_id, client_id.clone(), secret, Some(options))?
            }
            CredentialSource::WorkloadIdentity { tenant_id, client_id, token_file } => {
                WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
                    credential_options: ClientAssertionCredentialOptions {
                        client_options: self.options(&self.transport),
                    },
                    client_id: Some(client_id.clone()),
                    tenant_id: Some(tenant_id.clone()),
                    token_file_path: Some(token_file.clone()),
                }))?
            }
            CredentialSource::ManagedIdentity { client_id } => {
                ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
                    user_assigned_id: client_id.clone().map(UserAssignedId::ClientId),
                    client_options: self.options(&self.direct),
                }))?
            }
            CredentialSource::AzureCli { tenant_id } => {
                AzureCliCredential::new(Some(AzureCliCredentialOptions {
                    tenant_id: tenant_id.clone(),
                    ..AzureCliCredentialOptions::default()
                }))?
            }
            CredentialSource::Token(_) | CredentialSource::Chain(_) => {
                return Err(azure_core::Error::with_message(
                    ErrorKind::Credential,
                    "not a single credential",
                ));
            }
        })
    }

    fn options(&self, transport: &reqwest::Client) -> ClientOptions {
        let mut custom = CustomConfiguration::default();
        custom.authority_host.clone_from(&self.authority);
        ClientOptions {
            transport: Some(Transport::new(Arc::new(transport.clone()))),
            retry: RetryOptions::none(),
            cloud: Some(Arc::new(CloudConfiguration::Custom(custom))),
            ..ClientOptions::default()
        }
    }
}

/// Codes of Microsoft Entra that mean that the tenant is not the one of the identity: no such tenant, no such
/// application in it, a guest, and a tenant that is no domain name or id.
const WRONG_TENANT: [&str; 5] = ["AADSTS90002", "AADSTS700016", "AADSTS50020", "AADSTS900023", "AADSTS90072"];

fn token_error(error: &azure_core::Error) -> TokenError {
    let mut status = None;
    let mut broken = false;
    let mut messages: Vec<String> = Vec::new();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<azure_core::Error>() {
            status = status.or(error.http_status().map(u16::from));
            broken |= matches!(error.kind(), ErrorKind::Io | ErrorKind::Connection);
        }
        broken |= error.is::<reqwest::Error>();
        messages.push(error.to_string());
        cause = error.source();
    }
    let message = words(&messages);
    let wrong_tenant = WRONG_TENANT.iter().any(|code| message.contains(&format!("{code}:")));
    let class = match status {
        _ if wrong_tenant => ErrorClass::WrongTenant,
        Some(429 | 500..) => ErrorClass::Unreachable,
        None if broken => ErrorClass::Unreachable,
        _ => ErrorClass::Unauthorized,
    };
    TokenError { class, message }
}

/// All messages on one line: what an outer error repeats of an inner one is said once, and the link to the
/// troubleshooting guide of the library, which is not ours, is left out.
fn words(messages: &[String]) -> String {
    let mut said: Vec<String> = Vec::new();
    for message in messages {
        let own = message.split("To troubleshoot, visit").next().unwrap_or_default();
        let line = own.split_whitespace().collect::<Vec<_>>().join(" ");
        if !line.is_empty() && !said.iter().any(|it| it.contains(&line)) {
            said.push(line);
        }
    }
    said.join(": ")
}
