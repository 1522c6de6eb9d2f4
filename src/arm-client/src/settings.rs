//! Credentials and clouds from the settings that the Azure tools share: the environment of the operator, or the Secret
//! of an object.
use std::collections::BTreeMap;
use std::path::Path;

use arm::{Cloud, Endpoints};

use crate::credential::{CredentialSource, InvalidCredential};

#[cfg(test)]
mod tests;

const AUTHORITY_HOST: &str = "AZURE_AUTHORITY_HOST";
const CLIENT_ID: &str = "AZURE_CLIENT_ID";
const CLIENT_SECRET: &str = "AZURE_CLIENT_SECRET";
const FEDERATED_TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
const SUBSCRIPTION_ID: &str = "AZURE_SUBSCRIPTION_ID";
const TENANT_ID: &str = "AZURE_TENANT_ID";
const TOKEN_CREDENTIALS: &str = "AZURE_TOKEN_CREDENTIALS";
const RESOURCE_MANAGER: &str = "AZURE_RESOURCE_MANAGER_ENDPOINT";
const AUDIENCE: &str = "AZURE_RESOURCE_MANAGER_AUDIENCE";
const PORTAL: &str = "AZURE_PORTAL_URL";
const STORAGE_SUFFIX: &str = "AZURE_STORAGE_SUFFIX";

type Settings = BTreeMap<String, String>;

/// A setting without the white space that files and Secrets have at their ends; empty is absent.
fn setting<'a>(settings: &'a Settings, name: &str) -> Option<&'a str> {
    settings.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
}

fn required(settings: &Settings, name: &str, because: &str) -> Result<String, InvalidCredential> {
    setting(settings, name)
        .map(str::to_owned)
        .ok_or_else(|| InvalidCredential(format!("{name} is missing, which {because} needs")))
}

/// The subscription that is meant where none is named.
pub fn subscription(settings: &Settings) -> Option<String> {
    setting(settings, SUBSCRIPTION_ID).map(str::to_owned)
}

/// The operator's own identity. `AZURE_TOKEN_CREDENTIALS` names one kind, or `dev` for the Azure CLI; without it, all
/// that is configured is tried, in the order client secret, workload identity, managed identity. `None` when nothing is
/// configured: then only objects with a Secret of their own can talk to Azure.
pub fn credential_from_environment(
    environment: &Settings,
) -> Result<Option<CredentialSource>, InvalidCredential> {
    let kind = setting(environment, TOKEN_CREDENTIALS).unwrap_or("prod");
    let managed = || CredentialSource::ManagedIdentity {
        client_id: setting(environment, CLIENT_ID).map(str::to_owned),
    };
    match kind.to_ascii_lowercase().as_str() {
        "prod" => {}
        "environmentcredential" => return client_secret(environment).map(Some),
        "workloadidentitycredential" => return workload_identity(environment).map(Some),
        "managedidentitycredential" => return Ok(Some(managed())),
        "dev" | "azureclicredential" => {
            let tenant_id = setting(environment, TENANT_ID).map(str::to_owned);
            return Ok(Some(CredentialSource::AzureCli { tenant_id }));
        }
        _ => {
            return Err(InvalidCredential(format!(
                "{TOKEN_CREDENTIALS} is `{kind}`; it can be EnvironmentCredential, WorkloadIdentityCredential, \
                 ManagedIdentityCredential, AzureCliCredential, prod or dev"
            )));
        }
    }
    let mut sources = Vec::new();
    if setting(environment, CLIENT_SECRET).is_some() {
        sources.push(client_secret(environment)?);
    }
    if setting(environment, FEDERATED_TOKEN_FILE).is_some() && setting(environment, CLIENT_ID).is_some() {
        sources.push(workload_identity(environment)?);
    }
    let only_client_id = sources.is_empty() && setting(environment, CLIENT_ID).is_some();
    if only_client_id || setting(environment, "IDENTITY_ENDPOINT").is_some() {
        sources.push(managed());
    }
    Ok(match sources.len() {
        0 | 1 => sources.pop(),
        _ => Some(CredentialSource::Chain(sources)),
    })
}

