//! Which object: its kind, namespace and name.
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

/// A kind that is reconciled.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Primary {
    /// `Endpoint`.
    Endpoint,
    /// `ServingRuntime`.
    ServingRuntime,
    /// `MLWorkspace`.
    MlWorkspace,
    /// `Compute`.
    Compute,
    /// `DataAsset`.
    DataAsset,
    /// `Model`.
    Model,
    /// `ModelRegistry`.
    ModelRegistry,
    /// `ModelPromotion`.
    ModelPromotion,
    /// `Approval`.
    Approval,
}

/// The workers that an object is for: calls to Azure may wait long, and must not hold up what runs on the cluster.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Lane {
    /// Nothing but the API server is called.
    Cluster,
    /// Azure is called.
    Azure,
}

impl Primary {
    /// Whether what an object of the kind names must look again whenever the object changes.
    pub(crate) const fn tells(self) -> bool {
        matches!(self, Self::ModelPromotion | Self::Approval)
    }
}

/// The kinds of objects that fields of a spec name, by the field.
const REFERENCES: [(&str, Primary); 5] = [
    ("workspaceRef", Primary::MlWorkspace),
    ("hubRef", Primary::MlWorkspace),
    ("computeRef", Primary::Compute),
    ("registryRef", Primary::ModelRegistry),
    ("modelRef", Primary::Model),
];

/// The objects of the same namespace that a spec names.
pub(crate) fn references(namespace: &str, spec: &Value) -> Vec<Item> {
    let places = [spec, &spec["target"], &spec["model"]];
    let named = places.iter().flat_map(|place| {
        REFERENCES.iter().filter_map(|(field, primary)| Some((*primary, place[field]["name"].as_str()?)))
    });
    // An Approval names its promotion, and a promotion its Model.
    let told = [
        (Primary::ModelPromotion, spec["promotion"].as_str()),
        (Primary::Model, spec["model"]["name"].as_str()),
    ];
    let told = told.into_iter().filter_map(|(primary, name)| Some((primary, name?)));
    named
        .chain(told)
        .map(|(primary, name)| Item { primary, object: ObjectName::new(namespace, name) })
        .collect()
}

/// The namespace and name of an object.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct ObjectName {
    /// Its namespace.
    pub(crate) namespace: Arc<str>,
    /// Its name.
    pub(crate) name: Arc<str>,
}

impl ObjectName {
    /// The name of an object from its metadata.
    pub(crate) fn of(metadata: &ObjectMeta) -> Self {
        Self::new(
            metadata.namespace.as_deref().unwrap_or_default(),
            metadata.name.as_deref().unwrap_or_default(),
        )
    }

    /// A name.
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl std::fmt::Display for ObjectName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

/// An object to reconcile.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Item {
    /// Its kind.
    pub(crate) primary: Primary,
    /// Its name.
    pub(crate) object: ObjectName,
}
