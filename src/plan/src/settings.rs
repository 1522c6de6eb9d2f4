//! What the operator was started with and plans depend on.

/// What the operator was started with and plans depend on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// The namespace whose ServingRuntimes are the defaults for all namespaces.
    pub operator_namespace: String,
    /// The image of the model server, which also fetches models for other containers.
    pub model_server_image: String,
    /// Hosts that models may come from although they are not public.
    pub model_allowed_hosts: Vec<String>,
    /// The inference gateway, if there is one.
    pub gateway: Option<Gateway>,
}

/// The inference gateway.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Gateway {
    /// Its address for callers, without a slash at the end.
    pub url: String,
    /// The namespace in which it runs and reads its routes.
    pub namespace: String,
    /// The domain whose sub-domain `NAMESPACE.DOMAIN` holds the host names of each namespace.
    pub domain: Option<String>,
    /// The beginnings of the addresses to which captures may be written: the gateway writes all of them in its own
    /// name.
    pub capture_stores: Vec<String>,
}
