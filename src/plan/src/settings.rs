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
}
