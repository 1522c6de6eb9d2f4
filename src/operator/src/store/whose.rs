//! What an object's labels and spec tell: whose it is, and which workers it is for.
use api::meta::{
    ENDPOINT_LABEL, ENDPOINT_NAMESPACE_LABEL, GATEWAY_ROUTE_LABEL, MANAGED_BY_LABEL, MANAGER, PROMOTION_LABEL,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use plan::ChildKind;

use super::Source;
use crate::object::{Lane, ObjectName, Primary};
use crate::resource::Object;

/// Whether an autoscaler is the operator's own, as far as its labels tell.
pub(crate) fn is_own(metadata: &ObjectMeta) -> bool {
    metadata.labels.as_ref().is_some_and(|labels| {
        labels.get(MANAGED_BY_LABEL).is_some_and(|manager| manager == MANAGER)
            && labels.contains_key(ENDPOINT_LABEL)
    })
}

/// Whether an Endpoint or Model has to do with Azure: by where it runs or is registered, by its model, or by what it left
/// there.
pub(super) fn lane_of(endpoint: &Object) -> Lane {
    let is_cluster = matches!(endpoint.spec["target"]["type"].as_str(), None | Some("Kubernetes"));
    let model = &endpoint.spec["model"];
    let in_azure =
        model["uri"].as_str().is_some_and(|uri| uri.starts_with("azureml://") || uri.starts_with('/'))
            || !model["modelRef"].is_null();
    let finalizers = endpoint.metadata.finalizers.as_deref().unwrap_or_default();
    let left = finalizers.iter().any(|finalizer| finalizer == api::azure::FINALIZER);
    // Where a Model is registered.
    let is_registered = !endpoint.spec["workspaceRef"].is_null() || !endpoint.spec["registryRef"].is_null();
    if is_cluster && !in_azure && !left && !is_registered { Lane::Cluster } else { Lane::Azure }
}

/// Whether the objects of a source have nothing but resources in Azure.
pub(super) fn is_in_azure_alone(source: Source) -> bool {
    let Source::Primary(primary) = source else { return false };
    match primary {
        Primary::Endpoint | Primary::ServingRuntime | Primary::ModelPromotion | Primary::Approval => false,
        Primary::MlWorkspace
        | Primary::Compute
        | Primary::DataAsset
        | Primary::Model
        | Primary::ModelRegistry => true,
    }
}

/// Whether a source has the Jobs or pods of promotions' checks.
pub(super) fn is_check(source: Source) -> bool {
    matches!(source, Source::CheckPods | Source::Child(ChildKind::Job))
}

/// The Endpoint of an object. What is the gateway's lies in another namespace, and names the Endpoint's.
pub(super) fn endpoint_of(metadata: &ObjectMeta, is_route: bool) -> Option<ObjectName> {
    let labels = metadata.labels.as_ref()?;
    let namespace = if is_route { labels.get(ENDPOINT_NAMESPACE_LABEL) } else { metadata.namespace.as_ref() };
    Some(ObjectName::new(namespace?, labels.get(ENDPOINT_LABEL)?))
}

/// The ModelPromotion of an object, as far as its labels tell.
pub(super) fn promotion_of(metadata: &ObjectMeta) -> Option<ObjectName> {
    let promotion = metadata.labels.as_ref()?.get(PROMOTION_LABEL)?;
    Some(ObjectName::new(metadata.namespace.as_ref()?, promotion))
}

/// Whether an object is one of the gateway's, as far as its labels tell.
pub(super) fn is_route(metadata: &ObjectMeta) -> bool {
    metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(GATEWAY_ROUTE_LABEL))
}
