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
    /// Whether the operator may write HTTPRoutes for gateways of the users' own, and what narrows them.
    pub gateway_api: Option<GatewayApi>,
}

/// What narrows the HTTPRoutes that the operator writes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct GatewayApi {
    /// The domain whose sub-domain `NAMESPACE.DOMAIN` holds the host names of each namespace. Without it, the listeners of
    /// the Gateways alone decide about host names.
    pub domain: Option<String>,
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
