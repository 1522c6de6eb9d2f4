//! An object of any kind, with its content as plain JSON.
use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::ApiResource;
use kube::core::DynamicResourceScope;
use plan::ChildKind;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An object of any kind that the operator watches. Its fields are named one by one, since collecting the rest of a
/// map costs three times the time.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Object {
    #[serde(default)]
    pub(crate) metadata: ObjectMeta,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(crate) spec: Value,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(crate) status: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) automount_service_account_token: Option<bool>,
    /// Of a ConfigMap.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(crate) data: Value,
}

impl Object {
    /// The version of the object, as a number that grows with each change.
    pub(crate) fn version(metadata: &ObjectMeta) -> u64 {
        metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
    }
}

impl Resource for Object {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        resource.api_version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// The coordinates of a kind that the operator owns objects of.
pub(crate) fn child_resource(kind: ChildKind) -> ApiResource {
    let coordinates = kind.coordinates();
    ApiResource {
        group: coordinates.group.to_owned(),
        version: coordinates.version.to_owned(),
        api_version: coordinates.api_version.to_owned(),
        kind: coordinates.kind.to_owned(),
        plural: coordinates.plural.to_owned(),
    }
}
