//! The client: one transport, all identities, all buckets.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Certificate, Url, redirect};

use crate::bucket::Buckets;
use crate::coalesce::Waiting;
use crate::config::Config;
use crate::creation::Creations;
use crate::credential::CredentialSource;
use crate::error::{BuildError, causes};
use crate::identity::{Fetch, Identity};
use crate::provider::Provider;
use crate::session::Session;

/// A client of one cloud. Clones share everything.
#[derive(Clone)]
pub struct Client(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) base: Url,
    pub(crate) transport: reqwest::Client,
    pub(crate) buckets: Buckets,
    pub(crate) waiting: Waiting,
    pub(crate) creations: Creations,
    fetch: Arc<Fetch>,
    identities: Mutex<HashMap<CredentialSource, Arc<Identity>>>,
}

impl Client {
    /// A client of one cloud. It makes no call by itself.
    pub fn new(config: Config) -> Result<Self, BuildError> {
        let endpoints = config.cloud.endpoints();
        let base = base(&endpoints.resource_manager, config.loopback_http)?;
        let transport = build(builder(&config)?)?;
        let direct = build(builder(&config)?.no_proxy())?;
        let provider = Arc::new(Provider {
            transport: transport.clone(),
            direct,
            authority: endpoints.authority,
            scope: config.cloud.scope(),
            timeout: config.timeout,
        });
        let fetch = move |source: CredentialSource| {
            let provider = provider.clone();
            Box::pin(async move { provider.fetch(&source).await }) as _
        };
        Ok(Self(Arc::new(Inner {
            base,
            transport,
            buckets: Buckets::new(config.limits),
            waiting: Waiting::default(),
            creations: Creations::default(),
            fetch: Arc::new(fetch),
            identities: Mutex::default(),
            config,
        })))
    }

    /// The configuration that it was made with.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Calls in the name of an identity. Equal sources share their tokens; nothing is asked for before the first call.
    pub fn with(&self, source: &CredentialSource) -> Session {
        let inner = &self.0;
        let mut identities = inner.identities.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = identities.get(source).cloned().unwrap_or_else(|| {
            // Secrets that were rotated leave identities behind that nobody uses any more.
            identities.retain(|_, identity| Arc::strong_count(identity) > 1 || identity.is_recent());
            let observer = inner.config.observer.clone();
            let identity = Arc::new(Identity::new(source.clone(), inner.fetch.clone(), observer));
            identities.insert(source.clone(), identity.clone());
            identity
        });
        Session::new(self.clone(), identity)
    }

    /// Whether an address is of the Azure Resource Manager that this client talks to.
    pub(crate) fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.0.base.origin() && url.username().is_empty() && url.password().is_none()
    }
}

fn base(text: &str, loopback_http: bool) -> Result<Url, BuildError> {
    let refused =
        |problem: &str| BuildError::ResourceManager { url: text.to_owned(), problem: problem.to_owned() };
    let url = Url::parse(text).map_err(|error| refused(&error.to_string()))?;
    let loopback = match url.host() {
        Some(url_host) => is_loopback(&url_host.to_string()),
        None => return Err(refused("it has no host")),
    };
    match url.scheme() {
        "https" => {}
        "http" if loopback && loopback_http => {}
        _ => return Err(refused("it must begin with https://")),
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(refused("it must be a scheme, a host and a port"));
    }
    Ok(url)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|it| it.is_loopback())
}

fn builder(config: &Config) -> Result<reqwest::ClientBuilder, BuildError> {
    // An error means that a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(&config.user_agent)
        .connect_timeout(config.timeout.min(Duration::from_secs(10)))
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .pool_idle_timeout(Duration::from_mins(1));
    if let Some(ca) = &config.ca {
        let bundle = Certificate::from_pem_bundle(ca).map_err(|error| BuildError::Tls(causes(&error)))?;
        builder = builder.tls_certs_merge(bundle);
    }
    Ok(builder)
}

fn build(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, BuildError> {
    builder.build().map_err(|error| BuildError::Tls(causes(&error)))
}
