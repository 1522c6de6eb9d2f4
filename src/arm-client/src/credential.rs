//! Where tokens come from, as data.
use std::fmt;
use std::path::PathBuf;

/// A text that is never shown.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, to be sent.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for Secret {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// Where tokens come from. Two equal sources share their tokens.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum CredentialSource {
    /// A service account token of Kubernetes, exchanged for a token of Microsoft Entra.
    WorkloadIdentity {
        /// The tenant.
        tenant_id: String,
        /// The application or user-assigned identity.
        client_id: String,
        /// The file that holds the service account token; it is read anew for each exchange.
        token_file: PathBuf,
    },
    /// The managed identity of the host.
    ManagedIdentity {
        /// The user-assigned identity; without it the system-assigned one.
        client_id: Option<String>,
    },
    /// A service principal with a secret.
    ClientSecret {
        /// The tenant.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// Its secret.
        client_secret: Secret,
    },
    /// The person who is logged in to the Azure CLI.
    AzureCli {
        /// The tenant; without it the default one of that person.
        tenant_id: Option<String>,
    },
    /// A token that the caller has.
    Token(Secret),
    /// The first of several that gives a token.
    Chain(Vec<CredentialSource>),
}

impl CredentialSource {
    /// Who this is, without what proves it. Equal principals share their buckets, whatever happens to their secrets.
    pub fn principal(&self) -> String {
        match self {
            Self::WorkloadIdentity { tenant_id, client_id, .. }
            | Self::ClientSecret { tenant_id, client_id, .. } => {
                format!("application {client_id} of tenant {tenant_id}")
            }
            Self::ManagedIdentity { client_id: Some(client_id) } => format!("managed identity {client_id}"),
            Self::ManagedIdentity { client_id: None } => "system-assigned managed identity".to_owned(),
            Self::AzureCli { .. } => "user of the Azure CLI".to_owned(),
            Self::Token(_) => "holder of a given token".to_owned(),
            Self::Chain(sources) => sources.iter().map(Self::principal).collect::<Vec<_>>().join(", else "),
        }
    }

    /// Each source that is tried, in order: chains within chains are laid flat.
    pub(crate) fn links(&self) -> Vec<&Self> {
        match self {
            Self::Chain(sources) => sources.iter().flat_map(Self::links).collect(),
            single => vec![single],
        }
    }
}

/// Settings that do not make a credential.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidCredential(pub String);