/// The identity that the Secret of an object holds: a client secret, or the client id of a workload identity, which is
/// proved by the operator's own service account token.
///
/// A Secret is written by tenants. It can't name a file of the operator, nor an authority, to which the operator would
/// send its service account token.
pub fn credential_from_secret(
    secret: &Settings,
    environment: &Settings,
    cloud: &Cloud,
) -> Result<CredentialSource, InvalidCredential> {
    if secret.contains_key(FEDERATED_TOKEN_FILE) {
        return Err(InvalidCredential(format!("a Secret can't set {FEDERATED_TOKEN_FILE}; remove it")));
    }
    let authority = cloud.endpoints().authority;
    if let Some(other) = setting(secret, AUTHORITY_HOST)
        && !other.trim_end_matches('/').eq_ignore_ascii_case(authority.trim_end_matches('/'))
    {
        return Err(InvalidCredential(format!(
            "{AUTHORITY_HOST} is `{other}`, and the operator talks to `{authority}` only; remove it"
        )));
    }
    if setting(secret, CLIENT_SECRET).is_some() {
        return client_secret(secret);
    }
    let file = setting(environment, FEDERATED_TOKEN_FILE).ok_or_else(|| {
        InvalidCredential(format!(
            "{CLIENT_SECRET} is missing; without it a workload identity is meant, which the operator does not run with"
        ))
    })?;
    let mut settings = secret.clone();
    settings.insert(FEDERATED_TOKEN_FILE.to_owned(), file.to_owned());
    if setting(secret, TENANT_ID).is_none()
        && let Some(tenant) = setting(environment, TENANT_ID)
    {
        settings.insert(TENANT_ID.to_owned(), tenant.to_owned());
    }
    workload_identity(&settings)
}

fn client_secret(settings: &Settings) -> Result<CredentialSource, InvalidCredential> {
    let because = "a service principal with a client secret";
    Ok(CredentialSource::ClientSecret {
        tenant_id: required(settings, TENANT_ID, because)?,
        client_id: required(settings, CLIENT_ID, because)?,
        client_secret: required(settings, CLIENT_SECRET, because)?.into(),
    })
}

fn workload_identity(settings: &Settings) -> Result<CredentialSource, InvalidCredential> {
    let because = "a workload identity";
    Ok(CredentialSource::WorkloadIdentity {
        tenant_id: required(settings, TENANT_ID, because)?,
        client_id: required(settings, CLIENT_ID, because)?,
        token_file: Path::new(&required(settings, FEDERATED_TOKEN_FILE, because)?).to_owned(),
    })
}

/// The cloud that the environment means: the one of `AZURE_ENVIRONMENT` or of a known `AZURE_AUTHORITY_HOST`, or with
/// `AZURE_RESOURCE_MANAGER_ENDPOINT` a cloud of its own.
pub fn cloud_from_environment(environment: &Settings) -> Result<Cloud, InvalidCredential> {
    let named = match setting(environment, "AZURE_ENVIRONMENT") {
        Some(name) => {
            let unknown =
                || InvalidCredential(format!("AZURE_ENVIRONMENT is `{name}`, which is no known cloud"));
            Some(Cloud::named(name).ok_or_else(unknown)?)
        }
        None => None,
    };
    let authority = setting(environment, AUTHORITY_HOST).map(|it| it.trim_end_matches('/'));
    let known = [Cloud::AzurePublic, Cloud::AzureChina, Cloud::AzureGovernment];
    let by_authority =
        authority.and_then(|authority| known.into_iter().find(|it| it.endpoints().authority == authority));
    let Some(resource_manager) = setting(environment, RESOURCE_MANAGER) else {
        return match (named, by_authority, authority) {
            (Some(cloud), ..) | (None, Some(cloud), _) => Ok(cloud),
            (None, None, None) => Ok(Cloud::AzurePublic),
            (None, None, Some(authority)) => Err(InvalidCredential(format!(
                "{AUTHORITY_HOST} is `{authority}`, which is no known cloud; set {RESOURCE_MANAGER} too"
            ))),
        };
    };
    let base = named.or(by_authority).unwrap_or_default().endpoints();
    let or = |name: &str, other: String| setting(environment, name).map_or(other, str::to_owned);
    Ok(Cloud::Custom(Endpoints {
        resource_manager: resource_manager.to_owned(),
        authority: authority.map_or(base.authority, str::to_owned),
        audience: or(AUDIENCE, resource_manager.to_owned()),
        portal: or(PORTAL, base.portal),
        storage_suffix: or(STORAGE_SUFFIX, base.storage_suffix),
    }))
}
