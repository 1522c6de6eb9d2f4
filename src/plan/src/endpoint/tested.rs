//! The pods of an Endpoint as they would be with another model, for a deployment that is only tested.
use api::Endpoint;
use api::endpoint::{ModelReference, Scaling};
use api::meta::ModelFormat;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodTemplateSpec;

use super::valid::validate;
use super::{Refusal, RuntimeFacts, World, build};
use crate::child::Children;
use crate::settings::Settings;

/// A model whose deployment is only tested.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tested<'a> {
    /// The name by which it answers.
    pub(crate) name: &'a str,
    /// Where it lies.
    pub(crate) uri: &'a str,
    /// The digest of its file.
    pub(crate) digest: Option<&'a str>,
    /// Its format.
    pub(crate) format: ModelFormat,
    /// How far its port lies above that of the runtime, since two servers of a pod share the ports.
    pub(crate) port_offset: i32,
}

/// The pods that an Endpoint would have with another model, and the port at which they answer. Nothing of the Endpoint
/// matters but its runtime, its resources, and what opens the model's store.
pub(crate) fn pods(
    like: &Endpoint,
    tested: &Tested,
    runtimes: &[RuntimeFacts],
    settings: &Settings,
) -> Result<(PodTemplateSpec, i32), Refusal> {
    let mut endpoint = like.clone();
    endpoint.metadata.name = Some(tested.name.to_owned());
    endpoint.status = None;
    let spec = &mut endpoint.spec;
    spec.model = ModelReference {
        uri: tested.uri.to_owned(),
        model_ref: None,
        workspace_ref: None,
        registry_ref: None,
        digest: tested.digest.map(str::to_owned),
        format: tested.format,
        ..spec.model.clone()
    };
    spec.scaling = Scaling::default();
    (spec.auth, spec.routing, spec.capture) = (None, None, None);
    spec.rollout = api::endpoint::Rollout::default();
    let mut runtimes = runtimes.to_vec();
    for runtime in &mut runtimes {
        runtime.spec.port += tested.port_offset;
        runtime.spec.drain_seconds = 0;
    }
    let world = World {
        now: Timestamp::UNIX_EPOCH,
        endpoint,
        runtimes,
        children: Children::new(),
        further: Vec::new(),
        route: None,
        knows_http_routes: false,
        evidence: None,
        load: None,
        metric: None,
        autoscalers: Vec::new(),
        keys: None,
        pods: Vec::new(),
        settings: settings.clone(),
        azure: None,
        model: None,
    };
    let valid = validate(&world)?;
    Ok((build::pod_template::pod_template(&valid), valid.runtime.port))
}
