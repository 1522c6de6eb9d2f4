//! The CustomResourceDefinitions of every kind, as the API server gets them.
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps,
};
use kube::CustomResourceExt as _;

/// The CustomResourceDefinition of every kind, in the order of the table of kinds.
///
/// Each defaults `status.observedGeneration` to -1: tools that wait for an object would otherwise take a fresh one,
/// which has no status yet, for a finished one.
pub fn crds() -> Vec<CustomResourceDefinition> {
    [
        crate::Approval::crd(),
        crate::Compute::crd(),
        crate::DataAsset::crd(),
        crate::DecisionRecord::crd(),
        crate::Endpoint::crd(),
        crate::MLWorkspace::crd(),
        crate::Model::crd(),
        crate::ModelPromotion::crd(),
        crate::ModelRegistry::crd(),
        crate::ServingRuntime::crd(),
    ]
    .into_iter()
    .map(with_status_default)
    .collect()
}

fn with_status_default(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        if let Some(status) =
            version.schema.as_mut().and_then(|schema| status_schema(schema.open_api_v3_schema.as_mut()?))
        {
            status.default = Some(JSON(serde_json::json!({"observedGeneration": -1})));
            status.nullable = None;
        }
    }
    crd
}

fn status_schema(root: &mut JSONSchemaProps) -> Option<&mut JSONSchemaProps> {
    root.properties.as_mut()?.get_mut("status")
}
